"""A world whose truth is known: scenes drawn from seeds, a small language about them, and an oracle.

Results of filters and engines can be compared with this truth.
"""

from .captions import caption
from .chinese import to_chinese, to_english
from .draw import draw_scene
from .oracle import THRESHOLDS, Verdict, extract, is_right, is_valid_hook, judge
from .questions import explain, is_explained, make_questions
from .scene import Bar, Figure, Scene, make_scene
from .texts import QUALITIES, make_hook, make_instruction

__all__ = [
    "QUALITIES",
    "THRESHOLDS",
    "Bar",
    "Figure",
    "Scene",
    "Verdict",
    "caption",
    "draw_scene",
    "explain",
    "extract",
    "is_explained",
    "is_right",
    "is_valid_hook",
    "judge",
    "make_hook",
    "make_instruction",
    "make_questions",
    "make_scene",
    "to_chinese",
    "to_english",
]
