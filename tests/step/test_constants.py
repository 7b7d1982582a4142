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


def test_a_run_with_another_setting_asks_again(tmp_path: Path, own_plugins: None) -> None:
    (tmp_path / "own.py").write_text(
        "from mminf.step import PromptConfig, PromptStep, step\n\n\n"
        "class OwnConfig(PromptConfig):\n    tone: str = 'calm'\n\n\n"
        '@step("own")\nclass Own(PromptStep[OwnConfig]):\n    default_prompt = "{{ text }} {{ tone }}"\n    writes = frozenset({"said"})\n\n'
        "    @property\n    def constants(self):\n        return {'tone': self.config.tone}\n\n"
        "    async def run(self, record, ctx):\n        return {'said': (await self.ask(record, ctx)).text}\n"
    )
    (tmp_path / "echo.py").write_text("def answer(request):\n    return request.turns[0].text\n")
    (tmp_path / "rows.jsonl").write_text('{"id": "1", "text": "hi"}\n')
    recipe = tmp_path / "r.yaml"
    recipe.write_text(
        f"plugins: own.py\nengines: {{m: {{backend: scripted, script: {tmp_path}/echo.py}}}}\nsource: {{jsonl: rows.jsonl}}\n"
        "steps: [own: {engine: m}]\nsinks: [jsonl: o.jsonl]\n"
    )
    assert mminf.load(recipe).steps[0].reads == {"text"}
    for settings, said in (((), "hi calm"), (("steps.own.tone=loud",), "hi loud")):
        mminf.run(recipe, output=tmp_path / "out", settings=settings)
        (row,) = read_rows(tmp_path / "out" / "o.jsonl")
        assert row["said"] == said


def test_a_setting_in_a_prompt_without_constants_is_told(tmp_path: Path, own_plugins: None) -> None:
    (tmp_path / "own.py").write_text(
        "from mminf.step import PromptConfig, PromptStep, step\n\n\n"
        "class BareConfig(PromptConfig):\n    tone: str = 'calm'\n\n\n"
        '@step("bare")\nclass Bare(PromptStep[BareConfig]):\n    default_prompt = "{{ tone }} {{ other }}"\n\n'
        "    async def run(self, record, ctx):\n        return {}\n"
    )
    (tmp_path / "r.yaml").write_text(
        "plugins: own.py\nengines: {m: {backend: scripted, answer: a}}\nsource: {blank: 1}\nsteps: [bare: {engine: m}]\n"
        "sinks: [jsonl: o.jsonl]\n"
    )
    with pytest.raises(RecipeError) as caught:
        mminf.load(tmp_path / "r.yaml")
    other, tone = (problem.message for problem in caught.value.problems)
    assert "reads field 'tone'" in tone and "the settings that the step's `constants` returns" in tone
    assert "reads field 'other'" in other and "constants" not in other
    (tmp_path / "rows.jsonl").write_text('{"id": "1", "text": "hi"}\n')
    (tmp_path / "rows.yaml").write_text((tmp_path / "r.yaml").read_text().replace("blank: 1", "jsonl: rows.jsonl"))
    with pytest.raises(RecipeError, match="columns={other: COLUMN}"):
        mminf.run(tmp_path / "rows.yaml", output=tmp_path / "out")
