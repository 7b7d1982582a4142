"""Common code of the backends on ms-swift, which use its engines' public `infer_async`."""

from mminf.backend.swift.base import SwiftBackend
from mminf.backend.swift.config import SwiftConfig

__all__ = ["SwiftBackend", "SwiftConfig"]
