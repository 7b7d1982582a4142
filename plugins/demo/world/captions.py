"""Captions of scenes, and phrases that captions and answers share."""

from __future__ import annotations

import random
from collections.abc import Mapping

from .scene import NUMBERS, Figure, Scene


def name_figure(figure: Figure) -> str:
    """Returns `a small red circle`."""
    return f"a {figure.size} {figure.colour} {figure.shape}"


def caption(scene: Scene, opening: int = 0, rng: random.Random | None = None) -> str:
    """Returns the caption of a scene, one sentence that describes all of it.

    Args:
        opening: 0 or 1, selects the first words.
        rng: shuffles figures and bars; by default they are named in reading order, or from left to right.
    """
    if scene.kind == "sign":
        if scene.is_number:
            return f"A sign {('shows', 'has')[opening]} the number {scene.text} in {scene.colour}."
        return f"A sign {('says', 'reads')[opening]} {scene.text} in {scene.colour} letters."
    if scene.kind == "chart":
        values = {bar.colour: bar.value for bar in scene.bars}
        things = [name_bar(colour, values) for colour in values]
        begin = ("A bar chart has", "The chart shows")[opening]
    else:
        things = [f"{name_figure(figure)} at the {figure.place}" for figure in scene.figures]
        begin = ("The image shows", "There is")[opening]
    if rng is not None:
        rng.shuffle(things)
    return f"{begin} {_join(things)}."


def _join(things: list[str]) -> str:
    return things[0] if len(things) == 1 else f"{', '.join(things[:-1])} and {things[-1]}"


def name_bar(colour: str, values: Mapping[str, int]) -> str:
    """Returns `a red bar of three`."""
    return f"a {colour} bar of {NUMBERS[values[colour]]}"
