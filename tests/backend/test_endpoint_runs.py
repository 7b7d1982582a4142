"""The start of runs over several servers, and runs whose servers fail."""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

import mminf
from mminf import api
from mminf.backend.endpoints import FAILURES
from mminf.errors import EngineError

from ..conftest import read_rows
from .mock import CUT, LOST, Handler, Mock, answer, hang, make, request, serve


def test_all_that_is_wrong_with_servers_is_said_at_once() -> None:
    async def run() -> None:
        async with serve() as good, serve(models=("other",)) as wrong, serve() as closed, serve() as dead:
            closed.listing, dead.listing = 401, 0
            refusing = {"url": closed.url, "api_key_env": "KEY_OF_IT"}
            backend = make(good.url, wrong.url, refusing, dead.url)
            with pytest.raises(EngineError) as caught:
                await backend.generate(request())
            lines = str(caught.value).splitlines()
            assert lines[0] == f"{wrong.url} does not serve 'm'; it serves other"
            assert (
                lines[1] == f"{closed.url} rejects the key (401); set the environment variable KEY_OF_IT to a valid key"
            )
            assert lines[2].startswith(f"model 'm': no server answers at {dead.url} (ServerDisconnectedError")
            assert len(lines) == 3
            assert not good.calls

    asyncio.run(run())


def test_servers_are_asked_at_the_same_time() -> None:
    async def run() -> None:
        together = asyncio.Barrier(2)
        async with serve() as one, serve() as two:
            for mock in (one, two):
                listing = mock.list_models

                async def list_models(request: web.Request, listing: Any = listing) -> web.StreamResponse:
                    await together.wait()
                    return await listing(request)

                mock.list_models = list_models  # type: ignore[method-assign]
            backend = make(one.url, two.url)
            async with asyncio.timeout(20):
                await backend.generate(request())
            await backend.close()

    asyncio.run(run())


def test_a_server_that_was_away_is_probed_for_the_open_turn_before_it_gets_open_prompts(quick: None) -> None:
    def full(body: dict[str, Any], n: int) -> web.Response:
        return answer("full", prompt_tokens=20)

    def honours(body: dict[str, Any], n: int) -> web.Response:
        return answer("open", prompt_tokens=20 - 5 * bool(body.get("continue_final_message")))

    async def run() -> None:
        async with serve(honours) as good, serve(lambda body, n: LOST) as away:
            backend = make(good.url, away.url)
            found = [await backend.generate(request(open_turn="user")) for _ in range(2 * FAILURES)]
            assert {item.text for item in found} == {"open"}
            away.handler = full
            with pytest.raises(EngineError, match=f"{away.url} does not leave the user's turn open"):
                async with asyncio.timeout(20):
                    while True:
                        assert (await backend.generate(request(open_turn="user"))).text == "open"
            await backend.close()

    asyncio.run(run())


@contextlib.contextmanager
def running(*handlers: Handler) -> Iterator[list[Mock]]:
    """Serves in a thread of its own, since a run has its own loop."""
    mocks: list[Mock] = []
    started = threading.Event()
    loop = asyncio.new_event_loop()
    over = asyncio.Event()

    async def keep() -> None:
        async with contextlib.AsyncExitStack() as stack:
            mocks.extend([await stack.enter_async_context(serve(handler)) for handler in handlers])
            started.set()
            await over.wait()

    thread = threading.Thread(target=loop.run_until_complete, args=[keep()])
    thread.start()
    started.wait(20)
    try:
        yield mocks
    finally:
        loop.call_soon_threadsafe(over.set)
        thread.join(20)
        loop.close()


def say(body: dict[str, Any], n: int) -> web.Response:
    return answer(f"({body['messages'][-1]['content']})")


async def troubled(body: dict[str, Any], n: int) -> web.StreamResponse | str:
    """One call of five fails, each time in another way."""
    way = n // 5 % 4 if n % 5 == 0 else None
    if way == 0:
        return web.Response(status=429, headers={"Retry-After": "0.05"})
    if way == 1:
        return web.Response(status=500)
    if way == 2:
        return await hang(body, n)
    return CUT if way == 3 else say(body, n)


