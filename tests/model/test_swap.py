"""Loading, unloading and dying of real engines."""

from __future__ import annotations

import contextlib
import gc
import os
import signal
import sqlite3
import threading
import weakref
from pathlib import Path
from typing import Any

import psutil
import pytest

import mminf
from mminf import api
from mminf.image import LoadedImage
from mminf.journal.memo import Memo
from mminf.request import Generation

from .conftest import Engine, ask

pytestmark = pytest.mark.model


def worker_threads() -> int:
    return sum("_infer_worker" in thread.name for thread in threading.enumerate())


def test_a_closed_transformers_engine_leaves_nothing_behind(
    loaded: list[LoadedImage], monkeypatch: pytest.MonkeyPatch
) -> None:
    # Its thread ends by SystemExit, as threads may; pytest would keep the exception, and with it the thread's frames.
    monkeypatch.setattr(threading, "excepthook", lambda _: None)
    engine = Engine("transformers", max_batch_size=8)
    question = ask(loaded[0], "Describe the image.", max_tokens=8)
    before = worker_threads()
    first = engine.ask(question)[0]
    assert isinstance(first, Generation)
    engine.backend.render(ask(loaded[0], open_turn="user"))
    assert worker_threads() == before + 1
    assert gc.get_freeze_count() > 100_000, "what exists is left out of garbage collections"
    model = weakref.ref(engine.backend._engine.model)
    engine.run(engine.backend.close())
    assert gc.get_freeze_count() == 0
    gc.collect()
    assert model() is None, "something still holds the model"
    assert worker_threads() == before
    engine.backend.load()
    again = engine.ask(question)[0]
    assert isinstance(again, Generation) and again.text == first.text
    engine.close()


def outcomes(output: Path) -> list[Any]:
    with sqlite3.connect(output / "journal.sqlite") as connection:
        return list(connection.execute("SELECT id, state, step, reason, fields FROM rows ORDER BY seq, path"))


def test_oasis_with_one_model_at_a_time(images: Path, tmp_path: Path) -> None:
    # Two engines of one model, told apart by a setting that changes no answer.
    settings = {"engines.llm.max_batch_size": 8, "engines.vlm.torch_dtype": "float32"}
    settings |= {"engines.llm.torch_dtype": "float32"}
    options: dict[str, Any] = {"profile": "demo", "input": images}
    recipe = mminf.load("oasis", overrides={**settings, "max_loaded_engines": 1}, **options)
    swapped = api.prepare(recipe, output=tmp_path / "swapped")
    assert api.execute(swapped).state == "finished"
    assert [engine.stats.loads for engine in swapped.session.engines.values()] == [2, 1]
    beside = api.prepare(mminf.load("oasis", overrides=settings, **options), output=tmp_path / "beside")
    assert api.execute(beside).state == "finished"
    assert [engine.stats.loads for engine in beside.session.engines.values()] == [1, 1]
    assert outcomes(tmp_path / "swapped") == outcomes(tmp_path / "beside")
    kept = (tmp_path / "swapped" / "oasis.jsonl").read_bytes()
    assert kept and kept == (tmp_path / "beside" / "oasis.jsonl").read_bytes()


@pytest.mark.vllm
def test_a_killed_vllm_engine_is_started_again(images: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    recipe = mminf.load(
        "oasis",
        input=images,
        profile="demo",
        overrides={f"engines.{name}": VLLM for name in ("vlm", "llm")},
    )
    made = api.prepare(recipe, output=tmp_path / "out")
    remember, killed = Memo.add, []

    async def kill_once(self: Memo, call: Any) -> None:
        await remember(self, call)
        if call.step == "classify" and not killed:
            killed.extend(core.pid for core in cores())
            for pid in killed:
                os.kill(pid, signal.SIGKILL)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Memo, "add", kill_once)
        result = api.execute(made)
    assert killed
    assert made.session.engines["vlm"].stats.loads == 2
    assert (result.state, result.counts.failed, result.counts.pending) == ("finished", 0, 0)
    assert result.counts.done + result.counts.dropped == 12
    assert not cores(), "an engine that is closed leaves no process"
    assert "Warning" not in capfd.readouterr().err, "users do not need the warnings of libraries"


VLLM = {"backend": "vllm", "model": "builtin:demo", "max_pixels": 12544, "max_model_len": 4096}
known: set[int] = set()


@pytest.fixture(autouse=True)
def other_engines() -> None:
    """The session's own vLLM engine may run beside ours."""
    known.clear()
    known.update(core.pid for core in cores())


def cores() -> list[psutil.Process]:
    found = []
    for child in psutil.Process().children(recursive=True):
        with contextlib.suppress(psutil.Error):  # a zombie, or gone since
            if "EngineCore" in " ".join([child.name(), *child.cmdline()]) and child.pid not in known:
                found.append(child)
    return found
