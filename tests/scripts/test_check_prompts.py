"""`make prompts`: the figures of models whose answers are known."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from check_prompts import INTERRUPTED, main
from prompt_texts import AXES, NO_INST, SCENE_AXES, TEXT_AXES, draw_cases, read_texts

import mminf

# Answers from the labels. The line for grade 5 says which prompt it is.
PERFECT = """
import json
from pathlib import Path

TABLE = json.loads(Path(__file__).with_name("table.json").read_text())

def answer(request):
    prompt = request.turns[-1].text
    axis = next(axis for line, axis in TABLE["lines"].items() if line in prompt)
    name = "Text" if axis == "classify" else "Instruction"
    text = prompt.rsplit(f"[Begin of {name}]\\n", 1)[1].rsplit(f"\\n[End of {name}]", 1)[0]
    image = Path(request.images[0].uri).name if request.images else ""
    return TABLE["answers"]["|".join([axis, image, text])]
"""
ECHO = "def answer(request):\n    return '\\n'.join(turn.text for turn in request.turns)\n"
RAISES = "def answer(request):\n    raise ValueError('out of memory')\n"
BLIND = "def answer(request):\n    if request.images:\n        raise ValueError('no image input')\n    return '[[5]]'\n"

Check = Callable[..., dict[str, Any]]


@pytest.fixture
def scripted(tmp_path: Path) -> Callable[[str], str]:
    """A function that returns the settings of a scripted engine."""

    def write(code: str) -> str:
        (tmp_path / "script.py").write_text(code)
        return f"{{backend: scripted, script: {tmp_path / 'script.py'}}}"

    return write


@pytest.fixture
def perfect(tmp_path: Path, scripted: Callable[[str], str]) -> str:
    cases = [*read_texts(), *draw_cases(tmp_path / "drawn")]
    answers = {}
    for case in cases:
        grade = case.grades and case.grades[0]
        said = f"[[{grade}]]" if grade else f"Instruction: {case.instructions[0]}" if case.instructions else NO_INST
        answers["|".join([case.axis, case.image.name if case.image else "", case.text])] = said
    (tmp_path / "table.json").write_text(json.dumps({"lines": first_lines(), "answers": answers}))
    return scripted(PERFECT)


def first_lines() -> dict[str, str]:
    """The line about grade 5, or the first line, of each prompt in each language."""
    found = {}
    for axis in AXES:
        for suffix in ("", ".zh"):
            path = mminf.content_folder("templates") / "oasis" / f"{axis}{suffix}.jinja"
            lines = path.read_text(encoding="utf-8").splitlines()
            found[next((line for line in lines if line.startswith("5 ")), lines[0])] = axis
    assert len(found) == 2 * len(AXES)
    return found


@pytest.fixture
def check(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Check:
    """A function that runs the script, and returns its figures by axis."""

    def run(engine: str, *options: str) -> dict[str, Any]:
        command = ["--engine", engine, "--output", str(tmp_path / "out"), "--quiet", "--json", *options]
        assert main(command) == 0
        printed = json.loads(capsys.readouterr().out)
        return dict(printed["axes"], wrong=Path(printed["wrong"]).read_text(encoding="utf-8"))

    return run


def test_a_perfect_model_is_always_right(perfect: str, check: Check) -> None:
    figures = check(perfect)
    for axis in AXES:
        found = figures[axis]
        assert found["right"] == found["exact"] == found["texts"], axis
        assert (found["unreadable"], found["failed"]) == (0, 0)
        assert sum(language["texts"] for language in found["languages"].values()) == found["texts"]
        assert sum(group["texts"] for kind in found["kinds"].values() for group in kind.values()) == found["texts"]
    assert figures["wrong"].count("===") == 0


def test_a_model_that_finds_no_instruction(check: Check) -> None:
    figures = check("{backend: scripted, answer: NO_INST}")
    found = figures["classify"]
    captions = sum(not case.passes for case in read_texts() if case.axis == "classify")
    assert found["right"] == found["exact"] == captions
    assert found["kinds"]["question"]["en"]["right"] == 0
    assert found["kinds"]["caption"]["zh"]["right_share"] == 1
    assert found["constant_share"] == round(1 - captions / found["texts"], 4)
    for axis in AXES[1:]:
        assert (figures[axis]["right"], figures[axis]["unreadable"]) == (0, figures[axis]["texts"])


def test_a_judge_that_always_gives_five(check: Check) -> None:
    figures = check("{backend: scripted, answer: '[[5]]'}")
    assert (figures["classify"]["right"], figures["classify"]["unreadable"]) == (0, figures["classify"]["texts"])
    nonsense = figures["nonsense"]
    assert nonsense["right"] == nonsense["exact"] == sum(c.passes for c in read_texts() if c.axis == "nonsense")
    assert nonsense["kinds"]["sound"]["zh"]["right_share"] == 1
    assert nonsense["kinds"]["merged"]["en"]["right"] == 0
    for axis in SCENE_AXES:
        assert figures[axis]["right_share"] == figures[axis]["constant_share"] == 0.5
    # A bar's height must be read: solvability 4, which is on the same side of the threshold.
    assert 0 < figures["solvability"]["exact"] < figures["solvability"]["right"]


def test_a_model_that_repeats_its_prompt(scripted: Callable[[str], str], check: Check) -> None:
    figures = check(scripted(ECHO))
    for axis in AXES[1:]:
        assert (figures[axis]["right"], figures[axis]["unreadable"]) == (0, figures[axis]["texts"])
    for kind in ("question", "command", "questions", "answered", "context", "choices"):
        for found in figures["classify"]["kinds"][kind].values():
            assert found["exact"] == 0, "an example of the prompt is not an instruction in the text"


def test_a_model_that_says_nothing(check: Check) -> None:
    figures = check("{backend: scripted, answer: ''}")
    for axis in AXES:
        assert (figures[axis]["right"], figures[axis]["unreadable"]) == (0, figures[axis]["texts"])


def test_an_inexact_instruction_is_of_the_right_kind(scripted: Callable[[str], str], check: Check) -> None:
    code = "def answer(request):\n    text = request.turns[-1].text.rsplit('[Begin of Text]\\n', 1)[-1]\n"
    code += "    return 'Instruction: ' + text.rsplit('\\n[End of Text]', 1)[0]\n"
    figures = check(scripted(code), "--text-only")
    found = figures["classify"]["kinds"]
    assert found["question"]["en"]["exact_share"] == 1
    assert found["questions"]["en"]["right_share"] == 1 and found["questions"]["en"]["exact"] == 0
    assert found["ocr"]["zh"]["exact"] == 0
    assert "classify-en-questions-01: inexact" in figures["wrong"]
    assert "expected:\n    What is the man on the ladder repairing?\n" in figures["wrong"]


def test_only_the_texts(check: Check, tmp_path: Path) -> None:
    figures = check("{backend: scripted, answer: '[[5]]'}", "--text-only")
    assert set(figures) - {"wrong"} == set(TEXT_AXES)
    assert not (tmp_path / "out" / "images").exists()


def test_only_the_scenes(check: Check) -> None:
    figures = check("{backend: scripted, answer: '[[5]]'}", "--scenes-only")
    assert set(figures) - {"wrong"} == set(SCENE_AXES)


def test_images_go_to_the_engine_for_images(check: Check) -> None:
    figures = check("{backend: scripted, answer: '[[5]]'}", "--vlm", "{backend: scripted, answer: '[[1]]'}")
    assert figures["nonsense"]["kinds"]["sound"]["en"]["right_share"] == 1
    assert figures["clarity"]["kinds"]["sound"]["en"]["right"] == 0
    assert figures["clarity"]["kinds"]["vague"]["en"]["right_share"] == 1


def test_a_finished_run_calls_no_model(perfect: str, check: Check, tmp_path: Path) -> None:
    first = check(perfect)
    (output,) = (tmp_path / "out").glob("run-*")
    calls = sum(step.get("calls", 0) for step in mminf.status(output)["steps"].values())
    assert check(perfect) == first
    assert sum(step.get("calls", 0) for step in mminf.status(output)["steps"].values()) == calls


def test_an_interrupted_run_is_resumed(
    perfect: str, check: Check, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["--engine", perfect, "--output", str(tmp_path / "out"), "--quiet", "--text-only"]
    assert main([*command, "--set", "budget={calls: 100}"]) == INTERRUPTED
    said = capsys.readouterr()
    assert not said.out and "the same command resumes the run" in said.err
    (output,) = (tmp_path / "out").glob("run-*")
    before = mminf.status(output)
    assert 0 < before["done"] + before["dropped"] < len(read_texts())
    figures = check(perfect, "--text-only")
    assert figures["nonsense"]["right"] == figures["nonsense"]["texts"]
    after = mminf.status(output)
    assert after["run"] == 2
    calls = sum(step.get("calls", 0) for step in after["steps"].values())
    assert calls == len(read_texts()), "no call is repeated"


def test_another_model_or_prompt_is_another_run(check: Check, tmp_path: Path) -> None:
    check("{backend: scripted, answer: '[[5]]'}", "--text-only")
    check("{backend: scripted, model: other, answer: '[[5]]'}", "--text-only")
    check("{backend: scripted, answer: '[[5]]'}", "--text-only", "--profile", "reasoned")
    check("{backend: scripted, answer: '[[5]]'}", "--text-only", "--set", "steps.nonsense.sampling.max_tokens=9")
    assert len(list((tmp_path / "out").glob("run-*"))) == 4


def test_the_table(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    engine = "{backend: scripted, answer: NO_INST}"
    assert main(["--engine", engine, "--output", str(tmp_path / "out"), "--quiet", "--text-only"]) == 0
    printed = capsys.readouterr().out
    lines = [" ".join(line.split()) for line in printed.splitlines()]
    assert "caption, zh 18 18 100% 18 100% 0" in lines
    assert "nonsense texts right exact unreadable" in lines
    assert any(line.endswith("wrong.txt") for line in lines)


def test_a_model_that_fails_is_an_error(
    scripted: Callable[[str], str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["--engine", scripted(RAISES), "--output", str(tmp_path / "out"), "--quiet"]) == 2
    said = capsys.readouterr()
    assert not said.out
    assert said.err == (
        "check_prompts: no call to the model succeeded, so there are no figures: scripted: out of memory\n"
    )


def test_calls_that_fail_are_told_apart(
    scripted: Callable[[str], str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["--engine", scripted(BLIND), "--output", str(tmp_path / "out"), "--quiet"]
    assert main(command) == 1
    said = capsys.readouterr()
    for axis, texts in Counter(case.axis for case in draw_cases(tmp_path / "drawn")).items():
        assert f"   {texts} calls failed   " in said.out
        assert f"check_prompts: {axis}: {texts} calls failed and count as wrong" in said.err
    assert "The first: scripted: no image input" in said.err


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--engine", "{backend: vlm}"], "unknown backend 'vlm'"),
        (["--engine", "{backend: openai"], "not valid YAML"),
        (["--engine", "{backend: scripted}"], "set `script` or `answer`"),
        (["--recipe", "magpie"], "recipe 'magpie' has no step 'classify'; its steps: hook"),
        (["--profile", "nope"], "nope"),
    ],
)
def test_what_can_not_run_is_an_error(
    options: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*options, "--output", str(tmp_path / "out"), "--quiet", "--text-only"]) == 2
    said = capsys.readouterr().err
    assert said.startswith("check_prompts: ") and message in said
