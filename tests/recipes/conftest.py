"""Runs a shipped recipe, every model played by a function."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

import mminf
from mminf import api
from mminf.journal import Journal

from ..conftest import ROOT, tiny_image

SCRIPT = """
import json, os
from mminf.request import Generation

def Cut(text):
    return Generation(text, "length", 1, 4096)

def answer(request):
    text = "\\n".join(turn.text for turn in request.turns)
    with open(os.environ["CALLS_LOG"], "a") as file:
        file.write(json.dumps([[turn.role, turn.text] for turn in request.turns]) + "\\n")
    found = reply(request, text)
    assert found is not None, "the play has no words for: " + text
    return found
"""


@dataclass
class Played:
    """What came out of a run."""

    output: Path
    rows: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)
    dropped: dict[str, tuple[str, str]] = field(default_factory=dict)
    calls: list[list[list[str]]] = field(default_factory=list)

    def asked(self, part: str) -> list[str]:
        """The prompts that hold a text."""
        prompts = ["\n".join(text for _, text in call) for call in self.calls]
        return [prompt for prompt in prompts if part in prompt]


Play = Callable[..., Played]


@pytest.fixture
def play(tmp_path: Path, calls_log: Path) -> Play:
    """Runs a recipe over rows. `reply` is the body of a function of (request, text)."""

    def run(
        name: str, rows: list[dict[str, Any]] | Path | None, reply: str, *, profile: str | None = None, **settings: Any
    ) -> Played:
        script = tmp_path / "play.py"
        script.write_text(SCRIPT + "\ndef reply(request, text):\n" + textwrap.indent(textwrap.dedent(reply), "    "))
        source: Path | None = rows if isinstance(rows, Path) else None
        if isinstance(rows, list):
            source = tmp_path / "rows.jsonl"
            source.write_text("".join(json.dumps(row) + "\n" for row in rows))
        path = ROOT / "recipes" / f"{name}.yaml"
        loaded = api.load(path)
        encoders = {name for name, engine in loaded.engines.items() if engine.backend == "encoder"}
        calls_log.write_text("")
        output = tmp_path / f"out-{name}"
        engine = {"backend": "scripted", "script": str(script)}
        overrides: dict[str, Any] = {f"engines.{name}": engine for name in loaded.engines if name not in encoders}
        if encoders:  # tests/model/test_encoder.py has real ones
            overrides |= {f"steps.{step.name}.enabled": False for step in loaded.steps if step.engine in encoders}
            sinks = [sink for sink in loaded.sinks if sink.type != "embeddings"]
            overrides["sinks"] = [{s.type: s.config.model_dump(mode="json", exclude_unset=True)} for s in sinks]
        mminf.run(path, input=source, output=output, profile=profile, overrides={**overrides, **settings})
        played = Played(output, calls=[json.loads(line) for line in calls_log.read_text().splitlines()])
        for file in sorted(output.glob("*.json*")):
            text = file.read_text()
            played.rows[file.name] = (
                [json.loads(line) for line in text.splitlines()] if file.suffix == ".jsonl" else json.loads(text)
            )
        with Journal(output) as journal:
            stages = len(json.loads(journal.meta.get("stages") or "[]"))
            for stage in range(stages):
                for row in journal.outcomes.rows(stage, states=("failed", "dropped")):
                    if row.state == "failed":
                        played.failed[row.id] = f"{row.step}: {row.reason}"
                    else:
                        played.dropped[row.id] = (str(row.step), str(row.reason))
        return played

    return run


@pytest.fixture
def pictures(tmp_path: Path) -> Callable[..., list[str]]:
    """Draws images next to the rows."""

    def draw(*names: str, size: tuple[int, int] = (600, 520)) -> list[str]:
        for number, name in enumerate(names):
            tiny_image(tmp_path / f"{name}.png", f"hsl({40 * number}, 80%, 50%)", size)
        return [f"{name}.png" for name in names]

    return draw
