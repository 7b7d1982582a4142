"""Finds the datasets in a folder, and their files."""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from mminf.engine.output import Exported, read_exported
from mminf.output_names import part_path
from mminf.run_folder import RunOrigin, read_origin
from mminf.sink.placing import INDEX, MANIFEST, VECTORS, find_strangers, is_dataset, read_manifest

log = logging.getLogger("mminf")
LOADERS = {"jsonl": "json", "json": "json", "parquet": "parquet", "csv": "csv", "tar": "webdataset"}
"""Formats of datasets, each with the loader of the `datasets` library that reads it."""


@dataclass(frozen=True, slots=True)
class Dataset:
    """A dataset, or a part of one.

    Attributes:
        path: below the folder of the datasets, with slashes.
        format: one of `LOADERS`; None if its files are not rows.
        files: its files, below the folder of the datasets.
        rows: None if unknown.
        size: bytes of its files.
        whole: path of the dataset that this is a part of; else its own path.
        part: name of the part; None if the dataset is not divided.
        dropped_by: the step that dropped its records; None if they were accepted.
    """

    path: str
    format: str | None
    files: tuple[str, ...]
    rows: int | None
    size: int
    whole: str
    part: str | None
    dropped_by: str | None

    @property
    def is_folder(self) -> bool:
        """Whether its files are in a folder of their own."""
        return self.files != (self.path,)


class _Place(NamedTuple):
    """A path at which a dataset may be."""

    path: str
    whole: str
    part: str | None = None
    dropped_by: str | None = None
    rows: int | None = None


def find_datasets(output: Path, folder: Path, recipe: Mapping[str, Any]) -> list[Dataset]:
    """Returns the datasets of a run that are in a folder, in the order of the recipe; then the other exported ones.

    A dataset that was divided later is left out, because its parts have the same rows. So are parts that are older than
    their dataset, and those of an earlier split, and exports that are older than the outcomes of records.

    Args:
        output: output folder of the run.
        folder: folder of the datasets: the output folder, or one that `mminf export --to` has written.
        recipe: the run's recipe, as JSON values.
    """
    origin = read_origin(output)
    exported = read_exported(folder)
    own = {place.path for place in _in_recipe(recipe)} if folder == output else frozenset[str]()
    outdated = set(_outdated(exported, origin, own))
    noted = origin["datasets"] if folder == output else {}
    places = {path: place for path, place in _places(recipe, exported).items() if path not in outdated}
    order = list(dict.fromkeys(place.whole for place in places.values()))
    datasets = [
        _describe(folder, place, noted.get(place.path))
        for place in sorted(places.values(), key=lambda place: order.index(place.whole))
        if (folder / place.path).exists()
    ]
    old = set(_old_parts(folder, datasets, {path: found.split for path, found in exported.items()}))
    return _undivided([dataset for dataset in datasets if dataset.path not in old])


def _undivided(datasets: Sequence[Dataset]) -> list[Dataset]:
    """Returns the datasets without those whose parts are among them."""
    divided = {dataset.whole for dataset in datasets if dataset.part is not None}
    return [dataset for dataset in datasets if dataset.part is not None or dataset.path not in divided]


def find_copies(datasets: Iterable[Dataset], recipe: Mapping[str, Any]) -> list[str]:
    """Returns the paths of datasets that only an export has written: the records of the recipe's datasets again."""
    own = {place.path for place in _in_recipe(recipe)}
    return [dataset.path for dataset in datasets if dataset.whole not in own]


def _outdated(exported: Mapping[str, Exported], origin: RunOrigin, rewritten: Collection[str]) -> Iterator[str]:
    """Yields the exported datasets whose records have other outcomes than they were written from; warns of them.

    Args:
        rewritten: paths that runs write, so that an older export of them is gone.
    """
    for path, found in exported.items():
        if found.digest in (None, origin["outcomes"]):
            continue
        if path in rewritten and (found.at or 0.0) <= (origin["written_at"] or 0.0):
            continue
        log.warning(
            "left out: %s, which was exported before the last run; records have other outcomes now: `mminf export` "
            "writes it again",
            path,
        )
        yield path


def _places(recipe: Mapping[str, Any], exported: Mapping[str, Exported]) -> dict[str, _Place]:
    """Returns the places of datasets by path: those of the recipe, then those of exports."""
    places: dict[str, _Place] = {place.path: place for place in _in_recipe(recipe)}
    for path, found in exported.items():
        known = places.get(path)
        kept_beside = path.rpartition("/")[2].startswith("new-")
        if known is None and kept_beside:
            continue  # a smaller dataset, which did not replace the complete one
        dropped_by = known.dropped_by if known is not None else _dropped_by(places, found.whole)
        places[path] = _Place(path, found.whole or path, found.part, dropped_by, found.rows)
    return places


