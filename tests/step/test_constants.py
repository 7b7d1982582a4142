"""Settings of a plugin's step in its prompt."""

from __future__ import annotations

from pathlib import Path

import pytest

import mminf
from mminf.errors import RecipeError
from mminf.step import Context, Outcome, PromptConfig, PromptStep, Record
from mminf.testing import StubGateway, make_step, run_step

from ..conftest import read_rows


class ToneConfig(PromptConfig):
    tone: str = "calm"


class Tone(PromptStep[ToneConfig]):
    """Asks in a tone."""

    Config = ToneConfig
    writes = frozenset({"said"})
    default_prompt = "Say {{ text }} in a {{ tone }} tone.{% if mood is defined %} {{ mood }}{% endif %}"

    @property
    def constants(self) -> dict[str, str]:
        return {"tone": self.config.tone, "mood": "!"}

    async def run(self, record: Record, ctx: Context) -> Outcome:
        return {"said": (await self.ask(record, ctx)).text}


def test_a_prompt_shows_the_settings_of_its_step() -> None:
    for tone in ("calm", "loud"):
        gateway = StubGateway(["a"])
        run_step(Tone, {"engine": "m", "tone": tone}, {"text": "hi", "tone": "the record's"}, gateway=gateway)
        assert gateway.requests[0].turns[0].text == f"Say hi in a {tone} tone. !"


def test_settings_say_nothing_about_the_language_of_a_record(tmp_path: Path) -> None:
    (tmp_path / "tone.jinja").write_text("{{ text }} in {{ tone }}")
    (tmp_path / "tone.zh.jinja").write_text("{{ text }} 用 {{ tone }}")
    config = {"engine": "m", "template": "tone.jinja", "languages": ["zh"], "tone": "平静的语气，请慢慢说"}
    for text, told in (("hello world", "hello world in "), ("你好，世界", "你好，世界 用 ")):
        gateway = StubGateway(["a"])
        fields = {"text": text, "tone": "这是一个很长的中文句子。" if text == "hello world" else "a text in English"}
        run_step(make_step(Tone, config, templates=[tmp_path]), fields=fields, gateway=gateway)
        assert gateway.requests[0].turns[0].text.startswith(told)


def test_settings_are_no_fields_that_the_step_reads() -> None:
    made = make_step(Tone, {"engine": "m"})
    assert made.reads == {"text"} and made.uses == {"text"}


def write_recipe(folder: Path, prompt: str, body: str) -> Path:
    """Writes a plugin with a step `own`, and a recipe that runs it over one row with a model that repeats its prompt."""
    (folder / "own.py").write_text(
        "from mminf.step import PromptConfig, PromptStep, step\n\n\n"
        "class OwnConfig(PromptConfig):\n    tone: str = 'calm'\n\n\n"
        f'@step("own")\nclass Own(PromptStep[OwnConfig]):\n    default_prompt = "{prompt}"\n    writes = frozenset({{"said"}})\n'
        f"{body}\n    async def run(self, record, ctx):\n        return {{'said': (await self.ask(record, ctx)).text}}\n"
    )
    (folder / "echo.py").write_text("def answer(request):\n    return request.turns[0].text\n")
    (folder / "rows.jsonl").write_text('{"id": "1", "text": "hi"}\n')
    recipe = folder / "r.yaml"
    recipe.write_text(
        f"plugins: own.py\nengines: {{m: {{backend: scripted, script: {folder}/echo.py}}}}\nsource: {{jsonl: rows.jsonl}}\n"
        "steps: [own: {engine: m}]\nsinks: [jsonl: o.jsonl]\n"
    )
    return recipe


CONSTANTS = """
    @property
    def constants(self):
        return {"tone": self.config.tone}
"""


def test_a_run_with_another_setting_asks_again(tmp_path: Path, own_plugins: None) -> None:
    recipe = write_recipe(tmp_path, "{{ text }} {{ tone }}", CONSTANTS)
    assert mminf.load(recipe).steps[0].reads == {"text"}
    for settings, said in (((), "hi calm"), (("steps.own.tone=loud",), "hi loud")):
        mminf.run(recipe, output=tmp_path / "out", settings=settings)
        (row,) = read_rows(tmp_path / "out" / "o.jsonl")
        assert row["said"] == said


def test_a_setting_in_a_prompt_without_constants_is_told(tmp_path: Path, own_plugins: None) -> None:
    with pytest.raises(RecipeError) as caught:
        mminf.run(write_recipe(tmp_path, "{{ tone }} {{ other }}", ""), output=tmp_path / "out")
    other, tone, columns = (problem.message for problem in caught.value.problems)
    assert "reads field 'tone'" in tone and "the settings that the step's `constants` returns" in tone
    assert "reads field 'other'" in other and "constants" not in other
    assert "columns={other: COLUMN}" in columns
