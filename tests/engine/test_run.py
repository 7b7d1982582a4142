from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest

import mminf
from mminf import api
from mminf.errors import EngineError, JournalError, RecipeError, RequestError, SourceError

from ..conftest import read_rows, tiny_image

Recipe = Callable[..., Path]


def count(log: Path) -> int:
    return len(log.read_text().splitlines())


ECHO = """
import os
def answer(request):
    text = "\\n".join(turn.text for turn in request.turns)
    with open(os.environ["CALLS_LOG"], "a") as file:
        file.write(f"{text}|{request.seed}\\n")
    if "fail" in text:
        raise ValueError("told to fail")
    return f"{text}!"
"""


@pytest.fixture
def echo(tmp_path: Path, calls_log: Path) -> str:
    path = tmp_path / "echo.py"
    path.write_text(ECHO)
    return f"engines: {{e: {{backend: scripted, script: {path}}}}}\n"


def test_fields_flow_and_columns_are_kept(
    write_recipe: Recipe, rows: Callable[..., Path], echo: str, tmp_path: Path
) -> None:
    recipe = write_recipe(
        echo
        + """
source: {jsonl: rows.jsonl}
steps:
  - generate: {name: one, engine: e, prompt: "1 {{ text }}", writes: one}
  - generate: {name: two, engine: e, prompt: "2 {{ one }}", writes: two}
  - set: {both: "one ~ two"}
sinks: [{jsonl: out.jsonl}]
"""
    )
    rows({"id": "b", "text": "x", "extra": {"k": [1]}}, {"id": "a", "text": "y"})
    result = mminf.run(recipe, output=tmp_path / "out")
    assert result.exit_code == 0
    assert read_rows(tmp_path / "out" / "out.jsonl") == [
        {"id": "b", "text": "x", "extra": {"k": [1]}, "one": "1 x!", "two": "2 1 x!!", "both": "1 x!2 1 x!!"},
        {"id": "a", "text": "y", "one": "1 y!", "two": "2 1 y!!", "both": "1 y!2 1 y!!"},
    ]


def test_bad_rows_fail_alone(write_recipe: Recipe, echo: str, tmp_path: Path) -> None:
    recipe = write_recipe(
        echo
        + 'source: {jsonl: rows.jsonl}\nsteps:\n  - generate: {engine: e, prompt: "{{ text }}"}\nsinks: [{jsonl: o.jsonl}]\n'
    )
    lines = ['{"id": "good", "text": "x"}', "{broken", "[1]", '{"id": "bare"}', '{"id": "bad", "text": "fail"}', ""]
    (tmp_path / "rows.jsonl").write_text("\n".join(lines))
    result = mminf.run(recipe, output=tmp_path / "out")
    assert (result.counts.done, result.counts.failed, result.exit_code) == (1, 4, 0)
    reasons = {item["id"]: item["reason"] for item in api.status(tmp_path / "out")["failures"]}
    assert "rows.jsonl:2 is not JSON" in reasons["rows.jsonl:2"]
    assert "rows.jsonl:3 is not a JSON object, but list" in reasons["rows.jsonl:3"]
    assert "'text' is undefined" in reasons["bare"]
    assert "told to fail" in reasons["bad"]
    assert [row["id"] for row in read_rows(tmp_path / "out" / "o.jsonl")] == ["good"]


