"""Chooses the records that the page shows, and makes thumbnails of their images."""

from __future__ import annotations

import base64
import json
import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from mminf.errors import ImageError
from mminf.image import ImagePolicy, make_preview
from mminf.listing import ListedRecord

MOST = 200
"""Number of records that a page shows."""
_PER_PLACE = 100
"""Number of records that are remembered of each step and state, from which the shown ones are chosen."""
_LONGEST = 1_500
"""Number of characters of a value that a page shows."""
_SIDE = 176
_IMAGES = 4
"""Number of images of a record that a page shows."""
_HIDDEN = frozenset({"images", "id"})


@dataclass(frozen=True, slots=True)
class Shown:
    """A record on the page.

    Attributes:
        thumbnails: `data:` URIs.
        notes: why images are not shown.
        fields: names and shortened values, in the order in which they were written.
    """

    id: str
    state: str
    step: str | None
    reason: str | None
    thumbnails: tuple[str, ...]
    notes: tuple[str, ...]
    fields: tuple[tuple[str, str], ...]


@dataclass(slots=True)
class Chosen:
    """A sample of records: the same number of each step and state, where there are enough.

    Args:
        most: number of records.
        seed: seed of the sample.
    """

    most: int = MOST
    seed: int = 0
    _places: dict[tuple[str, str], list[ListedRecord]] = field(default_factory=dict)
    _seen: dict[tuple[str, str], int] = field(default_factory=dict)
    _random: random.Random = field(init=False)

    def __post_init__(self) -> None:
        self._random = random.Random(self.seed)

    def add(self, outcome: ListedRecord) -> None:
        """Offers a record; each record of a step and state is equally likely to be shown (reservoir sampling)."""
        place = str(outcome["state"]), outcome["step"] or ""
        kept = self._places.setdefault(place, [])
        seen = self._seen[place] = self._seen.get(place, 0) + 1
        if len(kept) < _PER_PLACE:
            kept.append(_shorten(outcome))
        elif (at := self._random.randrange(seen)) < _PER_PLACE:
            kept[at] = _shorten(outcome)

    def records(self) -> list[ListedRecord]:
        """Returns the chosen records, grouped by state and step. Places share the number fairly."""
        shares = _fair_shares({place: len(kept) for place, kept in self._places.items()}, self.most)
        return [outcome for place, kept in self._places.items() for outcome in kept[: shares[place]]]


def _fair_shares(sizes: Mapping[tuple[str, str], int], most: int) -> dict[tuple[str, str], int]:
    """Returns how many records each place shows: equal numbers, and the rest of small places goes to larger ones."""
    shares, left = {}, most
    for number, place in enumerate(sorted(sizes, key=lambda place: sizes[place])):
        shares[place] = min(sizes[place], left // (len(sizes) - number))
        left -= shares[place]
    return shares


def _shorten(outcome: ListedRecord) -> ListedRecord:
    """Returns an outcome whose long texts are cut, so that the sample has a bounded size."""
    fields = {
        name: value if name == "images" or not isinstance(value, str) else value[: _LONGEST + 1]
        for name, value in outcome["fields"].items()
    }
    short: ListedRecord = {**outcome, "fields": fields}
    return short


def show_records(records: Sequence[ListedRecord], policy: ImagePolicy | str) -> Iterator[Shown]:
    """Yields records as the page shows them.

    Args:
        policy: the images that may be read, or why none may be. Images from the web are not fetched.
    """
    for outcome in records:
        thumbnails: list[str] = []
        notes: list[str] = []
        images = outcome["fields"].get("images")
        for uri in (images if isinstance(images, list) else [])[:_IMAGES]:
            shown = thumbnail(str(uri), policy)
            (thumbnails if shown.startswith("data:") else notes).append(shown)
        yield Shown(
            outcome["id"],
            str(outcome["state"]),
            outcome["step"],
            outcome["reason"],
            tuple(thumbnails),
            tuple(notes),
            tuple((name, _text(value)) for name, value in outcome["fields"].items() if name not in _HIDDEN),
        )


def thumbnail(uri: str, policy: ImagePolicy | str) -> str:
    """Returns a small JPEG of an image as a `data:` URI, or why there is none."""
    if isinstance(policy, str):
        return policy
    try:
        data = make_preview(uri, policy, _SIDE)
    except (ImageError, OSError) as error:
        return str(error)
    return "data:image/jpeg;base64," + base64.b64encode(data).decode("ascii")


def _text(value: object) -> str:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]} … ({len(text):,} characters)"
