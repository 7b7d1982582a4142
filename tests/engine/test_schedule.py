"""Which models are loaded when, what is not asked any more, and when a run has enough."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest

import mminf
from mminf import api
from mminf.backend.scripted import ScriptedBackend
from mminf.engine.run import Run
from mminf.journal.memo import Memo
from mminf.request import Generation, Request

from ..conftest import ROOT, read_rows

Recipe = Callable[..., Path]

# Three models that log when they are loaded (the script is read then) and each call; scores depend on the record.
MODEL = """
import hashlib, os

def log(text):
    with open(os.environ["CALLS_LOG"], "a") as file:
        file.write(text + "\\n")

log("load NAME")

def answer(request):
    text = "\\n".join(turn.text for turn in request.turns)
    log(f"call NAME {text}")
    if "fail" in text:
        raise ValueError("told to fail")
    number = int(hashlib.sha256(text.encode()).hexdigest(), 16)
    return f"[[{number % 5 + 1}]]" if "rate" in text else f"<{text}>"
"""


@pytest.fixture
def models(tmp_path: Path, calls_log: Path) -> str:
    """The engines a, b and c of a recipe."""
    lines = []
    for name in "abc":
        (tmp_path / f"{name}.py").write_text(MODEL.replace("NAME", name))
        lines.append(f"  {name}: {{backend: scripted, model: model-{name}, script: {tmp_path / name}.py}}\n")
    return "engines:\n" + "".join(lines)


def loads(log: Path) -> str:
    return "".join(line[-1] for line in log.read_text().splitlines() if line.startswith("load"))


def calls(log: Path) -> list[str]:
    return [line for line in log.read_text().splitlines() if line.startswith("call")]


# Oasis' shape: what is sampled by a, told apart by b, rated by b and c, answered by c.
SHAPE = """
source: {jsonl: rows.jsonl}
steps:
  - generate: {name: hook, engine: a, prompt: "hook {{ n }}", writes: text}
  - generate: {name: classify, engine: b, prompt: "classify {{ text }}", writes: instruction}
  - keep: {name: instructions, expression: n % 3 != 0}
  - score: {name: one, engine: THIRD, prompt: "rate one {{ instruction }}"}
  - score: {name: two, engine: THIRD, prompt: "rate two {{ instruction }}"}
  - score: {name: three, engine: b, prompt: "rate three {{ instruction }}"}
  - keep: one >= 2 and two >= 2 and three >= 2
  - generate: {name: respond, engine: THIRD, prompt: "respond {{ instruction }}", writes: response}
sinks: [{jsonl: out.jsonl}, {jsonl: {path: dropped.jsonl, dropped_by: keep}}]
"""


def run(recipe: Path, output: Path, **settings: object) -> Run:
    made = api.prepare(api.load(recipe, overrides=settings), output=output)
    assert api.execute(made).state == "finished"
    return made


def outcomes(output: Path) -> list[tuple[object, ...]]:
    with sqlite3.connect(output / "journal.sqlite") as connection:
        sql = "SELECT stage, id, path, state, step, reason, fields FROM rows ORDER BY stage, seq, path"
        return list(connection.execute(sql))


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


def test_a_false_part_of_a_keep_saves_the_calls_that_are_left(
    write_recipe: Recipe, rows: Recipe, models: str, calls_log: Path, tmp_path: Path
) -> None:
    rows(*({"id": str(n), "n": n} for n in range(100)))
    recipe = write_recipe(models + SHAPE.replace("THIRD", "a"))
    early = run(recipe, tmp_path / "early")
    few = set(calls(calls_log))
    calls_log.write_text("")
    late = run(recipe, tmp_path / "late", early_drop=False)
    every = set(calls(calls_log))
    assert few < every
    for made in (early, late):
        assert made.session.stats.steps["keep"].dropped > 20
    assert (tmp_path / "early" / "out.jsonl").read_bytes() == (tmp_path / "late" / "out.jsonl").read_bytes()
    dropped = read_rows(tmp_path / "early" / "dropped.jsonl")
    assert [row["id"] for row in dropped] == [row["id"] for row in read_rows(tmp_path / "late" / "dropped.jsonl")]
    # Scores come in the order that changes models least, three before one before two, and stop at the first low one.
    for row in dropped:
        seen = [row[name] for name in ("three", "one", "two") if name in row]
        assert all(score > 1 for score in seen[:-1]) and seen[-1] == 1, row  # type: ignore[operator]
    for row in read_rows(tmp_path / "late" / "dropped.jsonl"):
        assert {"one", "two", "three"} <= set(row)


def test_what_is_dropped_early_says_which_part_was_false(
    write_recipe: Recipe, rows: Recipe, models: str, tmp_path: Path
) -> None:
    rows({"id": "a", "x": 1, "y": 5}, {"id": "b", "x": 5, "y": 1}, {"id": "c", "x": 5, "y": 5}, {"id": "d", "x": 5})
    recipe = write_recipe(
        models
        + """
