"""Which models are loaded when, what is not asked any more, and when a run has enough."""

from __future__ import annotations

from pathlib import Path

import pytest

from mminf import api
from mminf.journal.memo import Memo

from ..conftest import ROOT, read_rows
from .models import SHAPE, Recipe, calls, loads, outcomes, run, states


@pytest.mark.parametrize(("third", "order"), [("a", "aba"), ("c", "abc")])
def test_models_that_do_not_fit_are_loaded_three_times_in_all(
    write_recipe: Recipe, rows: Recipe, models: str, calls_log: Path, tmp_path: Path, third: str, order: str
) -> None:
    rows(*({"id": str(n), "n": n} for n in range(400)))
    recipe = write_recipe(models + SHAPE.replace("THIRD", third))
    swapped = run(recipe, tmp_path / "swapped", max_loaded_engines=1)
    assert loads(calls_log) == order
    first = sorted(calls(calls_log))
    assert len(set(first)) == len(first), "no call is made twice"
    calls_log.write_text("")
    beside = run(recipe, tmp_path / "beside")
    assert sorted(loads(calls_log)) == sorted(set(order))
    assert sorted(calls(calls_log)) == first, "what is asked does not depend on what is loaded"
    assert outcomes(tmp_path / "swapped") == outcomes(tmp_path / "beside")
    for name in ("out.jsonl", "dropped.jsonl"):
        assert (tmp_path / "swapped" / name).read_bytes() == (tmp_path / "beside" / name).read_bytes()
    assert read_rows(tmp_path / "beside" / "out.jsonl")
    for name, step in beside.session.stats.steps.items():
        other = swapped.session.stats.steps[name]
        assert (other.done, other.dropped, other.failed) == (step.done, step.dropped, step.failed), name
    assert swapped.session.stats.settled == beside.session.stats.settled == 400


