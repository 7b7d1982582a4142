"""The small language spoken about scenes: each form of an instruction, what it takes for granted, its answer."""

from __future__ import annotations

import itertools
import random
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache

from .scene import COLOURS, NUMBERS, PLACES, SHAPES, SIZES, WORDS, Figure, Scene

Slots = Mapping[str, str]

_VALUES = {
    "colour": tuple(COLOURS),
    "shape": SHAPES,
    "place": PLACES,
}


@dataclass(frozen=True)
class Finding:
    """What a scene says to an instruction.

    Attributes:
        faults: one hallucination grade (1 to 3) for each thing taken for granted that isn't so: 3 where one property is
            off, 2 where the thing is absent, 1 where the image is of another kind.
        answer: the right answer; None where the image holds none.
    """

    faults: tuple[int, ...] = ()
    answer: str | None = None


@dataclass(frozen=True)
class Form:
    """A kind of instruction. Its text has slots such as `{colour}`; `find` looks at the scene.

    Attributes:
        clarity: its grade, 1 to 5, and so `solvability`, for a scene with all that it takes for granted.
    """

    text: str
    find: Callable[[Scene, Slots], Finding]
    solvability: int = 5
    clarity: int = 5
    about: str | None = None

    @property
    def slots(self) -> tuple[str, ...]:
        """Names of its slots."""
        return tuple(re.findall(r"{(\w+)}", self.text))


def slot_values(slot: str) -> tuple[str, ...]:
    """Returns what a slot may hold: `shape2` holds what `shape` does."""
    return _VALUES[slot.rstrip("2")]


def _figure(scene: Scene, colour: str, shape: str) -> tuple[Figure | None, int | None]:
    if scene.kind != "figures":
        return None, 1
    for figure in scene.figures:
        if (figure.colour, figure.shape) == (colour, shape):
            return figure, None
    near = any(figure.colour == colour or figure.shape == shape for figure in scene.figures)
    return None, 3 if near else 2


def _about_figure(answer: Callable[[Figure], str | None]) -> Callable[[Scene, Slots], Finding]:
    def find(scene: Scene, slots: Slots) -> Finding:
        figure, fault = _figure(scene, slots["colour"], slots["shape"])
        return Finding((fault or 1,)) if figure is None else Finding((), answer(figure))

    return find


def _about_two(holds: Callable[[Figure, Figure], bool]) -> Callable[[Scene, Slots], Finding]:
    def find(scene: Scene, slots: Slots) -> Finding:
        one, fault = _figure(scene, slots["colour"], slots["shape"])
        two, fault2 = _figure(scene, slots["colour2"], slots["shape2"])
        if one is None or two is None:
            return Finding(tuple(grade for grade in (fault, fault2) if grade is not None))
        if one is two:
            return Finding((3,))
        return Finding((), f"{_place(one)} and {_place(two).lower()}, so {_yes(holds(one, two))}.")

    return find


def _about_sign(answer: Callable[[Scene], str | None], shows: str = "") -> Callable[[Scene, Slots], Finding]:
    def find(scene: Scene, _: Slots) -> Finding:
        if scene.kind != "sign":
            return Finding((1,))
        if shows and scene.is_number != (shows == "number"):
            return Finding((3,))
        return Finding((), answer(scene))

    return find


def _about_bars(
    answer: Callable[[dict[str, int], Slots], str | None], *colours: str
) -> Callable[[Scene, Slots], Finding]:
    def find(scene: Scene, slots: Slots) -> Finding:
        if scene.kind != "chart":
            return Finding((1,))
        values = {bar.colour: bar.value for bar in scene.bars}
        absent = tuple(2 for colour in colours if slots[colour] not in values)
        if len({slots[colour] for colour in colours}) < len(colours):
            absent += (3,)  # compares a bar with itself
        return Finding(absent) if absent else Finding((), answer(values, slots))

    return find


