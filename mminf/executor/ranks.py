"""What a rank does: its part of every phase. Rank 0 begins the phases, merges the journals, and shows the progress."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import logging
import os
import secrets
import threading
import time
from collections.abc import Callable
from typing import Any

from mminf.engine.parts import Coordinator, Phase, interrupted, work_part
from mminf.engine.result import Counts, RunResult
from mminf.engine.run import Run, gpus_needed, lead
from mminf.engine.stats import RunStats, add_stats
from mminf.errors import Interrupted, UsageError
from mminf.executor.local import LocalExecutor
from mminf.executor.marker import NONCE, POLL_SECONDS, check_shared
from mminf.executor.torchrun import FAILED, PREFIX, Rank, choose_devices, end_with_parent, forget_rank
from mminf.part import Part

log = logging.getLogger("mminf")
SILENT_SECONDS = 120.0
STATS_SECONDS = 2.0
_AGAIN = "what is done is kept: run the same command again to go on, with any number of ranks"


class Board:
    """Where the ranks of a run leave notes for each other: torchrun's own store.

    Docs: PyTorch, "Distributed communication package", "Distributed Key-Value Store".
    """

    def __init__(self, rank: Rank) -> None:
        import torch.distributed

        found = torch.distributed.rendezvous("env://", rank=rank.number, world_size=rank.of)
        store: Any = next(iter(found))[0]
        self._node = rank.node
        self._store = torch.distributed.PrefixStore(PREFIX, store)

    def write(self, key: str, value: str) -> None:
        """Leaves a note."""
        self._store.set(key, value)

    def find(self, key: str) -> str | None:
        """Returns a note, or None if there is none yet. Raises UsageError if the store is gone."""
        try:
            if not self._store.check([key]):
                return None
            text: bytes = self._store.get(key)
        except RuntimeError as error:  # torch's DistNetworkError and the like
            raise UsageError(f"the node of rank 0 can't be reached any more ({error}); {_AGAIN}") from error
        return text.decode()

    async def read(self, key: str, wanted: Callable[[], bool]) -> str:
        """Waits for a note.

        Raises:
            Interrupted: if it is not wanted any more.
            UsageError: if a rank on another node has failed meanwhile.
        """
        while (text := self.find(key)) is None:
            if not wanted():
                raise Interrupted("the run is draining")
            if (failure := self.find(FAILED)) is not None:
                node, said = json.loads(failure)
                if node != self._node:  # on its own node, a rank says what is wrong with it, and torchrun ends the rest
                    raise UsageError(said)
            await asyncio.sleep(POLL_SECONDS)
        return text


class Pulse:
    """Notices a rank that leaves no notes any more: it was killed with its node, or cut off."""

    def __init__(self, board: Board, number: int) -> None:
        self.board = board
        self.number = number
        self.last: str | None = None
        self.since = time.monotonic()

    def check(self) -> None:
        """Raises UsageError after a while of silence."""
        if (found := self.board.find(f"stats/{self.number}")) != self.last:
            self.last, self.since = found, time.monotonic()
        elif time.monotonic() - self.since > SILENT_SECONDS:
            raise UsageError(f"rank {self.number} has not been heard of for {SILENT_SECONDS:.0f} s; {_AGAIN}")


class RankWork:
    """The work of one rank; call it with the run.

    Args:
        board: shared by all ranks.
    """

    def __init__(self, rank: Rank, board: Board) -> None:
        self.rank = rank
        self.board = board

    async def __call__(self, run: Run) -> RunResult:
        """Does this rank's part.

        Raises:
            UsageError: if the ranks don't have the same recipe, input, options and output folder.
        """
        run.keep_engines = True
        try:
            if self.rank.number:
                return await self._follow(run)
            async with lead(run):
                return await self._lead(run)
        except Interrupted:
            return _nothing(run, "interrupted") if self.rank.number else interrupted(run)
        except Exception as error:
            # torchrun ends the ranks of this node; those of others only see what stands here.
            with contextlib.suppress(RuntimeError):
                self.board.write(FAILED, json.dumps([self.rank.node, f"rank {self.rank.number} failed: {error}"]))
            raise
        finally:
            await run.close_engines()

    async def _lead(self, run: Run) -> RunResult:
        nonce = secrets.token_hex(8)
        (run.target / NONCE).write_text(nonce)
        self.board.write("run", json.dumps([nonce, run.digest]))
        await self._all(run, "met")
        coordinator = Coordinator(run, self.rank.of)
        phase, number = await coordinator.begin(), 0
        while phase is not None:
            self.board.write(f"phase/{number}", phase.dump())
            state = await work_part(run, Part(0, self.rank.of), phase)
            states = {state, *await self._all(run, f"done/{number}")}
            if states != {"finished"}:
                # A rank whose budget is used up says so instead of its state.
                run.stats.stop(min(states - {"finished", "interrupted"}, default=None))
                raise Interrupted("a rank was interrupted")
            phase, number = await coordinator.merge(phase), number + 1
        (run.target / NONCE).unlink(missing_ok=True)
        result = await coordinator.end("interrupted" if run.stats.ending else "finished")
        self.board.write(f"phase/{number}", "")
        await self._all(run, "gone")  # the store may live in a process that ends with this one
        return result

    async def _all(self, run: Run, key: str) -> list[str]:
        """Waits for the notes of all other ranks. Raises UsageError if one of them is not heard of any more."""
        found = []
        for number in range(1, self.rank.of):
            pulse = Pulse(self.board, number)

            def wanted(pulse: Pulse = pulse) -> bool:
                pulse.check()
                return not run.stats.draining

            found.append(await self.board.read(f"{key}/{number}", wanted))
        return found

    async def _follow(self, run: Run) -> RunResult:
        await self._meet(run)
        number = 0
        while text := await self.board.read(f"phase/{number}", lambda: not run.stats.draining):
            phase = Phase.load(text)
            assert phase is not None
            state = await work_part(run, Part(self.rank.number, self.rank.of), phase)
            self.board.write(f"done/{number}/{self.rank.number}", run.stats.stopped or state)
            if state != "finished":
                return _nothing(run, state)
            number += 1
        self.board.write(f"gone/{self.rank.number}", "")
        return _nothing(run, "finished")

    async def _meet(self, run: Run) -> None:
        nonce, digest = json.loads(await self.board.read("run", lambda: not run.stats.draining))
        if digest != run.digest:
            raise UsageError(
                f"rank mismatch: rank {self.rank.number} has another recipe, input or options than rank 0; "
                "start every node with the same command"
            )
        await check_shared(run.target, nonce, f"rank {self.rank.number}")
        self.board.write(f"met/{self.rank.number}", "")

    def watch(self, run: Run) -> Callable[[], None]:
        """Shows the progress of all ranks, on rank 0; tells it, on the others. Returns what ends that."""
        if self.rank.number:
            return self._publish(run)
        from mminf.report.progress import show_stats

        return show_stats(lambda: self._whole(run.stats))

    def _whole(self, ours: RunStats) -> RunStats:
        try:
            texts = [self.board.find(f"stats/{number}") for number in range(1, self.rank.of)]
        except UsageError:  # the store is gone; what needs it will say so
            return ours
        return add_stats(ours, [json.loads(text) for text in texts if text is not None])

    def _publish(self, run: Run) -> Callable[[], None]:
        over = threading.Event()

        def work() -> None:
            for beat in itertools.count():
                last = over.wait(STATS_SECONDS)
                with contextlib.suppress(RuntimeError):  # the store is gone, and with it who would read this
                    note = json.dumps({**run.stats.snapshot(), "beat": beat})
                    self.board.write(f"stats/{self.rank.number}", note)
                if last:
                    return

        thread = threading.Thread(target=work, name="mminf-stats", daemon=True)
        thread.start()

        def stop() -> None:
            over.set()
            thread.join()

        return stop


def _nothing(run: Run, state: str) -> RunResult:
    """The result of a rank that has none to tell."""
    return RunResult(state, run.target, Counts(done=1, pending=None), [])


def run_rank(run: Run, rank: Rank, *, progress: bool = False) -> RunResult:
    """Does one rank's part of a run; rank 0's result is that of the whole.

    Raises:
        UsageError: if the ranks don't go together, or this one can't go on; what is done is kept.
    """
    end_with_parent()
    choose_devices(rank, gpus_needed(run), os.environ)
    work = RankWork(rank, Board(rank))
    forget_rank(os.environ)
    _name_log(rank)
    return LocalExecutor(work, work.watch if progress or rank.number else None, patience=2.0).execute(run)


def _name_log(rank: Rank) -> None:
    """Puts the rank in front of what its process logs."""
    for handler in log.handlers:
        handler.setFormatter(logging.Formatter(f"%(asctime)s rank {rank.number}: %(message)s", datefmt="%H:%M:%S"))
