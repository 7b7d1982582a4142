"""Several questions about a scene, as a list, and answers with the evidence for them."""

from __future__ import annotations

import random

from .captions import caption
from .chinese import in_chinese, to_chinese
from .forms import SOUND, Form
from .language import caption_parts, is_caption, sentences
from .oracle import is_right, judge
from .scene import Bar, Figure, Scene

NUMBER = 5
_HARD_WORDS = ("left of", "above", "How many", "highest", "lowest", "higher", "even", "first", "last", "value")


def list_questions(scene: Scene, *, closed: bool = True) -> list[tuple[Form, str]]:
    """Returns all sound questions about a scene, each with its form.

    Args:
        closed: include questions that yes or no answers.
    """
    found = []
    shown = _shown(scene)
    for form in SOUND:
        if form.about != scene.kind or not form.text.endswith("?") or (not closed and is_closed(form)):
            continue
        texts = [form.text]
        for slot in form.slots:
            texts = [text.replace(f"{{{slot}}}", value) for text in texts for value in shown[slot.rstrip("2")]]
        found += [(form, text) for text in texts if judge(text, scene).sound]
    return found


def _shown(scene: Scene) -> dict[str, list[str]]:
    """Returns the values of slots that are true of some thing in the scene."""
    things: list[Figure | Bar] = [*scene.figures, *scene.bars]
    return {
        slot: list(dict.fromkeys(str(getattr(thing, slot)) for thing in things if hasattr(thing, slot)))
        for slot in ("colour", "shape", "place")
    }


def is_closed(form: Form) -> bool:
    """Returns whether yes or no answers the questions of a form."""
    return form.text.startswith("Is the") and " or " not in form.text


def is_hard(form: Form) -> bool:
    """Returns whether the answer takes more than one look: a relation, a comparison, a count, a part of a word."""
    return any(word in form.text for word in _HARD_WORDS)


def make_questions(scene: Scene, rng: random.Random, *, hard: bool = False, chinese: bool = False) -> list[str]:
    """Returns five different sound questions about a scene, at most two of a form if there are enough forms.

    Args:
        hard: hard questions, as far as there are enough of them; without it, none that yes or no answers.
    """
    found = list_questions(scene, closed=hard)
    rng.shuffle(found)
    if hard:
        found.sort(key=lambda pair: not is_hard(pair[0]))
    chosen: list[tuple[Form, str]] = []
    for most in (2, len(found)):
        for form, text in found:
            fits = len(chosen) < NUMBER and sum(form == other for other, _ in chosen) < most
            if fits and (form, text) not in chosen:
                chosen.append((form, text))
    texts = [text for _, text in chosen]
    rng.shuffle(texts)
    return [to_chinese(text) or text for text in texts] if chinese else texts


def explain(instruction: str, scene: Scene) -> str:
    """Returns the answer to a sound instruction after the evidence for it, which is what the image shows."""
    shown, answer = caption(scene), judge(instruction, scene).answer
    if in_chinese(instruction):
        return f"{to_chinese(shown)}{answer}"
    return f"{shown} {answer}"


def is_explained(text: str, instruction: str, scene: Scene) -> bool:
    """Returns whether a text is a right answer after a right caption."""
    said = sentences(text)
    if len(said) != 2 or not is_caption(said[0]):
        return False
    return caption_parts(said[0]) == caption_parts(caption(scene)) and is_right(said[1], instruction, scene)
