from __future__ import annotations

import asyncio
import os
from collections import Counter
from typing import Any

import pytest

from mminf.backend.devices import only_devices
from mminf.backend.scripted import ScriptedBackend, ScriptedConfig
from mminf.engine.engines import Engine
from mminf.engine.replicas import SLACK, Replicas, make_engines
from mminf.engine.stats import EngineStats
from mminf.image import LoadedImage
from mminf.plugin import discover
from mminf.recipe.config import Sampling
from mminf.registry import BACKENDS
from mminf.request import Request
from mminf.turns import Turn


class Slow(ScriptedBackend):
    """Answers with its number when it is told to."""

    def __init__(self, number: int, load_seconds: float = 0.0) -> None:
        super().__init__(ScriptedConfig(backend="scripted", answer=str(number), latency=0.01))
        self.load_seconds = load_seconds

    def load(self) -> None:
        import time

        time.sleep(self.load_seconds)
        super().load()


def team(*load_seconds: float) -> Replicas:
    turn, stats = asyncio.Lock(), EngineStats("e", "m", "scripted")
    return Replicas([Engine(Slow(number, wait), stats, turn) for number, wait in enumerate(load_seconds)])


def request(image: str | None = None) -> Request:
    images = (LoadedImage("x", image * 8),) if image is not None else ()
    return Request((Turn("user", ("hi",)),), images, Sampling(), None, 0)


def answers(replicas: Replicas, requests: list[Request]) -> list[str]:
    async def ask() -> list[str]:
        await replicas.ready()
        await asyncio.gather(*replicas._loads)
        found = await asyncio.gather(*(replicas.generate(one, lambda: None) for one in requests))
        assert replicas.busy == [0] * len(replicas.copies)
        await replicas.close()
        assert not any(copy.loaded for copy in replicas.copies)
        return [one.text for one in found]

    return asyncio.run(ask())


def test_calls_without_images_are_spread_evenly() -> None:
    replicas = team(0, 0, 0, 0)
    assert Counter(answers(replicas, [request()] * 40)) == {"0": 10, "1": 10, "2": 10, "3": 10}
    assert replicas.stats.calls == 40
    assert replicas.capacity == 4 * replicas.copies[0].capacity


def test_calls_about_one_image_go_to_one_copy_until_it_is_busy() -> None:
    few = answers(team(0, 0), [request("1")] * SLACK)
    assert len(set(few)) == 1
    many = Counter(answers(team(0, 0), [request("1")] * 40))
    assert len(many) == 2 and abs(many["0"] - many["1"]) <= SLACK + 1


def test_the_first_copy_answers_while_the_second_is_loaded() -> None:
    replicas = team(0, 0.5)

    async def ask() -> list[str]:
        found = await asyncio.gather(*(replicas.generate(request(), lambda: None) for _ in range(8)))
        assert not replicas.copies[1].loaded
        await asyncio.gather(*replicas._loads)
        found += await asyncio.gather(*(replicas.generate(request(), lambda: None) for _ in range(8)))
        await replicas.close()
        return [one.text for one in found]

    found = asyncio.run(ask())
    assert set(found[:8]) == {"0"} and Counter(found[8:]) == {"0": 4, "1": 4}


def test_replicas_are_a_setting_that_changes_no_answer() -> None:
    discover()
    config = BACKENDS.get("transformers").Config
    made: Any = make_engines(
        {
            "one": config(backend="transformers", model="builtin:demo"),
            "two": config(backend="transformers", model="builtin:demo", replicas=2),
        }
    )
    assert isinstance(made["two"], Replicas) and [copy.backend.number for copy in made["two"].copies] == [0, 1]
    assert made["one"].identity == made["two"].identity
    once, twice = (sum(made[name].memory.values()) for name in ("one", "two"))
    assert twice == pytest.approx(2 * once)


def test_a_process_sees_its_own_gpus_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    with only_devices(("cuda:2", "cuda:3")):
        assert os.environ["CUDA_VISIBLE_DEVICES"] == "2,3"
    assert "CUDA_VISIBLE_DEVICES" not in os.environ
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4,5,6,7")
    with only_devices(("cuda:2", "cuda:3")):
        assert os.environ["CUDA_VISIBLE_DEVICES"] == "6,7"
    assert os.environ["CUDA_VISIBLE_DEVICES"] == "4,5,6,7"
    with only_devices(()):
        assert os.environ["CUDA_VISIBLE_DEVICES"] == "4,5,6,7"
