"""Sinks: writers of finished datasets.

from mminf.sink import Record, Sink, SinkConfig, sink
"""

from mminf.errors import ImageError, Problem, RecipeError, RecordError
from mminf.recipe.config import SinkConfig
from mminf.record import Record
from mminf.sink.base import Assets, Sink, Written, json_text, sink
from mminf.sink.placing import replace_file

__all__ = [
    "Assets",
    "ImageError",
    "Problem",
    "RecipeError",
    "Record",
    "RecordError",
    "Sink",
    "SinkConfig",
    "Written",
    "json_text",
    "replace_file",
    "sink",
]
