"""Draws scenes."""

from __future__ import annotations

import math
import random
from functools import cache
from typing import TYPE_CHECKING

from .scene import COLOURS, TOP_VALUE, Figure, Scene

if TYPE_CHECKING:
    from PIL.Image import Image
    from PIL.ImageDraw import ImageDraw

SIZE = 336  # pixels per side: three times the input size of the demo model
_RADIUS = {"small": 36, "large": 62}
_SHADE = 60
_SMOOTH = 2  # drawn larger and scaled down, for smooth edges


def draw_scene(scene: Scene) -> Image:
    """Returns the scene's image: RGB, 336x336 pixels, the same for the same scene."""
    from PIL import Image as Images
    from PIL import ImageDraw as Draws

    rng = random.Random(f"draw/{scene.seed}")
    image = _background(scene.background).copy()
    draw = Draws.Draw(image)
    if scene.kind == "figures":
        for figure in scene.figures:
            _draw_figure(draw, figure, rng)
    elif scene.kind == "sign":
        _draw_sign(draw, scene, rng)
    else:
        _draw_chart(draw, scene, rng)
    return image.resize((SIZE, SIZE), Images.Resampling.BOX)


@cache
def _background(colour: str) -> Image:
    """Returns a background that darkens red to the right and blue to the bottom, so that it shows the position."""
    from PIL import Image as Images
    from PIL import ImageColor

    side = (SIZE * _SMOOTH, SIZE * _SMOOTH)
    down = Images.linear_gradient("L").resize(side)
    across = down.transpose(Images.Transpose.ROTATE_90)
    red, green, blue = ImageColor.getrgb(colour)[:3]
    return Images.merge(
        "RGB",
        (
            across.point([red - shade * _SHADE // 255 for shade in range(256)]),
            Images.new("L", side, green),
            down.point([blue - shade * _SHADE // 255 for shade in range(256)]),
        ),
    )


def _draw_figure(draw: ImageDraw, figure: Figure, rng: random.Random) -> None:
    radius = (_RADIUS[figure.size] + rng.randint(-4, 4)) * _SMOOTH
    x = (SIZE // 4 + figure.column * SIZE // 2 + rng.randint(-12, 12)) * _SMOOTH
    y = (SIZE // 4 + figure.row * SIZE // 2 + rng.randint(-12, 12)) * _SMOOTH
    fill = COLOURS[figure.colour]
    if figure.shape == "circle":
        draw.ellipse((x - radius, y - radius, x + radius, y + radius), fill=fill)
    elif figure.shape == "square":
        side = radius * 0.88
        draw.rectangle((x - side, y - side, x + side, y + side), fill=fill)
    else:
        # A triangle has three points on a circle; a star has five, and five between them on a smaller circle.
        radii = (1.1, 1.1, 1.1) if figure.shape == "triangle" else (1.15, 0.45) * 5
        points = []
        for number, share in enumerate(radii):
            angle = 2 * math.pi * number / len(radii) - math.pi / 2
            points.append((x + radius * share * math.cos(angle), y + radius * share * math.sin(angle)))
        draw.polygon(points, fill=fill)


def _draw_sign(draw: ImageDraw, scene: Scene, rng: random.Random) -> None:
    dx, dy = (rng.randint(-8, 8) * _SMOOTH for _ in range(2))
    box = tuple(side * _SMOOTH for side in (20, 88, SIZE - 20, SIZE - 88))
    draw.rounded_rectangle(
        (box[0] + dx, box[1] + dy, box[2] + dx, box[3] + dy),
        radius=16 * _SMOOTH,
        fill="white",
        outline="#808080",
        width=5 * _SMOOTH,
    )
    middle = SIZE * _SMOOTH / 2
    size = (132 if scene.is_number else 84) * _SMOOTH
    draw.text(
        (middle + dx, middle + dy),
        scene.text,
        fill=COLOURS[scene.colour],
        anchor="mm",
        font_size=size,
        stroke_width=2 * _SMOOTH,
        stroke_fill=COLOURS[scene.colour],
    )


def _draw_chart(draw: ImageDraw, scene: Scene, rng: random.Random) -> None:
    base, left, unit = SIZE - 28 + rng.randint(-6, 6), 28 + rng.randint(-6, 6), 54
    for value in range(1, TOP_VALUE + 1):
        y = (base - value * unit) * _SMOOTH
        draw.line((left * _SMOOTH, y, (SIZE - 16) * _SMOOTH, y), fill="#b0b0b0", width=2 * _SMOOTH)
    for number, bar in enumerate(scene.bars):
        x = left + 12 + number * 70
        box = (x * _SMOOTH, (base - bar.value * unit) * _SMOOTH, (x + 50) * _SMOOTH, base * _SMOOTH)
        draw.rectangle(box, fill=COLOURS[bar.colour])
    corner = [(left * _SMOOTH, 16 * _SMOOTH), (left * _SMOOTH, base * _SMOOTH), ((SIZE - 16) * _SMOOTH, base * _SMOOTH)]
    draw.line(corner, fill="#404040", width=4 * _SMOOTH)
