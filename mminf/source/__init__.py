"""Sources: where records come from.

from mminf.source import BadRow, Numbered, Record, Source, SourceConfig, source
"""

from mminf.errors import SourceError
from mminf.recipe.config import SourceConfig
from mminf.record import Record
from mminf.source.base import BadRow, Numbered, Source, json_fields, source

__all__ = ["BadRow", "Numbered", "Record", "Source", "SourceConfig", "SourceError", "json_fields", "source"]
