"""Checks a local model without loading it."""

from __future__ import annotations

from mminf.backend.swift.config import SwiftConfig
from mminf.backend.swift.explain import explain_types
from mminf.backend.swift.remote_code import explain_remote_code, find_remote_code, remote_code


def find_model_problem(config: SwiftConfig, folder: str) -> str | None:
    """Returns which settings a local model needs before it can be loaded, or None. Imports ms-swift: some seconds.

    Args:
        config: the model's engine.
        folder: its files.
    """
    if not config.trust_remote_code and (file := find_remote_code(folder)) is not None:
        return explain_remote_code(config.model, file)
    with remote_code(config.trust_remote_code):
        from swift.model import get_model_info_meta

        try:
            get_model_info_meta(folder, model_type=config.model_type)
        except Exception as error:  # transformers raises many kinds; what is not about types is told when it is loaded
            return explain_types(str(error))
    return None