def _colour_at(scene: Scene, slots: Slots) -> Finding:
    there = _at(scene, slots["place"])
    if there is None:
        return Finding((1 if scene.kind != "figures" else 2,))
    return (
        Finding((3,))
        if there.shape != slots["shape"]
        else Finding((), f"The {there.shape} at the {there.place} is {there.colour}.")
    )


def _what_at(scene: Scene, slots: Slots) -> Finding:
    there = _at(scene, slots["place"])
    if there is None:
        return Finding((1 if scene.kind != "figures" else 2,))
    return Finding((), f"It is {name(there)}.")


def _shape_of(scene: Scene, slots: Slots) -> Finding:
    for figure in scene.figures:
        if figure.colour == slots["colour"]:
            return Finding((), f"It is a {figure.colour} {figure.shape}.")
    return Finding((1 if scene.kind != "figures" else 2,))


def _count(scene: Scene, slots: Slots) -> Finding:
    if scene.kind != "figures":
        return Finding((1,))
    number = sum(figure.shape == slots.get("shape", figure.shape) for figure in scene.figures)
    return Finding((), _there_are(number)) if number else Finding((2,))


def _at(scene: Scene, place: str) -> Figure | None:
    return next((figure for figure in scene.figures if figure.place == place), None)


def _yes(holds: bool) -> str:
    return "yes" if holds else "no"


def _place(figure: Figure) -> str:
    return f"The {figure.colour} {figure.shape} is at the {figure.place}"


def _there_are(number: int) -> str:
    return f"There {'is' if number == 1 else 'are'} {NUMBERS[number]}."


def name(figure: Figure) -> str:
    """Returns `a small red circle`."""
    return f"a {figure.size} {figure.colour} {figure.shape}"


def caption(scene: Scene, opening: int = 0, rng: random.Random | None = None) -> str:
    """Returns the scene's caption, one sentence that tells all.

    Args:
        opening: 0 or 1, one of two ways to begin.
        rng: shuffles what is named; without it figures come in reading order and bars from left to right.
    """
    if scene.kind == "sign":
        if scene.is_number:
            return f"A sign {('shows', 'has')[opening]} the number {scene.text} in {scene.colour}."
        return f"A sign {('says', 'reads')[opening]} {scene.text} in {scene.colour} letters."
    if scene.kind == "chart":
        values = {bar.colour: bar.value for bar in scene.bars}
        things = [_bar(colour, values) for colour in values]
        begin = ("A bar chart has", "The chart shows")[opening]
    else:
        things = [f"{name(figure)} at the {figure.place}" for figure in scene.figures]
        begin = ("The image shows", "There is")[opening]
    if rng is not None:
        rng.shuffle(things)
    return f"{begin} {_join(things)}."


def _join(things: list[str]) -> str:
    return things[0] if len(things) == 1 else f"{', '.join(things[:-1])} and {things[-1]}"


def _describe(scene: Scene, _: Slots) -> Finding:
    return Finding((), caption(scene))


def _nothing(*_: object) -> Finding:
    return Finding()


def _is_odd(scene: Scene) -> str:
    return f"It is {'odd' if int(scene.text) % 2 else 'even'}."


def _bar(colour: str, values: Mapping[str, int]) -> str:
    return f"a {colour} bar of {NUMBERS[values[colour]]}"


def _higher(values: dict[str, int], slots: Slots) -> str:
    one, two = slots["colour"], slots["colour2"]
    return f"It is {_bar(one, values)} and {_bar(two, values)}, so {_yes(values[one] > values[two])}."


def _extreme(pick: Callable[..., str]) -> Callable[[dict[str, int], Slots], str]:
    return lambda values, _: f"It is the {pick(values, key=lambda colour: values[colour])} one."


