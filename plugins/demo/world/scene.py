"""Scenes: complete descriptions of drawn images. The same seed gives the same scene."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Literal

COLOURS = {
    "red": "#e02020",
    "green": "#18a038",
    "blue": "#2050d8",
    "yellow": "#f0d000",
    "purple": "#9030b0",
    "black": "#181818",
}
SHAPES = ("circle", "square", "triangle", "star")
SIZES = ("small", "large")
PLACES = ("top left", "top right", "bottom left", "bottom right")
WORDS = ("BUS", "ZOO", "OPEN", "EXIT", "STOP", "TAXI", "CAFE", "BOOK", "PARK", "HOTEL", "MUSIC", "PIZZA")
NUMBERS = ("zero", "one", "two", "three", "four", "five")
BACKGROUNDS = ("#ffffff", "#f4efe4", "#e6edf4")
TOP_VALUE = 5

Kind = Literal["figures", "sign", "chart"]


@dataclass(frozen=True)
class Figure:
    """A coloured shape in one quarter of the image."""

    shape: str
    colour: str
    size: str
    place: str

    @property
    def column(self) -> int:
        """0 for left, 1 for right."""
        return PLACES.index(self.place) % 2

    @property
    def row(self) -> int:
        """0 for top, 1 for bottom."""
        return PLACES.index(self.place) // 2


@dataclass(frozen=True)
class Bar:
    """A bar of a chart; `value` is 1 to 5."""

    colour: str
    value: int


@dataclass(frozen=True)
class Scene:
    """The content of an image. No two figures of a scene, and no two bars, have the same colour.

    Attributes:
        seed: seed of the scene; also determines the exact positions in the image.
        kind: one to four figures, a sign with a word or number, or a chart of two to four bars.
        figures: in reading order.
        text: text of the sign: one of `WORDS`, or a number of two digits.
        colour: colour of the sign's text.
        bars: from left to right; their values differ.
    """

    seed: int
    kind: Kind
    background: str
    figures: tuple[Figure, ...] = ()
    text: str = ""
    colour: str = ""
    bars: tuple[Bar, ...] = ()

    @property
    def is_number(self) -> bool:
        """Whether the sign shows a number, not a word."""
        return self.text.isdigit()


def make_scene(seed: int) -> Scene:
    """Returns the scene of a seed: figures in half of the cases, else a sign or a chart."""
    rng = random.Random(f"scene/{seed}")
    background = rng.choice(BACKGROUNDS)
    kind = rng.choices(("figures", "sign", "chart"), (2, 1, 1))[0]
    if kind == "figures":
        number = rng.choice((1, 2, 2, 3, 3, 4))
        places = sorted(rng.sample(PLACES, number), key=PLACES.index)
        colours = rng.sample(list(COLOURS), number)
        figures = tuple(
            Figure(rng.choice(SHAPES), colour, rng.choice(SIZES), place)
            for place, colour in zip(places, colours, strict=True)
        )
        return Scene(seed, "figures", background, figures=figures)
    if kind == "sign":
        text = rng.choice(WORDS) if rng.random() < 0.5 else str(rng.randint(10, 99))
        return Scene(seed, "sign", background, text=text, colour=rng.choice(list(COLOURS)))
    number = rng.choice((2, 3, 4))
    values = rng.sample(range(1, TOP_VALUE + 1), number)
    bars = tuple(map(Bar, rng.sample(list(COLOURS), number), values))
    return Scene(seed, "chart", background, bars=bars)
