"""Numbers that a recipe determines exactly, within bounds, or only per item of a list."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Range:
    """A number that is between two bounds.

    Attributes:
        least: the lower bound.
        most: the upper bound; None: the recipe does not limit it.
    """

    least: float = 0
    most: float | None = None

    def __post_init__(self) -> None:
        if self.least < 0 or (self.most is not None and self.most < self.least):
            raise ValueError(f"not a range: {self.least} to {self.most}")

    @classmethod
    def of(cls, number: float) -> Range:
        """Returns the range of one number."""
        return cls(number, number)

    @property
    def exact(self) -> bool:
        """Whether both bounds are the same."""
        return self.most == self.least

    def plus(self, other: Range) -> Range:
        """Returns the range of the sum."""
        most = None if self.most is None or other.most is None else self.most + other.most
        return Range(self.least + other.least, most)

    def times(self, other: Range) -> Range:
        """Returns the range of the product."""
        if self.most == 0 or other.most == 0:
            most: float | None = 0
        else:
            most = None if self.most is None or other.most is None else self.most * other.most
        return Range(self.least * other.least, most)

    def up_to(self, limit: float) -> Range:
        """Returns the range of the smaller one of the number and a limit."""
        return Range(min(self.least, limit), limit if self.most is None else min(self.most, limit))

    def or_less(self) -> Range:
        """Returns the range of numbers from 0 to the upper bound."""
        return Range(0, self.most)

    def joined(self, other: Range) -> Range:
        """Returns the smallest range that contains both."""
        most = None if self.most is None or other.most is None else max(self.most, other.most)
        return Range(min(self.least, other.least), most)


NONE, ONE, UNKNOWN = Range.of(0), Range.of(1), Range()


@dataclass(frozen=True, slots=True)
class Amount:
    """A number per record, or per item of a list field of the record.

    Attributes:
        number: the number per record, or per item.
        items: the list field; None: the number is per record.
    """

    number: Range = ONE
    items: str | None = None
