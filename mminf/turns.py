"""The turns of a chat and the positions of images in them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from mminf.errors import RecordError
from mminf.media import TAG


@dataclass(frozen=True, slots=True)
class ImagePart:
    """The position of image `index` (from 0) of a request in a turn."""

    index: int


@dataclass(frozen=True, slots=True)
class Place:
    """The position of an image that is not resolved to a number yet.

    Attributes:
        name: identifies a tag; a text that is shown twice shows its images twice. Empty: all images without a tag.
        leads: the tag is before the first word of its text.
    """

    name: str = ""
    leads: bool = False


@dataclass(frozen=True, slots=True)
class Turn:
    """One turn of a chat: text and images in order."""

    role: str
    parts: tuple[str | ImagePart, ...]

    @property
    def text(self) -> str:
        return "".join(part for part in self.parts if isinstance(part, str))


@dataclass(frozen=True, slots=True)
class Draft:
    """A turn whose places are not resolved yet."""

    role: str
    parts: tuple[str | ImagePart | Place, ...]


REST = Place()


def split_tags(text: str, name: str) -> tuple[str | Place, ...]:
    """Splits a text at its tags: returns the pieces and the places between them."""
    pieces = text.split(TAG)
    found: list[str | Place] = []
    for number, piece in enumerate(pieces):
        if number:
            found.append(Place(f"{name}.{number}", leads=not "".join(pieces[:number]).strip()))
        if piece:
            found.append(piece)
    return tuple(found)


def name_tags(text: str) -> str:
    """Returns a text for a prompt without images: tags at both ends are removed, others become words."""
    pieces = text.split(TAG)
    left_out = 0
    while len(pieces) > 1 and not pieces[0].strip():
        pieces.pop(0)
        left_out += 1
    while len(pieces) > 1 and not pieces[-1].strip():
        pieces.pop()
    named = "".join(f"[image {left_out + number}]{piece}" if number else piece for number, piece in enumerate(pieces))
    return named if len(pieces) > 1 or TAG not in text else named.strip()


def place_images(turns: Sequence[Draft], count: int) -> tuple[Turn, ...]:
    """Returns the turns with every place resolved to an image.

    The tags of all turns take the last images, in order; `REST` shows the others. If there is a `REST`, it also shows
    the image of a tag that leads its text: the image comes first there, too, and engines can reuse the prefix.

    Args:
        count: how many images the record has.

    Raises:
        RecordError: if there are more tags than images.
    """
    places = [part for turn in turns for part in turn.parts if isinstance(part, Place)]
    has_rest = REST in places
    tags = list(dict.fromkeys(place for place in places if place != REST))
    if len(tags) > count:
        raise RecordError(f"the prompt has {len(tags)} {TAG} tags, but the record has {count} images")
    shown = {part.index for turn in turns for part in turn.parts if isinstance(part, ImagePart)}
    numbers = {tag: number for number, tag in enumerate(tags, count - len(tags))}
    placed = {tag: number for tag, number in numbers.items() if not (tag.leads and has_rest) and number not in shown}
    rest = tuple(ImagePart(number) for number in range(count) if number not in placed.values())

    def resolve(part: str | ImagePart | Place) -> tuple[str | ImagePart, ...]:
        if not isinstance(part, Place):
            return (part,)
        if part == REST:
            return rest
        if part in placed:
            return (ImagePart(placed[part]),)
        return () if part.leads else (f"[image {numbers[part] + 1}]",)

    return tuple(Turn(turn.role, _joined(one for part in turn.parts for one in resolve(part))) for turn in turns)


def _joined(parts: Iterable[str | ImagePart]) -> tuple[str | ImagePart, ...]:
    """Joins adjacent texts."""
    found: list[str | ImagePart] = []
    for part in parts:
        if isinstance(part, str) and found and isinstance(found[-1], str):
            found[-1] += part
        else:
            found.append(part)
    return tuple(found)
