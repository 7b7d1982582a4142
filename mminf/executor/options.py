"""Names and options of executors. Imports no executor: the command line needs it at every start."""

from __future__ import annotations

import dataclasses

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
