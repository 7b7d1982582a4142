"""What users may say about where a run goes."""

from __future__ import annotations

import dataclasses


@dataclasses.dataclass(frozen=True, slots=True)
class RayOptions:
    """Where and how wide a run goes.

    Attributes:
        address: of the cluster, as `ray.init` takes it; None: RAY_ADDRESS, or a cluster of this machine.
        workers: actors, each with engines of its own; by default as many as the cluster's GPUs hold, or one a node.
        parts: parts of the run; by default four a worker.
    """

    address: str | None = None
    workers: int | None = None
    parts: int | None = None
