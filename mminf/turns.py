"""The turns of a chat and the positions of images in them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence, Set
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
    plain = [
        Turn(turn.role, (text,)) for turn in turns if len(turn.parts) == 1 and isinstance(text := turn.parts[0], str)
    ]
    if len(plain) == len(turns):  # no image is shown
        return tuple(plain)
    numbering = _number_images(turns, count)
    return tuple(
        Turn(turn.role, _joined(one for part in turn.parts for one in numbering.resolve(part))) for turn in turns
    )


@dataclass(frozen=True, slots=True)
class _Numbering:
    """Which image each place shows.

    Attributes:
        rest: the images that `REST` shows.
        numbers: the images of all tags.
        placed: the tags that show their image where they are.
    """

    rest: tuple[ImagePart, ...]
    numbers: Mapping[Place, int]
    placed: Set[Place]

    def resolve(self, part: str | ImagePart | Place) -> tuple[str | ImagePart, ...]:
        """Returns what a part of a turn shows."""
        if not isinstance(part, Place):
            return (part,)
        if part == REST:
            return self.rest
        if part in self.placed:
            return (ImagePart(self.numbers[part]),)
        return () if part.leads else (f"[image {self.numbers[part] + 1}]",)


def _number_images(turns: Sequence[Draft], count: int) -> _Numbering:
    parts = [part for turn in turns for part in turn.parts if not isinstance(part, str)]
    numbers = _number_tags(parts, count)
    shown = {part.index for part in parts if isinstance(part, ImagePart)}
    has_rest = REST in parts
    placed = {tag for tag, number in numbers.items() if number not in shown and not (tag.leads and has_rest)}
    taken = {numbers[tag] for tag in placed}
    return _Numbering(tuple(ImagePart(number) for number in range(count) if number not in taken), numbers, placed)


def _number_tags(parts: Iterable[ImagePart | Place], count: int) -> dict[Place, int]:
    tags = list(dict.fromkeys(part for part in parts if isinstance(part, Place) and part != REST))
    if len(tags) > count:
        raise RecordError(f"the prompt has {len(tags)} {TAG} tags, but the record has {count} images")
    return {tag: number for number, tag in enumerate(tags, count - len(tags))}


def _joined(parts: Iterable[str | ImagePart]) -> tuple[str | ImagePart, ...]:
    """Joins adjacent texts."""
    found: list[str | ImagePart] = []
    for part in parts:
        if isinstance(part, str) and found and isinstance(found[-1], str):
            found[-1] += part
        else:
            found.append(part)
    return tuple(found)
