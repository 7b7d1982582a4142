"""Backends serve models behind one small interface.

    from mminf.backend import Backend, EngineConfig, Generation, Request, backend

Names are imported on first use.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from mminf.lazy import lazy_names

if TYPE_CHECKING:
    from mminf.backend.base import Backend, backend
    from mminf.backend.builtin import find_model, register_model
    from mminf.backend.encoder import BatchingEncoder, Encoded, EncoderConfig
    from mminf.builtin_model import BuiltinModel
    from mminf.errors import EngineDied, EngineError, RequestError
    from mminf.recipe.config import EngineConfig
    from mminf.request import Generation, Rendered, Request, Sampling
    from mminf.turns import ImagePart, Turn

__all__ = [
    "Backend",
    "BatchingEncoder",
    "BuiltinModel",
    "Encoded",
    "EncoderConfig",
    "EngineConfig",
    "EngineDied",
    "EngineError",
    "Generation",
    "ImagePart",
    "Rendered",
    "Request",
    "RequestError",
    "Sampling",
    "Turn",
    "backend",
    "find_model",
    "register_model",
]

__getattr__ = lazy_names(
    __name__,
    {
        "Backend": "mminf.backend.base",
        "BatchingEncoder": "mminf.backend.encoder",
        "BuiltinModel": "mminf.builtin_model",
        "Encoded": "mminf.backend.encoder",
        "EncoderConfig": "mminf.backend.encoder",
        "EngineConfig": "mminf.recipe.config",
        "EngineDied": "mminf.errors",
        "EngineError": "mminf.errors",
        "Generation": "mminf.request",
        "ImagePart": "mminf.turns",
        "Rendered": "mminf.request",
        "Request": "mminf.request",
        "RequestError": "mminf.errors",
        "Sampling": "mminf.request",
        "Turn": "mminf.turns",
        "backend": "mminf.backend.base",
        "find_model": "mminf.backend.builtin",
        "register_model": "mminf.backend.builtin",
    },
)
