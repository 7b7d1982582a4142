"""Writes the text of a card, and the recipe with all of its settings."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

import yaml
from jinja2 import Environment, StrictUndefined

from mminf.card.collect import CardFacts
from mminf.card.datasets import Dataset
from mminf.card.header import CardOptions, Subset, list_subsets, make_header
from mminf.card.hide import hide_text
from mminf.output_names import RESOLVED
from mminf.page.figures import steps_of
from mminf.page.properties import image_lines, languages_of, text_lines
from mminf.properties import Properties

REPOSITORY = "OWNER/NAME"
"""Stands for the name of the repository in a card that was not written for one."""
_SAMPLING = ("temperature", "top_p", "top_k", "min_p", "repetition_penalty", "frequency_penalty", "presence_penalty",
             "max_tokens", "min_tokens")  # fmt: skip
_UNITS = ("B", "KB", "MB", "GB", "TB")
_CHATS = frozenset({"swift", "llava"})


@dataclass(frozen=True, slots=True)
class Place:
    """Where a card is read.

    Attributes:
        repository: name of its repository.
        download: command that downloads the repository to a folder `data`.
        embedded: whether the datasets contain their images.
        modelscope: whether it is on ModelScope.
    """

    repository: str = REPOSITORY
    download: str = f"hf download {REPOSITORY} --repo-type dataset --local-dir data"
    embedded: bool = False
    modelscope: bool = False

    def loads(self, subset: Subset, split: str, pattern: str) -> str:
        """Returns the Python expression that loads a part of a dataset."""
        if not subset.listed:
            return f'load_dataset("{subset.loader}", data_files="data/{pattern}", split="train")'
        name = "" if subset.name == "default" else f'"{subset.name}"'
        if self.modelscope:
            named = f"subset_name={name}, " if name else ""
            return f'MsDataset.load("{self.repository}", {named}split="{split}")'
        return f'load_dataset("{self.repository}", {name}{", " if name else ""}split="{split}")'


def render_card(
    facts: CardFacts, options: CardOptions, place: Place | None = None, datasets: Sequence[Dataset] | None = None
) -> str:
    """Returns the text of a card, without the mark of `mminf.card.write`.

    Args:
        datasets: the files of the repository, if they are not those in the folder of the datasets.
    """
    place, datasets = place or Place(), facts.datasets if datasets is None else datasets
    subsets = list_subsets(datasets)
    examples = [use.example for use in facts.images.values() if use.example is not None and not place.embedded]
    # The texts go into Markdown, whose HTML the hubs clean.
    environment = Environment(undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)  # noqa: S701
    environment.filters |= {
        "cell": _cell, "number": _number, "percent": _percent, "bytes": format_size, "decimal": lambda x: f"{x:,.1f}",
    }  # fmt: skip
    template = environment.from_string((files("mminf.card") / "card.md.jinja").read_text(encoding="utf-8"))
    text = template.render(
        **_run_values(facts),
        header=make_header(facts, datasets, options).to_yaml(),
        title=options.pretty_name or str(facts.recipe.get("name")),
        rows=facts.rows,
        datasets=datasets,
        contents={dataset.path: _content(dataset, facts.recipe) for dataset in datasets},
        split=facts.split,
        loads=list(_loads(subsets, place)),
        modelscope=place.modelscope,
        unlisted=[subset for subset in subsets if not subset.listed],
        download=place.download,
        swift=_swift(datasets, facts.recipe),
        local_images=bool(examples),
        relative_images=bool(examples) and not any(Path(example).is_absolute() for example in examples),
        license=options.license,
        resolved=RESOLVED,
    )
    return re.sub(r"\n{3,}", "\n\n", hide_text(text, facts.folders)).strip() + "\n"


def _run_values(facts: CardFacts) -> dict[str, Any]:
    done, judged = facts.status["done"], facts.status["done"] + facts.status["dropped"]
    return {
        "recipe": facts.recipe,
        "digest": facts.digest,
        "status": facts.status,
        "finished": facts.is_finished,
        "total": facts.total,
        "kept": done / judged if judged and not facts.status["waiting"] else None,
        "children": facts.status["total"] is not None and facts.total > facts.status["total"],
        "funnel": facts.funnel,
        "published": any(step.published is not None for step in facts.funnel),
        "published_kept": facts.published_kept,
        "published_source": (facts.recipe.get("published") or {}).get("source", ""),
        "properties": [_properties(found) for found in facts.properties],
        "models": facts.models,
        "versions": ", ".join(f"{name} {version}" for name, version in facts.status["versions"].items()),
        "sampling": list(_sampling(facts.recipe)),
        "has_images": facts.has_images,
        "papers": facts.papers,
        "bibtex": "\n\n".join(paper.bibtex for paper in facts.papers if paper.bibtex is not None),
    }


def _properties(found: Properties) -> dict[str, Any]:
    """Returns what a card says about the rows of a dataset."""
    return {
        "path": found.path,
        "rows": found.rows,
        "sample": found.sample,
        "texts": list(text_lines(found)),
        "languages": list(languages_of(found.instructions if found.instructions.texts else found.responses)),
        "images": list(image_lines(found)) if found.images.per_row.most else [],
        "verbs": found.verbs,
    }


def _loads(subsets: Sequence[Subset], place: Place) -> Iterator[tuple[str, str]]:
    """Yields a name and an expression for each part of each dataset."""
    for subset in subsets:
        end = re.sub(r"\W", "_", f"_{subset.name}") if len(subsets) > 1 else ""
        for split, pattern in subset.splits:
            yield f"{split}{end}", place.loads(subset, split, pattern)


def _swift(datasets: Sequence[Dataset], recipe: Mapping[str, Any]) -> dict[str, str] | None:
    """Returns the files that ms-swift trains on: those of the first dataset of conversations."""
    chats = {body["path"] for sink in recipe.get("sinks") or [] for kind, body in sink.items() if kind in _CHATS}
    chosen = [dataset for dataset in datasets if dataset.whole in chats and dataset.rows != 0]
    parts = {dataset.part: dataset for dataset in chosen if dataset.whole == chosen[0].whole}
    train = parts.get("train") or parts.get(None)
    if train is None or train.format not in ("jsonl", "json", "parquet"):
        return None
    validation = parts.get("validation")
    return {"train": _path(train), "validation": _path(validation) if validation is not None else ""}


def _path(dataset: Dataset) -> str:
    return f"data/{dataset.path}/*.{dataset.format}" if dataset.is_folder else f"data/{dataset.path}"


def _content(dataset: Dataset, recipe: Mapping[str, Any]) -> str:
    kinds = {body["path"]: kind for sink in recipe.get("sinks") or [] for kind, body in sink.items()}
    kind = {"swift": "conversations, as ms-swift reads them", "llava": "conversations, in LLaVA's format"}.get(
        kinds.get(dataset.whole, ""), "records" if dataset.format is not None else "vectors or figures"
    )
    return kind if dataset.dropped_by is None else f"records that the step {dataset.dropped_by} dropped"


def _sampling(recipe: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yields the sampling settings of each step that calls a model."""
    for _, step in steps_of(recipe):
        sampling = step.get("sampling")
        if isinstance(sampling, Mapping) and step.get("engine") is not None:
            given = [(key, sampling.get(key)) for key in _SAMPLING]
            shown = [f"{key} {value}" for key, value in given if value is not None and (value or key == "temperature")]
            yield str(step["name"]), ", ".join([*shown, *([f"{step['n']} samples"] if step.get("n", 1) != 1 else [])])


