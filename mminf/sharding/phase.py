"""The phases of a run in shards, and the progress of each shard; no I/O."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import NamedTuple

from mminf.errors import JournalError
from mminf.shard import Shard
from mminf.states import RunState

SHARE = 0
"""Quota of a phase that begins before the number of shards is known: each shard computes its own."""


@dataclass(frozen=True, slots=True)
class Phase:
    """The work of all shards between two dataset steps.

    Attributes:
        stage: the stage of their records.
        quota: if the recipe has a target, each shard stops once this many of its records are accepted; `SHARE`: its
            share of the target, for any number of shards.
        number: number of the phase in the run, counted from 0.
        run: number of the run in the main journal; shards of other runs do not belong to this phase.
        source: fingerprint of the input that the run began with.
    """

    stage: int
    quota: int | None
    number: int
    run: int
    source: str | None = None

    @classmethod
    def load(cls, text: str) -> Phase | None:
        """Returns the phase that `dump` wrote, None for an empty text. Raises JournalError if it is damaged."""
        try:
            return cls(**json.loads(text)) if text else None
        except (ValueError, TypeError, RecursionError) as error:
            raise JournalError(f"the journal is damaged: its phase {text!r:.80} can't be read: {error}") from error

    def dump(self) -> str:
        """Returns the JSON text."""
        return json.dumps(asdict(self))

    def quota_of(self, target: int | None, count: int) -> int | None:
        """Returns the quota of one of `count` shards."""
        return first_quota(target, count) if self.quota == SHARE else self.quota


class ShardProgress(NamedTuple):
    """The progress of a shard in a phase.

    Attributes:
        phase: the phase, as `Phase.dump` returned it.
        recipe: digest of the recipe.
        position: number of the last source record that it took, None if it took all.
    """

    state: RunState
    phase: str
    recipe: str
    position: int | None

    @classmethod
    def load(cls, text: str) -> ShardProgress:
        """Returns the progress that `dump` wrote. Raises JournalError if it is damaged."""
        try:
            state, phase, recipe, position = json.loads(text)
            return cls(RunState(state), phase, recipe, position)
        except (ValueError, TypeError, RecursionError) as error:
            raise JournalError(f"the journal is damaged: a note of a shard can't be read: {error}") from error

    def dump(self) -> str:
        """Returns the JSON text."""
        return json.dumps(self)


def unfinished(progress: Mapping[Shard, ShardProgress], count: int, phase: Phase, recipe: str) -> list[str]:
    """Returns why the shards can't be merged, one line each.

    Args:
        count: number of shards of the run.
        recipe: the digest of the recipe that they are merged for.
    """
    lines = (_problem(shard, progress.get(shard), phase, recipe) for shard in (Shard(i, count) for i in range(count)))
    return [line for line in lines if line is not None]


def _problem(shard: Shard, found: ShardProgress | None, phase: Phase, recipe: str) -> str | None:
    if found is None:
        return f"shard {shard} has not begun"
    if found.recipe != recipe:
        return f"shard {shard} was run with another recipe, or with other options"
    if Phase.load(found.phase) != phase:
        return f"shard {shard} is of an earlier run; run it again"
    return None if found.state is RunState.FINISHED else f"shard {shard} is {found.state}"


def first_quota(target: int | None, count: int) -> int | None:
    """Returns the first quota of a shard: its share of the target, and some more."""
    return None if target is None else math.ceil(1.1 * target / count) + 4


def next_quota(quota: int, lacking: int, count: int) -> int:
    """Returns the quota with which shards continue.

    Args:
        lacking: number of accepted records that are missing to reach the target.
    """
    return quota + math.ceil(1.2 * lacking / count) + 4


def sure_end(positions: Iterable[int | None]) -> int | None:
    """Returns the position in the source that all shards have reached; None if all shards took all records."""
    return min((position for position in positions if position is not None), default=None)
