"""Ten recipes with simulated engines: five that are bundled, and five that are drawn."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

from mminf import api
from mminf.recipe.model import Recipe

from ..conftest import ROOT, tiny_image
from ..recipes.test_call_counts import CASES
from . import simulated

BUNDLED = ["oasis", "caption_check-parts", "preference", "mmevol", "verifiable"]
DRAWN = [f"drawn-{number}" for number in range(5)]
NAMES = [*BUNDLED, *DRAWN]

LISTS = """
if "List" in text:
    return "\\n".join(f"{number}. Item {rng.randrange(10**6)}?" for number in range(1, rng.randint(1, 4) + 1))
return f"Text {rng.randrange(10**9)}."
"""


def write_recipe(name: str, folder: Path, records: int, seed: int = 0, **settings: Any) -> Recipe:
    """Writes a recipe and its input to a folder.

    Args:
        seed: of drawn recipes, of shares of good verdicts, and of the speeds of engines.
        settings: of all engines.
    """
    drawn = random.Random(f"{name} {seed}")
    engine = {
        "backend": simulated.NAME,
        "start": drawn.uniform(0.05, 1),
        "token": drawn.uniform(0.005, 0.05),
        "length": drawn.uniform(40, 250),
        "max_concurrency": drawn.choice([8, 16, 32, 64]),
        "share": drawn.uniform(0.5, 0.95),
        **settings,
    }
    own_seed = drawn.randrange(10**6)
    if name in BUNDLED:
        return _bundled(name, folder, records, engine, own_seed)
    engine["reply"] = LISTS
    rows = folder / "rows.jsonl"
    rows.write_text("".join(json.dumps({"id": f"r{n}", "text": f"Text {n}"}) + "\n" for n in range(records)))
    path = folder / "recipe.yaml"
    body = {
        "name": "drawn",
        "seed": own_seed,
        "engines": {"one": engine, "two": {**engine, "token": drawn.uniform(0.005, 0.05)}},
        "source": {"jsonl": "rows.jsonl"},
        "steps": draw_steps(drawn),
        "sinks": [{"jsonl": "out.jsonl"}],
    }
    path.write_text(json.dumps(body))
    return api.load(path)


def _bundled(name: str, folder: Path, records: int, engine: dict[str, Any], seed: int) -> Recipe:
    case = CASES[name]
    images = folder / "images"
    images.mkdir()
    rows = []
    for number in range(records):
        tiny_image(images / f"{number}.png", f"hsl({number % 360}, {50 + number // 360}%, 50%)", (8, 8))
        fields = json.loads(json.dumps(case.fields).replace("NAME", str(number)))
        rows.append({"id": str(number), "images": [f"images/{number}.png"], **fields})
    source = folder / "rows.jsonl"
    source.write_text("".join(json.dumps(row) + "\n" for row in rows))
    path = ROOT / "recipes" / f"{name.split('-')[0]}.yaml"
    engines = api.load(path).engines
    return api.load(
        path,
        input=source,
        seed=seed,
        overrides={f"engines.{key}": {**engine, "reply": case.reply} for key in engines},
    )


def draw_steps(drawn: random.Random) -> list[dict[str, Any]]:
    """Returns three to five groups of steps: calls, filters, lists, samples, comparisons and rounds."""
    steps: list[dict[str, Any]] = []
    kinds = [_filter, _items, _children, _samples, _compare, _rounds]
    for number, kind in enumerate(drawn.sample(kinds, drawn.randint(3, 5))):
        steps += kind(number, drawn.choice(["one", "two"]))
    return steps


def _generate(name: str, engine: str, prompt: str, **more: Any) -> dict[str, Any]:
    body = {"name": name, "engine": engine, "prompt": f"{prompt} {name}:", "sampling": {"temperature": 1}}
    return {"generate": {**body, "writes": name, **more}}


def _filter(n: int, engine: str) -> list[dict[str, Any]]:
    return [
        _generate(f"said{n}", engine, "Write about {{ text }}."),
        {"score": {"name": f"score{n}", "engine": engine, "prompt": f"Rate {{{{ said{n} }}}} Score:", "scale": [1, 5]}},
        {"keep": {"name": f"keep{n}", "expression": f"score{n} >= 3"}},
    ]


def _items(n: int, engine: str) -> list[dict[str, Any]]:
    each = {"field": f"list{n}", "item": f"item{n}"}
    extract = {"lines": f"list{n}", "item": f"item{n}", "count": [1, 8]}
    return [
        _generate(f"ask{n}", engine, "List things in {{ text }}.", extract=extract),
        _generate(f"answer{n}", engine, f"Answer {{{{ item{n} }}}}.", for_each=each),
        {"check": {"name": f"right{n}", "engine": engine, "for_each": each, "prompt": f"Right? {{{{ answer{n} }}}}"}},
        {"keep": {"name": f"kept{n}", "for_each": each, "expression": f"right{n}"}},
    ]


def _children(n: int, engine: str) -> list[dict[str, Any]]:
    return [
        _generate(f"parts{n}", engine, "List parts of {{ text }}.", extract={"lines": f"part{n}", "count": [1, 8]}),
        {"split": {"name": f"split{n}", "reads": f"part{n}", "writes": "text"}},
    ]


def _samples(n: int, engine: str) -> list[dict[str, Any]]:
    return [
        _generate(f"try{n}", engine, "Try {{ text }}.", n=4, into=f"tries{n}"),
        {
            "score": {
                "name": f"rate{n}",
                "for_each": f"tries{n}",
                "engine": engine,
                "prompt": f"Rate {{{{ try{n} }}}} Score:",
                "scale": [1, 5],
            }
        },
        {"choose": {"name": f"best{n}", "reads": f"tries{n}", "highest": f"rate{n}", "writes": [f"try{n}"]}},
    ]


def _compare(n: int, engine: str) -> list[dict[str, Any]]:
    return [
        _generate(f"first{n}", engine, "Say {{ text }}."),
        _generate(f"second{n}", engine, "Say again {{ text }}."),
        {
            "compare": {
                "name": f"better{n}",
                "engine": engine,
                "reads": [f"first{n}", f"second{n}"],
                "prompt": "A: {{ a }} B: {{ b }}",
                "writes": f"better{n}",
            }
        },
    ]


def _rounds(n: int, engine: str) -> list[dict[str, Any]]:
    steps = [
        _generate(f"draft{n}", engine, "Draft {{ text }}."),
        {"check": {"name": f"done{n}", "engine": engine, "prompt": f"Done? {{{{ draft{n} }}}}"}},
    ]
    return [{"repeat": {"name": f"rounds{n}", "times": 3, "until": f"done{n}", "steps": steps}}]
