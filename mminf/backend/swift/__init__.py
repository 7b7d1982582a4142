"""Common code of the backends on ms-swift, which use its engines and templates."""

from mminf.backend.swift.base import SwiftBackend
from mminf.backend.swift.config import SwiftConfig

__all__ = ["SwiftBackend", "SwiftConfig"]
