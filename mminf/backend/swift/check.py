"""Checks a local model without loading it, and finds its ms-swift types."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mminf.backend.base import ModelCheck
from mminf.backend.model_files import find_config_problem, has_architectures
from mminf.backend.swift.config import SwiftConfig
from mminf.backend.swift.explain import explain_types
from mminf.backend.swift.remote_code import explain_remote_code, find_remote_code, remote_code
from mminf.backend.swift.template_check import writes_own_prompts
from mminf.model_type import read_type

if TYPE_CHECKING:
    from swift.model import ModelInfo


def check_local_model(config: SwiftConfig, folder: str) -> ModelCheck:
    """Returns which settings a local model needs before it can be loaded. Imports ms-swift: some seconds.

    ms-swift knows a model by the name of its folder, or by its architecture if only one of its types has that.
    Otherwise, the type is the one that the model's `config.json` names, and the template the one of that type that
    writes what the model's own chat template writes. If none does, or several do, the problem names what to set.

    Args:
        config: the model's engine.
        folder: its files.
    """
    if (unusable := find_config_problem(folder)) is not None:
        return ModelCheck(problem=unusable)
    if not config.trust_remote_code and (file := find_remote_code(folder)) is not None:
        return ModelCheck(problem=explain_remote_code(config.model, file))
    with remote_code(config.trust_remote_code):
        if (problem := _match_types(config, folder)) is None:
            return ModelCheck()
        if config.model_type is None and config.template is None and (found := _find_types(folder)) is not None:
            return ModelCheck(settings=found)
        if not has_architectures(folder):
            problem = (
                f"{folder}/config.json names no `architectures`, by which ms-swift finds the type of a model. Set "
                "`model_type` and `template` of the engine in the recipe"
            )
    return ModelCheck(problem=problem)


def _match_types(config: SwiftConfig, folder: str) -> str | None:
    """Returns why ms-swift knows no type or template for a model; None if it does, or fails for another reason."""
    from swift.model import get_model_info_meta
    from swift.template import get_template_meta

    try:
        get_template_meta(*get_model_info_meta(folder, model_type=config.model_type), config.template)
    except Exception as error:  # transformers raises many kinds; what is not about types is told when it is loaded
        return explain_types(str(error))
    return None


def _find_types(folder: str) -> dict[str, str] | None:
    """Returns the `model_type` and `template` of a model by its files; None if they don't decide."""
    from swift.model import MODEL_MAPPING, get_processor
    from swift.template import get_template

    known = MODEL_MAPPING.get(model_type := read_type(folder) or "")
    if known is None:
        return None
    try:
        processor = get_processor(folder, model_type=model_type)
        info: ModelInfo = processor.model_info
        if (info.config.architectures or [None])[0] not in known.architectures:
            return None
        templates = {name: get_template(processor, template_type=name) for name in known.candidate_templates}
        fits = [name for name, template in templates.items() if writes_own_prompts(template, template.tokenizer)]
    except Exception:  # files are missing or damaged: loading says so
        return None
    return {"model_type": model_type, "template": fits[0]} if len(fits) == 1 else None