def test_a_model_that_can_be_suspended_is_loaded_once(
    write_recipe: Recipe, rows: Recipe, models: str, calls_log: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from mminf.backend.scripted import ScriptedBackend

    done: list[str] = []

    async def suspend(self: ScriptedBackend) -> bool:
        done.append("suspend")
        return True

    async def resume(self: ScriptedBackend) -> None:
        done.append("resume")

    async def close(self: ScriptedBackend) -> None:
        done.append("close")

    rows(*({"id": str(n), "n": n} for n in range(40)))
    recipe = write_recipe(models + SHAPE.replace("THIRD", "a"))
    run(recipe, tmp_path / "plain", max_loaded_engines=1)
    calls_log.write_text("")
    for method in (suspend, resume, close):
        monkeypatch.setattr(ScriptedBackend, method.__name__, method)
    made = run(recipe, tmp_path / "suspended", max_loaded_engines=1)
    assert loads(calls_log) == "ab"
    assert done == ["suspend", "suspend", "resume", "close", "close"], "a and b are both closed at the end"
    assert made.session.engines["a"].stats.loads == 2
    assert outcomes(tmp_path / "suspended") == outcomes(tmp_path / "plain")


def test_three_models_two_of_which_fit(
    write_recipe: Recipe, rows: Recipe, models: str, calls_log: Path, tmp_path: Path
) -> None:
    rows(*({"id": str(n), "n": n} for n in range(60)))
    run(write_recipe(models + SHAPE.replace("THIRD", "c")), tmp_path / "out", max_loaded_engines=2)
    assert loads(calls_log) == "abc"


def test_children_are_parked_and_found_again(
    write_recipe: Recipe, rows: Recipe, models: str, calls_log: Path, tmp_path: Path
) -> None:
    rows(*({"id": str(n), "n": n, "parts": [f"{n}x", f"{n}y", f"{n}z"]} for n in range(40)))
    recipe = write_recipe(
        models
        + """
source: {jsonl: rows.jsonl}
steps:
  - generate: {name: start, engine: a, prompt: "start {{ n }}", writes: s}
  - split: {reads: parts, writes: part}
  - score: {name: one, engine: a, prompt: "rate {{ part }}"}
  - keep: one > 1
  - generate: {name: more, engine: b, prompt: "more {{ part }} {{ s }}", writes: more}
  - generate: {name: end, engine: a, prompt: "end {{ more }}", writes: end}
sinks: [{jsonl: out.jsonl}]
"""
    )
    swapped = run(recipe, tmp_path / "swapped", max_loaded_engines=1)
    assert loads(calls_log) == "aba"
    assert len(calls(calls_log)) == len(set(calls(calls_log)))
    beside = run(recipe, tmp_path / "beside")
    assert outcomes(tmp_path / "swapped") == outcomes(tmp_path / "beside")
    assert len(read_rows(tmp_path / "beside" / "out.jsonl")) > 50
    for name, step in beside.session.stats.steps.items():
        other = swapped.session.stats.steps[name]
        assert (other.done, other.dropped) == (step.done, step.dropped), name


def test_children_that_are_final_do_not_run_again_for_a_parked_sibling(
    write_recipe: Recipe, rows: Recipe, models: str, calls_log: Path, tmp_path: Path
) -> None:
    rows(*({"id": str(n), "n": n, "parts": [[f"{n}x", f"{n}y"], ["wait"]]} for n in range(10)))
    recipe = write_recipe(
        models
        + """
source: {jsonl: rows.jsonl}
steps:
  - split: {name: outer, reads: parts, writes: part}
  - generate: {name: start, engine: a, prompt: "start {{ part }}", writes: s}
  - split: {name: inner, reads: part, writes: piece}
  - generate: {name: more, engine: b, when: piece == 'wait', prompt: "more {{ n }} {{ piece }}", writes: more}
sinks: [{jsonl: out.jsonl}]
"""
    )
    swapped, beside = run(recipe, tmp_path / "swapped", max_loaded_engines=1), run(recipe, tmp_path / "beside")
    assert outcomes(tmp_path / "swapped") == outcomes(tmp_path / "beside")
    for name, step in beside.session.stats.steps.items():
        other = swapped.session.stats.steps[name]
        assert (other.done, other.skipped, other.cache_hits) == (step.done, step.skipped, 0), name


def test_a_failing_record_does_not_hold_the_others_up(
    write_recipe: Recipe, rows: Recipe, models: str, calls_log: Path, tmp_path: Path
) -> None:
    rows({"id": "bad", "n": "fail"}, {"id": "worse"}, {"id": "good", "n": 1})
    recipe = write_recipe(
        models
        + """
source: {jsonl: rows.jsonl}
steps:
  - generate: {name: one, engine: a, prompt: "{{ n }}", writes: x}
  - generate: {name: two, engine: b, prompt: "{{ x }}", writes: y}
sinks: [{jsonl: out.jsonl}]
"""
    )
    made = run(recipe, tmp_path / "out", max_loaded_engines=1)
    assert [row["id"] for row in read_rows(tmp_path / "out" / "out.jsonl")] == ["good"]
    assert made.session.stats.failed == 2


def test_an_interrupted_swap_goes_on_where_it_was(
    write_recipe: Recipe, rows: Recipe, models: str, calls_log: Path, tmp_path: Path
) -> None:
    rows(*({"id": str(n), "n": n} for n in range(60)))
    recipe = write_recipe(models + SHAPE.replace("THIRD", "a"))
    whole = tmp_path / "whole"
    run(recipe, whole, max_loaded_engines=1)
    everything = sorted(calls(calls_log))
    calls_log.write_text("")
    made = api.prepare(api.load(recipe, overrides={"max_loaded_engines": 1, "window": 4}), output=tmp_path / "cut")
    remember = Memo.add

    async def drain_in_the_second_model(self: Memo, call: object) -> None:
        await remember(self, call)  # type: ignore[arg-type]
        if call.step == "classify":  # type: ignore[attr-defined]
            made.session.drain()

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Memo, "add", drain_in_the_second_model)
        assert api.execute(made).state == "interrupted"
    assert loads(calls_log) == "ab"
    assert api.status(tmp_path / "cut")["pending"] == 40  # the others are dropped before any call
    run(recipe, tmp_path / "cut", max_loaded_engines=1)
    assert sorted(calls(calls_log)) == everything, "nothing was asked twice"
    assert outcomes(tmp_path / "cut") == outcomes(whole)


def test_the_plan_shows_the_loads(write_recipe: Recipe, rows: Recipe, models: str, calls_log: Path) -> None:
    rows({"id": "1", "n": 1})
    recipe = write_recipe(models + SHAPE.replace("THIRD", "a"))
    shown = api.describe_plan(api.load(recipe, overrides={"max_loaded_engines": 1}))
    assert "3 model loads: a, b, a" in shown
    shown = api.describe_plan(api.load(recipe))
    assert "2 model loads: a, b" in shown
    assert not calls_log.read_text(), "nothing is loaded to say so"


@pytest.mark.parametrize(
    ("settings", "loads"),
    [
        ({}, "3 model loads: vlm, llm, vlm"),
        (
            {
                "engines": {"judge": {"backend": "vllm", "model": "Qwen/Qwen2.5-VL-7B-Instruct"}},
                **{f"steps.{name}.engine": "judge" for name in ("solvability", "hallucination", "clarity", "respond")},
            },
            "3 model loads: vlm, llm, judge",
        ),
    ],
)
def test_oasis_takes_three_loads(settings: dict[str, object], loads: str) -> None:
    recipe = api.load(ROOT / "recipes" / "oasis.yaml", overrides={"max_loaded_engines": 1, **settings})
    assert loads in api.describe_plan(recipe)


