"""Backends: what serves a model, behind one small interface."""

from mminf.backend.base import Backend, backend

__all__ = ["Backend", "backend"]
