"""Tells the type of a model without loading it: `qwen2_5_vl`, `internvl_chat`, ..."""

from __future__ import annotations

import json
import re
from pathlib import Path

from mminf.recipe.config import EngineConfig

_BETWEEN = re.compile(r"[^a-z0-9]+")


def is_type(config: EngineConfig, wanted: str) -> bool:
    """Returns whether an engine's model is of a type, such as `qwen2.5-vl`; case and punctuation don't matter.

    The type is the engine's `model_type`, or that in the `config.json` of a local folder. Of a model on a hub or a
    server only the name is known: its last part counts. A folder's path says nothing about its model.
    """
    name = _letters(wanted)
    known = getattr(config, "model_type", None) or read_type(config.model)
    if known is not None:
        return _letters(known).startswith(name)
    return name in _letters(config.model.rstrip("/").rpartition("/")[2])


def _letters(name: str) -> str:
    return _BETWEEN.sub("", name.lower())


def read_type(model: str) -> str | None:
    """Returns the `model_type` in the files of a local model, as transformers names it; None if there is none."""
    folder = Path(model).expanduser()
    try:
        found = json.loads((folder / "config.json").read_bytes()) if folder.is_dir() else None
    except (OSError, ValueError):
        return None
    kind = found.get("model_type") if isinstance(found, dict) else None
    return kind if isinstance(kind, str) else None