def resolve_recipe(facts: CardFacts) -> str:
    """Returns the text of `recipe.resolved.yaml`."""
    recipe = {name: value for name, value in facts.recipe.items() if value not in (None, [], {}, "")}
    comment = [
        f"# The recipe {facts.recipe.get('name')!r} with its profile, its settings and all defaults, and the texts of",
        "# its prompts, as the run used them. It is a record of the run, and can't be run itself.",
        "# Secrets, private servers and the folders of local paths are left out.",
    ]
    text = yaml.dump(recipe, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=110)
    return "\n".join([*comment, hide_text(text, facts.folders)])


class _Dumper(yaml.SafeDumper):
    """Writes texts of several lines as blocks, and repeats values instead of naming them."""

    def ignore_aliases(self, data: object) -> bool:
        return True


def _represent_text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    # A block can't have lines that end with a space.
    block = "\n" in text and not re.search(r"[ \t]\n|[ \t]\Z", text)
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style="|" if block else None)


_Dumper.add_representer(str, _represent_text)


def _cell(value: object) -> str:
    """Returns a value as text for a table: on one line, without marks that end a cell or begin a tag."""
    text = " ".join(str(value).split())
    return text.replace("\\", "\\\\").replace("|", "\\|").replace("<", "&lt;")


def _number(value: int | None) -> str:
    return "unknown" if value is None else f"{value:,}"


def _percent(share: float | None) -> str:
    return "–" if share is None else f"{100 * share:.1f} %"


def format_size(size: float) -> str:
    """Returns a number of bytes as text."""
    for unit in _UNITS[:-1]:
        if size < 1000:
            return f"{size:,.0f} {unit}" if unit == "B" else f"{size:,.1f} {unit}"
        size /= 1000
    return f"{size:,.1f} {_UNITS[-1]}"
