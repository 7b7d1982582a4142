"""The states of records, runs and engines. Their values are what journals and `mminf status --json` contain."""

from __future__ import annotations

from enum import StrEnum


class RecordStatus(StrEnum):
    """The outcome of a record in a stage."""

    DONE = "done"
    DROPPED = "dropped"
    FAILED = "failed"
    EXPANDED = "expanded"
    """The record was replaced by its children."""
    PARKED = "parked"
    """The record waits for an engine that is not loaded; never in a journal's outcomes."""


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
    """The journal says that the run is running, but no process holds its lock; never in a journal."""


class EngineState(StrEnum):
    """The state of an engine."""

    IDLE = "idle"
    LOADING = "loading"
    READY = "ready"
    FAILED = "failed"
