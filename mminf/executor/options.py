"""Options of where a run is executed."""

from __future__ import annotations

import dataclasses


@dataclasses.dataclass(frozen=True, slots=True)
class RayOptions:
    """Options of a run on a Ray cluster.

    Attributes:
        address: of the cluster, as `ray.init` takes it; None: RAY_ADDRESS, or a cluster of this machine.
        workers: actors, each with its own engines; by default as many as the cluster's GPUs hold, or one per node.
        shards: of the run; by default four per worker.
    """

    address: str | None = None
    workers: int | None = None
    shards: int | None = None
