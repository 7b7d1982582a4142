"""Finds the answer to an instruction in a scene, and the false assumptions of the instruction."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from .captions import caption, name_bar, name_figure
from .scene import NUMBERS, Figure, Scene

Slots = Mapping[str, str]


@dataclass(frozen=True)
class Finding:
    """The result of evaluating an instruction on a scene.

    Attributes:
        faults: one hallucination grade (1 to 3) per false assumption: 3 if one property is wrong, 2 if the thing is
            absent, 1 if the image is of another kind.
        answer: the right answer; None if the image contains no answer.
    """

    faults: tuple[int, ...] = ()
    answer: str | None = None


Find = Callable[[Scene, Slots], Finding]


def _figure(scene: Scene, colour: str, shape: str) -> tuple[Figure | None, int | None]:
    if scene.kind != "figures":
        return None, 1
    for figure in scene.figures:
        if (figure.colour, figure.shape) == (colour, shape):
            return figure, None
    near = any(figure.colour == colour or figure.shape == shape for figure in scene.figures)
    return None, 3 if near else 2


def about_figure(answer: Callable[[Figure], str | None]) -> Find:
    """Returns a search for one figure, about which `answer` returns the answer."""

    def find(scene: Scene, slots: Slots) -> Finding:
        figure, fault = _figure(scene, slots["colour"], slots["shape"])
        return Finding((fault or 1,)) if figure is None else Finding((), answer(figure))

    return find


def about_two(holds: Callable[[Figure, Figure], bool]) -> Find:
    """Returns a search for two figures; `holds` returns whether their relation is true."""

    def find(scene: Scene, slots: Slots) -> Finding:
        one, fault = _figure(scene, slots["colour"], slots["shape"])
        two, fault2 = _figure(scene, slots["colour2"], slots["shape2"])
        if one is None or two is None:
            return Finding(tuple(grade for grade in (fault, fault2) if grade is not None))
        if one is two:
            return Finding((3,))
        return Finding((), f"{say_place(one)} and {say_place(two).lower()}, so {_yes(holds(one, two))}.")

    return find


def about_sign(answer: Callable[[Scene], str | None], shows: str = "") -> Find:
    """Returns a search for a sign; `shows` is `word` or `number` if the instruction assumes one of them."""

    def find(scene: Scene, _: Slots) -> Finding:
        if scene.kind != "sign":
            return Finding((1,))
        if shows and scene.is_number != (shows == "number"):
            return Finding((3,))
        return Finding((), answer(scene))

    return find


def about_bars(answer: Callable[[dict[str, int], Slots], str | None], *colours: str) -> Find:
    """Returns a search for a chart with bars of the colours in the slots `colours`."""

    def find(scene: Scene, slots: Slots) -> Finding:
        if scene.kind != "chart":
            return Finding((1,))
        values = {bar.colour: bar.value for bar in scene.bars}
        absent = tuple(2 for colour in colours if slots[colour] not in values)
        if len({slots[colour] for colour in colours}) < len(colours):
            absent += (3,)  # a bar is compared with itself
        return Finding(absent) if absent else Finding((), answer(values, slots))

    return find


def colour_at(scene: Scene, slots: Slots) -> Finding:
    """Finds the colour of a figure by its shape and place."""
    there = _at(scene, slots["place"])
    if there is None:
        return Finding((1 if scene.kind != "figures" else 2,))
    return (
        Finding((3,))
        if there.shape != slots["shape"]
        else Finding((), f"The {there.shape} at the {there.place} is {there.colour}.")
    )


def what_at(scene: Scene, slots: Slots) -> Finding:
    """Finds the figure at a place."""
    there = _at(scene, slots["place"])
    if there is None:
        return Finding((1 if scene.kind != "figures" else 2,))
    return Finding((), f"It is {name_figure(there)}.")


def shape_of(scene: Scene, slots: Slots) -> Finding:
    """Finds the shape of a figure by its colour."""
    for figure in scene.figures:
        if figure.colour == slots["colour"]:
            return Finding((), f"It is a {figure.colour} {figure.shape}.")
    return Finding((1 if scene.kind != "figures" else 2,))


def count_figures(scene: Scene, slots: Slots) -> Finding:
    """Counts the figures, or those of a shape."""
    if scene.kind != "figures":
        return Finding((1,))
    number = sum(figure.shape == slots.get("shape", figure.shape) for figure in scene.figures)
    return Finding((), _there_are(number)) if number else Finding((2,))


def _at(scene: Scene, place: str) -> Figure | None:
    return next((figure for figure in scene.figures if figure.place == place), None)


def _yes(holds: bool) -> str:
    return "yes" if holds else "no"


def say_place(figure: Figure) -> str:
    """Returns where a figure is, as a sentence without its full stop."""
    return f"The {figure.colour} {figure.shape} is at the {figure.place}"


def _there_are(number: int) -> str:
    return f"There {'is' if number == 1 else 'are'} {NUMBERS[number]}."


def describe(scene: Scene, _: Slots) -> Finding:
    """Answers with the caption."""
    return Finding((), caption(scene))


def find_nothing(*_: object) -> Finding:
    """Returns no fault and no answer."""
    return Finding()


def tell_parity(scene: Scene) -> str:
    """Answers whether the number on a sign is odd."""
    return f"It is {'odd' if int(scene.text) % 2 else 'even'}."


def compare_bars(values: dict[str, int], slots: Slots) -> str:
    """Answers whether one bar is higher than another."""
    one, two = slots["colour"], slots["colour2"]
    return f"It is {name_bar(one, values)} and {name_bar(two, values)}, so {_yes(values[one] > values[two])}."


def name_extreme(pick: Callable[..., str]) -> Callable[[dict[str, int], Slots], str]:
    """Returns the answer that names the bar with the value that `pick` (`max` or `min`) selects."""
    return lambda values, _: f"It is the {pick(values, key=lambda colour: values[colour])} one."