source: {jsonl: rows.jsonl}
steps:
  - generate: {name: g, engine: a, prompt: "hello {{ x }}", writes: z}
  - keep: x > 2 and y > 2 and z != ''
sinks: [{jsonl: out.jsonl}]
"""
    )
    made = run(recipe, tmp_path / "out")
    assert made.session.stats.steps["g"].calls == 2, "a and b are dropped before they are asked about"
    reasons = {row[1]: (row[3], row[5]) for row in outcomes(tmp_path / "out")}
    assert reasons["a"] == ("dropped", "not x > 2 (x=1)")
    assert reasons["b"] == ("dropped", "not y > 2 (y=1)")
    assert reasons["c"] == ("done", None)
    assert reasons["d"][0] == "failed" and "'y' is undefined" in str(reasons["d"][1])


def test_a_keep_with_a_condition_drops_only_where_it_applies(
    write_recipe: Recipe, rows: Recipe, models: str, tmp_path: Path
) -> None:
    rows({"id": "a", "x": 1, "strict": True}, {"id": "b", "x": 1, "strict": False})
    recipe = write_recipe(
        models
        + """
source: {jsonl: rows.jsonl}
steps:
  - generate: {name: g, engine: a, prompt: "hello {{ x }}", writes: z}
  - keep: {expression: x > 2 and z != '', when: strict}
sinks: [{jsonl: out.jsonl}]
"""
    )
    run(recipe, tmp_path / "out")
    assert {row[1]: row[3] for row in outcomes(tmp_path / "out")} == {"a": "dropped", "b": "done"}


@pytest.mark.parametrize("limit", [None, 1])
def test_a_target_stops_the_run_and_takes_the_first_in_source_order(
    write_recipe: Recipe, rows: Recipe, models: str, calls_log: Path, tmp_path: Path, limit: int | None
) -> None:
    rows(*({"id": f"{n:05}", "n": n} for n in range(4000)))
    recipe = write_recipe(models + SHAPE.replace("THIRD", "c"))
    run(recipe, tmp_path / "all")
    everything = len(calls(calls_log))
    wanted = (tmp_path / "all" / "out.jsonl").read_text().splitlines()[:50]
    last = json.loads(wanted[-1])["id"]
    for window in (1, 7, 300):
        calls_log.write_text("")
        out = tmp_path / f"target-{window}"
        run(recipe, out, target=50, window=window, max_loaded_engines=limit)
        assert (out / "out.jsonl").read_text().splitlines() == wanted
        dropped = (tmp_path / "all" / "dropped.jsonl").read_text().splitlines()
        assert (out / "dropped.jsonl").read_text().splitlines() == [
            line for line in dropped if json.loads(line)["id"] < last
        ]
        assert len(calls(calls_log)) < everything / 3
        calls_log.write_text("")
        run(recipe, out, target=50, window=window, max_loaded_engines=limit)
        assert not calls(calls_log), "what is finished is not asked again"
        assert (out / "out.jsonl").read_text().splitlines() == wanted


@pytest.mark.parametrize("window", [None, 30])
def test_the_last_records_of_a_run_are_under_way_at_once(
    write_recipe: Recipe, rows: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, window: int | None
) -> None:
    rows(*({"id": f"{n:05}", "n": n} for n in range(700)))
    under_way: set[str] = set()
    most = {"first": 0, "last": 0}
    begun = 0
    generate = ScriptedBackend.generate

    async def count(self: ScriptedBackend, request: Request) -> Generation:
        nonlocal begun
        name = request.turns[-1].text.split()[-1]
        begun += name not in under_way
        under_way.add(name)
        part = "first" if begun < 400 else "last"
        most[part] = max(most[part], len(under_way))
        answer = await generate(self, request)
        if "twice" in request.turns[-1].text:
            under_way.remove(name)
        return answer

    monkeypatch.setattr(ScriptedBackend, "generate", count)
    recipe = write_recipe("""
    engines: {a: {backend: scripted, answer: "yes", latency: 0.002, max_concurrency: 64}}
    source: {jsonl: {path: rows.jsonl}}
    steps:
      - generate: {name: one, engine: a, writes: one, prompt: "once {{ n }}"}
      - generate: {name: two, engine: a, writes: two, prompt: "twice {{ one }} {{ n }}"}
    """)
    run(recipe, tmp_path / "out", **({} if window is None else {"window": window}))
    assert begun == 700
    assert most["first"] <= (window or 80)
    assert window - 5 <= most["last"] <= window if window else most["last"] > 160


def test_a_target_that_is_never_reached_takes_all(
    write_recipe: Recipe, rows: Recipe, models: str, tmp_path: Path
) -> None:
    rows(*({"id": f"{n:05}", "n": n} for n in range(100)))
    recipe = write_recipe(models + SHAPE.replace("THIRD", "c"))
    run(recipe, tmp_path / "all")
    run(recipe, tmp_path / "target", target=1000, max_loaded_engines=1)
    assert (tmp_path / "target" / "out.jsonl").read_bytes() == (tmp_path / "all" / "out.jsonl").read_bytes()


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


def states(output: Path) -> dict[str, str]:
    return {str(row[1]): str(row[3]) for row in outcomes(output)}


@pytest.mark.parametrize("settings", [{}, {"early_drop": False}, {"max_loaded_engines": 1}])
def test_what_got_past_a_keep_is_not_tested_again_on_other_fields(
    write_recipe: Recipe, rows: Recipe, models: str, tmp_path: Path, settings: dict[str, object]
) -> None:
    rows({"id": "r", "s": 5, "text": "fine", "parts": ["x", "bad"]})
    recipe = write_recipe(
        models
        + """