SOUND: tuple[Form, ...] = (
    Form("Describe the image.", _describe, clarity=4),
    Form("What colour is the {shape} at the {place}?", _colour_at, about="figures"),
    Form("What is at the {place}?", _what_at, about="figures"),
    Form("What shape is the {colour} figure?", _shape_of, about="figures"),
    Form("How many figures are there?", _count, about="figures"),
    Form("How many {shape}s are there?", _count, about="figures"),
    Form(
        "Is the {colour} {shape} small or large?",
        _about_figure(lambda it: f"The {it.colour} {it.shape} is {it.size}."),
        about="figures",
    ),
    Form("Where is the {colour} {shape}?", _about_figure(lambda it: f"{_place(it)}."), about="figures"),
    Form(
        "Describe the {colour} {shape}.",
        _about_figure(lambda it: f"{_place(it)} and is {it.size}."),
        clarity=4,
        about="figures",
    ),
    Form(
        "Is the {colour} {shape} to the left of the {colour2} {shape2}?",
        _about_two(lambda one, two: one.column < two.column),
        about="figures",
    ),
    Form(
        "Is the {colour} {shape} above the {colour2} {shape2}?",
        _about_two(lambda one, two: one.row < two.row),
        about="figures",
    ),
    Form("What word is on the sign?", _about_sign(lambda it: f"It is {it.text}.", "word"), about="sign"),
    Form("What number is on the sign?", _about_sign(lambda it: f"It is {it.text}.", "number"), about="sign"),
    Form("What colour is the text on the sign?", _about_sign(lambda it: f"It is {it.colour}."), about="sign"),
    Form(
        "How many letters has the word on the sign?",
        _about_sign(lambda it: f"It has {NUMBERS[len(it.text)]}.", "word"),
        about="sign",
    ),
    Form("Is the number on the sign even or odd?", _about_sign(_is_odd, "number"), about="sign"),
    Form("How many bars has the chart?", _about_bars(lambda bars, _: f"It has {NUMBERS[len(bars)]}."), about="chart"),
    Form("Which bar is the highest?", _about_bars(_extreme(max)), about="chart"),
    Form("Which bar is the lowest?", _about_bars(_extreme(min)), about="chart"),
    Form(
        "What is the value of the {colour} bar?",
        _about_bars(lambda bars, slots: f"It is {_bar(slots['colour'], bars)}.", "colour"),
        solvability=4,
        about="chart",
    ),
    Form(
        "Is the {colour} bar higher than the {colour2} bar?",
        _about_bars(_higher, "colour", "colour2"),
        about="chart",
    ),
)

UNANSWERABLE: tuple[Form, ...] = (
    Form("Who painted the {colour} {shape}?", _about_figure(lambda _: None), solvability=1, about="figures"),
    Form("How heavy is the {colour} {shape}?", _about_figure(lambda _: None), solvability=1, about="figures"),
    Form("What is hidden behind the {colour} {shape}?", _about_figure(lambda _: None), solvability=1, about="figures"),
    Form("In which town does the sign hang?", _about_sign(lambda _: None), solvability=1, about="sign"),
    Form("When was the sign put up?", _about_sign(lambda _: None), solvability=1, about="sign"),
    Form("Who measured the {colour} bar?", _about_bars(lambda *_: None, "colour"), solvability=1, about="chart"),
    Form("In which year was the chart made?", _about_bars(lambda *_: None), solvability=1, about="chart"),
    Form("How much did this picture cost?", _nothing, solvability=1),
    Form("Who made this picture?", _nothing, solvability=1),
)

VAGUE: tuple[Form, ...] = (
    Form("What about it?", _nothing, solvability=2, clarity=1),
    Form("And the other one?", _nothing, solvability=2, clarity=1),
    Form("Is that one better?", _nothing, solvability=2, clarity=1),
    Form("Do it again.", _nothing, solvability=2, clarity=1),
    Form("Which one is meant here?", _nothing, solvability=2, clarity=2),
    Form("Can you tell me about the thing?", _nothing, solvability=2, clarity=2),
    Form("Compare it with the others.", _nothing, solvability=2, clarity=2),
)

FORMS: tuple[Form, ...] = SOUND + UNANSWERABLE + VAGUE
IMPERATIVES: frozenset[str] = frozenset(form.text.split()[0] for form in FORMS if form.text.endswith("."))


