"""The YAML header of a card, in the format of Hugging Face's dataset cards."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any

from mminf.card.collect import CardFacts
from mminf.card.datasets import LOADERS, Dataset
from mminf.card.properties import common_languages, count_languages

if TYPE_CHECKING:
    from huggingface_hub import DatasetCardData

_SIZES = ((10**3, "n<1K"), (10**4, "1K<n<10K"), (10**5, "10K<n<100K"), (10**6, "100K<n<1M"), (10**7, "1M<n<10M"),
          (10**8, "10M<n<100M"), (10**9, "100M<n<1B"), (10**10, "1B<n<10B"), (10**11, "10B<n<100B"),
          (10**12, "100B<n<1T"))  # fmt: skip
_LARGEST = "n>1T"
_LICENCE = re.compile(r"[a-z0-9][a-z0-9.+-]*")
_LANGUAGE = re.compile(r"[a-z]{2,3}(?:-[A-Za-z0-9]+)*|multilingual|code")
_ODD = re.compile(r"[<>:/\\|?*\s]+")
ONLY_PART = "train"
"""Name of the split of a dataset that is not divided."""


@dataclass(frozen=True, slots=True)
class CardOptions:
    """What a run does not know about its datasets.

    Attributes:
        license: id of the licence of the datasets, as hubs name it, such as `cc-by-4.0`.
        languages: codes of languages; by default those of the rows.
    """

    license: str | None = None
    languages: tuple[str, ...] = ()
    pretty_name: str | None = None

    def over(self, other: CardOptions) -> CardOptions:
        """Returns these options, and those of another card where these are not given."""
        return CardOptions(
            self.license or other.license,
            self.languages or other.languages,
            self.pretty_name or other.pretty_name,
        )


@dataclass(frozen=True, slots=True)
class Subset:
    """A dataset with all its parts, as a hub lists it.

    Attributes:
        name: `default` if it is the only one that is listed.
        loader: loader of the `datasets` library.
        splits: name and pattern of the files of each part that has rows.
        listed: whether the header lists it. The `datasets` library reads all listed ones with one loader, that of the
            first, and takes only files with the ending of a format.
    """

    name: str
    loader: str
    splits: tuple[tuple[str, str], ...]
    listed: bool


def list_subsets(datasets: Sequence[Dataset]) -> list[Subset]:
    """Returns the datasets that the `datasets` library can load, with their parts."""
    wholes: dict[str, list[Dataset]] = {}
    for dataset in datasets:
        if dataset.format is not None and dataset.rows != 0:
            wholes.setdefault(dataset.whole, []).append(dataset)
    loaders = {whole: LOADERS[parts[0].format or "jsonl"] for whole, parts in wholes.items()}
    listed = _listed(wholes, loaders)
    return [
        Subset(
            "default" if [whole] == listed else _name(whole, list(wholes)),
            loaders[whole],
            tuple((part.part or ONLY_PART, pattern_of(part)) for part in parts),
            whole in listed,
        )
        for whole, parts in wholes.items()
    ]


def _listed(wholes: Mapping[str, Sequence[Dataset]], loaders: Mapping[str, str]) -> list[str]:
    """Returns the datasets that the header lists: those with the loader of the first one whose files have an ending."""
    named = [whole for whole, parts in wholes.items() if all(map(_has_ending, parts))]
    return [whole for whole in named if loaders[whole] == loaders[named[0]]]


def _has_ending(dataset: Dataset) -> bool:
    return pattern_of(dataset).endswith(f".{dataset.format}")


def pattern_of(dataset: Dataset) -> str:
    """Returns the path of a dataset, or the pattern of its files."""
    return f"{dataset.path}/*.{dataset.format}" if dataset.is_folder else dataset.path


def _name(whole: str, wholes: Sequence[str]) -> str:
    """Returns the name of a dataset: its path without the ending, unless another dataset has the same."""

    def short(path: str) -> str:
        return str(PurePosixPath(path).with_suffix("")) if PurePosixPath(path).suffix[1:] in LOADERS else path

    alone = [short(path) for path in wholes].count(short(whole)) == 1
    return _ODD.sub("-", short(whole) if alone else whole)


def make_header(facts: CardFacts, datasets: Sequence[Dataset], options: CardOptions) -> DatasetCardData:
    """Returns the header.

    Args:
        datasets: those that the card lists.
    """
    from huggingface_hub import DatasetCardData

    languages = list(options.languages) or common_languages(count_languages(facts.properties))
    fields: dict[str, Any] = {
        "pretty_name": options.pretty_name or str(facts.recipe.get("name")),
        "license": options.license,
        "language": languages or None,
        "size_categories": [size_category(facts.rows)],
        "task_categories": list(_tasks(facts)) or None,
        "tags": list(dict.fromkeys(["synthetic", "mminf", str(facts.recipe.get("name"))])),
        "configs": list_configs(datasets) or None,
    }
    return DatasetCardData(**{key: value for key, value in fields.items() if value is not None})


def list_configs(datasets: Sequence[Dataset]) -> list[dict[str, Any]]:
    """Returns the `configs` of a header: the files of each dataset and part. The first dataset is the default."""
    listed = [subset for subset in list_subsets(datasets) if subset.listed]
    return [_config(subset, number) for number, subset in enumerate(listed)]


def _config(subset: Subset, number: int) -> dict[str, Any]:
    files = [{"split": split, "path": pattern} for split, pattern in subset.splits]
    return {"config_name": subset.name, "data_files": files, **({"default": True} if number == 0 else {})}


def _tasks(facts: CardFacts) -> Iterator[str]:
    uses = [use for use in facts.images.values() if use.rows]
    if facts.has_images:
        yield "image-text-to-text"
    if facts.has_images and facts.questions:
        yield "visual-question-answering"
    if any(not use.with_images for use in uses):
        yield "text-generation"


def size_category(rows: int) -> str:
    """Returns the hub's category for a number of rows."""
    return next((name for least, name in _SIZES if rows < least), _LARGEST)


