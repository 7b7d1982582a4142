"""Finds what a prompt function does besides showing its arguments: a call with marks takes one branch only."""

from __future__ import annotations

import ast
import re
import string
from collections.abc import Iterable, Iterator, Mapping, Set

from mminf.errors import shorten_text

_ADDING = frozenset({"append", "extend"})
_SHOWING = frozenset({"format", "str", "join", "print"}) | _ADDING
"""Functions and methods that show a text as it is; `strip()` without arguments as well."""


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
    texts = _constants(tree)
    if name not in known:
        return None
    found: dict[str, None] = {}
    waiting, seen = [known[name]], {name}
    while waiting:
        function = waiting.pop()
        for line, what in _Finder(function, known.keys(), texts).parts(function):
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
        texts: constants of its module.
    """

    def __init__(self, function: ast.FunctionDef, known: Set[str], texts: Mapping[str, str]) -> None:
        self._given = _arguments(function)
        self._known = known
        self._texts = texts

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
            case ast.Call(func=ast.Attribute(value=value)):
                inner = [value, *node.args, *(key.value for key in node.keywords)]
        for part in inner:
            yield from self.parts(part)

    def _changes(self, node: ast.expr) -> bool:
        """Returns whether an expression may show an argument otherwise than as it is."""
        match node:
            case ast.FormattedValue():
                formatted = node.format_spec is not None or node.conversion not in (-1, ord("s"))
                return formatted and self._is_given(node.value)
            case ast.BinOp(op=ast.Mod(), left=left):
                return self._is_given(node) and not _plain_percent(self._text(left))
            case ast.BinOp(op=ast.Add()):
                return False
            case ast.Call(func=ast.Attribute(value=value, attr="format")):
                return self._is_given(node) and not _plain_format(self._text(value))
            case ast.Call(func=ast.Attribute(attr=name)) if name in _SHOWING or (name == "strip" and not node.args):
                return False
            case ast.Call(func=ast.Name(id=name)) if name in _SHOWING or name in self._known:
                return False
            case ast.Call() | ast.Subscript() | ast.Attribute() | ast.BinOp() | ast.Compare():
                return self._is_given(node)
        return False

    def _is_given(self, node: ast.AST) -> bool:
        return any(isinstance(part, ast.Name) and part.id in self._given for part in ast.walk(node))

    def _text(self, node: ast.expr) -> str | None:
        if isinstance(node, ast.Name):
            return self._texts.get(node.id)
        return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else None


def _plain_percent(text: str | None) -> bool:
    """Returns whether a text shows the values of `%` as they are."""
    return text is not None and not re.sub(r"%(?:\(\w*\))?s|%%", "", text).count("%")


def _plain_format(text: str | None) -> bool:
    """Returns whether a text shows the values of `str.format` as they are."""
    try:
        places = list(string.Formatter().parse(text or ""))
    except ValueError:
        return False
    return text is not None and all(_is_plain(*place[1:]) for place in places if place[1] is not None)


def _is_plain(field: str | None, spec: str | None, conversion: str | None) -> bool:
    named = not field or field.isidentifier() or field.isdigit()
    return named and not spec and conversion in (None, "s")


def _constants(tree: ast.Module) -> dict[str, str]:
    """Returns the texts that a module assigns to names."""
    found = {}
    for node in tree.body:
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
            found.update({target.id: node.value.value for target in node.targets if isinstance(target, ast.Name)})
    return found


def _arguments(function: ast.FunctionDef) -> frozenset[str]:
    """Returns the names of the arguments, and of variables that are made of them."""
    every = function.args
    given = {one.arg for one in (*every.posonlyargs, *every.args, *every.kwonlyargs)}
    given |= {one.arg for one in (every.vararg, every.kwarg) if one is not None}
    while True:
        before = len(given)
        for node in ast.walk(function):
            for value, targets in _assigned(node):
                if any(isinstance(part, ast.Name) and part.id in given for part in ast.walk(value)):
                    given |= {part.id for target in targets for part in ast.walk(target) if isinstance(part, ast.Name)}
        if len(given) == before:
            return frozenset(given)


def _assigned(node: ast.AST) -> Iterator[tuple[ast.expr, list[ast.expr]]]:
    """Yields values with what they are assigned to."""
    match node:
        case ast.Assign():
            yield node.value, node.targets
        case ast.AnnAssign() if node.value is not None:
            yield node.value, [node.target]
        case ast.AugAssign() | ast.NamedExpr():
            yield node.value, [node.target]
        case ast.For() | ast.comprehension():
            yield node.iter, [node.target]
        case ast.Call(func=ast.Attribute(value=value, attr=name)) if name in _ADDING:
            yield from ((added, [value]) for added in node.args)
