"""A world whose truth is known: scenes drawn from seeds, a small language about them, and an oracle.

Results of filters and engines can be compared with this truth.
"""

from .captions import caption
from .draw import draw_scene
from .oracle import THRESHOLDS, Verdict, extract, is_right, is_valid_hook, judge
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
    "extract",
    "is_right",
    "is_valid_hook",
    "judge",
    "make_hook",
    "make_instruction",
    "make_scene",
]
