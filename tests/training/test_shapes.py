"""ms-swift trains two steps on every shape of row that mminf writes, with a tiny random model on the CPU.

One process trains on all datasets, because importing ms-swift takes longer than the training. The tests check what it
was trained on: the chats and images in the batches, the answers that got a loss, and what reward functions got.
"""

from __future__ import annotations

import json
import math
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from ..conftest import ROOT, read_rows, subprocess_env
from .shapes import ROWS, SHAPES, Shape, kind, write_dataset
from .tiny_model import write_tiny_model

SETTINGS = {
    "model_type": "qwen2_vl",
    "template": "qwen2_vl",
    "check_model": "false",
    "torch_dtype": "float32",
    "tuner_type": "full",
    "freeze_vit": "false",
    "max_steps": "2",
    "per_device_train_batch_size": "2",
    "gradient_accumulation_steps": "1",
    "gradient_checkpointing": "false",
    "logging_steps": "1",
    "save_strategy": "no",
    "report_to": "none",
    "dataloader_num_workers": "0",  # train.py watches the batches of its own process
    "split_dataset_ratio": "0",
    "max_length": "512",
    "add_version": "false",
    "strict": "true",  # a row that can't be read is an error; by default it is left out
}
IMAGE = "<|vision_start|><|image_pad|><|vision_end|>"


def reward_of_the_docs(folder: Path) -> Path:
    """Writes the reward function of docs/verifiable.md to a file."""
    text = (ROOT / "docs" / "verifiable.md").read_text()
    path = folder / "reward.py"
    path.write_text(re.search(r"```python\n(# reward\.py\n.*?)```", text, re.DOTALL)[1])  # type: ignore[index]
    return path


# Settings of the documented command that need a GPU, the hub or much time.
REPLACED = (
    "model",
    "dataset",
    "val_dataset",
    "output_dir",
    "torch_dtype",
    "num_train_epochs",
    "gradient_accumulation_steps",
    "per_device_train_batch_size",
)


def command_of_the_docs() -> list[str]:
    """Returns the settings of the command in docs/training.md that a CPU can run."""
    text = (ROOT / "docs" / "training.md").read_text()
    found = re.search(r"```console\nswift sft (.*?)```", text, re.DOTALL)
    assert found is not None
    given = re.findall(r"--(\w+) (\S+)", found[1])
    assert {"model", "dataset", "tuner_type", "strict"} <= {name for name, _ in given}
    return [part for name, value in given if name not in REPLACED for part in (f"--{name}", value)]


def arguments(shape: Shape, folder: Path, files: list[Path], reward: Path) -> list[str]:
    """Returns the arguments of ms-swift's command for a shape."""
    settings = {**SETTINGS, "model": str(folder / "model"), "output_dir": str(folder / shape.name / "trained")}
    found = [part for key, value in settings.items() for part in (f"--{key}", value)]
    found += ["--dataset", *map(str, files), *shape.arguments]
    if shape.name == "documented":
        found += command_of_the_docs()
    if "grpo" in shape.arguments:
        found += ["--reward_funcs", "verifiable", "alternating", "--external_plugins", str(reward)]
    return found


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("training")


@pytest.fixture(scope="module")
def results(folder: Path) -> dict[str, Any]:
    """What happened to each shape; see train.py."""
    write_tiny_model(folder / "model")
    reward = reward_of_the_docs(folder)
    plan = [
        {
            "name": shape.name,
            "main": shape.main,
            "arguments": arguments(shape, folder, write_dataset(shape, folder / shape.name), reward),
        }
        for shape in SHAPES
    ]
    (folder / "plan.json").write_text(json.dumps(plan))
    environment = subprocess_env(
        CUDA_VISIBLE_DEVICES="",
        HF_HUB_OFFLINE="1",
        MODELSCOPE_CACHE=str(folder / "cache"),
        TRL_EXPERIMENTAL_SILENCE="1",
    )
    command = [sys.executable, str(Path(__file__).with_name("train.py")), "plan.json", "results.json"]
    with (folder / "train.log").open("w") as log:
        subprocess.run(command, cwd=folder, env=environment, stdout=log, stderr=log, timeout=1800)
    said = (folder / "train.log").read_text()[-5000:]
    assert (folder / "results.json").is_file(), said
    found: dict[str, Any] = json.loads((folder / "results.json").read_text())
    assert set(found) == {shape.name for shape in SHAPES}, said
    return found