def test_bad_images_fail_alone_with_their_reason(
    images: Path, scripted_oasis: list[str], tmp_path: Path, calls_log: Path
) -> None:
    whole = (images / "001.png").read_bytes()
    (images / "002.png").write_bytes(b"")
    (images / "003.png").write_bytes(whole[: len(whole) // 2])
    (images / "004.png").write_bytes(b"not an image")
    tiny_image(images / "005.png", size=(4000, 4000))
    settings = [*scripted_oasis, "source.images.max_image_pixels=1000000"]
    result = mminf.run("oasis", output=tmp_path / "out", input=images, settings=settings)
    reasons = {item["id"]: item["reason"] for item in api.status(tmp_path / "out")["failures"]}
    assert set(reasons) == {"002.png", "003.png", "004.png", "005.png"}
    assert "is empty" in reasons["002.png"]
    assert "can't be decoded" in reasons["003.png"]
    assert "can't be decoded" in reasons["004.png"]
    assert "4000x4000 pixels" in reasons["005.png"]
    assert result.counts.done + result.counts.dropped == 8


def test_a_missing_image_and_one_outside_of_the_folder(
    write_recipe: Recipe, rows: Callable[..., Path], echo: str, tmp_path: Path
) -> None:
    (tmp_path / "data").mkdir()
    outside = tiny_image(tmp_path / "outside.png")
    tiny_image(tmp_path / "data" / "own.png")
    path = rows(
        {"id": "own", "image": "own.png"},
        {"id": "gone", "image": "gone.png"},
        {"id": "outside", "image": str(outside)},
        {"id": "none"},
        name="data/rows.jsonl",
    )
    recipe = write_recipe(echo + "steps:\n  - hook: {engine: e, writes: text}\nsinks: [{jsonl: o.jsonl}]\n")
    result = mminf.run(recipe, input=path, output=tmp_path / "out")
    reasons = {item["id"]: item["reason"] for item in api.status(tmp_path / "out")["failures"]}
    assert result.counts.done == 1
    assert "does not exist" in reasons["gone"]
    assert "outside the source's folder" in reasons["outside"]
    assert "the record has no image" in reasons["none"]


def test_running_again_makes_no_call(images: Path, scripted_oasis: list[str], tmp_path: Path, calls_log: Path) -> None:
    options = {"input": images, "output": tmp_path / "out", "settings": scripted_oasis}
    mminf.run("oasis", **options)
    first, data = count(calls_log), (tmp_path / "out" / "oasis.jsonl").read_bytes()
    result = mminf.run("oasis", **options)
    assert count(calls_log) == first > 0
    assert (tmp_path / "out" / "oasis.jsonl").read_bytes() == data
    assert result.counts.pending == 0


def test_a_changed_threshold_makes_no_call(
    images: Path, scripted_oasis: list[str], tmp_path: Path, calls_log: Path
) -> None:
    options = {"input": images, "output": tmp_path / "out"}
    before = mminf.run("oasis", settings=scripted_oasis, **options)
    made = count(calls_log)
    strict = mminf.run("oasis", settings=[*scripted_oasis, "steps.keep=solvability > 5"], **options)
    assert count(calls_log) == made
    assert (strict.counts.done, (tmp_path / "out" / "oasis.jsonl").read_bytes()) == (0, b"")
    back = mminf.run("oasis", settings=scripted_oasis, **options)
    assert count(calls_log) == made
    assert back.counts == before.counts


def test_a_changed_template_recomputes_its_step_and_readers_only(
    images: Path, scripted_oasis: list[str], tmp_path: Path, calls_log: Path
) -> None:
    options = {"input": images, "output": tmp_path / "out", "settings": scripted_oasis}
    mminf.run("oasis", **options)
    made = calls_by_step(tmp_path / "out")
    prompt = [
        "steps.clarity.template=null",
        "steps.clarity.languages=[]",
        "steps.clarity.prompt=as one of [[1]] or [[5]]",
    ]
    changed = [*scripted_oasis, *prompt]
    mminf.run("oasis", input=images, output=tmp_path / "out", settings=changed)
    again = calls_by_step(tmp_path / "out")
    assert again.pop("clarity") == 2 * made.pop("clarity") > 0
    assert again == made


def test_a_changed_writer_recomputes_what_reads_its_output(
    write_recipe: Recipe, rows: Callable[..., Path], echo: str, tmp_path: Path
) -> None:
    text = echo + (
        'source: {jsonl: rows.jsonl}\nsteps:\n  - generate: {name: a, engine: e, prompt: "A {{ text }}", writes: a}\n'
        '  - generate: {name: b, engine: e, prompt: "B {{ text }}", writes: b}\n'
        '  - generate: {name: c, engine: e, prompt: "C {{ a }}", writes: c}\n'
    )
    rows({"id": "1", "text": "x"})
    mminf.run(write_recipe(text), output=tmp_path / "out")
    mminf.run(write_recipe(text.replace("A {{", "AA {{")), output=tmp_path / "out")
    assert calls_by_step(tmp_path / "out") == {"a": 2, "b": 1, "c": 2}


def calls_by_step(output: Path) -> dict[str, int]:
    with sqlite3.connect(output / "journal.sqlite") as journal:
        return dict(journal.execute("SELECT step, count(*) FROM memo GROUP BY step"))


def test_samples_become_children_and_more_samples_reuse_the_first(
    images: Path, scripted_oasis: list[str], tmp_path: Path, calls_log: Path
) -> None:
    options = {"input": images, "output": tmp_path / "out"}
    mminf.run("oasis", settings=[*scripted_oasis, "steps.hook.n=2"], **options)
    hooks = calls_by_step(tmp_path / "out")["hook"]
    two = read_rows(tmp_path / "out" / "oasis.jsonl")
    result = mminf.run("oasis", settings=[*scripted_oasis, "steps.hook.n=3"], **options)
    three = read_rows(tmp_path / "out" / "oasis.jsonl")
    assert (hooks, calls_by_step(tmp_path / "out")["hook"]) == (24, 36)
    assert result.counts.done + result.counts.dropped == 36
    assert [row for row in three if not str(row["id"]).endswith("/2")] == two
    assert {str(row["id"])[-2:] for row in three} == {"/0", "/1", "/2"}


def test_two_runs_write_the_same_bytes(images: Path, scripted_oasis: list[str], tmp_path: Path) -> None:
    for name, window in (("a", 1), ("b", 7)):
        settings = [*scripted_oasis, f"window={window}", "steps.hook.n=2"]
        mminf.run("oasis", input=images, output=tmp_path / name, settings=settings)
    for file in ("oasis.jsonl", "captions.jsonl"):
        assert (tmp_path / "a" / file).read_bytes() == (tmp_path / "b" / file).read_bytes() != b""


def test_when_lets_records_pass_by(write_recipe: Recipe, rows: Callable[..., Path], echo: str, tmp_path: Path) -> None:
    recipe = write_recipe(
        echo
        + 'source: {jsonl: rows.jsonl}\nsteps:\n  - generate: {engine: e, prompt: "{{ text }}", when: kind == "a"}\n'
        + "sinks: [{jsonl: o.jsonl}, {jsonl: {path: a.jsonl, where: response is defined}}]\n"
    )
    rows({"id": "1", "text": "x", "kind": "a"}, {"id": "2", "text": "y", "kind": "b"})
    mminf.run(recipe, output=tmp_path / "out")
    assert [row.get("response") for row in read_rows(tmp_path / "out" / "o.jsonl")] == ["x!", None]
    assert [row["id"] for row in read_rows(tmp_path / "out" / "a.jsonl")] == ["1"]


def test_dataset_steps_see_all_survivors_in_source_order(
    write_recipe: Recipe, rows: Callable[..., Path], echo: str, tmp_path: Path
) -> None:
    recipe = write_recipe(
        echo
        + """
source: {jsonl: rows.jsonl}
steps:
  - keep: text != 'drop'
  - deduplicate: {reads: text}
  - generate: {engine: e, prompt: "{{ text }}"}
  - limit: 2
sinks: [{jsonl: o.jsonl}]
"""
    )
    texts = ["b", "drop", "a", "b", "c", "a"]
    rows(*({"id": str(n), "text": text} for n, text in enumerate(texts)))
    result = mminf.run(recipe, output=tmp_path / "out")
    assert [row["id"] for row in read_rows(tmp_path / "out" / "o.jsonl")] == ["0", "2"]
    assert (result.counts.done, result.counts.dropped) == (2, 4)
    found = api.show(tmp_path / "out", "3")
    assert found["outcomes"][-1]["reason"] == "duplicate of 0"


def test_a_recipe_may_begin_with_a_dataset_step(
    write_recipe: Recipe, rows: Callable[..., Path], tmp_path: Path
) -> None:
    recipe = write_recipe(
        "source: {jsonl: rows.jsonl}\nsteps:\n  - deduplicate: {reads: text}\nsinks: [{jsonl: o.jsonl}]\n"
    )
    rows({"id": "1", "text": "x"}, {"id": "2", "text": "x"}, {"id": "3", "text": "y"})
    for _ in range(2):
        result = mminf.run(recipe, output=tmp_path / "out")
        assert (result.counts.done, result.counts.dropped, result.counts.pending) == (2, 1, 0)
    assert [row["id"] for row in read_rows(tmp_path / "out" / "o.jsonl")] == ["1", "3"]


def test_removed_and_added_rows(
    write_recipe: Recipe, rows: Callable[..., Path], echo: str, tmp_path: Path, calls_log: Path
) -> None:
    recipe = write_recipe(
        echo
        + 'source: {jsonl: rows.jsonl}\nsteps:\n  - generate: {engine: e, prompt: "{{ text }}"}\nsinks: [{jsonl: o.jsonl}]\n'
    )
    rows({"text": "x"}, {"text": "y"})
    mminf.run(recipe, output=tmp_path / "out")
    rows({"text": "z"}, {"text": "y"})
    mminf.run(recipe, output=tmp_path / "out")
    assert [row["response"] for row in read_rows(tmp_path / "out" / "o.jsonl")] == ["z!", "y!"]
    assert count(calls_log) == 3, "y kept its id and its answer, though its neighbour changed"


def test_answers_that_can_not_be_read_are_asked_again_and_then_fail(
    write_recipe: Recipe, rows: Callable[..., Path], echo: str, tmp_path: Path, calls_log: Path
) -> None:
    recipe = write_recipe(
        echo + 'source: {jsonl: rows.jsonl}\nsteps:\n  - score: {engine: e, prompt: "rate {{ text }}", attempts: 3}\n'
    )
    rows({"id": "1", "text": "x"})
    result = mminf.run(recipe, output=tmp_path / "out")
    assert result.failures[0][2] is not None
    assert "no score from 1 to 5 in 'rate x!' (3 attempts)" in result.failures[0][2]
    asked = calls_log.read_text().splitlines()
    assert len(asked) == len(set(asked)) == 3, "every attempt has its own seed"
    assert result.exit_code == 1
    mminf.run(recipe, output=tmp_path / "out")
    assert count(calls_log) == 3, "a failure that the journal can repeat costs no call"
    assert api.retry(tmp_path / "out") == 1
    mminf.run(recipe, output=tmp_path / "out")
    assert len(set(calls_log.read_text().splitlines())) == 6, "retry asks with new seeds"


def test_failures_of_the_backend_are_tried_again_by_the_next_run(
    write_recipe: Recipe, rows: Callable[..., Path], echo: str, tmp_path: Path
) -> None:
    recipe = write_recipe(
        echo
        + 'source: {jsonl: rows.jsonl}\nsteps:\n  - generate: {engine: e, prompt: "{{ text }}"}\nsinks: [{jsonl: o.jsonl}]\n'
    )
    rows({"id": "1", "text": "fail"}, {"id": "2", "text": "x"})
    assert mminf.run(recipe, output=tmp_path / "out").counts.failed == 1
    script = tmp_path / "echo.py"
    mended = script.read_text().replace('if "fail" in text:', "if False:")
    script.write_text(mended)
    result = mminf.run(recipe, output=tmp_path / "out")
    assert (result.counts.done, result.counts.failed) == (2, 0)


def test_errors_before_anything_runs(
    write_recipe: Recipe, rows: Callable[..., Path], echo: str, tmp_path: Path
) -> None:
    text = echo + 'source: {jsonl: rows.jsonl}\nsteps:\n  - generate: {engine: e, prompt: "{{ txet }}"}\n'
    with pytest.raises(SourceError, match="rows.jsonl does not exist"):
        mminf.run(write_recipe(text), output=tmp_path / "out")
    rows({"id": "1", "text": "x"})
    with pytest.raises(
        RecipeError,
        match=r"recipe.yaml:4: step 'generate' reads field 'txet', but nothing provides it; did you mean 'text'",
    ):
        mminf.run(write_recipe(text), output=tmp_path / "out")
    with pytest.raises(SourceError, match="has no source"):
        mminf.run(write_recipe(text.replace("source: {jsonl: rows.jsonl}\n", "")), output=tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_sinks_of_fields_that_nobody_writes(
    write_recipe: Recipe, rows: Callable[..., Path], echo: str, tmp_path: Path
) -> None:
    text = (
        echo
        + 'source: {jsonl: rows.jsonl}\nsteps:\n  - generate: {engine: e, prompt: "{{ text }}"}\nsinks: [{swift: o.jsonl}]\n'
    )
    rows({"id": "1", "text": "x"})
    with pytest.raises(RecipeError, match=r"sink o.jsonl: writes field 'instruction'"):
        mminf.run(write_recipe(text), output=tmp_path / "out")


def test_an_engine_that_can_not_be_loaded_stops_the_run_and_keeps_what_is_done(
    write_recipe: Recipe, rows: Callable[..., Path], echo: str, tmp_path: Path, calls_log: Path
) -> None:
    text = echo.replace("}}\n", "}, f: {backend: scripted, script: gone.py}}\n") + (
        'source: {jsonl: rows.jsonl}\nsteps:\n  - generate: {name: a, engine: e, prompt: "{{ text }}", writes: a}\n'
        '  - generate: {name: b, engine: f, prompt: "{{ a }}", writes: b}\n'
    )
    rows({"id": "1", "text": "x"})
    with pytest.raises(EngineError, match=r"gone\.py"):
        mminf.run(write_recipe(text), output=tmp_path / "out")
    assert api.status(tmp_path / "out")["state"] == "failed"
    assert calls_by_step(tmp_path / "out") == {"a": 1}


def test_an_engine_that_is_gone_stops_the_run_also_where_a_sample_beside_it_fails(
    write_recipe: Recipe, rows: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from mminf.backend.scripted import ScriptedBackend

    failures = iter([RequestError("this one alone"), EngineError("no server answers")])

    async def fail(self: object, request: object) -> None:
        raise next(failures)

    monkeypatch.setattr(ScriptedBackend, "generate", fail)
    rows({"id": "1"})
    recipe = write_recipe(
        "engines: {e: {backend: scripted, answer: x}}\nsource: {jsonl: rows.jsonl}\n"
        "steps:\n  - hook: {engine: e, images: false, n: 2}\n"
    )
    with pytest.raises(EngineError, match="no server answers"):
        mminf.run(recipe, output=tmp_path / "out")


def test_a_second_writer_is_refused(images: Path, scripted_oasis: list[str], tmp_path: Path) -> None:
    from mminf.journal import Journal

    with Journal(tmp_path / "out", write=True), pytest.raises(JournalError, match="another run .* is writing"):
        mminf.run("oasis", input=images, output=tmp_path / "out", settings=scripted_oasis)


def test_show_has_every_prompt_and_answer(images: Path, scripted_oasis: list[str], tmp_path: Path) -> None:
    mminf.run("oasis", input=images, output=tmp_path / "out", settings=scripted_oasis)
    done = str(read_rows(tmp_path / "out" / "oasis.jsonl")[0]["id"])
    found = api.show(tmp_path / "out", done)
    steps = [call["step"] for call in found["calls"]]
    assert steps == ["hook", "classify", "solvability", "hallucination", "clarity", "nonsense", "respond"]
    chats = {call["step"]: json.dumps(call["chat"]) for call in found["calls"]}
    assert "What is shown in picture" in chats["clarity"]
    assert done in chats["hook"]
    assert found["outcomes"][0]["state"] == "done"
    with pytest.raises(JournalError, match="no record 'nothing'"):
        api.show(tmp_path / "out", "nothing")


def test_undeclared_fields_and_broken_steps_fail_the_record(
    write_recipe: Recipe, rows: Callable[..., Path], tmp_path: Path
) -> None:
    (tmp_path / "odd.py").write_text(
        """
from mminf.step import Step, StepConfig, step

@step("odd")
class Odd(Step[StepConfig]):
    async def run(self, record, ctx):
        return {"undeclared": {"other": 1}, "children": [{}], "bug": 1}[record["do"]] if record["do"] != "crash" else 1 / 0
"""
    )
    recipe = write_recipe("plugins: odd.py\nsource: {jsonl: rows.jsonl}\nsteps:\n  - odd: {}\n")
    rows(*({"id": what, "do": what} for what in ("undeclared", "children", "bug", "crash")))
    mminf.run(recipe, output=tmp_path / "out")
    reasons = {item["id"]: item["reason"] for item in api.status(tmp_path / "out")["failures"]}
    assert "wrote other, which it does not declare" in reasons["undeclared"]
    assert "does not set `gate = True`" in reasons["children"]
    assert "returned int" in reasons["bug"]
    assert "ZeroDivisionError" in reasons["crash"]


def test_export_works_on_what_is_done(images: Path, scripted_oasis: list[str], tmp_path: Path) -> None:
    mminf.run("oasis", input=images, output=tmp_path / "out", settings=scripted_oasis)
    recipe = mminf.load("oasis", input=images, settings=[*scripted_oasis, "sinks=[{llava: other.jsonl}]"])
    written = api.export(recipe, tmp_path / "out")
    found = read_rows(tmp_path / "out" / "other.jsonl")
    assert written[0].rows == len(found) > 0
    assert found[0]["conversations"][0]["value"].startswith("<image>\n")  # type: ignore[index]


def test_an_answer_that_was_cut_off_fails_its_record_at_once(
    write_recipe: Recipe, rows: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from mminf.backend.scripted import ScriptedBackend
    from mminf.request import Generation

    asked = []

    async def cut(self: object, request: object) -> Generation:
        asked.append(request)
        return Generation("half an answ", "length", 5, 7)

    monkeypatch.setattr(ScriptedBackend, "generate", cut)
    text = (
        "engines: {e: {backend: scripted, answer: x}}\nsource: {jsonl: rows.jsonl}\n"
        'steps:\n  - generate: {engine: e, prompt: "{{ text }}"}\n'
    )
    rows({"id": "1", "text": "x"})
    result = mminf.run(write_recipe(text), output=tmp_path / "out")
    assert "truncated after 7 tokens (`sampling.max_tokens`); increase it for step 'generate'" in str(
        result.failures[0][2]
    )
    assert len(asked) == 1
    kept = mminf.run(write_recipe(text.replace("engine: e,", "engine: e, truncated: true,")), output=tmp_path / "out")
    assert (kept.counts.done, len(asked)) == (1, 1)
