"""Draws the sample images of `make demo`: coloured shapes, a small chart, a line of text.

python scripts/draw_samples.py demo/images --count 12 --seed 0
"""

from __future__ import annotations

import argparse
import random
from pathlib import Path

from PIL import Image, ImageDraw

COLOURS = {"red": "#d62728", "green": "#2ca02c", "blue": "#1f77b4", "orange": "#ff7f0e", "purple": "#9467bd"}
WORDS = ("OPEN", "EXIT", "CAFE", "BOOKS", "TAXI", "MARKET")
SIZE = 336


def draw_shapes(draw: ImageDraw.ImageDraw, rng: random.Random) -> None:
    """Draws one to four circles, squares and triangles."""
    for _ in range(rng.randint(1, 4)):
        radius = rng.randint(24, 60)
        x, y = (rng.randint(radius, SIZE - radius) for _ in range(2))
        colour = rng.choice(list(COLOURS.values()))
        box = (x - radius, y - radius, x + radius, y + radius)
        kind = rng.choice(("circle", "square", "triangle"))
        if kind == "circle":
            draw.ellipse(box, fill=colour)
        elif kind == "square":
            draw.rectangle(box, fill=colour)
        else:
            draw.polygon([(x, box[1]), (box[0], box[3]), (box[2], box[3])], fill=colour)


def draw_chart(draw: ImageDraw.ImageDraw, rng: random.Random) -> None:
    """Draws a bar chart of three to five bars with their values."""
    bars = rng.randint(3, 5)
    width = (SIZE - 60) // bars
    draw.line((30, 20, 30, SIZE - 30, SIZE - 20, SIZE - 30), fill="black", width=3)
    for bar in range(bars):
        value = rng.randint(1, 9)
        left, top = 40 + bar * width, SIZE - 30 - value * 28
        draw.rectangle((left, top, left + width - 16, SIZE - 32), fill=rng.choice(list(COLOURS.values())))
        draw.text((left + 4, top - 16), str(value), fill="black")


def draw_sign(draw: ImageDraw.ImageDraw, rng: random.Random) -> None:
    """Draws a sign with a word on it."""
    colour = rng.choice(list(COLOURS.values()))
    draw.rectangle((50, 110, SIZE - 50, 220), fill="white", outline=colour, width=6)
    draw.text((SIZE / 2, 165), rng.choice(WORDS), fill=colour, anchor="mm", font_size=48)


def draw_samples(folder: Path, *, count: int = 12, seed: int = 0) -> list[Path]:
    """Writes `count` PNG images of 336x336 pixels, the same for the same seed. Returns their paths."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for number in range(count):
        rng = random.Random(f"{seed}/{number}")
        image = Image.new("RGB", (SIZE, SIZE), rng.choice(("#f5f5f0", "#eef3f7", "#fdf6e3")))
        (draw_shapes, draw_chart, draw_sign)[number % 3](ImageDraw.Draw(image), rng)
        paths.append(folder / f"{number:03}.png")
        image.save(paths[-1])
    return paths


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--count", type=int, default=12)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    draw_samples(arguments.folder, count=arguments.count, seed=arguments.seed)
