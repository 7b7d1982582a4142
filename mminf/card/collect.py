"""Collects what a card says about a run and its datasets."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mminf.card.citations import Paper, find_papers
from mminf.card.datasets import Dataset, find_datasets
from mminf.card.hide import hide_text, hide_values
from mminf.card.models import Model, list_models
from mminf.card.properties import measure_datasets
from mminf.card.rows import Row, sample_rows
from mminf.engine.output import read_exported
from mminf.errors import OutputError
from mminf.inspection import RunStatus, read_recipe, run_status
from mminf.listing import list_records
from mminf.page.figures import Figures, FunnelStep
from mminf.properties import Properties
from mminf.run_folder import RunOrigin, models_of, read_origin
from mminf.states import RunState
from mminf.storage import is_remote, to_path

log = logging.getLogger("mminf")


@dataclass(frozen=True, slots=True)
class ImageUse:
    """How the rows of a dataset name images.

    Attributes:
        rows: number of rows that were read.
        with_images: number of those with images.
        local: number of those whose images are files of this machine.
        example: path of such a file.
    """

    rows: int
    with_images: int
    local: int
    example: str | None


@dataclass(frozen=True, slots=True)
class CardFacts:
    """What a card says.

    Attributes:
        status: status of the run.
        recipe: the recipe as JSON values, without secrets and paths of this machine.
        digest: digest of the recipe and the limit.
        published_kept: the share of records that the method's paper reports to be kept.
        split: settings of the split of the datasets, as JSON values; None if they are not divided.
        images: how the rows name images, by dataset.
        questions: whether most texts of the user are questions about images.
        folders: folders of this machine whose paths must not be in the card.
    """

    status: RunStatus
    recipe: Mapping[str, Any]
    digest: str | None
    funnel: Sequence[FunnelStep]
    published_kept: float | None
    datasets: Sequence[Dataset]
    split: Mapping[str, Any] | None
    images: Mapping[str, ImageUse]
    questions: bool
    properties: Sequence[Properties]
    models: Sequence[Model]
    papers: Sequence[Paper]
    folders: Sequence[Path]

    @property
    def is_finished(self) -> bool:
        return self.status["state"] is RunState.FINISHED

    @property
    def total(self) -> int:
        """Number of records that were kept, dropped or failed, or that wait for a later stage, up to the target."""
        return sum(self.status[name] for name in ("done", "dropped", "failed", "waiting"))

    @property
    def rows(self) -> int:
        """Number of rows of all datasets, as far as they are known."""
        return sum(dataset.rows or 0 for dataset in self.datasets if dataset.format is not None)

    @property
    def has_images(self) -> bool:
        return any(use.with_images for use in self.images.values())


def collect_facts(output: str | Path, datasets: str | Path | None = None) -> CardFacts:
    """Reads a run and its datasets; memory does not grow with the number of records.

    Args:
        output: output folder of a run.
        datasets: folder that `mminf export --to` has written; by default the output.

    Raises:
        JournalError: if there is no run.
        OutputError: if the datasets are in a store, or of an earlier run than the last one.
    """
    status, recipe, origin = run_status(output), read_recipe(output), read_origin(output)
    figures = Figures(status["stages"])
    listing = list_records(output, fields=True)
    for outcome in listing:
        figures.add(outcome)
    if listing.damage is not None:
        log.warning("%d rows can't be read, and are not in the card: %s", listing.broken, listing.damage)
    folder = local_folder(output, datasets)
    found = find_datasets(to_path(str(output)), folder, recipe)
    if folder == to_path(str(output)):
        _refuse_earlier(found, origin)
    rows = {dataset.path: sample_rows(folder, dataset) for dataset in found if dataset.format is not None}
    kept = [dataset for dataset in found if dataset.dropped_by is None]
    accepted = [row for dataset in kept for row in rows.get(dataset.path, ())]
    published = recipe.get("published") or {}
    recipe_folder = Path(origin["recipe_path"]).absolute().parent if origin["recipe_path"] else None
    folders = [folder.absolute(), *([recipe_folder] if recipe_folder is not None else [])]
    return CardFacts(
        status=status,
        recipe=_hide(recipe, folders),
        digest=origin["digest"],
        funnel=tuple(figures.funnel(published.get("pass_rates"))),
        published_kept=published.get("kept"),
        datasets=tuple(found),
        split=_split(folder, found, recipe),
        images={path: _image_use(sample) for path, sample in rows.items()},
        questions=_ask(accepted),
        properties=measure_datasets(folder, kept, models_of(recipe)),
        models=tuple(list_models(recipe)),
        papers=tuple(find_papers(f"{recipe.get('description', '')} {published.get('source', '')}")),
        folders=tuple(folders),
    )


def _refuse_earlier(found: Sequence[Dataset], origin: RunOrigin) -> None:
    """Raises OutputError if a dataset is of an earlier run: the card would describe the last one."""
    for dataset in found:
        path = dataset.path
        # An export that has replaced it since has written fewer rows.
        if path in origin["kept"] and dataset.rows == origin["datasets"].get(path):
            raise OutputError(
                f"{path} is from an earlier run: the last run failed for some records and wrote fewer rows to "
                f"{origin['kept'][path]}. Correct what failed and run it again, or replace the dataset by that of the "
                "last run with `mminf run --force`"
            )


def local_folder(output: str | Path, datasets: str | Path | None) -> Path:
    """Returns the folder of a run's datasets.

    Raises:
        OutputError: if it is in a store, or not a folder.
    """
    folder = to_path(str(output if datasets is None else datasets))
    if is_remote(folder):
        raise OutputError(
            f"{folder} is in a store; write the datasets to a folder with `mminf export RECIPE --output {output} --to "
            "FOLDER`, and name it with --datasets FOLDER"
        )
    if not folder.is_dir():
        raise OutputError(f"{folder} is not a folder")
    return folder


def _split(folder: Path, datasets: Sequence[Dataset], recipe: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """Returns the settings of the split: those of the last export of a part, or of the recipe."""
    parts = [dataset.path for dataset in datasets if dataset.part is not None]
    if not parts:
        return None
    exported = read_exported(folder)
    return next((exported[path].split for path in parts if path in exported), recipe.get("split"))


def _image_use(rows: Sequence[Row]) -> ImageUse:
    local = [row.local_images for row in rows if row.local_images]
    return ImageUse(len(rows), sum(row.has_images for row in rows), len(local), local[0][0] if local else None)


def _ask(rows: Sequence[Row]) -> bool:
    texts = [text for row in rows if row.has_images for text in row.user]
    asking = sum(text.rstrip().endswith(("?", "？")) for text in texts)
    return 2 * asking >= len(texts) > 0


def _hide(value: Any, folders: Sequence[Path]) -> Any:
    """Returns JSON values without secrets, private servers and paths of this machine."""
    if isinstance(value, Mapping):
        return {key: _hide(item, folders) for key, item in value.items()}
    if isinstance(value, list):
        return [_hide(item, folders) for item in value]
    return hide_text(hide_values(value), folders) if isinstance(value, str) else value