def _old_parts(folder: Path, datasets: list[Dataset], splits: Mapping[str, Any]) -> Iterator[str]:
    """Yields the parts that are older than their dataset, and those of an earlier split; warns of them.

    Args:
        splits: settings of the split that each exported part is of.
    """
    times = {dataset.path: (folder / dataset.path).stat().st_mtime for dataset in datasets}
    for whole in dict.fromkeys(dataset.whole for dataset in datasets if dataset.part is not None):
        parts = [dataset.path for dataset in datasets if dataset.whole == whole and dataset.part is not None]
        newest = max(parts, key=times.__getitem__)
        old = [path for path in parts if splits.get(path) != splits.get(newest)]
        if whole in times and min(times[path] for path in parts if path not in old) < times[whole]:
            old, why = parts, f"older than {whole}; `mminf export --split` divides it again"
        else:
            why = f"of an earlier split than {newest}; remove what you don't need"
        if old:
            log.warning("left out: %s, %s", ", ".join(old), why)
        yield from old


def _in_recipe(recipe: Mapping[str, Any]) -> Iterator[_Place]:
    """Yields the places of the recipe's datasets, whole and in parts."""
    parts = list((recipe.get("split") or {}).get("shares") or {})
    for sink in recipe.get("sinks") or []:
        for body in sink.values():
            path, dropped_by = str(body["path"]), body.get("dropped_by")
            for part in parts:
                yield _Place(part_path(Path(path), part).as_posix(), path, part, dropped_by)
            yield _Place(path, path, None, dropped_by)


def _dropped_by(places: Mapping[str, _Place], whole: str | None) -> str | None:
    place = places.get(whole) if whole is not None else None
    return None if place is None else place.dropped_by


def _describe(folder: Path, place: _Place, noted: int | None) -> Dataset:
    path = folder / place.path
    names = list(_files(path))
    kind = _format(path)
    manifest = read_manifest(path) if path.is_dir() else None
    # A run and an export may have written the file; each notes only its own rows.
    rows = manifest["rows"] if manifest is not None else count_rows(path, kind)
    if rows is None:
        rows = place.rows if place.rows is not None else noted
    return Dataset(
        place.path,
        kind,
        tuple(place.path if name is None else f"{place.path}/{name}" for name in names),
        rows,
        sum((path if name is None else path / name).stat().st_size for name in names),
        place.whole,
        place.part,
        place.dropped_by,
    )


def _files(path: Path) -> Iterator[str | None]:
    """Yields the names of the files of a dataset in its folder; None for a dataset of one file."""
    if not path.is_dir():
        yield None
    elif is_dataset(path):
        strangers = set(find_strangers(path))
        yield from sorted(file.name for file in path.iterdir() if file not in strangers)


def _format(path: Path) -> str | None:
    """Returns the format of a dataset, or None if it is not one of rows: vectors, figures."""
    if path.is_dir():
        vectors = (path / VECTORS).is_file() and (path / INDEX).is_file()
        endings = {file.suffix.lstrip(".") for file in path.iterdir() if file.name != MANIFEST and file.is_file()}
        known = sorted(endings & LOADERS.keys())
        return None if vectors or len(known) != 1 else known[0]
    ending = path.suffix.lstrip(".").lower()
    if ending == "json" and not _is_array(path):
        return None
    if ending in LOADERS:
        return ending
    return "jsonl" if _is_lines(path) else None


def _is_array(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(1) == b"["


def _is_lines(path: Path) -> bool:
    """Returns whether a file without a known ending begins with a line that is a JSON object."""
    with path.open("rb") as file:
        return file.read(1) == b"{" and file.readline().rstrip().endswith(b"}")


def count_rows(path: Path, kind: str | None) -> int | None:
    """Returns the number of rows of a file that mminf wrote; None if it is unknown."""
    if kind == "parquet":
        import pyarrow
        import pyarrow.parquet

        try:
            return int(pyarrow.parquet.read_metadata(path).num_rows)
        except (pyarrow.ArrowException, OSError):
            return None
    if kind not in ("json", "jsonl"):
        return None
    with path.open("rb") as file:
        lines = sum(chunk.count(b"\n") for chunk in iter(lambda: file.read(1 << 20), b""))
    return lines if kind == "jsonl" else max(0, lines - 2)
