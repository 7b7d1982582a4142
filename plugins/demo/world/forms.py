"""The forms of instructions: 42 kinds, sound or with a defect that a filter should find."""

from __future__ import annotations

import itertools
import re
from dataclasses import dataclass

from .captions import name_bar
from .findings import (
    Find,
    about_bars,
    about_figure,
    about_sign,
    about_two,
    colour_at,
    compare_bars,
    count_figures,
    describe,
    find_nothing,
    name_extreme,
    say_place,
    shape_of,
    tell_parity,
    what_at,
)
from .scene import COLOURS, NUMBERS, PLACES, SHAPES, SIZES

_VALUES = {
    "colour": tuple(COLOURS),
    "shape": SHAPES,
    "place": PLACES,
}


@dataclass(frozen=True)
class Form:
    """A kind of instruction. Its text has slots such as `{colour}`; `find` searches the scene for the answer.

    Attributes:
        clarity, solvability: grades, 1 to 5, for a scene in which all assumptions are true.
    """

    text: str
    find: Find
    solvability: int = 5
    clarity: int = 5
    about: str | None = None

    @property
    def slots(self) -> tuple[str, ...]:
        """Names of the slots."""
        return tuple(re.findall(r"{(\w+)}", self.text))


def slot_values(slot: str) -> tuple[str, ...]:
    """Returns the values of a slot; `shape2` has the same values as `shape`."""
    return _VALUES[slot.rstrip("2")]


SOUND: tuple[Form, ...] = (
    Form("Describe the image.", describe, clarity=4),
    Form("What colour is the {shape} at the {place}?", colour_at, about="figures"),
    Form("What is at the {place}?", what_at, about="figures"),
    Form("What shape is the {colour} figure?", shape_of, about="figures"),
    Form("How many figures are there?", count_figures, about="figures"),
    Form("How many {shape}s are there?", count_figures, about="figures"),
    Form(
        "Is the {colour} {shape} small or large?",
        about_figure(lambda it: f"The {it.colour} {it.shape} is {it.size}."),
        about="figures",
    ),
    Form("Where is the {colour} {shape}?", about_figure(lambda it: f"{say_place(it)}."), about="figures"),
    Form(
        "Describe the {colour} {shape}.",
        about_figure(lambda it: f"{say_place(it)} and is {it.size}."),
        clarity=4,
        about="figures",
    ),
    Form(
        "Is the {colour} {shape} to the left of the {colour2} {shape2}?",
        about_two(lambda one, two: one.column < two.column),
        about="figures",
    ),
    Form(
        "Is the {colour} {shape} above the {colour2} {shape2}?",
        about_two(lambda one, two: one.row < two.row),
        about="figures",
    ),
    Form("What word is on the sign?", about_sign(lambda it: f"It is {it.text}.", "word"), about="sign"),
    Form("What number is on the sign?", about_sign(lambda it: f"It is {it.text}.", "number"), about="sign"),
    Form("What colour is the text on the sign?", about_sign(lambda it: f"It is {it.colour}."), about="sign"),
    Form(
        "Is there a word or a number on the sign?",
        about_sign(lambda it: f"It is a {'number' if it.is_number else 'word'}."),
        about="sign",
    ),
    Form(
        "How many letters has the word on the sign?",
        about_sign(lambda it: f"It has {NUMBERS[len(it.text)]}.", "word"),
        about="sign",
    ),
    Form(
        "What is the first letter of the word on the sign?",
        about_sign(lambda it: f"It is {it.text[0]}.", "word"),
        about="sign",
    ),
    Form(
        "What is the last letter of the word on the sign?",
        about_sign(lambda it: f"It is {it.text[-1]}.", "word"),
        about="sign",
    ),
    Form("Is the number on the sign even or odd?", about_sign(tell_parity, "number"), about="sign"),
    Form(
        "What is the first digit of the number on the sign?",
        about_sign(lambda it: f"It is {it.text[0]}.", "number"),
        about="sign",
    ),
    Form(
        "What is the last digit of the number on the sign?",
        about_sign(lambda it: f"It is {it.text[-1]}.", "number"),
        about="sign",
    ),
    Form("How many bars has the chart?", about_bars(lambda bars, _: f"It has {NUMBERS[len(bars)]}."), about="chart"),
    Form("Which bar is the highest?", about_bars(name_extreme(max)), about="chart"),
    Form("Which bar is the lowest?", about_bars(name_extreme(min)), about="chart"),
    Form(
        "What is the value of the {colour} bar?",
        about_bars(lambda bars, slots: f"It is {name_bar(slots['colour'], bars)}.", "colour"),
        solvability=4,
        about="chart",
    ),
    Form(
        "Is the {colour} bar higher than the {colour2} bar?",
        about_bars(compare_bars, "colour", "colour2"),
        about="chart",
    ),
)

UNANSWERABLE: tuple[Form, ...] = (
    Form("Who painted the {colour} {shape}?", about_figure(lambda _: None), solvability=1, about="figures"),
    Form("How heavy is the {colour} {shape}?", about_figure(lambda _: None), solvability=1, about="figures"),
    Form("What is hidden behind the {colour} {shape}?", about_figure(lambda _: None), solvability=1, about="figures"),
    Form("In which town does the sign hang?", about_sign(lambda _: None), solvability=1, about="sign"),
    Form("When was the sign put up?", about_sign(lambda _: None), solvability=1, about="sign"),
    Form("Who measured the {colour} bar?", about_bars(lambda *_: None, "colour"), solvability=1, about="chart"),
    Form("In which year was the chart made?", about_bars(lambda *_: None), solvability=1, about="chart"),
    Form("How much did this picture cost?", find_nothing, solvability=1),
    Form("Who made this picture?", find_nothing, solvability=1),
)

VAGUE: tuple[Form, ...] = (
    Form("What about it?", find_nothing, solvability=2, clarity=1),
    Form("And the other one?", find_nothing, solvability=2, clarity=1),
    Form("Is that one better?", find_nothing, solvability=2, clarity=1),
    Form("Do it again.", find_nothing, solvability=2, clarity=1),
    Form("Which one is meant here?", find_nothing, solvability=2, clarity=2),
    Form("Can you tell me about the thing?", find_nothing, solvability=2, clarity=2),
    Form("Compare it with the others.", find_nothing, solvability=2, clarity=2),
)

FORMS: tuple[Form, ...] = SOUND + UNANSWERABLE + VAGUE
IMPERATIVES: frozenset[str] = frozenset(form.text.split()[0] for form in FORMS if form.text.endswith("."))


def vocabulary() -> frozenset[str]:
    """Returns the words of instructions as they are written, including punctuation."""
    texts = [form.text for form in FORMS]
    slots = set(itertools.chain(*(form.slots for form in FORMS)))
    values = itertools.chain(*(slot_values(slot) for slot in slots))
    return frozenset(
        itertools.chain(*(text.split() for text in texts), values, SIZES, NUMBERS, (f"{s}s" for s in SHAPES))
    )
