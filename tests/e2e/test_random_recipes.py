"""Random recipes: an outcome must not depend on what is loaded, how many go at once, or where a run was stopped."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path

import pytest

from mminf import api
from mminf.journal.memo import Memo

from ..engine.models import outcomes, run


def draw(rng: random.Random) -> str:
    """Returns the steps of a recipe over records with `n` and `parts`."""
    steps, texts, scores, splits = [], ["n"], [], 0
    for number in range(rng.randint(4, 9)):
        engine, read = rng.choice("abc"), rng.choice(texts)
        when = f', when: "n % {rng.randint(2, 4)} != 1"' if rng.random() < 0.2 else ""
        shown = f"{{% if {read} is defined %}}{{{{ {read} }}}}{{% endif %}}"
        kind = rng.choice(["generate", "score", "score", "keep", "split", "fail"])
        if kind == "keep" and scores:
            chosen = rng.sample(scores, rng.randint(1, min(3, len(scores))))
            parts = " and ".join(f"{name} | default(5) >= 2" for name in chosen)
            steps.append(f'keep: {{name: s{number}, expression: "{parts}"{when}}}')
        elif kind == "split" and not splits:
            splits += 1
            steps.append(f"split: {{name: s{number}, reads: parts, writes: n}}")
        elif kind == "score":
            steps.append(
                f'score: {{name: c{number}, engine: {engine}, prompt: "rate{number} {{{{ n }}}} {shown}"{when}}}'
            )
            scores.append(f"c{number}")
        elif kind in ("generate", "fail"):
            bad = f"{{% if n % 7 == {rng.randint(0, 6)} %}}fail{{% endif %}} " if kind == "fail" else ""
            prompt = f"{bad}do{number} {{{{ n }}}} {shown}"
            steps.append(
                f'generate: {{name: g{number}, engine: {engine}, prompt: "{prompt}", writes: g{number}{when}}}'
            )
            texts.append(f"g{number}")
    return "".join(f"  - {step}\n" for step in steps) or "  - set: {x: '1'}\n"


@pytest.mark.parametrize("seed", range(12))
def test_outcomes_depend_on_the_records_alone(
    seed: int,
    write_recipe: Callable[..., Path],
    rows: Callable[..., Path],
    models: str,
    tmp_path: Path,
) -> None:
    rng = random.Random(seed)
    rows(*({"id": f"{n:03}", "n": n, "parts": [n * 10 + part for part in range(n % 4)]} for n in range(40)))
    recipe = write_recipe(f"{models}source: {{jsonl: rows.jsonl}}\nsteps:\n{draw(rng)}sinks: [{{jsonl: out.jsonl}}]\n")
    run(recipe, tmp_path / "plain")
    expected, written = outcomes(tmp_path / "plain"), (tmp_path / "plain" / "out.jsonl").read_bytes()
    for number, limit in enumerate((1, 2, None)):
        output = tmp_path / f"other{number}"
        settings = {"max_loaded_engines": limit, "window": rng.choice((1, 3, 64))}
        stop(recipe, output, settings, after=rng.randint(1, 60))
        run(recipe, output, **settings)
        assert outcomes(output) == expected
        assert (output / "out.jsonl").read_bytes() == written


def stop(recipe: Path, output: Path, settings: dict[str, object], after: int) -> None:
    """Runs a recipe and drains it after so many calls."""
    made = api.prepare(api.load(recipe, overrides=settings), output=output)
    remember, calls = Memo.add, 0

    async def count(self: Memo, call: object) -> None:
        nonlocal calls
        await remember(self, call)  # type: ignore[arg-type]
        calls += 1
        if calls == after:
            made.session.drain()

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Memo, "add", count)
        api.execute(made)
