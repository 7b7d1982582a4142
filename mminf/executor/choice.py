"""Makes the executor that the options of a run ask for."""

from __future__ import annotations

import os

from mminf.executor.base import Executor
from mminf.executor.local import LocalExecutor
from mminf.executor.options import ExecutorOptions
from mminf.executor.ranks import RankExecutor
from mminf.executor.shards import ShardExecutor
from mminf.executor.torchrun import Rank


def choose_executor(options: ExecutorOptions, rank: Rank | None = None) -> Executor:
    """Returns the executor for the options of a run; by default the one that works in this process.

    Args:
        rank: this process is one of several that torchrun has started.
    """
    if rank is not None:
        return RankExecutor(rank, os.environ)
    if options.ray is not None:
        from mminf.executor.ray_data import RayExecutor

        return RayExecutor(options.ray)
    return LocalExecutor() if options.shard is None else ShardExecutor(options.shard)
