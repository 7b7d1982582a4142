"""Finds what a prompt function does besides showing its arguments: a call with marks takes one branch only."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator, Set

from mminf.errors import shorten_text

_SHOWING = frozenset({"format", "str", "join", "print", "strip"})
"""Functions and methods that show a text as it is."""


def find_branches(tree: ast.Module, name: str, file: str) -> list[str] | None:
    """Returns what the text of a prompt function depends on besides its arguments as they are: `file:line what`.

    These are conditions, in the function and in those of its module that it calls, and arguments that are cut, changed
    or passed to other functions.

    Args:
        tree: the function's module.
        file: name of its file, for messages.

    Returns:
        None if the module does not define the function.
    """
    known = {node.name: node for node in tree.body if isinstance(node, ast.FunctionDef)}
    if name not in known:
        return None
    found: dict[str, None] = {}
    waiting, seen = [known[name]], {name}
    while waiting:
        function = waiting.pop()
        for line, what in _Finder(function, known.keys()).parts(function):
            found[f"{file}:{line} {shorten_text(' '.join(what.split()), 200)}"] = None
        for node in ast.walk(function):
            if isinstance(node, ast.Name) and node.id in known and node.id not in seen:
                seen.add(node.id)
                waiting.append(known[node.id])
    return sorted(found, key=lambda line: int(line.split(":")[1].split()[0]))


class _Finder:
    """Finds branches, and changes of arguments, in a function.

    Args:
        known: functions of its module, which are searched as well.
    """

    def __init__(self, function: ast.FunctionDef, known: Set[str]) -> None:
        self._given = _arguments(function)
        self._known = known

    def parts(self, node: ast.AST) -> Iterator[tuple[int, str]]:
        """Yields the line and the text of each of them, without those that are parts of another one."""
        inner: Iterable[ast.AST] = ast.iter_child_nodes(node)
        match node:
            case ast.If() | ast.While():
                yield node.lineno, f"{type(node).__name__.lower()} {ast.unparse(node.test)}"
                inner = [*node.body, *node.orelse]
            case ast.Match():
                yield node.lineno, f"match {ast.unparse(node.subject)}"
                inner = [statement for case in node.cases for statement in case.body]
            case ast.Try():
                yield node.lineno, "try"
            case ast.comprehension():
                for test in node.ifs:
                    yield test.lineno, f"if {ast.unparse(test)}"
                inner = [node.iter]
            case ast.IfExp() | ast.BoolOp() | ast.Assert():
                yield node.lineno, ast.unparse(node)
                return
            case ast.expr() if self._changes(node):
                yield node.lineno, ast.unparse(node)
                return
        for part in inner:
            yield from self.parts(part)

    def _changes(self, node: ast.expr) -> bool:
        """Returns whether an expression may show an argument otherwise than as it is."""
        match node:
            case ast.Subscript():
                return self._is_given(node.value)
            case ast.FormattedValue():
                formatted = node.format_spec is not None or node.conversion not in (-1, ord("s"))
                return formatted and self._is_given(node.value)
            case ast.Call(func=ast.Attribute(attr=name)) if name in _SHOWING:
                return False
            case ast.Call(func=ast.Name(id=name)) if name in _SHOWING or name in self._known:
                return False
            case ast.Call(func=ast.Attribute(value=value)) if self._is_given(value):
                return True
            case ast.Call():
                return any(map(self._is_given, (*node.args, *(key.value for key in node.keywords))))
        return False

    def _is_given(self, node: ast.expr) -> bool:
        return isinstance(node, ast.Name) and node.id in self._given


def _arguments(function: ast.FunctionDef) -> frozenset[str]:
    """Returns the names of the arguments, and of variables that are made of them."""
    every = function.args
    given = {one.arg for one in (*every.posonlyargs, *every.args, *every.kwonlyargs)}
    given |= {one.arg for one in (every.vararg, every.kwarg) if one is not None}
    while True:
        before = len(given)
        for node in ast.walk(function):
            if isinstance(node, ast.Assign) and isinstance(node.value, ast.Name) and node.value.id in given:
                given |= {target.id for target in node.targets if isinstance(target, ast.Name)}
        if len(given) == before:
            return frozenset(given)
