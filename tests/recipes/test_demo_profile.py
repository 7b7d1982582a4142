"""Every recipe runs with the profile `demo`, without a model to download and without an input."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml
from mminf_plugins.demo.scenes import find_scene
from mminf_plugins.demo.world import caption, is_right, judge
from mminf_plugins.drawn.source import Drawn, DrawnConfig, question, solution

import mminf
from mminf.errors import RecipeError
from mminf.shard import Shard
from mminf.states import RunState

from ..conftest import ROOT, tiny_image

RECIPES = sorted(path.stem for path in (ROOT / "recipes").glob("*.yaml"))
DEMO = {name: yaml.safe_load((ROOT / f"recipes/{name}.yaml").read_text())["profiles"]["demo"] for name in RECIPES}
SCRIPTED = [name for name in RECIPES if any("demo_script" in str(e) for e in DEMO[name]["engines"].values())]
PLAYED = [*SCRIPTED, "unicorn_images"]


def test_every_recipe_has_the_profile_and_says_what_it_is() -> None:
    for name in RECIPES:
        wanted = "not training data" if name in PLAYED else "demo model"
        assert wanted in DEMO[name]["note"], name
    assert set(RECIPES) - set(PLAYED) == {"oasis", "caption", "caption_qa", "allava_session"}


@pytest.mark.parametrize("name", PLAYED)
def test_it_makes_rows_without_failures(name: str, tmp_path: Path) -> None:
    result = mminf.run(name, profile="demo", output=tmp_path / "out", progress=False)
    assert result.state is RunState.FINISHED
    assert result.counts.failed == 0, result.failures
    assert result.counts.done >= 10
    full = [written for written in result.written if written.rows]
    assert full, result.written
    leftovers = {"no_instructions.jsonl", "false_captions.jsonl", "invalid.jsonl", "wrong.jsonl"}
    assert all(written.rows or written.path in leftovers for written in result.written), "every dataset has rows"


@pytest.mark.parametrize("name", ["caption_check", "mammoth_vl", "preference", "thinking", "magpie", "oasis_recycling"])
def test_filters_have_something_to_drop(name: str, tmp_path: Path) -> None:
    assert mminf.run(name, profile="demo", output=tmp_path / "out", progress=False).counts.dropped > 0


def test_rows_are_true_of_the_scenes(tmp_path: Path) -> None:
    mminf.run("allava_vflan", profile="demo", output=tmp_path / "out", progress=False)
    rows = json.loads((tmp_path / "out/instruct.json").read_text())
    assert len(rows) == 24
    for row in rows:
        scene = find_scene(row["image"])
        assert scene is not None
        instruction, answer = (turn["value"].removeprefix("<image>\n") for turn in row["conversations"])
        assert answer.endswith(judge(instruction, scene).answer or "never")
        assert caption(scene) in answer


def test_questions_have_a_solution() -> None:
    for seed in range(200):
        scene = find_scene(f"scene-{seed:06}.png")
        assert scene is not None
        asked = question(scene)
        assert asked == question(scene)
        assert solution(asked, scene) and judge(asked, scene).sound
        assert is_right(judge(asked, scene).answer or "", asked, scene)


def test_a_photo_fails_with_what_to_do(tmp_path: Path) -> None:
    photos = tmp_path / "photos"
    photos.mkdir()
    tiny_image(photos / "cat.png", "red")
    result = mminf.run("caption_check", profile="demo", input=photos, output=tmp_path / "out", progress=False)
    assert result.counts.failed == 1
    assert "run it without --input, or choose models" in result.failures[0].reason


@pytest.mark.parametrize("name", ["caption_check", "mammoth_vl"])
def test_a_file_with_the_name_of_a_scene_is_not_one(name: str, tmp_path: Path) -> None:
    photos = tmp_path / "photos"
    photos.mkdir()
    tiny_image(photos / "scene-000003.png", "red", (300, 300))
    (photos / "rows.jsonl").write_text('{"image": "scene-000003.png", "instruction": "What?", "answer": "A cat."}\n')
    given = photos if name == "caption_check" else photos / "rows.jsonl"
    result = mminf.run(name, profile="demo", input=given, output=tmp_path / "out", progress=False)
    assert (result.counts.done, result.counts.failed) == (0, 1)


@pytest.mark.parametrize(
    ("name", "row"),
    [
        ("allava_text", {"instruction": "What colour is the sky?"}),
        ("unicorn", {"seed": "A red thing."}),
    ],
)
def test_texts_about_something_else_get_no_scene(name: str, row: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "rows.jsonl").write_text(json.dumps(row) + "\n")
    result = mminf.run(name, profile="demo", input=tmp_path / "rows.jsonl", output=tmp_path / "out", progress=False)
    text = "".join(path.read_text() for path in (tmp_path / "out").glob("*.json*") if path.is_file())
    assert result.counts.done == 0 or "No model wrote this answer" in text
    assert not any(word in text for word in ("triangle", "bar chart", "A sign"))


def test_the_same_run_makes_the_same_rows(tmp_path: Path) -> None:
    for folder in ("a", "b"):
        mminf.run("magpie", profile="demo", output=tmp_path / folder, progress=False)
    assert (tmp_path / "a/magpie.jsonl").read_bytes() == (tmp_path / "b/magpie.jsonl").read_bytes()


def test_a_truth_that_does_not_exist_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="truth"):
        mminf.load("caption_check", profile="demo", overrides={"source": {"drawn": {"truth": ["mood"]}}})


def test_shards_draw_their_own_scenes(tmp_path: Path) -> None:
    def read(folder: str, shard: Shard | None) -> set[tuple[str, int]]:
        source = Drawn(DrawnConfig(count=10), tmp_path, tmp_path / folder)
        found = {(record.id, record.seq) for record in source.read(shard)}
        assert {path.name for path in (tmp_path / folder / "336").iterdir()} == {name for name, _ in found}
        return found

    one, two, whole = read("one", Shard(0, 2)), read("two", Shard(1, 2)), read("whole", None)
    assert one and two and not one & two
    assert one | two == whole
