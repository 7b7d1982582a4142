"""A request to the demo script, and the scene that it is about."""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache, cached_property

from mminf.backend import Request, RequestError

from ..demo.scenes import find_scene
from ..demo.world import Scene, caption, make_scene, to_chinese
from .source import SEEDS


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
            RequestError: if the image is not a drawn scene.
        """
        if self.request.images:
            uri = self.request.images[0].uri
            if (scene := find_scene(uri)) is None:
                raise RequestError(
                    f"the profile `demo` of this recipe has no model, only a script that knows drawn scenes, and {uri} "
                    "is not one of them; run it without --input, or choose models"
                )
            return scene
        found = [scene for text, scene in _captions().items() if text in self.text]
        return found[-1] if found else make_scene(self.request.seed % len(SEEDS))

    def part(self, name: str) -> str:
        """Returns the text between `[Begin of name]` and `[End of name]`; the last, because examples come before it."""
        _, found, rest = self.text.rpartition(f"[Begin of {name}]")
        return rest.partition(f"[End of {name}]")[0].strip() if found else ""

    def chance(self, share: float) -> bool:
        """Returns true for a share of the requests."""
        return self.rng.random() < share


@cache
def _captions() -> Mapping[str, Scene]:
    scenes = [make_scene(seed) for seed in SEEDS]
    english = {caption(scene, opening): scene for scene in scenes for opening in (0, 1)}
    return english | {
        text: scene for text, scene in ((to_chinese(text), scene) for text, scene in english.items()) if text
    }
