"""Steps: everything that a plugin needs to write one, and the parsers of model answers.

from mminf.step import Context, Outcome, Record, Step, StepConfig, step
"""

from mminf import errors
from mminf.answer.clean import final_text, short, unfence, unwrap
from mminf.answer.ground import coverage, is_quoted, skipped_words, strange_words
from mminf.answer.placeholder import is_placeholder, require_content
from mminf.answer.score import parse_score
from mminf.answer.verdict import parse_letter, parse_verdict
from mminf.config import Names
from mminf.cost import Amount, Range
from mminf.errors import ImageError, MissingField, RecordError, RequestError, UnusableAnswer
from mminf.language import find_language, find_not_in, find_other_language, known_languages
from mminf.lazy import lazy_pattern
from mminf.recipe.config import StepConfig
from mminf.recipe.model import TemplateFolders
from mminf.record import Fields, Json, Record
from mminf.request import Generation, Sampling
from mminf.step.base import Children, DatasetStep, Drop, Outcome, Step, step
from mminf.step.context import Context
from mminf.step.generate import BaseGenerate, GenerateConfig
from mminf.step.parse import parse_json, parse_lines, parse_regex, parse_tag
from mminf.step.prompt import PromptConfig, PromptStep, cut_off
from mminf.turns import Draft, ImagePart, Turn


def __getattr__(name: str) -> type[Exception]:
    if name != "AskAgain":  # the name of earlier versions
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    found: type[Exception] = getattr(errors, name)
    return found


__all__ = [
    "Amount",
    "BaseGenerate",
    "Children",
    "Context",
    "DatasetStep",
    "Draft",
    "Drop",
    "Fields",
    "GenerateConfig",
    "Generation",
    "ImageError",
    "ImagePart",
    "Json",
    "MissingField",
    "Names",
    "Outcome",
    "PromptConfig",
    "PromptStep",
    "Range",
    "Record",
    "RecordError",
    "RequestError",
    "Sampling",
    "Step",
    "StepConfig",
    "TemplateFolders",
    "Turn",
    "UnusableAnswer",
    "coverage",
    "cut_off",
    "final_text",
    "find_language",
    "find_not_in",
    "find_other_language",
    "is_placeholder",
    "is_quoted",
    "known_languages",
    "lazy_pattern",
    "parse_json",
    "parse_letter",
    "parse_lines",
    "parse_regex",
    "parse_score",
    "parse_tag",
    "parse_verdict",
    "require_content",
    "short",
    "skipped_words",
    "step",
    "strange_words",
    "unfence",
    "unwrap",
]
