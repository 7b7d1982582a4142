"""The labelled texts of `make prompts`."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pytest
from mminf_plugins.demo.scenes import find_scene
from mminf_plugins.demo.world import judge
from mminf_plugins.oasis.classify import parse_instruction
from prompt_texts import FOLDER, NO_INST, SCENE_AXES, SCENES, TEXT_AXES, Case, draw_cases, find_translation, read_texts

from mminf.language import language_of

TEXTS = read_texts()
KINDS = {
    "classify": {
        "question", "command", "questions", "answered", "caption", "context", "choices", "ocr", "code", "markup", "table",
        "chat", "mixed", "short", "long", "quoted",
    },
    "nonsense": {"sound", "slip", "incoherent", "contradiction", "random", "repetition", "merged", "characters"},
}  # fmt: skip


def of(axis: str) -> list[Case]:
    return [case for case in TEXTS if case.axis == axis]


@pytest.fixture(scope="module")
def scenes(tmp_path_factory: pytest.TempPathFactory) -> list[Case]:
    return draw_cases(tmp_path_factory.mktemp("images"))


def test_there_are_enough_texts(scenes: list[Case]) -> None:
    assert len(of("classify")) >= 300 and len(of("nonsense")) >= 120 and len(scenes) >= 100
    assert len(TEXTS) + len(scenes) >= 500
    chinese = sum(case.language == "zh" for case in TEXTS)
    assert chinese >= 0.35 * len(TEXTS)


@pytest.mark.parametrize("axis", TEXT_AXES)
def test_each_kind_is_there_in_both_languages(axis: str) -> None:
    found = Counter((case.kind, case.language) for case in of(axis))
    assert {kind for kind, _ in found} == KINDS[axis]
    for kind in KINDS[axis] - {"mixed"}:
        assert found[kind, "en"] >= 3 and found[kind, "zh"] >= 3, kind
    assert found["mixed", "mixed"] >= 8 or axis == "nonsense"
    passing = sum(case.passes for case in of(axis))
    assert 0.3 <= passing / len(of(axis)) <= 0.7, "the same answer to every text would be right too often"


@pytest.mark.parametrize("axis", TEXT_AXES)
def test_rows_have_the_known_columns_and_languages(axis: str) -> None:
    columns = {"id", "language", "kind", "text"}
    for line in (FOLDER / f"{axis}.jsonl").read_text(encoding="utf-8").splitlines():
        row = json.loads(line)
        assert set(row) - {"accepted"} == columns | ({"expected"} if axis == "classify" else {"grades"}), row["id"]
        assert row["language"] in ("en", "zh", "mixed")


def test_no_text_is_there_twice() -> None:
    assert len({case.id for case in TEXTS}) == len(TEXTS)
    plain = Counter((case.axis, " ".join(case.text.casefold().split())) for case in TEXTS)
    assert not [text for text, number in plain.items() if number > 1]


def test_languages_are_those_that_choose_the_prompt() -> None:
    """A Chinese text gets the Chinese prompt, except code with Chinese comments, and destroyed characters."""
    wrong = {
        case.id for case in TEXTS if case.language != "mixed" and (language_of(case.text) or "en") != case.language
    }
    assert wrong == {"classify-zh-code-01", "nonsense-zh-characters-03"}


def test_expected_instructions_are_in_their_texts() -> None:
    for case in of("classify"):
        for instruction in case.instructions:
            assert instruction and instruction in case.text and instruction == instruction.strip(), case.id
        assert NO_INST not in case.text
    long = [case for case in of("classify") if case.kind == "long"]
    for case in long:
        size = len(case.text) if case.language == "zh" else len(case.text.split())
        assert size >= 150, f"{case.id} is not long"


def test_grades_are_ranges_that_decide() -> None:
    """Every grade of a range is on the same side of the threshold."""
    for case in of("nonsense"):
        assert case.grades is not None
        low, high = case.grades
        assert 1 <= low <= high <= 5 and (low == high == 5 or high < 5), case.id


def test_the_parser_reads_right_answers() -> None:
    for case in of("classify"):
        answers = [f"Instruction: {text}" for text in case.instructions] or [NO_INST]
        for answer, expected in zip(answers, case.instructions or (None,), strict=True):
            read = parse_instruction(answer, case.text)
            assert (read and read.split()) == (expected and expected.split()), case.id


def test_scenes_have_the_grades_of_the_oracle(scenes: list[Case]) -> None:
    for case in scenes:
        assert case.image is not None and case.image.is_file()
        scene = find_scene(case.image.name)
        assert scene is not None
        if case.language == "en":
            grade = getattr(judge(case.text, scene), case.axis)
            assert case.grades == (grade, grade), case.id
    for axis in SCENE_AXES:
        english = [case for case in scenes if case.axis == axis and case.language == "en"]
        assert Counter(case.kind for case in english) == SCENES[axis]
        assert sum(case.passes for case in english) == len(english) / 2
        distinct = [case.text for case in english if case.kind != "vague"]
        assert len(set(distinct)) == len(distinct)


def test_scenes_are_in_chinese_if_the_world_is(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    import mminf_plugins.demo.world as world

    monkeypatch.setattr(world, "to_chinese", lambda text: None if "Describe" in text else f"问：{text}", raising=False)
    assert find_translation() is world.to_chinese  # type: ignore[attr-defined]
    cases = draw_cases(tmp_path)
    english = {case.id: case for case in cases if case.language == "en"}
    chinese = [case for case in cases if case.language == "zh"]
    assert len(chinese) == sum("Describe" not in case.text for case in english.values())
    for case in chinese:
        same = english[case.id.replace("-zh-", "-en-")]
        assert (case.text, case.grades, case.image) == (f"问：{same.text}", same.grades, same.image)


def test_images_are_drawn_once(tmp_path: Path) -> None:
    draw_cases(tmp_path)
    times = {path: path.stat().st_mtime_ns for path in tmp_path.iterdir()}
    assert draw_cases(tmp_path)
    assert {path: path.stat().st_mtime_ns for path in tmp_path.iterdir()} == times
