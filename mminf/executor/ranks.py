"""The work of a rank: its shard of every phase. Rank 0 leads the run as well, and shows the progress of all."""

from __future__ import annotations

import contextlib
import itertools
import json
import logging
import threading
from collections.abc import Callable, Iterator, MutableMapping
from dataclasses import replace
from typing import TYPE_CHECKING

from mminf.engine.counts import Counts
from mminf.engine.result import RunResult
from mminf.engine.run import Run
from mminf.engine.session import Session
from mminf.engine.stats import RunStats, add_stats
from mminf.errors import Interrupted, UsageError
from mminf.executor.base import Executor
from mminf.executor.key_values import KeyValueStore, RankHeartbeat, stats_key
from mminf.executor.marker import check_shared, place_marker, remove_marker
from mminf.executor.torchrun import Rank, choose_devices, end_with_parent, forget_rank
from mminf.shard import Shard
from mminf.sharding.coordinator import Coordinator
from mminf.sharding.phase import Phase
from mminf.sharding.worker import work_shard
from mminf.states import RunState

if TYPE_CHECKING:
    from mminf.display.callback import OnProgress

log = logging.getLogger("mminf")
STATS_SECONDS = 2.0


class RankExecutor(Executor):
    """Works on one rank's share of a run; the result of rank 0 is that of the whole run.

    Args:
        environ: the environment of the process, from which the rank's variables are removed when the run is opened.
    """

    patience = 2.0  # torchrun repeats signals

    def __init__(self, rank: Rank, environ: MutableMapping[str, str]) -> None:
        self.rank = rank
        self._store: KeyValueStore | None = None
        self._environ = environ
        self._shard = Shard(rank.rank, rank.world_size)

    @contextlib.contextmanager
    def open(self, run: Run) -> Iterator[Run]:
        """Chooses this rank's devices, and meets the others. Yields the run with engines that stay loaded."""
        end_with_parent()  # first, because meeting may wait for ever if the launcher is gone
        choose_devices(self.rank, run.session.gpus(), self._environ)
        self._store = KeyValueStore(self.rank)
        forget_rank(self._environ)
        _name_log(self.rank)
        yield replace(run, session=Session(run.plan.recipe, keep_engines=True, early=run.session.take_early()))

    @property
    def store(self) -> KeyValueStore:
        """The store that all ranks share; exists after `open`."""
        assert self._store is not None
        return self._store

    async def work(self, run: Run) -> RunResult:
        """Works on this rank's shard of every phase.

        Raises:
            UsageError: if the ranks don't have the same recipe, input, options and output folder.
        """
        try:
            return await (self._follow(run) if self.rank.rank else self._lead(run))
        except Interrupted:
            return _nothing(run, RunState.INTERRUPTED)
        except Exception as error:
            # torchrun ends the ranks of this node; the ranks of other nodes only see the store.
            with contextlib.suppress(UsageError):
                self.store.fail(str(error))
            raise
        finally:
            await run.session.close()

    async def _lead(self, run: Run) -> RunResult:
        async with run.lead():
            coordinator = Coordinator(run, self.rank.world_size)
            self.store.write("run", json.dumps([place_marker(run.target), run.plan.digest]))
            numbers = itertools.count()

            async def run_phase(phase: Phase) -> None:
                await self._run_phase(run, phase, next(numbers))

            try:
                await self._all(run, "met")
            except Interrupted:
                return coordinator.interrupted()
            result = await coordinator.run(run_phase)
            if result.state is RunState.INTERRUPTED and not run.session.stats.ending:
                return result
            remove_marker(run.target)
            if result.state is RunState.FINISHED:
                self.store.write(_phase_key(next(numbers)), "")
                await self._all(run, "gone")  # the store may be in a process that ends with this one
            return result

    async def _run_phase(self, run: Run, phase: Phase, number: int) -> None:
        """Runs a phase with all ranks. Raises Interrupted if one of them has not finished it."""
        self.store.write(_phase_key(number), phase.dump())
        state = await work_shard(run, self._shard, phase)
        states = {str(state), *await self._all(run, f"done/{number}")}
        if states != {RunState.FINISHED}:
            # A rank whose budget is used up writes the reason instead of its state.
            run.session.stats.stop(min(states - {RunState.FINISHED, RunState.INTERRUPTED}, default=None))
            raise Interrupted("a rank was interrupted")

    async def _all(self, run: Run, key: str) -> list[str]:
        """Waits for the values of all other ranks. Raises UsageError if one of them no longer sends a heartbeat."""
        heartbeats = {rank: RankHeartbeat(self.store, rank) for rank in range(1, self.rank.world_size)}

        def wanted() -> bool:
            for heartbeat in heartbeats.values():
                heartbeat.check()
            return not run.session.stats.draining

        found = []
        for rank in list(heartbeats):
            found.append(await self.store.read(f"{key}/{rank}", wanted))
            del heartbeats[rank]  # it may end now
        return found

    async def _follow(self, run: Run) -> RunResult:
        rank, stats = self.rank.rank, run.session.stats
        await self._meet(run)
        for number in itertools.count():
            phase = Phase.load(await self.store.read(_phase_key(number), lambda: not stats.draining))
            if phase is None:
                break
            state = await work_shard(run, self._shard, phase)
            self.store.write(f"done/{number}/{rank}", stats.stopped or state)
            if state is not RunState.FINISHED:
                return _nothing(run, state)
        self.store.write(f"gone/{rank}", "")
        return _nothing(run, RunState.FINISHED)

    async def _meet(self, run: Run) -> None:
        rank = self.rank.rank
        nonce, digest = json.loads(await self.store.read("run", lambda: not run.session.stats.draining))
        if digest != run.plan.digest:
            raise UsageError(
                f"rank mismatch: rank {rank} has another recipe, input or options than rank 0; "
                "start every node with the same command"
            )
        await check_shared(run.target, nonce, f"rank {rank}")
        self.store.write(f"met/{rank}", "")

    def watch(self, run: Run, *, progress: bool | OnProgress) -> Callable[[], None] | None:
        """Shows the progress of all ranks on rank 0; other ranks send their counters in any case."""
        return self._publish(run) if self.rank.rank else super().watch(run, progress=progress)

    def stats(self, run: Run) -> RunStats:
        """Returns the counters of all ranks."""
        ours = run.session.stats
        try:
            texts = [self.store.find(stats_key(rank)) for rank in range(1, self.rank.world_size)]
        except UsageError:  # the store is gone; the next call that needs it reports that
            return ours
        return add_stats(ours, [json.loads(text) for text in texts if text is not None])

    def _publish(self, run: Run) -> Callable[[], None]:
        over = threading.Event()

        def work() -> None:
            for beat in itertools.count():
                last = over.wait(STATS_SECONDS)
                with contextlib.suppress(UsageError):  # the store is gone, and with it rank 0
                    self.store.write(
                        stats_key(self.rank.rank), json.dumps({**run.session.stats.snapshot(), "beat": beat})
                    )
                if last:
                    return

        thread = threading.Thread(target=work, name="mminf-stats", daemon=True)
        thread.start()

        def stop() -> None:
            over.set()
            thread.join()

        return stop


def _phase_key(number: int) -> str:
    return f"phase/{number}"


def _nothing(run: Run, state: RunState) -> RunResult:
    """Returns the result of a rank other than rank 0; rank 0 returns that of the run."""
    return RunResult(state, run.target, Counts(done=1, pending=None))


def _name_log(rank: Rank) -> None:
    """Adds the rank to the log lines of its process."""
    for handler in log.handlers:
        handler.setFormatter(logging.Formatter(f"%(asctime)s rank {rank.rank}: %(message)s", datefmt="%H:%M:%S"))
