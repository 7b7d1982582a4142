"""A plugin whose file was changed computes its records again, and makes no call again."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from pydantic import Field

from mminf.step import Context, Outcome, Record, Step, StepConfig, TemplateFolders

PLUGIN = """
from mminf.step import PromptConfig, PromptStep, Step, StepConfig, step

class AskConfig(PromptConfig):
    writes: str = "colour"

@step("ask_colour")
class AskColour(PromptStep[AskConfig]):
    default_prompt = "Which colour has {{ text }}?"
    async def run(self, record, ctx):
        answer = await self.ask_whole(record, ctx)
        return {self.config.writes: answer.text.lower()}

class EndConfig(StepConfig):
    pass

@step("end")
class End(Step[EndConfig]):
    reads = frozenset({"colour"})
    writes = frozenset({"ended"})
    async def run(self, record, ctx):
        return {"ended": record["colour"] + "."}
"""
RECIPE = """
name: r
plugins: colours.py
engines: {s: {backend: scripted, script: s.py}}
source: {jsonl: rows.jsonl}
steps:
  - ask_colour: {engine: s, for_each: things}
  - set: {colour: "things[0].colour"}
  - end: {}
sinks: [jsonl: o.jsonl]
"""
SCRIPT = """
from pathlib import Path
def answer(request):
    with (Path(__file__).parent / "calls").open("a") as file:
        file.write("x")
    return "Red"
"""


def run(folder: Path) -> list[dict[str, object]]:
    command = [sys.executable, "-m", "mminf.cli.main", "run", "r.yaml", "-o", "out", "-q"]
    found = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    assert found.returncode == 0, found.stderr
    return [json.loads(line) for line in (folder / "out/o.jsonl").read_text().splitlines()]


def test_a_change_of_the_code_changes_the_rows_and_makes_no_call(tmp_path: Path) -> None:
    (tmp_path / "r.yaml").write_text(RECIPE)
    (tmp_path / "s.py").write_text(SCRIPT)
    (tmp_path / "rows.jsonl").write_text('{"id": "a", "things": [{"text": "a cup"}]}\n')
    (tmp_path / "colours.py").write_text(PLUGIN)
    (row,) = run(tmp_path)
    assert row["ended"] == "red."
    (tmp_path / "colours.py").write_text(PLUGIN.replace(".lower()", ".upper()").replace('+ "."', '+ "!"'))
    (row,) = run(tmp_path)
    assert (row["ended"], row["things"]) == ("RED!", [{"text": "a cup", "colour": "RED"}])
    assert (tmp_path / "calls").read_text() == "x", "the answer is in the journal"


def test_steps_of_mminf_have_no_digest_of_their_code() -> None:
    from mminf.plugin import discover
    from mminf.registry import STEPS

    discover()
    steps = [STEPS.get(name) for name in STEPS]
    own = [cls for cls in steps if cls.__module__.partition(".")[0] in ("mminf", "mminf_plugins")]
    assert len(own) > 30
    assert all(cls.code is None for cls in own), "journals stay valid after an update"


def test_a_set_in_a_config_is_described_in_order() -> None:
    """Its order in memory differs between processes, and an outcome of one would be computed again in the next."""

    class Config(StepConfig):
        words: set[str] = Field(default_factory=set, description="Words.")

    class Words(Step[Config]):
        type = "words"

        async def run(self, record: Record, ctx: Context) -> Outcome:
            return {}

    words = [f"word {number}" for number in range(30)]
    described = Words(Config(words=set(words)), TemplateFolders([])).describe()
    assert described["words"]["words"] == sorted(words)  # type: ignore[index, call-overload]


BACKENDS = """
from pathlib import Path
from mminf.backend import Backend, EngineConfig, Generation, backend

class OneConfig(EngineConfig):
    greeting: str = "Hello"

@backend("one")
class One(Backend):
    Config = OneConfig
    version = 1

    def load(self):
        pass

    async def generate(self, request):
        with (Path(__file__).parent / "calls").open("a") as file:
            file.write("x")
        return Generation(self.config.greeting, "stop", 1, 1)

@backend("other")
class Other(One):
    pass
"""


def test_answers_of_a_plugins_backend_are_those_of_its_settings_and_version(tmp_path: Path) -> None:
    """Another default gives other answers; a comment does not."""
    (tmp_path / "rows.jsonl").write_text('{"id": "a", "text": "x"}\n')
    recipe = (
        "name: r\nplugins: own.py\nengines: {s: {backend: one, model: m}}\nsource: {jsonl: rows.jsonl}\n"
        "steps:\n  - generate: {engine: s, prompt: '{{ text }}', writes: said}\nsinks: [jsonl: o.jsonl]\n"
    )
    calls = 0
    for plugin, backend, said, more in (
        (BACKENDS, "one", "Hello", 1),
        (BACKENDS + "# the same\n", "one", "Hello", 0),
        (BACKENDS.replace('"Hello"', '"Good day"'), "one", "Good day", 1),
        (BACKENDS.replace("version = 1", "version = 2"), "one", "Hello", 1),
        (BACKENDS, "other", "Hello", 1),
        (BACKENDS, "one", "Hello", 0),
    ):
        (tmp_path / "own.py").write_text(plugin)
        (tmp_path / "r.yaml").write_text(recipe.replace("backend: one", f"backend: {backend}"))
        assert [row["said"] for row in run(tmp_path)] == [said]
        calls += more
        assert len((tmp_path / "calls").read_text()) == calls
