"""Metadata of the runs in a journal: recipe, state, versions."""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from mminf.errors import JournalError
from mminf.journal.database import Database
from mminf.record import Json
from mminf.states import RunState

_LATEST = 1e11
"""No time is later, in seconds since 1970."""
_TOKENS = "special_tokens:"
_GPUS = "gpu_seconds:"
_DATASETS = "datasets"
_MERGED = "merged:"
"""Prefixes of keys."""


class Scope(Enum):
    """Which of the runs in a journal count."""

    RESULT = "result"
    """The last finished run of the recipe, overlaid with the interrupted runs after it."""
    RUN = "run"
    """Only the last run."""
    SHARDS = "shards"
    """For a main journal next to its shards: the rows of their run; before its first merge, none."""


@dataclass(frozen=True, slots=True)
class RunHeader:
    """The description of a run that is written when it starts.

    Attributes:
        recipe: the resolved recipe, as JSON values.
        digest: digest of the recipe and the limit.
        path: path of the recipe file.
        stages: names of the steps of each stage.
        fingerprints: of each stage: what its results depend on, except the records.
        total: number of records in the source; None if unknown.
        versions: versions of the packages that the run uses.
    """

    recipe: Mapping[str, Json]
    digest: str
    path: str
    stages: list[list[str]]
    total: int | None
    versions: Mapping[str, str]
    fingerprints: list[str] = field(default_factory=list)


