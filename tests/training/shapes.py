"""Every shape of row that the sinks write, and the command of ms-swift that trains on it."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

import mminf

from ..conftest import ROOT, tiny_image

ROWS = 4
"""Rows per dataset: two steps with a batch of two."""
SIZE = 56
"""Width and height of the images, which are four image tokens each."""
DPO = ("--rlhf_type", "dpo")
GRPO = ("--rlhf_type", "grpo", "--num_generations", "2", "--max_completion_length", "4", "--top_k", "20")
GRPO += ("--use_vllm", "false")
FIELDS = '{"instruction": "query"}'


@dataclass(frozen=True)
class Shape:
    """A shape of row.

    Attributes:
        sink: the sink that writes it, as in a recipe.
        fields: fields of a record, by its number.
        images: number of images of a record.
        main: function of ms-swift: `sft`, `pt` or `rlhf`.
        arguments: arguments of the command, in addition to those of every case.
        answers: texts of a record that get a loss.
        why_not: why training on it is not what the rows are for; None if it is.
    """

    name: str
    sink: dict[str, Any]
    fields: Callable[[int], dict[str, Any]]
    images: int = 0
    main: str = "sft"
    arguments: tuple[str, ...] = ()
    answers: Callable[[int], list[str]] = lambda n: [f"A{n}."]
    why_not: str | None = None


def pair(n: int) -> dict[str, Any]:
    return {"instruction": f"Q{n}?", "response": f"A{n}."}


def turns(n: int) -> dict[str, Any]:
    return {"turns": [pair(n), {"instruction": "Why?", "response": f"Because {n}."}]}


def both_turns(n: int) -> list[str]:
    return [f"A{n}.Because {n}."]


def messages(n: int) -> dict[str, Any]:
    said = [("system", "Be kind."), ("user", f"<image>Q{n}?"), ("assistant", f"A{n}."), ("user", "Why?")]
    chat = [{"role": role, "content": text} for role, text in [*said, ("assistant", f"Because {n}.")]]
    return {"messages": chat, "tags": ["a", "b"], "note": {"rating": n}}


def swift(**settings: Any) -> dict[str, Any]:
    return {"swift": {"path": "rows.jsonl", **settings}}


def llava(**settings: Any) -> dict[str, Any]:
    return {"llava": {"path": "rows.json", **settings}}


def shipped(recipe: str) -> dict[str, Any]:
    """Returns the first sink of a shipped recipe."""
    found: dict[str, Any] = yaml.safe_load((ROOT / "recipes" / f"{recipe}.yaml").read_text())["sinks"][0]
    return found


COLUMNS = {"columns": ["rating", "evolutions"], "optional": ["false_parts"]}
PREFERENCE, VERIFIABLE = shipped("preference"), shipped("verifiable")


def columns(n: int) -> dict[str, Any]:
    """Returns a record with columns of other types than text, and one that only some rows have."""
    more = {"false_parts": [{"part": "It flies.", "holds": False}]} if n % 2 else {}
    return {**pair(n), "rating": 7, "evolutions": ["format", "breadth"], **more}


def thought(n: int) -> dict[str, Any]:
    return {**pair(n), "response": f"<think>\nI count.\n</think>\n\nA{n}."}


def preference(n: int) -> dict[str, Any]:
    return {**pair(n), "rejected": f"Bad {n}.", "best_score": 9, "worst_score": 2}


def pair_answers(n: int) -> list[str]:
    return [f"A{n}.", f"Bad {n}."]


def verifiable(n: int) -> dict[str, Any]:
    return {"instruction": f"Q{n}?", "solution": str(n), "kind": "number", "agreement": 0.875}


UNICORN = (
    "rows of Unicorn have an <image> tag and no image: the image is a vector in the embeddings next to them, which ms-swift "
    "does not read; it trains on the tag as text"
)
SEVERAL = {"swift": {"path": "rows", "rows_per_file": 3}}
NO_IMAGE = llava(placeholders=1)
NO_IMAGES = llava(turns="turns", placeholders=1)
NO_ANSWER: Callable[[int], list[str]] = lambda n: []  # noqa: E731

SHAPES = (
    Shape("image", swift(**COLUMNS), columns, 1),
    Shape("documented", swift(), pair, 1),
    Shape("images", swift(), lambda n: {**pair(n), "instruction": f"<image>Q{n} <image>?"}, 2),
    Shape("text", swift(), pair),
    Shape("files", SEVERAL, pair, 1),
    Shape("turns_image", swift(turns="turns"), turns, 1, answers=both_turns),
    Shape("turns_text", swift(turns="turns"), turns, answers=both_turns),
    Shape("system", swift(system="system"), lambda n: {**pair(n), "system": "Be kind."}, 1),
    Shape("thinking", swift(), thought, 1, answers=lambda n: [thought(n)["response"]]),
    Shape("unchanged", swift(), messages, 1, answers=both_turns),
    Shape("llava_image", llava(), pair, 1),
    Shape("llava_images", llava(), pair, 2),
    Shape("llava_turns", llava(turns="turns"), turns, 1, answers=both_turns),
    Shape("jsonl", {"jsonl": {"path": "rows.jsonl"}}, pair, 1, arguments=("--columns", FIELDS)),
    Shape("parquet", {"parquet": {"path": "rows.parquet"}}, pair, 1, arguments=("--columns", FIELDS)),
    Shape(
        "parquet_embedded",
        {"parquet": {"path": "rows.parquet", "embed_images": True}},
        pair,
        1,
        arguments=("--columns", FIELDS),
    ),
    Shape("pretraining", swift(), pair, 1, main="pt", answers=lambda n: [f"Q{n}?A{n}."]),
    Shape("unicorn", NO_IMAGE, pair, why_not=UNICORN),
    Shape("unicorn_turns", NO_IMAGES, turns, answers=both_turns, why_not=UNICORN),
    Shape("preference_image", PREFERENCE, preference, 1, "rlhf", DPO, pair_answers),
    Shape("preference_images", PREFERENCE, preference, 2, "rlhf", DPO, pair_answers),
    Shape("preference_text", PREFERENCE, preference, 0, "rlhf", DPO, pair_answers),
    Shape("verifiable_image", VERIFIABLE, verifiable, 1, "rlhf", GRPO, NO_ANSWER),
    Shape("verifiable_text", VERIFIABLE, verifiable, 0, "rlhf", GRPO, NO_ANSWER),
)


def kind(sink: Any) -> tuple[str, ...]:
    """Returns the settings of a sink that change the shape of its rows, after its name."""
    ((name, settings),) = sink.items()
    given = settings if isinstance(settings, dict) else {}
    shaping = ("turns", "placeholders", "system", "rejected")
    ends_with_user = ["assistant"] if given.get("assistant", "") is None else []
    return (name, *(key for key in shaping if given.get(key)), *ends_with_user)


def write_dataset(shape: Shape, folder: Path) -> list[Path]:
    """Writes a dataset with a shape's sink; returns its files."""
    folder.mkdir(parents=True)
    for n in range(2):
        tiny_image(folder / f"{n}.png", "red" if n else "blue", (SIZE, SIZE))
    images = [f"{n}.png" for n in range(shape.images)]
    rows = [{"id": str(n), **({"images": images} if images else {}), **shape.fields(n)} for n in range(ROWS)]
    (folder / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    recipe = folder / "recipe.yaml"
    recipe.write_text(
        yaml.safe_dump({"name": "r", "source": {"jsonl": "rows.jsonl"}, "steps": [], "sinks": [shape.sink]})
    )
    (written,) = mminf.run(recipe, output=folder / "out").written
    assert (written.rows, written.left_out) == (ROWS, 0), written
    (settings,) = shape.sink.values()
    path = folder / "out" / settings["path"]
    return sorted(path.glob("*.jsonl")) if path.is_dir() else [path]