STEPS = """
source: {jsonl: rows.jsonl}
steps:
  - generate: {name: a, engine: e, prompt: "A {{ text }}", writes: a}
  - generate: {name: b, engine: e, prompt: "B {{ a }}", writes: b}
  - generate: {name: c, engine: e, prompt: "C {{ text }}", writes: c}
  - generate: {name: d, engine: e, prompt: "D {{ b }} {{ c }}", writes: d}
sinks: [{jsonl: out.jsonl}]
"""


def recipe_for(mocks: list[Mock], **settings: Any) -> str:
    own = "".join(f", {key}: {value}" for key, value in settings.items())
    return (
        f"engines: {{e: {{backend: openai, model: m, base_url: [{', '.join(mock.url for mock in mocks)}]{own}}}}}"
        + STEPS
    )


def memo_rows(output: Path) -> tuple[int, int]:
    """Returns how many answers the journal holds, and to how many prompts."""
    with contextlib.closing(sqlite3.connect(output / "journal.sqlite")) as journal:
        rows: tuple[int, int] = journal.execute("SELECT count(*), count(DISTINCT text) FROM memo").fetchone()
        return rows


def test_a_run_over_servers_that_fail_is_as_one_over_healthy_ones(
    write_recipe: Callable[..., Path], rows: Callable[..., Path], tmp_path: Path
) -> None:
    rows(*({"id": str(n), "text": f"row {n}"} for n in range(40)))
    with running(say) as mocks:
        recipe = write_recipe(recipe_for(mocks), "healthy.yaml")
        healthy = mminf.run(recipe, output=tmp_path / "healthy")
        assert len(mocks[0].calls) == 160
    with running(troubled, troubled) as mocks:
        recipe = write_recipe(recipe_for(mocks, timeout=0.5), "troubled.yaml")
        result = mminf.run(recipe, output=tmp_path / "troubled")
        assert min(len(mock.calls) for mock in mocks) > 40, "both have met every trouble"
        assert sum(len(mock.calls) for mock in mocks) >= 160 + 2 * (40 // 5)
    assert result.counts == healthy.counts
    assert (result.counts.done, result.counts.failed, result.counts.pending) == (40, 0, 0)
    assert memo_rows(tmp_path / "troubled") == memo_rows(tmp_path / "healthy") == (160, 160)
    assert result.calls == healthy.calls == 160
    found = [(tmp_path / name / "out.jsonl").read_bytes() for name in ("healthy", "troubled")]
    assert found[0] == found[1]


def test_a_run_whose_server_dies_stops_and_goes_on_where_it_was(
    write_recipe: Callable[..., Path], rows: Callable[..., Path], tmp_path: Path, quick: None
) -> None:
    rows(*({"id": str(n), "text": f"row {n}"} for n in range(40)))
    asked: list[str] = []

    def dies(body: dict[str, Any], n: int) -> web.StreamResponse | str:
        if n > 50:
            mocks[0].listing = 0
            return LOST
        asked.append(body["messages"][-1]["content"])
        return say(body, n)

    def again(body: dict[str, Any], n: int) -> web.StreamResponse:
        asked.append(body["messages"][-1]["content"])
        return say(body, n)

    with running(dies) as mocks, running(again) as others:
        recipe = write_recipe(recipe_for(mocks, patience=0.2))
        with pytest.raises(EngineError, match=f"no server has answered for 0.2 s: {mocks[0].url}"):
            mminf.run(recipe, output=tmp_path / "out")
        assert api.status(tmp_path / "out")["state"] == "failed"
        assert api.status(tmp_path / "out")["failures"] == []
        assert memo_rows(tmp_path / "out") == (50, 50)
        mocks[0].listing, mocks[0].handler = 200, again
        result = mminf.run(recipe, output=tmp_path / "out", settings=[f"engines.e.base_url={others[0].url}"])
    assert (result.counts.done, result.counts.failed, result.calls) == (40, 0, 160)
    assert len(asked) == len(set(asked)) == 160, "nothing is asked twice"
    assert len(read_rows(tmp_path / "out" / "out.jsonl")) == 40
