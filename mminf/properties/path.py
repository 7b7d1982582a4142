"""Measures what a path names: a file, a folder of files, or the datasets of a run."""

from __future__ import annotations

import os
from pathlib import Path

from mminf.errors import SourceError
from mminf.properties.costly import SAMPLE
from mminf.properties.figures import PathProperties, Properties, Skipped
from mminf.properties.measure import measure
from mminf.properties.reader import Dataset
from mminf.properties.tokenizer import find_tokenizer, load_tokenizer
from mminf.properties.verbs import MODEL
from mminf.run_folder import run_datasets
from mminf.storage import reaching, to_path


def measure_path(
    path: str | os.PathLike[str],
    *,
    exact: bool = False,
    tokenizer: str | None = None,
    image_root: str | os.PathLike[str] | None = None,
    spacy_model: str = MODEL,
    sample: int = SAMPLE,
    few: int | None = None,
) -> PathProperties:
    """Returns the properties of a dataset, or of each dataset of a run.

    Args:
        path: a file, a folder with the files of a dataset, or the output folder of a run.
        exact: measure the costly figures for all rows, not for a sample.
        tokenizer: as for `load_tokenizer`; by default that of the first model of the run that has one here.
        image_root: folder that relative image paths start from; by default the dataset's folder.
        spacy_model: spaCy's model for root verbs.
        sample: number of rows for the costly figures.
        few: a smaller number of rows for them if there are more rows than that.

    Raises:
        SourceError: if there is no conversation to measure.
        UsageError: if the tokenizer is not on this machine.
    """
    given = to_path(path)
    root = None if image_root is None else to_path(image_root)
    with reaching(given):
        run = run_datasets(given)
    counter = load_tokenizer(tokenizer) if tokenizer is not None else find_tokenizer(run["models"] if run else ())

    def measured(dataset: Dataset) -> Properties:
        return measure(
            dataset,
            path=str(dataset.path),
            folder=dataset.folder if root is None else root,
            tokenizer=counter,
            parser=spacy_model,
            exact=exact,
            sample=sample,
            few=few,
        )

    if run is None:
        return PathProperties(str(given), (measured(_open(given)),))
    datasets, skipped = _open_all(run["paths"])
    if not datasets:
        raise SourceError(f"{given}: no dataset of the run has conversations: {_list(skipped)}")
    return PathProperties(str(given), tuple(measured(dataset) for dataset in datasets), tuple(skipped))


def _open(path: Path) -> Dataset:
    """Returns a dataset whose first rows were checked. Raises SourceError."""
    with reaching(path):
        dataset = Dataset(path)
        dataset.check()
        return dataset


def _open_all(paths: list[Path]) -> tuple[list[Dataset], list[Skipped]]:
    """Returns the datasets of a run that contain conversations, and the others."""
    datasets: list[Dataset] = []
    skipped: list[Skipped] = []
    for path in paths:
        if not path.exists():
            skipped.append(
                Skipped(str(path), "is not written yet; `mminf export` writes the datasets of a stopped run")
            )
            continue
        try:
            datasets.append(_open(path))
        except SourceError as error:
            skipped.append(Skipped(str(path), str(error).removeprefix(f"{path}").lstrip(": ")))
    return datasets, skipped


def _list(skipped: list[Skipped]) -> str:
    return "; ".join(f"{Path(item.path).name}: {item.reason}" for item in skipped[:3])
