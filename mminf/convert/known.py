"""The configurations that MM-INF ships, and the bundled recipes that do the same."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Known:
    """A bundled recipe in place of a configuration.

    Attributes:
        recipe: its name.
        engines: its engines -> the step of the configuration whose model they take.
        page: what differs.
        columns: `columns` of the source, for columns with other names in MM-INF.
        differs: what a person should know in addition to the page.
    """

    recipe: str
    engines: Mapping[str, str]
    page: str
    columns: Mapping[str, Any] = field(default_factory=dict)
    differs: tuple[str, ...] = ()


_CHINESE = "the prompts of MM-INF are Chinese; those of this recipe are English, and Chinese with `--profile zh`"
KNOWN: Mapping[str, Known] = {
    "pp_func.oasis": Known("oasis", {"vlm": "respond", "llm": "inst_extract"}, "oasis"),
    "pp_func.VLThinking": Known(
        "thinking",
        {"vlm": "caption", "reasoner": "cot", "llm": "rewrite"},
        "thinking",
        columns={"answer": "response"},
    ),
    "pp_func.caption_gen": Known("caption", {"vlm": "caption"}, "captions"),
    "pp_func.caption_conv": Known("caption_qa", {"vlm": "respond", "llm": "question_generation"}, "captions"),
    "pp_func.caption_hall": Known("caption_check", {"vlm": "check"}, "captions"),
    "pp_func.detailed_inst": Known(
        "detailed_instruction", {"llm": "inst_gen"}, "captions", columns={"description": "response"}
    ),
    "pp_func.evolve": Known("prompt_evolve", {"vlm": "re_respond", "llm": "optimize"}, "evolve", differs=(_CHINESE,)),
    "pp_func.product_evolve": Known(
        "match_score",
        {"vlm": "score"},
        "evolve",
        differs=(
            _CHINESE,
            "MM-INF rates with a text model that does not see the image; this recipe shows it: name a model that sees "
            "images, or set `images: false` in the step `match`",
        ),
    ),
}
"""By the module of their post-processing functions."""
