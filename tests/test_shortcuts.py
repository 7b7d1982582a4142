"""The functions of the package: a recipe by its name or path, with the options of `load`."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

import mminf
from mminf.states import RunState

RECIPE = """
name: short
engines: {{e: {{backend: scripted, answer: fine, latency: {latency}}}}}
source: {{jsonl: rows.jsonl}}
steps:
  - generate: {{name: say, engine: e, prompt: "Say {{{{ text }}}}", writes: response}}
  - keep: number != 3
sinks:
  - {sink}
"""
Make = Callable[..., Path]


@pytest.fixture
def recipe(write_recipe: Callable[..., Path], rows: Callable[..., Path]) -> Make:
    def made(number: int = 5, *, latency: float = 0, sink: str = "jsonl: out.jsonl") -> Path:
        rows(*({"id": f"r{n}", "text": f"text {n}", "number": n} for n in range(number)))
        return write_recipe(RECIPE.format(latency=latency, sink=sink))

    return made


def test_dir_shows_what_there_is() -> None:
    assert {"run", "arun", "load", "validate", "plan", "preview", "status", "show", "list", "retry", "export", "report"} < set(dir(mminf))  # fmt: skip
    assert "annotations" not in dir(mminf)
    assert all(getattr(mminf, name) is not None for name in dir(mminf))


def test_from_a_recipe_to_a_dataset(recipe: Make, tmp_path: Path) -> None:
    path, out = recipe(), tmp_path / "out"
    assert mminf.validate(path).name == "short"
    assert "5 records" in mminf.plan(path) and "2 records" in mminf.plan(path, limit=2)
    first, *_ = mminf.preview(path, records=2)
    assert first.id == "r0" and {"response": "fine"} in [step.fields for step in first.steps]
    result = mminf.run(path, output=out)
    found = result.dataset()
    assert found["id"] == ["r0", "r1", "r2", "r4"] and found["response"] == ["fine"] * 4
    assert [record["id"] for record in mminf.list(out, outcomes=["dropped"])] == ["r3"]
    assert mminf.status(out)["done"] == 4
    assert mminf.show(out, "r3")["outcomes"][0]["step"] == "keep"
    assert mminf.retry(out) == 0
    (written,) = mminf.export(path, out, to=tmp_path / "exported")
    assert written.rows == 4 and (tmp_path / "exported" / "out.jsonl").exists()
    mminf.report(out, html=tmp_path / "page.html")
    assert (tmp_path / "page.html").exists()


def test_a_preview_writes_nothing_by_default(recipe: Make, tmp_path: Path) -> None:
    path = recipe()
    before = set(tmp_path.rglob("*"))
    mminf.preview(path)
    assert set(tmp_path.rglob("*")) == before


def test_validate_tells_undefined_fields(write_recipe: Callable[..., Path], tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    path = write_recipe("name: x\nsource: {images: images}\nsteps:\n  - keep: nothing > 3\n")
    with pytest.raises(mminf.RecipeError, match="nothing"):
        mminf.validate(path)


@pytest.mark.parametrize("sink", ["jsonl: {path: rows, rows_per_file: 2}", "jsonl: rows.json", "parquet: rows.parquet"])
def test_datasets_of_all_formats(recipe: Make, tmp_path: Path, sink: str) -> None:
    result = mminf.run(recipe(sink=sink), output=tmp_path / "out")
    assert len(result.dataset()) == 4
    name = str(result.written[0].path)
    assert len(result.dataset(name)) == 4
    with pytest.raises(mminf.OutputError, match=f"did you mean '{name}'|known"):
        result.dataset(name[:-1])


def test_a_dataset_that_is_not_there(recipe: Make, tmp_path: Path) -> None:
    result = mminf.run(recipe(), output=tmp_path / "out")
    (tmp_path / "out" / "out.jsonl").unlink()
    with pytest.raises(mminf.OutputError, match="does not exist any more"):
        result.dataset()
    result = mminf.run(recipe(), output=tmp_path / "none", overrides={"steps.keep": "number > 9"})
    with pytest.raises(mminf.OutputError, match="has no rows"):
        result.dataset()


def test_progress_is_told(recipe: Make, tmp_path: Path) -> None:
    seen: list[mminf.RunProgress] = []
    mminf.run(recipe(), output=tmp_path / "out", progress=seen.append)
    assert seen[-1][:4] == (5, 5, 0, 4) and seen[-1].seconds_left is None


def test_a_broken_callback_ends_only_itself(recipe: Make, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    def broken(progress: mminf.RunProgress) -> None:
        raise ValueError("no")

    result = mminf.run(recipe(), output=tmp_path / "out", progress=broken)
    assert result.counts.done == 4
    assert "the progress callback has failed" in caplog.text


def test_arun_lets_the_loop_go_on(recipe: Make, tmp_path: Path) -> None:
    ticks = 0

    async def main() -> mminf.RunResult:
        async def tick() -> None:
            nonlocal ticks
            while True:
                ticks += 1
                await asyncio.sleep(0.01)

        other = asyncio.create_task(tick())
        result = await mminf.arun(recipe(20, latency=0.3), output=tmp_path / "out")
        other.cancel()
        return result

    result = asyncio.run(main())
    assert result.counts.done == 19 and ticks > 5


def test_a_cancelled_arun_can_be_resumed(recipe: Make, tmp_path: Path) -> None:
    path, out = recipe(400, latency=0.2), tmp_path / "out"
    settings = ["engines.e.max_concurrency=4"]

    async def main() -> None:
        work = asyncio.create_task(mminf.arun(path, output=out, settings=settings))
        while not (out / "journal.sqlite").exists() or not mminf.status(out)["steps"].get("say", {}).get("calls"):
            await asyncio.sleep(0.1)
        work.cancel()
        with pytest.raises(asyncio.CancelledError):
            await work

    began = time.monotonic()
    asyncio.run(main())
    assert time.monotonic() - began < 60
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("mminf-run")]
    state = mminf.status(out)
    assert state["state"] == RunState.INTERRUPTED and 0 < state["steps"]["say"]["calls"] < 400
    json.dumps(state)
    assert mminf.run(path, output=out, overrides={"engines.e.latency": 0}, settings=settings).counts.done == 399
