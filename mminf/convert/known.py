"""The configurations that MM-INF ships, and the bundled recipes that do the same."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Known:
    """A bundled recipe in place of a configuration.

    Attributes:
        recipe: its name.
        engines: its engines -> the step of the configuration whose model they take.
        page: what differs.
    """

    recipe: str
    engines: Mapping[str, str]
    page: str


KNOWN: Mapping[str, Known] = {
    "pp_func.oasis": Known("oasis", {"vlm": "respond", "llm": "inst_extract"}, "oasis"),
    "pp_func.VLThinking": Known("thinking", {"vlm": "caption", "reasoner": "cot", "llm": "rewrite"}, "thinking"),
    "pp_func.caption_gen": Known("caption", {"vlm": "caption"}, "captions"),
    "pp_func.caption_conv": Known("caption_qa", {"vlm": "respond", "llm": "question_generation"}, "captions"),
    "pp_func.caption_hall": Known("caption_check", {"vlm": "check"}, "captions"),
    "pp_func.detailed_inst": Known("detailed_instruction", {"llm": "inst_gen"}, "captions"),
    "pp_func.evolve": Known("prompt_evolve", {"vlm": "re_respond", "llm": "optimize"}, "evolve"),
    "pp_func.product_evolve": Known("match_score", {"vlm": "score"}, "evolve"),
}
"""By the module of their post-processing functions."""
