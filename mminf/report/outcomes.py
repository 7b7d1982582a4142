"""Reads the outcomes of a run's records, and the recipe that made them, from its journal."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mminf.engine.parts import open_journals
from mminf.storage import to_path


def read_outcomes(output: str | Path) -> Iterator[dict[str, Any]]:
    """Yields the outcomes of all records of a run, in the form that `mminf show --json` has them in for one record.

    They come stage by stage, and in source order within a stage. A record that later stages continue has an outcome in
    each of them.

    Yields:
        `id`, `stage` (from 0), `state` (`done`, `dropped` or `failed`), `step` and `reason` (of a drop or failure), and
        `fields`.

    Raises:
        JournalError: if there is no run.
    """
    with open_journals(to_path(str(output))) as journals:
        stages = json.loads(journals[0].meta("stages") or "[]")
        for stage in range(len(stages)):
            for journal in journals:
                for row in journal.rows(stage, states=("done", "dropped", "failed")):
                    yield {
                        "id": row.id,
                        "stage": row.stage,
                        "state": row.state,
                        "step": row.step,
                        "reason": row.reason,
                        "fields": row.fields,
                    }


def read_recipe(output: str | Path) -> dict[str, Any]:
    """Returns the recipe of a run as JSON values, with its profile and settings applied.

    Raises:
        JournalError: if there is no run.
    """
    with open_journals(to_path(str(output))) as journals:
        recipe: dict[str, Any] = json.loads(journals[0].meta("recipe") or "{}")
        return recipe
