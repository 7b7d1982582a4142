"""Real engines for the tests that need one; each is started once a session."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine, Iterator
from concurrent.futures import Future
from pathlib import Path
from typing import Any, TypeVar

import pytest

from mminf.image import ImagePolicy, ImageStore, LoadedImage
from mminf.plugin import discover
from mminf.registry import BACKENDS
from mminf.request import Generation, Request, Sampling
from mminf.turns import ImagePart, Turn

T = TypeVar("T")


class Engine:
    """A loaded backend on an event loop of its own, asked from the tests' thread."""

    def __init__(self, kind: str, **settings: Any) -> None:
        discover()
        cls = BACKENDS.get(kind)
        self.backend = cls(cls.Config(backend=kind, model="builtin:demo", max_pixels=12544, **settings))
        self.loop = asyncio.new_event_loop()
        threading.Thread(target=self.loop.run_forever, daemon=True).start()
        self.backend.load()

    def submit(self, work: Coroutine[Any, Any, T]) -> Future[T]:
        return asyncio.run_coroutine_threadsafe(work, self.loop)

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        return self.submit(work).result(timeout=120)

    def ask(self, *requests: Request) -> list[Generation | BaseException]:
        async def all_at_once() -> list[Generation | BaseException]:
            return await asyncio.gather(*(self.backend.generate(r) for r in requests), return_exceptions=True)

        return self.run(all_at_once())

    def close(self) -> None:
        self.run(self.backend.close())
        self.loop.call_soon_threadsafe(self.loop.stop)


@pytest.fixture(scope="session")
def transformers_engine() -> Iterator[Engine]:
    # In full precision: bfloat16 would break near ties by the padding of a batch.
    engine = Engine("transformers", max_batch_size=8, torch_dtype="float32")
    yield engine
    engine.close()


@pytest.fixture(scope="session")
def vllm_engine() -> Iterator[Engine]:
    if (missing := BACKENDS.get("vllm").check_installed() if "vllm" in BACKENDS else None) is not None:
        pytest.skip(f"vLLM can't run here: {missing}")
    engine = Engine("vllm", max_model_len=4096, torch_dtype="float32")
    yield engine
    engine.close()


@pytest.fixture(params=["transformers", pytest.param("vllm", marks=pytest.mark.vllm)])
def engine(request: pytest.FixtureRequest) -> Engine:
    found: Engine = request.getfixturevalue(f"{request.param}_engine")
    return found


@pytest.fixture
def loaded(images: Path) -> list[LoadedImage]:
    """Twelve drawn images, decoded."""

    async def load() -> list[LoadedImage]:
        store = ImageStore(ImagePolicy(roots=None))
        found = [await store.open(str(path)) for path in sorted(images.iterdir())]
        for image in found:
            await store.decode(image)
        return found

    return asyncio.run(load())


def ask(
    image: LoadedImage | None, text: str = "", *, seed: int = 0, open_turn: str | None = None, **settings: Any
) -> Request:
    parts: tuple[Any, ...] = (ImagePart(0),) if image is not None else ()
    turns = (Turn("user", (*parts, *((text,) if text else ()))),)
    return Request(turns, (image,) if image is not None else (), Sampling(**settings), open_turn, seed)
