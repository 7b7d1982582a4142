"""A plugin that reads a field which a record lacks is told with its line; a run logs its traceback."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

import mminf
from mminf.errors import MminfError

PLUGIN = """from mminf.sink import Sink, sink
from mminf.source import Numbered, Source, source
from mminf.step import DatasetStep, StepConfig, step


@source("lacking")
class Lacking(Source):
    def read(self, shard=None):
        record = Numbered(self.config.id).record("a", {"n": 1})
        record["SOURCE"]
        yield record


@step("all_lacking")
class AllLacking(DatasetStep[StepConfig]):
    def run_all(self, records, ctx):
        for record in records:
            record["STEP"]
            yield record, {}
"""


@pytest.mark.usefixtures("own_plugins")
@pytest.mark.parametrize(("part", "line"), [("SOURCE", 10), ("STEP", 18)])
def test_a_field_that_a_plugin_misses(part: str, line: int, write_recipe: Callable[..., Path], tmp_path: Path) -> None:
    text = PLUGIN.replace(part, "nope")
    for other in ("SOURCE", "STEP"):
        text = text.replace(other, "n")
    (tmp_path / "lacking.py").write_text(text)
    recipe = write_recipe(
        "plugins: [lacking.py]\nsource: {lacking: {path: .}}\nsteps: [{all_lacking: {}}]\nsinks: [{jsonl: o.jsonl}]\n"
    )
    with pytest.raises(MminfError, match=rf"record has no field 'nope'; it has: n \(lacking.py:{line}\)"):
        mminf.run(recipe, output=tmp_path / "out")
    if part == "SOURCE":
        assert not (tmp_path / "out").exists(), "the first rows are read before a run begins"
    else:
        log = (tmp_path / "out" / "run.log").read_text()
        assert "Traceback (most recent call last)" in log and 'record["nope"]' in log
