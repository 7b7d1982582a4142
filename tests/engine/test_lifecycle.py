"""Models that die, or can't be loaded: what a run does about it."""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

import mminf
from mminf.backend.openai import OpenAIConfig
from mminf.backend.scripted import ScriptedConfig
from mminf.engine.replicas import make_engines
from mminf.engine.session import Session
from mminf.errors import JournalError
from mminf.journal import RunMeta
from mminf.plugin import discover
from mminf.states import EngineState

from ..conftest import read_rows
from .models import MODEL, SHAPE, Recipe, loads, run


def test_an_engine_that_dies_is_loaded_again_and_asked_again(
    write_recipe: Recipe, rows: Recipe, tmp_path: Path, calls_log: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from mminf.backend.scripted import ScriptedBackend
    from mminf.errors import EngineDied

    (tmp_path / "a.py").write_text(MODEL.replace("NAME", "a"))
    rows(*({"id": str(n), "n": n} for n in range(50)))
    recipe = write_recipe(
        f"""
engines: {{a: {{backend: scripted, script: {tmp_path}/a.py, latency: 0.01}}}}
source: {{jsonl: rows.jsonl}}
steps:
  - generate: {{engine: a, prompt: "{{{{ n }}}}"}}
sinks: [{{jsonl: out.jsonl}}]
"""
    )
    generate, load = ScriptedBackend.generate, ScriptedBackend.load
    asked, deaths, dead = 0, 0, False

    async def die_twice(self: ScriptedBackend, request: object) -> object:
        nonlocal asked, deaths, dead
        asked += 1
        if asked in (10, 40):
            deaths, dead = deaths + 1, True
        before = deaths
        answer = await generate(self, request)  # type: ignore[arg-type]
        if dead or deaths > before:
            raise EngineDied("engine of model 'a' died: killed")
        return answer

    def come_back(self: ScriptedBackend) -> None:
        nonlocal dead
        dead = False
        load(self)

    monkeypatch.setattr(ScriptedBackend, "generate", die_twice)
    monkeypatch.setattr(ScriptedBackend, "load", come_back)
    made = run(recipe, tmp_path / "out", window=8)
    assert loads(calls_log) == "aaa"
    assert made.session.stats.failed == 0 and len(read_rows(tmp_path / "out" / "out.jsonl")) == 50

    async def die(self: ScriptedBackend, request: object) -> object:
        raise EngineDied("engine of model 'a' died: killed")

    monkeypatch.setattr(ScriptedBackend, "generate", die)
    with pytest.raises(mminf.errors.EngineError, match=r"died: killed \(restarted 3 times"):
        mminf.run(recipe, output=tmp_path / "dead")
    assert os.path.exists(tmp_path / "dead" / "journal.sqlite")


def test_a_model_that_can_not_be_loaded_beside_another_is_tried_alone(
    write_recipe: Recipe,
    rows: Recipe,
    models: str,
    calls_log: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from mminf.backend.scripted import ScriptedBackend

    load, close = ScriptedBackend.load, ScriptedBackend.close
    there: list[object] = []

    def only_one_fits(self: ScriptedBackend) -> None:
        if there:
            raise RuntimeError("out of memory")
        load(self)
        there.append(self)

    async def leave(self: ScriptedBackend) -> None:
        there.remove(self)
        await close(self)

    monkeypatch.setattr(ScriptedBackend, "load", only_one_fits)
    monkeypatch.setattr(ScriptedBackend, "close", leave)
    rows(*({"id": str(n), "n": n} for n in range(60)))
    recipe = write_recipe(models + SHAPE.replace("THIRD", "a"))
    made = run(recipe, tmp_path / "out")
    assert loads(calls_log) == "aba"
    assert made.session.stats.failed == 0
    there.append("a stranger")
    with pytest.raises(mminf.errors.EngineError, match=r"'model-a' can't be loaded .*RuntimeError: out of memory"):
        mminf.run(recipe, output=tmp_path / "never")


def test_a_model_that_can_not_be_downloaded_is_tried_once(
    write_recipe: Recipe,
    rows: Recipe,
    models: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """The other model has taken none of its memory: unloading it would not help."""
    from mminf.backend.scripted import ScriptedBackend

    tried: list[str] = []
    load = ScriptedBackend.load

    def not_found(self: ScriptedBackend) -> None:
        tried.append(self.config.model)
        if len(tried) < 2:
            return load(self)
        cause = ConnectionError("Failed to resolve")
        raise mminf.errors.EngineError("model can't be loaded: Check the network") from cause

    monkeypatch.setattr(ScriptedBackend, "load", not_found)
    rows({"id": "1", "n": 1})
    recipe = write_recipe(models + SHAPE.replace("THIRD", "a"))
    with pytest.raises(mminf.errors.EngineError, match="Check the network") as caught:
        mminf.run(recipe, output=tmp_path / "out")
    assert len(tried) == 2
    assert isinstance(caught.value.__cause__, ConnectionError)
    assert "loaded alone" not in caplog.text


def test_waiting_calls_do_not_run_into_a_dead_engine(
    write_recipe: Recipe, rows: Recipe, tmp_path: Path, calls_log: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from mminf.backend.scripted import ScriptedBackend
    from mminf.errors import EngineDied

    (tmp_path / "a.py").write_text(MODEL.replace("NAME", "a"))
    rows(*({"id": str(n), "n": n} for n in range(30)))
    recipe = write_recipe(
        f"""
engines: {{a: {{backend: scripted, script: {tmp_path}/a.py, latency: 0.01, max_concurrency: 2}}}}
source: {{jsonl: rows.jsonl}}
steps:
  - generate: {{engine: a, prompt: "{{{{ n }}}}"}}
sinks: [{{jsonl: out.jsonl}}]
"""
    )
    generate, load, close = ScriptedBackend.generate, ScriptedBackend.load, ScriptedBackend.close
    asked = 0

    async def die_once(self: ScriptedBackend, request: object) -> object:
        nonlocal asked
        asked += 1
        if asked == 5:
            raise EngineDied("died")
        return await generate(self, request)  # type: ignore[arg-type]

    def slowly(self: ScriptedBackend) -> None:
        import time

        time.sleep(0.1)
        load(self)

    async def empty(self: ScriptedBackend) -> None:
        self._answer = None
        await close(self)

    monkeypatch.setattr(ScriptedBackend, "generate", die_once)
    monkeypatch.setattr(ScriptedBackend, "load", slowly)
    monkeypatch.setattr(ScriptedBackend, "close", empty)
    made = run(recipe, tmp_path / "out")
    assert (made.session.stats.failed, loads(calls_log)) == (0, "aa")
    assert sum(step.retries for step in made.session.stats.steps.values()) == 0


def test_the_model_of_a_server_is_not_said_to_be_loaded(caplog: pytest.LogCaptureFixture) -> None:
    discover()
    caplog.set_level(logging.INFO)
    engines = make_engines(
        {"s": OpenAIConfig(backend="openai", model="m"), "t": ScriptedConfig(backend="scripted", answer="x")}
    )
    for engine in engines.values():
        asyncio.run(engine.ready())
        assert engine.stats.state is EngineState.READY and engine.loads_model is (engine.stats.backend == "scripted")
    assert [message.partition(" in ")[0] for message in caplog.messages] == [
        "loading scripted (scripted)",
        "loaded scripted",
    ]


def test_a_journal_that_can_not_be_written_frees_the_model(
    write_recipe: Callable[[str], Path], rows: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    freed: list[bool] = []
    monkeypatch.setattr(Session, "release", _noting(freed, Session.release))
    monkeypatch.setattr(RunMeta, "note_error", _failing)
    (tmp_path / "s.py").write_text("raise RuntimeError('no model')\n")
    recipe = write_recipe(
        f"engines: {{e: {{backend: scripted, script: {tmp_path}/s.py}}}}\nsource: {{jsonl: rows.jsonl}}\n"
        "steps: [{generate: {engine: e, prompt: hi, writes: a}}]\nsinks: [{jsonl: o.jsonl}]\n"
    )
    rows({"n": 1})
    with pytest.raises(JournalError, match="disk is full"):
        mminf.run(recipe, output=tmp_path / "out")
    assert freed == [True]


def _noting(freed: list[bool], release: Callable[[Session], Awaitable[None]]) -> Callable[[Session], Awaitable[None]]:
    async def noted(self: Session) -> None:
        freed.append(True)
        await release(self)

    return noted


def _failing(self: RunMeta, text: str) -> None:
    raise JournalError("the disk is full")
