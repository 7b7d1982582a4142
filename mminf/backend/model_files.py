"""Finds the files of a model."""

from __future__ import annotations

import json
import logging
import os
import warnings
from pathlib import Path

from mminf.backend.builtin import find_model, is_builtin
from mminf.errors import EngineError, reason_of

_PATHS = ("/", "./", "../", "~")
_NOISE = (
    "`torch.distributed.reduce_op` is deprecated",
    "--disable-cascade-attn is deprecated",
    "IProgress not found",
)
"""Warnings about how libraries use each other."""


def resolve_model(model: str, revision: str | None) -> str:
    """Returns the local folder of a model, downloading it if it is on a hub.

    Raises:
        EngineError: if there is no such model.
    """
    check_path(model)
    folder = resolve_local(model)
    if Path(folder).is_dir():
        return folder
    from swift.utils import safe_snapshot_download

    return str(safe_snapshot_download(model, revision=revision))


def check_path(model: str) -> None:
    """Raises EngineError if a model is a path without a folder; a hub would answer with a long error."""
    if model.startswith(_PATHS) and not Path(resolve_local(model)).is_dir():
        raise EngineError(f"model {model!r} is a path, and there is no such folder")


def find_config_problem(folder: str) -> str | None:
    """Returns what is wrong with a model's `config.json`, or None. ms-swift would name types that it can't have."""
    try:
        found = json.loads((Path(folder) / "config.json").read_bytes())
    except FileNotFoundError:
        return f"{folder} contains no config.json, so it is not a model: check the folder, or download the model again"
    except (OSError, ValueError) as error:
        return f"{folder}/config.json can't be read: {reason_of(error)}"
    return None if isinstance(found, dict) else f"{folder}/config.json is not a JSON object"


def has_architectures(folder: str) -> bool:
    """Returns whether a model's valid `config.json` names the classes of the model."""
    return bool(json.loads((Path(folder) / "config.json").read_bytes()).get("architectures"))


def resolve_local(model: str) -> str:
    """Returns the local folder of a model, which may not exist."""
    if is_builtin(model):
        return str(find_model(model).folder)
    return str(Path(model).expanduser())


def import_quietly() -> None:
    """Imports ms-swift and transformers so that they print errors only, unless LOG_LEVEL is set.

    ms-swift reads LOG_LEVEL when it is imported, and logs its whole configuration at INFO. A few warnings about how
    the libraries use each other are hidden as well.
    """
    if "LOG_LEVEL" in os.environ:
        return
    for message in _NOISE:
        warnings.filterwarnings("ignore", message=message)
    logging.getLogger("torch.utils.cpp_extension").setLevel("ERROR")
    os.environ["LOG_LEVEL"] = "ERROR"
    try:
        from swift.utils import get_logger
        from transformers.utils import logging as transformers_log

        get_logger().setLevel("ERROR")
    finally:
        del os.environ["LOG_LEVEL"]
    transformers_log.set_verbosity_error()
    transformers_log.disable_progress_bar()
