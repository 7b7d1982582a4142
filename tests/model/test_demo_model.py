"""The demo model: what it was trained on is what the recipe sends, and what it says is what its card promises."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from demo_architecture import HELD_OUT, prompt_parts
from demo_check import check_prompts
from demo_tasks import AXES, Tasks
from mminf_plugins.demo.evaluate import TRAINED, weights_digest
from mminf_plugins.demo.items import read_items
from mminf_plugins.demo.measure import measure
from mminf_plugins.demo.scenes import draw_scenes
from write_demo_card import figures

from mminf.backend import find_model
from mminf.backend.base import model_identity
from mminf.errors import EngineError

from ..conftest import ROOT
from .conftest import Engine
from .test_oasis import run_on

pytestmark = pytest.mark.model


@pytest.fixture(scope="module")
def tasks() -> Tasks:
    from transformers import AutoTokenizer

    return Tasks(AutoTokenizer.from_pretrained(find_model("builtin:demo").folder), prompt_parts())


def test_fixed_parts_of_prompts_are_tokens(tasks: Tasks) -> None:
    assert {"hallucination", "clarity.zh", "chains/questions", "allava/answer", "requests.zh"} <= set(tasks.parts)
    for name, parts in tasks.parts.items():
        assert parts, name
        for part in parts:
            assert len(tasks.encode(part)) == 1, (
                f"the prompt {name} changed since the demo model was trained: "
                "run `python scripts/update_demo_prompts.py models/demo`"
            )


def test_the_recipes_send_what_the_model_was_trained_on(tasks: Tasks) -> None:
    """Each prompt of the four recipes, in both languages, as ms-swift makes it, has the ids of a training prompt."""
    assert check_prompts(find_model("builtin:demo").folder, tasks) == []


def test_a_prompt_that_was_not_trained_on_is_found(tasks: Tasks) -> None:
    other = {**tasks.parts, "clarity": [tasks.parts["clarity"][0] + "It is red. ", tasks.parts["clarity"][1]]}
    (found,) = check_prompts(find_model("builtin:demo").folder, Tasks(tasks.tokenizer, other), only="clarity")
    assert found.startswith("oasis demo clarity: ")


def test_its_skills_on_unseen_scenes(engine: Engine, tmp_path: Path) -> None:
    draw_scenes(tmp_path / "images", range(600_000, 600_120))
    run_on(engine, tmp_path / "images", tmp_path / "out", profile="demo", overrides={"early_drop": False})
    items, _ = read_items(tmp_path / "out")
    shares = measure(items)
    assert len(items) == 120
    assert shares["failed"].part == 0
    # Below what the card says of 500 scenes by what 120 may be off.
    floors = {"valid": 0.97, "classified": 0.95, "extracted": 0.95, "filter precision": 0.88, "filter recall": 0.85}
    floors |= {**dict.fromkeys(AXES, 0.82), "answers": 0.9}
    for name, floor in floors.items():
        assert (shares[name].value or 0) >= floor, f"{name}: {shares[name]}"
    assert 0.15 <= (shares["kept"].value or 0) <= 0.45


def test_the_card_tells_what_was_measured() -> None:
    found = json.loads((find_model("builtin:demo").folder / "evaluation.json").read_text())
    assert found["model"] == weights_digest(), "the figures are another model's: run `make model`, or its last steps"
    assert found["sampled"]["valid"]["of"] >= 500
    assert figures(found) in (find_model("builtin:demo").folder / "README.md").read_text(), (
        "run scripts/write_demo_card.py"
    )


def test_it_is_small_and_says_what_it_is() -> None:
    files = list(find_model("builtin:demo").folder.iterdir())
    assert sum(path.stat().st_size for path in files) < 15e6
    assert json.loads((find_model("builtin:demo").folder / "config.json").read_text())["dtype"] == "bfloat16"
    log = [json.loads(line) for line in (find_model("builtin:demo").folder / "training.jsonl").read_text().splitlines()]
    assert max(entry.get("step", 0) for entry in log) >= 1000
    assert f"{len(TRAINED)} images" in log[0]["note"]
    assert TRAINED.start == HELD_OUT
    assert model_identity("builtin:demo") == model_identity("builtin:demo")
    with pytest.raises(EngineError, match=r"no built-in model 'builtin:dmo'; did you mean 'builtin:demo'\?"):
        find_model("builtin:dmo")


def test_training_is_one_command_and_its_seed_decides(tmp_path: Path) -> None:
    weights = []
    for run in ("a", "b"):
        command = [sys.executable, str(ROOT / "scripts" / "train_demo_model.py"), str(tmp_path / run), "--seed", "5"]
        command += ["--steps", "4", "--images", "40", "--rows", "4", "--every", "4", "--device", "cpu"]
        found = subprocess.run(command, capture_output=True, text=True, timeout=300)
        assert found.returncode == 0, found.stderr
        weights.append((tmp_path / run / "model.safetensors").read_bytes())
        log = [json.loads(line) for line in (tmp_path / run / "training.jsonl").read_text().splitlines()]
        assert {"loss", "answer", "caption", "classify", "explain", *AXES} <= set(log[-1])
    assert weights[0] == weights[1]
