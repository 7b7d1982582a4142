"""A request to the demo script, and the scene that it is about."""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache, cached_property
from typing import Any

from mminf.backend import Request, RequestError

from ..demo.scenes import find_scene
from ..demo.world import Scene, caption, draw_scene, make_scene, to_chinese
from .source import SEEDS, question

_UNKNOWN = (
    "the profile `demo` of this recipe has no model, only a script that knows drawn scenes, and {} is not one of them; "
    "run it without --input, or choose models"
)
_DIFFERENT = 6.0
"""Mean difference of grey levels from which an image does not show a scene."""


@dataclass(frozen=True)
class Asked:
    """A request, and the scene that it is about.

    Attributes:
        text: all turns.
    """

    request: Request
    text: str

    @cached_property
    def rng(self) -> random.Random:
        """Depends on the request's seed and text."""
        return random.Random(f"{self.request.seed}/{self.text}")

    @cached_property
    def scene(self) -> Scene:
        """The scene of the first image, or of the caption or question in the text.

        Raises:
            RequestError: if it is about something else.
        """
        if self.request.images:
            image = self.request.images[0]
            scene = find_scene(image.uri)
            if scene is None or not _shows(image, scene):
                raise RequestError(_UNKNOWN.format(image.uri))
            return scene
        if (found := self.told) is None:
            raise RequestError(_UNKNOWN.format("the text of this record"))
        return found

    @cached_property
    def told(self) -> Scene | None:
        """The scene of the caption or question in the text, if there is one."""
        found = [scene for text, scene in _texts().items() if text in self.text]
        return found[-1] if found else None

    def part(self, name: str) -> str:
        """Returns the text between `[Begin of name]` and `[End of name]`; the last, because examples come before it."""
        _, found, rest = self.text.rpartition(f"[Begin of {name}]")
        return rest.partition(f"[End of {name}]")[0].strip() if found else ""

    def chance(self, share: float) -> bool:
        """Returns true for a share of the requests."""
        return self.rng.random() < share


@cache
def _texts() -> Mapping[str, Scene]:
    """Returns captions and questions with their scenes. Those of a scene are after the questions of all scenes."""
    scenes = [make_scene(seed) for seed in SEEDS]
    asked = {question(scene): scene for scene in reversed(scenes)}
    english = {caption(scene, opening): scene for scene in scenes for opening in (0, 1)}
    chinese = {to_chinese(text): scene for text, scene in english.items()}
    return asked | english | {text: scene for text, scene in chinese.items() if text}


_looked: dict[tuple[str, int], bool] = {}


def _shows(image: Any, scene: Scene) -> bool:
    """Returns whether an image shows a scene, at any size; a name is not enough."""
    key = (image.digest, scene.seed)
    if key not in _looked:
        pixels = next((view for view in image.views.values() if not isinstance(view, str)), None)
        _looked[key] = pixels is not None and _difference(pixels, draw_scene(scene)) < _DIFFERENT
    return _looked[key]


def _difference(one: Any, other: Any) -> float:
    """Returns the mean difference of two small grey versions of images, of 255 levels."""
    from PIL import ImageChops, ImageStat

    small = [image.convert("L").resize((28, 28)) for image in (one, other)]
    return float(ImageStat.Stat(ImageChops.difference(*small)).mean[0])