source: {jsonl: rows.jsonl}
steps:
  - keep: s > 3 and text != 'bad'
  - set: {s: "1"}
  - split: {reads: parts, writes: text}
  - generate: {name: one, engine: a, prompt: "{{ text }}", writes: x}
  - generate: {name: two, engine: b, prompt: "{{ x }}", writes: y}
sinks: [{jsonl: out.jsonl}]
"""
    )
    run(recipe, tmp_path / "out", **settings)
    assert states(tmp_path / "out") == {"r": "expanded", "r/0": "done", "r/1": "done"}


def test_what_was_parked_is_resumed_and_keeps_its_fields(
    write_recipe: Recipe, rows: Recipe, models: str, calls_log: Path, tmp_path: Path
) -> None:
    rows(*({"id": str(n), "n": n, "odd": "a\ud800b", "other": "a\ud800b"} for n in range(30)))
    recipe = write_recipe(
        models
        + """
source: {jsonl: rows.jsonl}
steps:
  - generate: {name: one, engine: a, prompt: "{{ n }}", writes: x}
  - generate: {name: two, engine: b, prompt: "{{ x }} {{ odd == other }}", writes: y}
sinks: [{jsonl: out.jsonl}]
"""
    )
    run(recipe, tmp_path / "out", max_loaded_engines=1)
    once = calls(calls_log)
    again = run(recipe, tmp_path / "out", max_loaded_engines=1)
    assert (again.session.stats.resumed, calls(calls_log)) == (30, once)
    run(recipe, tmp_path / "beside")
    assert (tmp_path / "out" / "out.jsonl").read_bytes() == (tmp_path / "beside" / "out.jsonl").read_bytes()


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


def test_counts_end_at_the_target(
    write_recipe: Recipe, rows: Recipe, models: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "mminf")
    rows(*({"id": f"{n:05}", "n": n} for n in range(2000)))
    recipe = write_recipe(models + SHAPE.replace("THIRD", "c"))
    found = []
    for window in (1, 300):
        result = mminf.run(recipe, output=tmp_path / str(window), overrides={"target": 50, "window": window})
        found.append(result.counts)
        status = api.status(tmp_path / str(window))
        assert (status["done"], status["pending"]) == (50, 0)
    assert found[0] == found[1]
    assert "the target of 50 is reached; 0 records beyond it" in caplog.text  # one record at a time
    mminf.run(recipe, output=tmp_path / "all", overrides={"target": 5000})
    assert "fewer than the target of 5000 were accepted" in caplog.text


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
