"""The structure of an expression: its node, and the texts between its outermost operators."""

from __future__ import annotations

from collections.abc import Set
from functools import lru_cache

from jinja2 import nodes

from mminf.template.environment import ENVIRONMENT


@lru_cache(maxsize=512)
def parse(source: str) -> nodes.Node:
    """Returns the outermost node of an expression."""
    (output,) = ENVIRONMENT.parse("{{ (" + source + ") }}").body
    assert isinstance(output, nodes.Output)
    return output.nodes[0]


def split(source: str, operators: Set[str]) -> tuple[list[str], list[str]]:
    """Returns the texts between the operators of an expression that are outside of brackets, and the operators.

    The result is exact if the outermost operator of the expression is one of them, because then no other operator
    outside of brackets binds less. `not in` is one operator.

    Raises:
        ValueError: if the expression has no such operator.
    """
    texts: list[str] = []
    found: list[str] = []
    start = depth = 0
    negation: int | None = None  # position of a `not` just before
    for at, kind, text in _tokens(source):
        if kind == "whitespace":
            continue
        depth += _depth(kind, text)
        name, begin = (text, at) if text != "in" or negation is None else ("not in", negation)
        negation = at if (kind, text) == ("name", "not") else None
        if depth == 0 and kind in ("operator", "name") and name in operators:
            texts.append(source[start:begin].strip())
            found.append(name)
            start = at + len(text)
    if not found:
        raise ValueError(f"no operator in {source!r}")
    return [*texts, source[start:].strip()], found


def is_negation(source: str) -> bool:
    """Returns whether an expression begins with `not`."""
    return next((text for _, kind, text in _tokens(source) if kind != "whitespace"), "") == "not"


def without_brackets(source: str) -> str:
    """Returns an expression without white space and brackets around it."""
    source = source.strip()
    while (
        source.startswith("(") and _first_end(source) == len(source) - 1 and not isinstance(parse(source), nodes.Tuple)
    ):
        source = source[1:-1].strip()
    return source


def _first_end(source: str) -> int:
    """Returns the position at which the first bracket of an expression is closed: not the end in `(a) + (b)`."""
    depth = 0
    for at, kind, text in _tokens(source):
        depth += _depth(kind, text)
        if depth == 0:
            return at
    return -1


def _depth(kind: str, text: str) -> int:
    return (text in "([{") - (text in ")]}") if kind == "operator" else 0


@lru_cache(maxsize=512)
def _tokens(source: str) -> tuple[tuple[int, str, str], ...]:
    """Returns the position, the kind and the text of each token of an expression."""
    found, at = [], -len("{{ ")
    for _, kind, text in ENVIRONMENT.lex("{{ " + source + " }}"):
        if 0 <= at < len(source):
            found.append((at, kind, text))
        at += len(text)
    return tuple(found)
