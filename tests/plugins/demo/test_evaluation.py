"""The comparison of runs with the truth, where every answer is scripted: by the oracle, or with one skill spoilt."""

from __future__ import annotations

from pathlib import Path

import pytest
from mminf_plugins.demo.evaluate import COLUMNS, TRAINED, evaluate
from mminf_plugins.demo.funnel import funnel_text
from mminf_plugins.demo.items import read_items
from mminf_plugins.demo.measure import measure
from mminf_plugins.demo.scenes import draw_scenes
from mminf_plugins.demo.world import caption, extract, judge, make_scene
from typer.testing import CliRunner

import mminf
from mminf.cli.main import app
from mminf.errors import UsageError

ORACLE = """
import random, re
from mminf_plugins.demo.world import extract, judge, make_hook, make_scene

WRONG = {wrong!r}
AXES = {{"whether the image shows|所需要的信息": "solvability", "says or assumes|说法和假设": "hallucination",
         "how clear it is|说得是否清楚": "clarity", "makes sense|讲得通": "nonsense"}}

def seed_of(request):
    return next((int(re.search(r"scene-(\\d+)", image.uri)[1]) for image in request.images), None)

def answer(request):
    text = "".join(part for turn in request.turns for part in turn.parts if isinstance(part, str))
    seed = seed_of(request)
    if request.open_turn == "user":
        text = make_hook(make_scene(seed), random.Random(request.seed))
        return text.upper()[::-1] if WRONG == "hook" else text
    if "[Begin of Text]" in text:
        sampled = text.rsplit("[Begin of Text]", 1)[1].split("[End of Text]")[0].strip()
        found = extract(sampled)
        if WRONG == "classify":
            return "NO_INST"
        return "NO_INST" if found is None else f"Instruction: {{found}}"
    instruction = text.rsplit("[Begin of Instruction]", 1)[-1].split("[End of Instruction]")[0].strip()
    for words, axis in AXES.items():
        if re.search(words, text):
            scene = make_scene(seed if seed is not None else 0)
            score = getattr(judge(instruction, scene), axis)
            return f"[[{{6 - score if axis == WRONG else score}}]]"
    if WRONG == "answer":
        return "It is hidden."
    return judge(instruction, make_scene(seed)).answer or "I can't tell."
"""


