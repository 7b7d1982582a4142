"""`builtin:demo`: a Qwen2-VL of a few megabytes that plays both parts of Oasis in a small world of drawn scenes.

`scripts/train_demo_model.py` trains it; its card, log and evaluation stand beside its weights in `models/demo`.
"""

from __future__ import annotations

from pathlib import Path

from mminf.content import content_folder
from mminf.errors import EngineError, nearest

TEMPLATE = "qwen2_vl"
# What decides about a model's answers; its card and log may change without making a run's calls anew.
_FILES = ("model.safetensors", "config.json", "tokenizer.json", "preprocessor_config.json")


def demo_model(name: str = "builtin:demo") -> Path:
    """Returns the folder of a built-in model.

    Raises:
        EngineError: if there is no built-in model of that name, or its weights are missing.
    """
    root = content_folder("models")
    folder = root / name.removeprefix("builtin:")
    if not folder.is_dir():
        known = sorted(f"builtin:{path.parent.name}" for path in root.glob("*/config.json"))
        raise EngineError(f"no built-in model {name!r}{nearest(name, known)}")
    if missing := [file for file in _FILES if not (folder / file).is_file()]:
        raise EngineError(f"{name} lacks {', '.join(missing)} in {folder}; install mminf anew")
    return folder


def model_files(name: str) -> list[Path]:
    """Returns the files of a built-in model that decide about its answers. Raises EngineError as `demo_model` does."""
    return [demo_model(name) / file for file in _FILES]