def written_turns(path: Path) -> list[list[str]]:
    """Returns the texts of the turns in each row of a chat dataset, as the model sees them."""
    rows: list[Any] = json.loads(path.read_text()) if path.suffix == ".json" else read_rows(path)
    chats = [row.get("messages") or row.get("conversations") for row in rows]
    return [[(turn.get("content") or turn["value"]).replace("<image>", IMAGE) for turn in chat] for chat in chats]


@pytest.mark.train
@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: shape.name)
def test_ms_swift_trains_two_steps(shape: Shape, results: dict[str, Any]) -> None:
    found = results[shape.name]
    assert "error" not in found, found["error"]
    steps = [entry for entry in found["log"] if "loss" in entry]
    assert [entry["step"] for entry in steps] == [1, 2]
    assert all(math.isfinite(entry["loss"]) for entry in steps)
    assert all(entry["grad_norm"] > 0 for entry in steps), "there is something to learn"
    if shape.why_not is not None:
        assert len(found["prompts"]) == ROWS
        assert all("<image>" in prompt for prompt in found["prompts"]), "the tag is text"
        pytest.skip(shape.why_not)


def without_padding(prompt: str) -> str:
    """Returns the text of a chat, with one token per image."""
    return re.sub(r"(<\|image_pad\|>)+", r"\1", prompt).replace("<|endoftext|>", "")


@pytest.mark.train
@pytest.mark.parametrize("shape", [shape for shape in SHAPES if shape.why_not is None], ids=lambda shape: shape.name)
def test_it_is_trained_on_what_the_rows_say(shape: Shape, results: dict[str, Any], folder: Path) -> None:
    found = results[shape.name]
    times = 2 if shape.main == "rlhf" else 1  # two answers to each prompt
    assert found["images"] == ROWS * shape.images * times
    if "grpo" not in shape.arguments:
        learned = sorted(text.replace("<|im_end|>\n", "").replace("<|im_end|>", "") for text in found["answers"])
        assert learned == sorted(text for n in range(ROWS) for text in shape.answers(n))
    prompts = [without_padding(prompt) for prompt in found["prompts"]]
    for path in (folder / shape.name / "out").glob("rows*.json*"):
        for turns in written_turns(path) if "swift" in shape.sink or "llava" in shape.sink else []:
            # Pretraining has no roles, so that there is nothing between the turns.
            between = r"(<\|im_end\|>\n<\|im_start\|>(user|assistant)\n)?"
            chat = re.compile(between.join(map(re.escape, turns)))
            assert any(chat.search(prompt) for prompt in prompts), (turns, prompts)


@pytest.mark.train
@pytest.mark.parametrize(
    "shape", [shape for shape in SHAPES if "grpo" in shape.arguments], ids=lambda shape: shape.name
)
def test_reward_functions_get_solution_and_kind(shape: Shape, results: dict[str, Any]) -> None:
    found = results[shape.name]
    assert len(found["rewarded"]) == 2
    for call in found["rewarded"]:
        assert len(call["completions"]) == 2
        assert call["kind"] == ["number", "number"]
        asked = [turns[-2]["content"] for turns in call["messages"]]
        assert asked == [f"{'<image>' * shape.images}Q{solution}?" for solution in call["solution"]]
    steps = [entry for entry in found["log"] if "loss" in entry]
    assert all("rewards/Verifiable/mean" in entry for entry in steps), "the function of docs/verifiable.md ran"


def test_the_shapes_of_all_recipes_are_trained() -> None:
    trained = {kind(shape.sink) for shape in SHAPES}
    for path in sorted((ROOT / "recipes").glob("*.yaml")):
        for sink in yaml.safe_load(path.read_text())["sinks"]:
            if "swift" in sink or "llava" in sink:
                assert kind(sink) in trained, (path.name, sink)


def test_the_page_lists_the_shapes() -> None:
    page = (ROOT / "docs" / "training.md").read_text()
    assert [shape.name for shape in SHAPES if f"`{shape.name}`" not in page] == []
