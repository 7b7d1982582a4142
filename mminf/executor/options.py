"""Names and options of executors. Imports no executor: the command line needs it at every start."""

from __future__ import annotations

import dataclasses

from mminf.errors import UsageError, nearest
from mminf.shard import Shard

EXECUTORS = ("local", "ray")
"""The values of `mminf run --executor`; `choice.choose_executor` makes the executors."""


@dataclasses.dataclass(frozen=True, slots=True)
class RayOptions:
    """Options of a run on a Ray cluster.

    Attributes:
        address: address of the cluster, as for `ray.init`; None: RAY_ADDRESS, or a local cluster.
        workers: number of actors, each with its own engines; by default as many as fit on the GPUs, or one per node.
        shards: number of shards; by default four per worker.
    """

    address: str | None = None
    workers: int | None = None
    shards: int | None = None


@dataclasses.dataclass(frozen=True, slots=True)
class ExecutorOptions:
    """How and where a run is executed.

    Attributes:
        shard: only the records of this shard.
        ray: work on a Ray cluster.
    """

    shard: Shard | None = None
    ray: RayOptions | None = None

    @property
    def named(self) -> str | None:
        """The option of the command line that splits the run, for messages; None if it is not split."""
        return "--executor ray" if self.ray is not None else "--shard" if self.shard is not None else None


def read_options(
    executor: str, shard: str | None, address: str | None, workers: int | None, shards: int | None
) -> ExecutorOptions:
    """Returns the options of the command line. Raises UsageError if they don't fit together."""
    part = Shard.parse(shard) if shard is not None else None
    if executor not in EXECUTORS:
        raise UsageError(f"unknown --executor {executor!r}{nearest(executor, EXECUTORS)}")
    if executor == "ray":
        if part is not None:
            raise UsageError("--shard is for your own scheduler; with --executor ray, Ray assigns the shards")
        return ExecutorOptions(ray=RayOptions(address, workers, shards))
    given = {"--address": address, "--workers": workers, "--shards": shards}
    if named := [name for name, value in given.items() if value is not None]:
        raise UsageError(f"{', '.join(named)}: allowed only with --executor ray")
    return ExecutorOptions(part)
