"""The states of records, runs and engines. Their values are what journals and `mminf status --json` contain."""

from __future__ import annotations

from enum import StrEnum


class RecordStatus(StrEnum):
    """The outcome of a record in a stage."""

    DONE = "done"
    DROPPED = "dropped"
    FAILED = "failed"
    EXPANDED = "expanded"
    """It was replaced by its children."""
    PARKED = "parked"
    """It waits for an engine that is not loaded; never in a journal's outcomes."""


class RunState(StrEnum):
    """The state of a run, or of a shard."""

    RUNNING = "running"
    WRITING = "writing"
    """All records are final; the datasets are being written."""
    FINISHED = "finished"
    INTERRUPTED = "interrupted"
    FAILED = "failed"
    WAITING = "waiting"
    """The shards must be run again: a dataset step or the target needs more."""
    KILLED = "killed"
    """Its journal says that it runs, but no process holds the lock; never in a journal."""


class EngineState(StrEnum):
    """What an engine is doing."""

    IDLE = "idle"
    LOADING = "loading"
    READY = "ready"
    FAILED = "failed"