def check_header(card: str, files: Sequence[str]) -> list[str]:
    """Returns what is wrong or missing in the header of a card.

    A hub checks more, such as its list of licences, when the card is uploaded.

    Args:
        files: files of the repository.
    """
    from huggingface_hub import DatasetCard

    try:
        data = DatasetCard(card).data.to_dict() if card.lstrip().startswith("---") else {}
    except Exception as error:  # the library raises the errors of YAML and its own
        return [f"the header of the card can't be read: {type(error).__name__}: {error}"]
    if not data:
        return ["the card has no YAML header"]
    return [*_check_licence(data.get("license")), *_check_languages(data.get("language")), *_check_files(data, files)]


def _check_licence(licence: object) -> Iterator[str]:
    if not licence:
        yield "the card states no licence; give one with `mminf card --license ID`, such as cc-by-4.0"
    for name in licence if isinstance(licence, list) else [licence] if licence else []:
        if not isinstance(name, str) or not _LICENCE.fullmatch(name):
            yield f"license: {name!r} is not an id of a licence, such as apache-2.0 or cc-by-4.0"


def _check_languages(languages: object) -> Iterator[str]:
    for code in languages if isinstance(languages, list) else [languages] if languages else []:
        if not isinstance(code, str) or not _LANGUAGE.fullmatch(code):
            yield f"language: {code!r} is not a code of two or three letters, such as en"


def _check_files(data: dict[str, Any], files: Sequence[str]) -> Iterator[str]:
    configs = data.get("configs")
    if not configs:
        yield "the card lists no data files (`configs`)"
    for config in configs if isinstance(configs, list) else []:
        listed = config.get("data_files") if isinstance(config, dict) else None
        for pattern in _patterns(listed):
            if not any(fnmatchcase(file, pattern) for file in files):
                yield f"configs: no file {pattern!r}"


def _patterns(listed: object) -> Iterator[str]:
    """Yields the paths of `data_files`: a path, a list of paths, or a list of splits with a path or several."""
    for item in listed if isinstance(listed, list) else [listed]:
        path = item.get("path") if isinstance(item, dict) else item
        yield from (pattern for pattern in (path if isinstance(path, list) else [path]) if isinstance(pattern, str))
