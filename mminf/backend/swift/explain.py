"""Explains errors of ms-swift in terms of mminf's settings."""

from __future__ import annotations

import re
from collections.abc import Sequence

from mminf.backend.base import WHERE_NAME
from mminf.errors import nearest

_MOST = 4
"""Number of templates that are listed for a model type."""


def explain_types(error: str) -> str | None:
    """Returns an error of ms-swift about model or template types in terms of mminf's settings; None for other errors.

    Args:
        error: the text of ms-swift's error.
    """
    for kind, setting, what in (
        ("template_type", "template", "chat template"),
        ("model_type", "model_type", "model type"),
    ):
        if refused := re.search(rf"{kind}: '([^']*)' not in \[(.*)\]", error, re.DOTALL):
            names = re.findall(r"'([^']+)'", refused[2])
            close = nearest(refused[1], names)
            known = close if "did you mean" in close else f"; none of ms-swift's {len(names)} has a similar name"
            return f"`{setting}: {refused[1]}` is not a {what} of ms-swift{known}"
        if re.search(rf"match `{kind}`|suitable `{kind}`", error):
            listed = re.search(r"possible types found: \[(.*?)\]", error, re.DOTALL)
            names = re.findall(r"'([^']+)'", listed[1]) if listed else []
            if names and setting == "model_type":
                reason = f"the model matches more than one {what} of ms-swift: {', '.join(map(_with_templates, names))}"
            elif names:
                reason = f"the model matches more than one {what} of ms-swift: {', '.join(names)}"
            else:
                reason = f"ms-swift can't detect the {what} of this model"
            return f"{reason}. {_how_to_set(setting, names, both='template:' in reason)}"
    return None


def _with_templates(model_type: str) -> str:
    """Returns a model type of ms-swift, with its templates if it has several: `template` must be set for it, too."""
    from swift.model import MODEL_MAPPING  # imported when the error was raised

    known = MODEL_MAPPING.get(model_type)
    templates = list(known.candidate_templates) if known is not None else []
    if len(templates) < 2:
        return model_type
    return f"{model_type} (with `template: {' or '.join(templates) if len(templates) <= _MOST else 'TEMPLATE'}`)"


def _how_to_set(setting: str, names: Sequence[str], *, both: bool = False) -> str:
    """Returns how to set a type. `both`: some model types need a template as well."""
    listed = "one of these" if names else f"one of ms-swift's {setting.removesuffix('_type')} types"
    key = f"`{setting}: TYPE`{' (and `template: TEMPLATE`, where several are listed)' if both else ''}"
    also = " --set engines.NAME.template=TEMPLATE" if both else ""
    return (
        f"Set it to {listed}: {key} under the engine in the recipe, or `--set "
        f"engines.NAME.{setting}=TYPE{also}` on the command line{WHERE_NAME}"
    )


_DOWNLOAD = (
    "Check the model's name or path, and the network or hub token if it is on a hub. `USE_HF=1` downloads from Hugging "
    "Face instead of ModelScope, and a local folder needs neither (`mminf help troubleshooting`)."
)


_FILES = (
    "The model is a local folder: check that all its files are there and complete (config.json, the weights, the "
    "tokenizer; of a model that sees images also preprocessor_config.json)."
)


def advise(error: BaseException, *, local: bool) -> str:
    """Returns how to fix a model that can't be loaded. `local`: it is a folder, and not downloaded."""
    if "memory" in str(error).lower():
        return (
            "Lower `gpu_memory_utilization` or `max_model_len`, spread it over more GPUs, or use a smaller model "
            "(`mminf help models`)."
        )
    if isinstance(error, OSError) or "connection" in str(error).lower():
        return _FILES if local else _DOWNLOAD
    return "Run `mminf doctor` to see which backends can run here."
