"""Makes the executor that the options of a run ask for."""

from __future__ import annotations

import os

from mminf.executor.base import Executor
from mminf.executor.local import LocalExecutor
from mminf.executor.options import RayOptions
from mminf.executor.ranks import RankExecutor
from mminf.executor.shards import ShardExecutor
from mminf.executor.torchrun import Rank
from mminf.shard import Shard


def choose_executor(*, shard: Shard | None = None, rank: Rank | None = None, ray: RayOptions | None = None) -> Executor:
    """Returns the executor for the options of a run; by default the one that works in this process.

    Args:
        shard: only the records of this shard.
        rank: this process is one of several that torchrun has started.
        ray: work on a Ray cluster.
    """
    if rank is not None:
        return RankExecutor(rank, os.environ)
    if ray is not None:
        from mminf.executor.ray_data import RayExecutor

        return RayExecutor(ray)
    return LocalExecutor() if shard is None else ShardExecutor(shard)