def oracle(folder: Path, wrong: str = "") -> list[str]:
    """Settings that let the oracle play both models, with one skill spoilt."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "oracle.py"
    path.write_text(ORACLE.format(wrong=wrong))
    return [f"engines.{name}={{backend: scripted, script: '{path}'}}" for name in ("vlm", "llm")]


def test_the_oracle_is_always_right(tmp_path: Path) -> None:
    found = evaluate(tmp_path / "out", scenes=60, first=200, settings=oracle(tmp_path))
    assert found["sampled"]["valid"] == {"share": 1.0, "part": 60, "of": 60}
    for column in COLUMNS:
        shares = found[column]
        for name, share in shares.items():
            if name not in ("kept", "failed"):
                assert share["part"] == share["of"], name
                assert share["of"] or column not in ("sampled", "drawn"), name
        assert 0.05 < shares["kept"]["share"] < 0.6
        assert shares["failed"]["part"] == 0
    assert found["drawn"]["classified"]["of"] == 120, "twice as many drawn texts"
    assert 0.1 < found["drawn, Chinese"]["classified"]["of"] / 120 < 0.3
    assert found["drawn"]["answers"]["of"] > found["sampled"]["answers"]["of"] > 0


@pytest.mark.parametrize(
    ("wrong", "lower"),
    [
        ("hallucination", {"hallucination", "bad hallucination caught", "filter recall"}),
        ("solvability", {"solvability", "bad solvability caught", "filter recall", "filter precision"}),
        ("clarity", {"clarity", "bad clarity caught", "filter recall"}),
        ("nonsense", {"nonsense", "bad nonsense caught", "filter recall"}),
        ("answer", {"answers"}),
        ("classify", {"classified", "extracted", "classifier recall", "filter recall"}),
    ],
)
def test_one_bad_skill_shows_in_its_figures_alone(tmp_path: Path, wrong: str, lower: set[str]) -> None:
    draw_scenes(tmp_path / "images", range(80))
    settings = [*oracle(tmp_path, wrong), "early_drop=false"]
    mminf.run("oasis", input=tmp_path / "images", output=tmp_path / "out", settings=settings)
    shares = measure(read_items(tmp_path / "out")[0])
    below = {name for name, share in shares.items() if share.value is not None and share.value < 0.98}
    assert below - {"kept", "failed"} == lower


@pytest.mark.parametrize("wrong", ["", "hallucination", "classify"])
def test_what_a_run_loses_shows_in_its_recall_and_its_funnel(tmp_path: Path, wrong: str) -> None:
    draw_scenes(tmp_path / "images", range(80))
    mminf.run("oasis", input=tmp_path / "images", output=tmp_path / "out", settings=oracle(tmp_path, wrong))
    items, _ = read_items(tmp_path / "out")
    sound = sum((asked := extract(item.text)) is not None and judge(asked, item.scene).sound for item in items)
    recall = measure(items)["filter recall"]
    assert sound > 10
    assert (recall.part, recall.of) == (0 if wrong else sound, sound)
    assert f"; {sound if wrong else 0} sound ones were lost" in funnel_text(tmp_path / "out")


def test_what_was_kept_is_what_the_run_kept(tmp_path: Path) -> None:
    draw_scenes(tmp_path / "images", range(80))
    settings = [*oracle(tmp_path), "steps.solvability=false", "steps.keep=clarity >= 3"]
    result = mminf.run("oasis", input=tmp_path / "images", output=tmp_path / "out", settings=settings)
    shares = measure(read_items(tmp_path / "out")[0])
    assert shares["kept"].part == shares["filter precision"].of == result.counts.done
    assert shares["filter precision"].value is not None and shares["filter precision"].value < 0.9, "a bad filter"


def test_another_evaluation_in_the_same_folder_measures_its_own_scenes(tmp_path: Path) -> None:
    for scenes, texts, first in ((6, None, 0), (4, 3, 100)):
        found = evaluate(tmp_path / "out", scenes=scenes, texts=texts, first=first, settings=oracle(tmp_path))
        assert (found["sampled"]["valid"]["of"], found["drawn"]["valid"]["of"]) == (scenes, texts or 2 * scenes)


def test_scenes_that_training_had_are_told_from_new_ones(tmp_path: Path) -> None:
    found = evaluate(tmp_path / "out", scenes=60, settings=oracle(tmp_path))
    seen = {caption(make_scene(seed)) for seed in TRAINED}
    new = sum(caption(make_scene(seed)) not in seen for seed in range(60))
    assert 10 < new < 50
    assert found["sampled, new"]["valid"]["of"] == new


def test_a_hook_of_another_language_is_not_valid(tmp_path: Path) -> None:
    draw_scenes(tmp_path / "images", range(20))
    mminf.run("oasis", input=tmp_path / "images", output=tmp_path / "out", settings=oracle(tmp_path, "hook"))
    shares = measure(read_items(tmp_path / "out")[0])
    assert shares["valid"].part == 0


def test_the_funnel_beside_the_truth(tmp_path: Path, images: Path) -> None:
    draw_scenes(tmp_path / "scenes", range(40))
    mminf.run("oasis", input=tmp_path / "scenes", output=tmp_path / "out", settings=oracle(tmp_path))
    found = CliRunner().invoke(app, ["evaluate-demo", str(tmp_path / "out"), "--funnel"])
    assert found.exit_code == 0, found.output
    table = {line.split()[0]: line for line in found.output.splitlines()[1:]}
    assert table["sampled"].split()[1] == "40"
    assert "40 are in the language" in table["sampled"]
    assert "; 0 sound ones were lost" in table["kept"]
    kept = table["kept"].split()[1]
    assert f"{kept} are sound" in table["kept"]
    assert f"{kept} answers are right" in table["answered"]


def test_other_images_are_told_apart(tmp_path: Path, images: Path) -> None:
    (images / "000.png").rename(images / "scene-000003.png")
    script = tmp_path / "script.json"
    script.write_text(
        '{"as one of [[1]]": "[[5]]", "Begin of Text": "Instruction: Describe the image.", "": "A sunset."}'
    )
    settings = [f"engines.{name}={{backend: scripted, script: '{script}'}}" for name in ("vlm", "llm")]
    mminf.run("oasis", input=images, output=tmp_path / "out", settings=settings)
    text = funnel_text(tmp_path / "out")
    assert "11 records show no drawn scene" in text
    (images / "scene-000003.png").unlink()
    mminf.run("oasis", input=images, output=tmp_path / "none", settings=settings)
    with pytest.raises(UsageError, match="no record in .* shows a drawn scene"):
        read_items(tmp_path / "none")


def test_a_broken_image_fails_alone(tmp_path: Path) -> None:
    paths = draw_scenes(tmp_path / "images", range(10))
    paths[4].write_bytes(paths[4].read_bytes()[:200])
    mminf.run("oasis", input=tmp_path / "images", output=tmp_path / "out", settings=oracle(tmp_path))
    text = funnel_text(tmp_path / "out")
    assert "failed             1" in text
    assert "sampled            9" in text, "nothing was sampled from a broken image"
    assert measure(read_items(tmp_path / "out")[0])["failed"].part == 1


def test_bad_arguments(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="seeds from 900000 on are used for training; .* end at 900000"):
        evaluate(tmp_path / "out", scenes=10, first=899_971)
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match="is not a folder"):
        evaluate(tmp_path / "file", scenes=1)
    found = CliRunner().invoke(app, ["evaluate-demo", str(tmp_path / "nothing"), "--funnel"])
    assert "no run in" in str(found.exception)
