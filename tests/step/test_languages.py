"""Templates in the language of a record's texts."""

from __future__ import annotations

from pathlib import Path

import pytest

from mminf.recipe.model import TemplateFolders
from mminf.step.generate import Generate, GenerateConfig
from mminf.testing import StubGateway, make_step, run_step


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "ask.jinja").write_text("Answer: {{ q }}")
    (tmp_path / "ask.zh.jinja").write_text("请回答：{{ q }}")
    return tmp_path


CONFIG = {"engine": "llm", "template": "ask.jinja", "languages": ["zh"], "writes": "a"}


@pytest.mark.parametrize(("question", "begins"), [("Why?", "Answer:"), ("为什么？", "请回答：")])
def test_the_prompt_is_in_the_language_of_the_record(folder: Path, question: str, begins: str) -> None:
    gateway = StubGateway(["so"])
    run_step(make_step("generate", CONFIG, templates=[folder]), None, {"q": question}, gateway=gateway)
    assert gateway.requests[0].turns[0].text.startswith(begins)


def test_a_changed_translation_changes_the_step(folder: Path) -> None:
    before = make_step("generate", CONFIG, templates=[folder]).describe()
    (folder / "ask.zh.jinja").write_text("回答：{{ q }}")
    assert make_step("generate", CONFIG, templates=[folder]).describe() != before
    alone = {key: value for key, value in CONFIG.items() if key != "languages"}
    assert "translations" not in make_step("generate", alone, templates=[folder]).describe()


def test_a_translation_shows_the_same_fields(folder: Path) -> None:
    (folder / "ask.zh.jinja").write_text("请回答：{{ other }}")
    with pytest.raises(ValueError, match=r"ask.zh.jinja shows other fields than .*ask.jinja: other, q"):
        make_step("generate", CONFIG, templates=[folder])


def test_languages_need_a_file() -> None:
    config = GenerateConfig(engine="llm", prompt="{{ q }}", languages=["zh"])
    with pytest.raises(ValueError, match="needs a `template` file"):
        Generate(config, TemplateFolders([]))