@cache
def _patterns() -> list[tuple[Form, re.Pattern[str]]]:
    patterns = []
    for form in FORMS:
        text = re.escape(form.text)
        for slot in form.slots:
            text = text.replace(rf"\{{{slot}\}}", f"(?P<{slot}>{'|'.join(slot_values(slot))})")
        patterns.append((form, re.compile(text)))
    return patterns


def parse(instruction: str) -> tuple[Form, dict[str, str]] | None:
    """Returns the form of an instruction and what its slots hold; None if it is not of this language."""
    for form, pattern in _patterns():
        if found := pattern.fullmatch(instruction):
            return form, found.groupdict()
    return None


_FIGURE = rf"a (?:{'|'.join(SIZES)}) (?:{'|'.join(COLOURS)}) (?:{'|'.join(SHAPES)}) at the (?:{'|'.join(PLACES)})"
_BAR = rf"a (?:{'|'.join(COLOURS)}) bar of (?:{'|'.join(NUMBERS)})"
_COLOUR = f"(?:{'|'.join(COLOURS)})"


@cache
def _statements() -> re.Pattern[str]:
    def listed(thing: str) -> str:
        return rf"{thing}(?:, {thing})*(?: and {thing})?"

    captions = [
        rf"(?:The image shows|There is) {listed(_FIGURE)}\.",
        rf"(?:A bar chart has|The chart shows) {listed(_BAR)}\.",
        rf"A sign (?:shows|has) the number \d\d in {_COLOUR}\.",
        rf"A sign (?:says|reads) (?:{'|'.join(WORDS)}) in {_COLOUR} letters\.",
    ]
    return re.compile("|".join(captions))


def is_caption(sentence: str) -> bool:
    """Tells whether a sentence is a caption of some scene, true of it or not."""
    return _statements().fullmatch(sentence) is not None


def caption_parts(sentence: str) -> list[str]:
    """Returns what a caption names, sorted, so that two that name the same things in another order compare equal."""
    figures = re.findall(_FIGURE, sentence) or re.findall(_BAR, sentence)
    return sorted(figures or re.findall(rf"\d\d|{'|'.join(WORDS)}|{_COLOUR}", sentence))


@cache
def _answers() -> re.Pattern[str]:
    shape, place, size = (f"(?:{'|'.join(values)})" for values in (SHAPES, PLACES, SIZES))
    figure, number = f"{_COLOUR} {shape}", f"(?:{'|'.join(NUMBERS)})"
    stands = f"he {figure} is at the {place}"
    forms = [
        rf"The {shape} at the {place} is {_COLOUR}\.",
        rf"It is a (?:{size} )?{figure}\.",
        rf"There (?:is|are) {number}\.",
        rf"The {figure} is {size}\.",
        rf"T{stands}(?: and is {size})?\.",
        rf"T{stands} and t{stands}, so (?:yes|no)\.",
        rf"It is (?:\d\d|even|odd|{'|'.join(WORDS)}|{_COLOUR})\.",
        rf"It has {number}\.",
        rf"It is the {_COLOUR} one\.",
        rf"It is {_BAR}(?: and {_BAR}, so (?:yes|no))?\.",
    ]
    return re.compile("|".join(forms))


def is_answer(sentence: str) -> bool:
    """Tells whether a sentence answers some instruction about some scene, rightly or not."""
    return _answers().fullmatch(sentence) is not None


def vocabulary() -> frozenset[str]:
    """Returns the words of instructions as they are written, marks included."""
    texts = [form.text for form in FORMS]
    slots = set(itertools.chain(*(form.slots for form in FORMS)))
    values = itertools.chain(*(slot_values(slot) for slot in slots))
    return frozenset(
        itertools.chain(*(text.split() for text in texts), values, SIZES, NUMBERS, (f"{s}s" for s in SHAPES))
    )


@cache
def words() -> frozenset[str]:
    """Returns all words of the language without the marks that stand at them, answers' words included."""
    known = re.findall(r"\w+", " ".join(vocabulary()))
    said = ["It", "There", "are", "has", "a", "at", "and", "of", "so", "yes", "no", "The"]
    return frozenset([*known, *WORDS, *said])