class RunMeta:
    """Reads and writes the table `meta`. A written value can be read once it is committed.

    Attributes:
        run: number of the last run, counted from 1.
        since: number of the first run whose rows count.
    """

    def __init__(self, database: Database, scope: Scope) -> None:
        self._database = database
        self.run = self.number("run")
        self.since = self._first_run(scope)

    def _first_run(self, scope: Scope) -> int:
        if scope is Scope.RUN:
            return self.run
        if scope is Scope.SHARDS:
            return self.run + (0 if self.phase else 1)
        finished = self.number("finished_run")
        if finished and self.get("finished_recipe") == self.digest:
            return finished
        # No run of this recipe has finished: all its interrupted runs count together.
        return max(1, self.number("first_run") or (self.run if finished else 1))

    # Values

    def get(self, key: str) -> str | None:
        """Returns a value, or None."""
        row = self._database.find("meta", "WHERE key = ?", key)
        return None if row is None else str(row[1])

    def set(self, key: str, value: str) -> None:
        """Writes a value."""
        self._database.insert("meta", key, value)

    def number(self, key: str) -> int:
        """Returns a value as a number; 0 if there is none."""
        try:
            return int(self.get(key) or 0)
        except ValueError as error:
            raise JournalError(f"{self._database.path} is damaged: {key} is not a number: {error}") from error

    def json(self, key: str, default: Any = None) -> Any:
        """Returns a value that is JSON."""
        text = self.get(key)
        try:
            return default if text is None else json.loads(text)
        except (ValueError, RecursionError) as error:
            raise JournalError(f"{self._database.path} is damaged: {key} is not JSON: {error}") from error

    # The run

    @property
    def recipe(self) -> dict[str, Any]:
        """The resolved recipe; empty before the first run."""
        found: dict[str, Any] = self.json("recipe", {})
        return found

    @property
    def recipe_name(self) -> str | None:
        """Name of the recipe of the last run."""
        return self.recipe.get("name")

    @property
    def recipe_path(self) -> str | None:
        """Path of the recipe file of the last run."""
        return self.get("recipe_path")

    @property
    def digest(self) -> str | None:
        """Digest of the recipe and the limit of the last run."""
        return self.get("recipe_digest")

    @property
    def stages(self) -> list[list[str]]:
        """Names of the steps of each stage."""
        found: list[list[str]] = self.json("stages", [])
        return found

    @property
    def fingerprints(self) -> list[str]:
        """Fingerprint of each stage of the last run; empty for runs of earlier versions."""
        return list(self.json("fingerprints", []))

    @property
    def total(self) -> int | None:
        """Number of records in the source."""
        found: int | None = self.json("total")
        return found

    @property
    def target(self) -> int | None:
        """The recipe's target."""
        found: int | None = self.recipe.get("target")
        return found

    @property
    def versions(self) -> dict[str, str]:
        """Versions of the packages that the last run used."""
        found: dict[str, str] = self.json("versions", {})
        return found

    @property
    def state(self) -> RunState | None:
        """State of the last run."""
        text = self.get("state")
        try:
            return None if text is None else RunState(text)
        except ValueError as error:
            raise JournalError(f"{self._database.path} is damaged: {error}") from error

    @property
    def error(self) -> str | None:
        """The error that ended the last run, or None."""
        return self.get("error") or None

    def note_error(self, text: str) -> None:
        """Notes the error that ends the run."""
        self.set("error", text)

    @property
    def started_at(self) -> float | None:
        """Time at which the last run began, in seconds since 1970; None if unknown."""
        return self._time("started_at")

    @property
    def ended_at(self) -> float | None:
        """Time at which the last run ended; None while it runs, after a kill, and if unknown."""
        started, ended = self.started_at, self._time("finished_at")
        if self.state in (RunState.RUNNING, RunState.WRITING) or started is None or ended is None:
            return None
        return ended if ended >= started else None  # otherwise it is that of the run before

    def _time(self, key: str) -> float | None:
        try:
            found = float(self.get(key) or "")
        except ValueError:
            return None
        return found if 0 < found < _LATEST else None

    @property
    def is_finished(self) -> bool:
        """Whether the last run has processed all records."""
        return self.get("finished_run") == self.get("run")

    @property
    def has_finished(self) -> bool:
        """Whether any run has processed all records."""
        return self.number("finished_run") > 0

    def begin(self, header: RunHeader) -> None:
        """Starts a run. From now on, a row counts only if this run writes it or takes it over."""
        if header.digest != self.digest or not self.run:
            self.set("first_run", str(self.run + 1))
        self.run += 1
        self.since = self.run
        self.set("run", str(self.run))
        self.set("since", str(self.since))
        self.set("recipe", json.dumps(header.recipe))
        self.set("recipe_digest", header.digest)
        self.set("recipe_path", header.path)
        self.set("stages", json.dumps(header.stages))
        self.set("fingerprints", json.dumps(header.fingerprints))
        self.set("total", json.dumps(header.total))
        self.set("state", RunState.RUNNING)
        self.set("error", "")
        self.set("started_at", str(time.time()))
        self.set("versions", json.dumps(header.versions))

    def end(self) -> None:
        """Notes that the run has processed all records: other rows do not count any more, and phases have ended."""
        with self._database.together():
            self.set("finished_run", str(self.run))
            self.set("finished_recipe", self.digest or "")
            self.set_state(RunState.WRITING)
            self.set_phase("")

    def set_state(self, state: RunState) -> None:
        """Writes the state, and the time at which the run has ended."""
        with self._database.together():
            self.set("state", state)
            if state not in (RunState.RUNNING, RunState.WRITING):
                self.set("finished_at", str(time.time()))

    def end_work(self, state: RunState, position: int | None) -> None:
        """Writes the state and the time at the end of the work on records.

        Args:
            position: number of the last source record that was taken, None if all were.
        """
        with self._database.together():
            self.set_state(state)
            self.set("position", json.dumps(position))

    # Probes

    def note_probe(self, digest: str, records: int, seconds: float) -> None:
        """Notes the result of a probe.

        Args:
            digest: of the recipe and the limit of the probe.
            seconds: mean duration of all calls of a record in the first stage.
        """
        self.set("probe", json.dumps([digest, records, seconds]))

    def probe(self, digest: str) -> tuple[int, float] | None:
        """Returns the records and seconds of the last probe; None if there was none with that digest."""
        of, *found = self.json("probe", [None])
        return (int(found[0]), float(found[1])) if of == digest else None

    # Shards

    @property
    def phase(self) -> str:
        """The phase that shards work on, as `Phase.dump` returned it; empty if there is none."""
        return self.get("phase") or ""

    def set_phase(self, phase: str) -> None:
        """Writes the phase that shards work on. Removes the notes of merges in the previous phase."""
        with self._database.together():
            self.set("phase", phase)
            self._database.execute("DELETE FROM meta WHERE substr(key, 1, ?) = ?", len(_MERGED), _MERGED)

    @property
    def position(self) -> int | None:
        """Number of the last source record that a shard took; None if it took all."""
        found: int | None = self.json("position")
        return found

    def merged(self) -> dict[str, str]:
        """Returns the notes of shards that were merged in the current phase, by name."""
        rows = self._prefixed(_MERGED)
        return {key.removeprefix(_MERGED): value for key, value in rows}

    # Datasets and models

    @property
    def datasets(self) -> dict[str, int | None]:
        """Number of rows of all datasets that runs have written, by path; None if unknown."""
        # Journals of earlier versions only have the recipe of their last run.
        named: dict[str, int | None] = {
            str(body["path"]): None
            for sink in self.recipe.get("sinks", [])
            for body in sink.values()
            if isinstance(body, dict) and "path" in body and not self.recipe.get("split")
        }
        noted: dict[str, int | None] = self.json(_DATASETS, {})
        return named | noted

    def note_datasets(self, rows: Mapping[str, int | None]) -> None:
        """Notes datasets that were written, with their rows; None for datasets that are about to be written."""
        self.set(_DATASETS, json.dumps(dict(rows)))

    def keep_tokens(self, model: str, tokens: Iterable[str]) -> None:
        """Writes a model's special tokens."""
        self.set(f"{_TOKENS}{model}", json.dumps(sorted(tokens)))

    def tokens(self) -> frozenset[str]:
        """Returns the special tokens of all models that runs have called."""
        return frozenset(token for _, text in self._prefixed(_TOKENS) for token in json.loads(text))

    def add_gpu_seconds(self, seconds: float) -> None:
        """Adds the time in which a run has held GPUs. Runs that were killed add none."""
        if seconds:
            self.set(f"{_GPUS}{uuid.uuid4().hex}", repr(seconds))

    def gpu_seconds(self) -> float:
        """Returns for how many GPU-seconds runs have held GPUs.

        Raises:
            JournalError: if a value is damaged.
        """
        try:
            return sum(float(text) for _, text in self._prefixed(_GPUS))
        except ValueError as error:
            raise JournalError(f"the journal is damaged: {error}; `mminf repair` saves what can be read") from error

    def _prefixed(self, prefix: str) -> list[tuple[str, str]]:
        sql = self._database.select("meta", "WHERE substr(key, 1, ?) = ?")
        rows = self._database.all(sql, len(prefix), prefix)
        return [(str(key), str(value)) for key, value in (self._database.verify("meta", row) for row in rows)]


def merged_key(shard: str) -> str:
    """Returns the key of the note that a shard was merged."""
    return f"{_MERGED}{shard}"


ADDED = (_TOKENS, _GPUS)
"""Prefixes of the keys that a merge adds to those of the main journal."""
