from __future__ import annotations

import json
from pathlib import Path

import pytest

from mminf.model_type import is_type
from mminf.recipe.config import EngineConfig
from mminf.recipe.model import TemplateFolders
from mminf.step.hook import Hook, HookConfig

ENGINE = EngineConfig(backend="scripted", model="org/Qwen2-VL-7B")


def folder_of(tmp_path: Path, kind: str, name: str = "m") -> str:
    """Returns a local model that says its type."""
    folder = tmp_path / name
    folder.mkdir(parents=True)
    (folder / "config.json").write_text(json.dumps({"model_type": kind}))
    return str(folder)


@pytest.mark.parametrize(
    ("model", "is_it"),
    [
        ("Qwen/Qwen2.5-VL-7B-Instruct", True),
        ("qwen2_5_vl-tuned", True),
        ("Qwen/Qwen2-VL-7B-Instruct", False),
        ("qwen2.5-vl-runs/llava-7b", False),
        ("my-model", False),
    ],
)
def test_the_type_of_a_model_is_in_the_last_part_of_its_name(model: str, is_it: bool) -> None:
    assert is_type(EngineConfig(backend="scripted", model=model), "qwen2.5-vl") is is_it


def test_a_local_model_says_its_type(tmp_path: Path) -> None:
    """The name of its folder says nothing."""
    for kind, name, is_it in (("qwen2_5_vl", "run-3", True), ("llava", "qwen2.5-vl", False)):
        config = EngineConfig(backend="scripted", model=folder_of(tmp_path, kind, name))
        assert is_type(config, "qwen2.5-vl") is is_it
    (tmp_path / "run-3" / "config.json").write_text("{broken")
    assert not is_type(EngineConfig(backend="scripted", model=str(tmp_path / "run-3")), "qwen2.5-vl")


def make_hook(**sampling_for: dict[str, object]) -> Hook:
    return Hook(HookConfig(engine="vlm", sampling_for=sampling_for), TemplateFolders([]))


def test_the_engine_decides_the_sampling() -> None:
    hook = make_hook(qwen2={"top_k": 5}, other={"top_k": 7})
    plain = hook.sampling
    hook.check_engine(object(), ENGINE)
    assert hook.sampling == plain, "a check changes nothing"
    hook.use_engine(ENGINE)
    assert hook.sampling == plain.model_copy(update={"top_k": 5})
    assert hook.describe()["sampling"]["top_k"] == 5


def test_later_settings_replace_earlier_ones() -> None:
    hook = make_hook(qwen2={"top_k": 5, "top_p": 0.5}, qwen2vl={"top_k": 7})
    hook.use_engine(ENGINE)
    assert (hook.sampling.top_k, hook.sampling.top_p) == (7, 0.5)