def test_what_ended_a_parked_record_is_not_asked_again(
    write_recipe: Recipe, rows: Recipe, models: str, calls_log: Path, tmp_path: Path
) -> None:
    rows(*({"id": str(n), "n": n} for n in range(4)))
    recipe = write_recipe(
        models
        + """
source: {jsonl: rows.jsonl}
steps:
  - generate: {name: slow, engine: b, prompt: "{{ n }}", writes: x, when: n != 0}
  - generate: {name: bad, engine: a, prompt: "fail {{ n }}", writes: y, attempts: 1}
sinks: [{jsonl: out.jsonl}]
"""
    )
    run(recipe, tmp_path / "out", max_loaded_engines=1)
    assert len(calls(calls_log)) == len(set(calls(calls_log)))
    assert set(states(tmp_path / "out").values()) == {"failed"}


@pytest.mark.parametrize("first", [0, 99])
def test_the_first_record_does_not_decide_which_model_is_loaded_first(
    write_recipe: Recipe, rows: Recipe, models: str, calls_log: Path, tmp_path: Path, first: int
) -> None:
    rows(*({"id": str(n), "n": n} for n in range(100)))
    recipe = write_recipe(
        models
        + f"""
source: {{jsonl: rows.jsonl}}
steps:
  - generate: {{name: one, engine: a, prompt: "one {{{{ n }}}}", writes: x, when: n != {first}}}
  - generate: {{name: two, engine: b, prompt: "two {{{{ n }}}}", writes: y}}
  - generate: {{name: three, engine: c, prompt: "{{{{ y }}}}", writes: z}}
sinks: [{{jsonl: out.jsonl}}]
"""
    )
    run(recipe, tmp_path / "out", max_loaded_engines=1)
    assert loads(calls_log) == "abc"


def test_samples_multiply_the_calls_behind_them() -> None:
    recipe = api.load(ROOT / "recipes" / "oasis.yaml", overrides={"steps.hook.n": 2})
    assert "calls per record: at most 14" in api.describe_plan(recipe)


def test_many_models_are_ordered_in_no_time(write_recipe: Recipe) -> None:
    engines = "".join(f"  e{n}: {{backend: scripted, model: m{n}, answer: x}}\n" for n in range(24))
    steps = "".join(f'  - score: {{name: s{n}, engine: e{n}, prompt: "{{{{ n }}}}"}}\n' for n in range(24))
    recipe = write_recipe(f"engines:\n{engines}source: {{jsonl: rows.jsonl}}\nsteps:\n{steps}")
    assert "24 model loads" in api.describe_plan(api.load(recipe, overrides={"max_loaded_engines": 1}))


def test_engines_with_equal_settings_are_one_model_for_the_order(write_recipe: Recipe) -> None:
    recipe = write_recipe(
        """
engines:
  vlm: {backend: scripted, model: v, answer: x}
  llm: {backend: scripted, model: l, answer: x}
  judge: {backend: scripted, model: v, answer: x}
  far: {backend: openai, model: o}
source: {jsonl: rows.jsonl}
steps:
  - generate: {name: one, engine: vlm, prompt: "{{ n }}", writes: x}
  - generate: {name: two, engine: llm, prompt: "{{ n }}", writes: y}
  - generate: {name: three, engine: judge, prompt: "{{ n }}", writes: z}
  - generate: {name: four, engine: far, prompt: "{{ z }}", writes: w}
  - generate: {name: five, engine: vlm, prompt: "{{ w }}", writes: u}
"""
    )
    assert "2 model loads: vlm, llm" in api.describe_plan(api.load(recipe, overrides={"max_loaded_engines": 1}))


def test_a_copied_sampling_is_known_by_its_own_values() -> None:
    from mminf.request import Sampling

    first = Sampling()
    assert first.set_values == "{}"
    assert first.model_copy(update={"temperature": 0.7}).set_values == '{"temperature":0.7}'


@pytest.mark.parametrize(
    ("steps", "barrier"),
    [
        ("[generate: {engine: s, prompt: hi}]", None),
        ("[generate: {engine: s, prompt: hi}, deduplicate: {reads: response}]", None),
        ("[deduplicate: {reads: q}, generate: {engine: s, prompt: hi}]", "deduplicate"),
        ("[generate: {engine: s, prompt: hi}, limit: 3, score: {engine: s, prompt: hi}]", "limit"),
    ],
)
def test_estimates_reach_up_to_a_step_over_all_records(
    steps: str, barrier: str | None, write_recipe: Recipe, rows: Recipe
) -> None:
    rows({"q": "a"})
    recipe = write_recipe(
        f"engines: {{s: {{backend: scripted, answer: '4'}}}}\nsource: {{jsonl: rows.jsonl}}\nsteps: {steps}\nsinks: [jsonl: o.jsonl]\n"
    )
    prepared = api.prepare(api.load(recipe), output=recipe.parent / "out")
    assert prepared.plan.barrier == barrier
