"""How long models hold GPUs: per device once, over loads, restarts and runs, and in the journal."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import pytest
from hypothesis import given
from hypothesis import strategies as st

import mminf
from mminf import api
from mminf.backend import Backend, EngineConfig, Generation, Request, backend
from mminf.engine.gpu_time import Hold, gpu_seconds
from mminf.inspection import run_status
from mminf.journal import Journal

RECIPE = """
name: held
engines:
  one: {backend: held, model: one, devices: [cuda:0, cuda:1]}
  two: {backend: held, model: two, devices: [cuda:1]}
  cpu: {backend: held, model: three, devices: [cpu]}
source: {jsonl: rows.jsonl}
steps:
  - generate: {name: a, engine: one, prompt: "{{ text }}", writes: a}
  - generate: {name: b, engine: two, prompt: "{{ a }}", writes: b}
  - generate: {name: c, engine: cpu, prompt: "{{ b }}", writes: c}
sinks: [{jsonl: o.jsonl}]
"""


class HeldConfig(EngineConfig):
    """`devices` are those that the model takes."""

    devices: list[str]


@backend("held")
class Held(Backend):
    """A local model that takes a fifth of the memory of each of its devices."""

    Config: ClassVar[type[EngineConfig]] = HeldConfig
    local = True

    def __init__(self, config: Any) -> None:
        super().__init__(config)

    def memory(self) -> dict[str, float]:
        return dict.fromkeys(self.config.devices, 0.2)

    async def generate(self, request: Request) -> Generation:
        return Generation(request.turns[-1].text, "stop", 1, 1)


def test_a_gpu_counts_once_at_any_time() -> None:
    holds = [Hold("a", 0, 10), Hold("a", 5, 8), Hold("a", 9, 12), Hold("b", 1, 2), Hold("a", 20, 21)]
    assert gpu_seconds(holds) == 12 + 1 + 1
    assert gpu_seconds([]) == 0


@given(st.lists(st.tuples(st.sampled_from("ab"), st.integers(0, 30), st.integers(0, 9))))
def test_gpu_seconds_are_the_seconds_in_which_something_holds_a_gpu(spans: list[tuple[str, int, int]]) -> None:
    holds = [Hold(device, start, start + length) for device, start, length in spans]
    seconds = itertools.product("ab", range(40))
    held = sum(any(hold.device == device and hold.start <= now < hold.end for hold in holds) for device, now in seconds)
    assert gpu_seconds(holds) == held


def test_the_journal_adds_the_gpu_time_of_all_runs(
    write_recipe: Callable[..., Path], rows: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows(*({"id": f"r{n}", "text": f"text {n}"} for n in range(4)))
    monkeypatch.setattr("mminf.engine.engines.may_have_gpu", lambda: True)
    ticks = itertools.count()
    monkeypatch.setattr("mminf.engine.engines.time.monotonic", lambda: float(next(ticks)))
    path = write_recipe(RECIPE)
    mminf.run(path, output=tmp_path / "out")
    with Journal(tmp_path / "out") as journal:
        first = journal.meta.gpu_seconds()
    assert first > 0
    assert run_status(tmp_path / "out")["gpu_hours"] == pytest.approx(first / 3600)
    mminf.run(path, output=tmp_path / "out", overrides={"steps.a.prompt": "Say {{ text }}"})
    with Journal(tmp_path / "out") as journal:
        assert journal.meta.gpu_seconds() > first


def test_servers_and_models_on_the_cpu_hold_no_gpu(
    write_recipe: Callable[..., Path], rows: Callable[..., Path], tmp_path: Path
) -> None:
    rows({"id": "r", "text": "text"})
    recipe = RECIPE.replace("[cuda:0, cuda:1]", "[cpu]").replace("[cuda:1]", "[cpu]")
    mminf.run(write_recipe(recipe), output=tmp_path / "out")
    assert run_status(tmp_path / "out")["gpu_hours"] == 0


def test_a_machine_without_a_gpu_has_no_gpu_hours(
    write_recipe: Callable[..., Path], rows: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A model that is not downloaded yet has no known size, and would count as one on a GPU."""
    monkeypatch.setattr("mminf.engine.engines.may_have_gpu", lambda: False)
    rows({"id": "r", "text": "text"})
    mminf.run(write_recipe(RECIPE), output=tmp_path / "out")
    assert run_status(tmp_path / "out")["gpu_hours"] == 0


def test_shards_add_their_gpu_time(
    write_recipe: Callable[..., Path], rows: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mminf.engine.engines.may_have_gpu", lambda: True)
    rows(*({"id": f"r{n}", "text": f"text {n}"} for n in range(8)))
    path = write_recipe(RECIPE)
    for shard in ("0/2", "1/2"):
        mminf.run(path, output=tmp_path / "out", shard=shard)
    before = run_status(tmp_path / "out")["gpu_hours"]
    assert before > 0
    api.merge(api.prepare(api.load(path), output=tmp_path / "out"))
    assert run_status(tmp_path / "out")["gpu_hours"] == pytest.approx(before)
