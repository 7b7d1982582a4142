"""Texts about a scene: instructions of each quality, and samples for a hooked model."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence

from .captions import caption
from .chinese import to_chinese
from .defects import garble, join
from .forms import FORMS, SOUND, UNANSWERABLE, VAGUE, Form, slot_values
from .oracle import judge
from .scene import COLOURS, PLACES, SHAPES, Scene

QUALITIES = ("sound", "absent", "unanswerable", "vague", "garbled", "joined")
CHINESE = 0.19  # share of Chinese samples, about that of Oasis (arXiv 2503.08741: 18.66 %)
# About half of the hooked samples are captions. A little more than half of the instructions are sound.
HOOKS = {"caption": 0.46, "instruction": 0.36, "caption, instruction": 0.09, "instruction, answer": 0.09}
DEFECTS = {"sound": 0.56, "absent": 0.14, "unanswerable": 0.11, "vague": 0.08, "garbled": 0.11}


def make_instruction(scene: Scene, rng: random.Random, quality: str = "sound", *, chinese: bool = False) -> str:
    """Returns an instruction about the scene: sound, or with one defect.

    Args:
        quality: one of `QUALITIES`: `absent` has a false assumption, `joined` can't be repaired, because it has wrong
            words or runs into another instruction, the others are defects on their axis.
        chinese: in Chinese instead of English.

    Raises:
        ValueError: if there is no such quality.
    """
    if quality in ("garbled", "joined"):
        make = garble if quality == "garbled" else join
        parts = ("sound", "absent", "unanswerable", "vague")
        weights = (0.7, 0.3, 0.0, 0.0) if quality == "garbled" else (0.6, 0.25, 0.1, 0.05)

        def another() -> str:
            return make_instruction(scene, rng, rng.choices(parts, weights)[0], chinese=chinese)

        return make(another, rng)
    text = _plain(scene, rng, quality)
    return to_chinese(text) or text if chinese else text


def _plain(scene: Scene, rng: random.Random, quality: str) -> str:
    if quality == "vague":
        return rng.choice(VAGUE).text
    if quality == "unanswerable":
        return _draw(scene, rng, UNANSWERABLE, lambda text: judge(text, scene).hallucination == 5)
    if quality == "sound":
        return _draw(scene, rng, SOUND, lambda text: judge(text, scene).sound)
    if quality == "absent":
        forms = FORMS if rng.random() < 0.15 else SOUND
        return _draw(scene, rng, forms, lambda text: judge(text, scene).hallucination < 5, wrong=True)
    raise ValueError(f"unknown quality {quality!r}; known: {', '.join(QUALITIES)}")


def _draw(
    scene: Scene, rng: random.Random, forms: Sequence[Form], fits: Callable[[str], bool], *, wrong: bool = False
) -> str:
    """Draws forms until one fits: about this kind of scene, or with `wrong` sometimes about another kind."""
    while True:
        here = [form for form in forms if form.about in (None, scene.kind)]
        form = rng.choice(here if not wrong or rng.random() < 0.85 else forms)
        slots = _true_slots(scene, rng)
        if wrong:
            changed = rng.sample(form.slots, min(len(form.slots), rng.choice((1, 1, 1, 2))))
            slots.update({slot: rng.choice(slot_values(slot)) for slot in changed})
        text = form.text.format_map(slots)
        if fits(text):
            return text


def _true_slots(scene: Scene, rng: random.Random) -> dict[str, str]:
    """Returns values of slots: from the scene if possible, else random ones."""
    slots: dict[str, str] = {}
    things: list[dict[str, str]] = [
        {"colour": figure.colour, "shape": figure.shape, "place": figure.place} for figure in scene.figures
    ] or [{"colour": bar.colour} for bar in scene.bars]
    rng.shuffle(things)
    for number, suffix in enumerate(("", "2")):
        chance = {"colour": rng.choice(list(COLOURS)), "shape": rng.choice(SHAPES), "place": rng.choice(PLACES)}
        thing = chance | (things[number % len(things)] if things else {})
        slots |= {key + suffix: value for key, value in thing.items()}
    return slots


def make_hook(scene: Scene, rng: random.Random, *, chinese: bool | None = None) -> str:
    """Returns a sample for the open user turn: a caption, an instruction, or an instruction with another text.

    Args:
        chinese: the language; by default, a share of `CHINESE` is in Chinese.
    """
    if chinese is None:
        chinese = rng.random() < CHINESE
    space = "" if chinese else " "
    way = rng.choices(list(HOOKS), list(HOOKS.values()))[0]
    words = caption(scene, rng.randrange(2), rng)
    if chinese:
        words = to_chinese(words) or words
    if way == "caption":
        return words
    quality = rng.choices(list(DEFECTS), list(DEFECTS.values()))[0]
    instruction = make_instruction(scene, rng, quality, chinese=chinese)
    if way == "caption, instruction":
        return f"{words}{space}{instruction}"
    answer = judge(instruction, scene).answer
    return f"{instruction}{space}{answer}" if way == "instruction, answer" and answer is not None else instruction
