"""What the backends on ms-swift have in common: requests go in through the engines' public `infer_async`."""

from mminf.backend.swift.base import SwiftBackend
from mminf.backend.swift.config import SwiftConfig

__all__ = ["SwiftBackend", "SwiftConfig"]
