"""The recipes besides Oasis that the demo model plays, on scenes that it has not seen, judged by the oracle."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from mminf_plugins.demo.scenes import draw_scenes, find_scene
from mminf_plugins.demo.world import Scene, caption, is_explained, is_right, judge
from mminf_plugins.demo.world.chinese import in_chinese
from mminf_plugins.demo.world.language import caption_parts, is_caption

import mminf

from ..conftest import read_rows
from .conftest import Engine
from .test_oasis import run_on

pytestmark = pytest.mark.model
SCENES = range(610_000, 610_016)


def play(
    engine: Engine, folder: Path, recipe: str, profile: str = "demo"
) -> tuple[list[tuple[Scene, Mapping[str, Any]]], Path]:
    """Runs a recipe on drawn scenes. Returns the scene and the fields of each outcome, and the output folder."""
    paths = draw_scenes(folder / "images", SCENES)
    result = run_on(engine, folder / "images", folder / "out", recipe=recipe, profile=profile)
    assert result.counts.failed == 0
    assert result.counts.done >= 0.8 * len(paths)
    return list(_outcomes(folder / "out")), folder / "out"


def _outcomes(output: Path) -> Iterator[tuple[Scene, Mapping[str, Any]]]:
    for outcome in mminf.read_outcomes(output):
        scene = find_scene(str(outcome["fields"]["images"][0]))
        assert scene is not None
        yield scene, outcome["fields"]


def most(found: list[bool], share: float = 0.85) -> bool:
    """Whether there are some, and most are true."""
    return bool(found) and sum(found) >= share * len(found)


def shows(text: str, scene: Scene) -> bool:
    """Whether a text is a right caption of a scene."""
    return is_caption(text) and caption_parts(text) == caption_parts(caption(scene))


@pytest.mark.parametrize(("profile", "chinese"), [("demo", False), ("zh,demo", True)])
def test_captions_are_right(engine: Engine, tmp_path: Path, profile: str, chinese: bool) -> None:
    found, output = play(engine, tmp_path, "caption", profile)
    assert all(in_chinese(fields["caption"]) == in_chinese(fields["instruction"]) == chinese for _, fields in found)
    assert len({fields["instruction"] for _, fields in found}) > 4, "several requests are drawn"
    assert most([shows(fields["caption"], scene) for scene, fields in found])
    for row in read_rows(output / "captions.jsonl"):
        assert [message["role"] for message in row["messages"]] == ["user", "assistant"]  # type: ignore[attr-defined]


@pytest.mark.parametrize(("profile", "chinese"), [("demo", False), ("zh,demo", True)])
def test_questions_about_captions_are_sound_and_answered(
    engine: Engine, tmp_path: Path, profile: str, chinese: bool
) -> None:
    found, output = play(engine, tmp_path, "caption_qa", profile)
    asked = [(scene, fields) for scene, fields in found if "response" in fields]
    assert most([shows(fields["caption"], scene) for scene, fields in asked])
    assert most([judge(fields["instruction"], scene).sound for scene, fields in asked], 0.75)
    assert all(in_chinese(fields["instruction"]) == chinese for _, fields in asked)
    answered = [(scene, fields) for scene, fields in asked if judge(fields["instruction"], scene).sound]
    assert most([is_right(fields["response"], fields["instruction"], scene) for scene, fields in answered])
    assert len(read_rows(output / "caption_qa.jsonl")) >= 3 * len(SCENES), "several questions per image"


def test_a_session_is_described_asked_and_explained(engine: Engine, tmp_path: Path) -> None:
    found, output = play(engine, tmp_path, "allava_session")
    assert most([shows(fields["caption"], scene) for scene, fields in found])
    candidates = [(scene, text) for scene, fields in found for text in fields.get("candidates", ())]
    assert len(candidates) >= 4 * len(SCENES)
    assert most([judge(text, scene).sound for scene, text in candidates], 0.75)
    asked = [(scene, fields) for scene, fields in found if "response" in fields]
    sound = [(scene, fields) for scene, fields in asked if judge(fields["instruction"], scene).sound]
    assert most([is_explained(fields["response"], fields["instruction"], scene) for scene, fields in sound], 0.7)
    assert (output / "caption.json").is_file() and (output / "instruct.json").is_file()
