"""What the output folder of a run has: its journal, its datasets, and the images that its source allows."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypedDict

from mminf.engine.counts import outcomes_digest
from mminf.engine.output import read_marker
from mminf.errors import JournalError, MminfError
from mminf.image import ImagePolicy
from mminf.journal.folders import list_shards
from mminf.journal.kept import read_kept, written_at
from mminf.journal.schema import FILE
from mminf.marks import FILE as MARKS
from mminf.marks import Mark, read_marks
from mminf.registry import SOURCES
from mminf.sharding.journals import open_journals
from mminf.storage import is_remote, to_path


class RunDatasets(TypedDict):
    """Paths of the datasets of a run, which may not be written yet, and the models of its engines."""

    paths: list[Path]
    models: list[str]


class RunOrigin(TypedDict):
    """Where the results of a run are from: digest of the recipe and the limit, and path of the recipe file.

    `datasets` has the rows of the datasets that were written, by path; None if unknown. `kept` has the larger
    datasets of earlier runs that the last one kept, each with the path that it has written instead. `outcomes` is
    the digest of the records' outcomes, `written_at` when a run wrote datasets last.
    """

    digest: str | None
    recipe_path: str | None
    datasets: dict[str, int | None]
    kept: dict[str, str]
    outcomes: str
    written_at: float | None


def read_origin(output: str | Path) -> RunOrigin:
    """Returns where the results of a run are from.

    Raises:
        JournalError: if there is no run.
    """
    with open_journals(to_path(str(output))) as journals:
        meta = journals[0].meta
        return RunOrigin(
            digest=meta.digest,
            recipe_path=meta.recipe_path,
            datasets=meta.datasets,
            kept=dict(read_kept(meta).datasets),
            outcomes=outcomes_digest(journals[0]),
            written_at=written_at(meta),
        )


def image_policy(output: str | Path) -> ImagePolicy | str:
    """Returns the rules of a run's source for the images that may be read, or why they are not known.

    Raises:
        JournalError: if there is no run.
    """
    path = to_path(str(output))
    with open_journals(path) as journals:
        recipe, recipe_path = journals[0].meta.recipe, journals[0].meta.recipe_path
    if not recipe.get("source") or recipe_path is None:
        return "images are not shown: the run has no source with files"
    ((kind, settings),) = recipe["source"].items()
    try:
        made = SOURCES.get(kind)
        config = made.Config.model_validate(settings)
        policy: ImagePolicy = made(config, Path(recipe_path).absolute().parent, (path / "images").absolute()).policy()
    except (MminfError, ValueError, OSError) as error:
        return f"images are not shown: the source {kind!r} of the run is not available: {error}"
    return policy


def is_run(output: Path) -> bool:
    """Returns whether a folder has the journal of a run, or of its shards."""
    return (output / FILE).exists() or bool(list_shards(output))


def run_datasets(output: str | Path) -> RunDatasets | None:
    """Returns the datasets that runs or exports have written into a folder, or None if there are none."""
    path = to_path(str(output))
    if not is_remote(path) and not path.is_dir():
        return None
    if not is_run(path):
        names, recipe = ({} if is_remote(path) else read_marker(path)), {}
    else:
        with open_journals(path) as journals:
            names, recipe = journals[0].meta.datasets, journals[0].meta.recipe
    if not names:
        return None
    return RunDatasets(paths=[path / name for name in names], models=models_of(recipe))


def models_of(recipe: Mapping[str, Any]) -> list[str]:
    """Returns the models of the engines of a recipe in JSON values, each once."""
    engines = recipe.get("engines") or {}
    models = [str(engine["model"]) for engine in engines.values() if isinstance(engine, dict) and engine.get("model")]
    return list(dict.fromkeys(models))


def marks(output: str | Path) -> dict[str, Mark]:
    """Returns the marks that people have given the records of a run with `mminf view`, by the ids of records.

    Raises:
        JournalError: if there are neither marks nor a run.
        UsageError: if a line of the file is broken.
    """
    path = to_path(str(output))
    if (path / MARKS).exists():
        return read_marks(path / MARKS)
    if not is_run(path):
        raise JournalError(f"no run in {output}")
    return {}
