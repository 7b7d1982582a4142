"""Reads a post-processing function of MM-INF from its syntax tree, without running it."""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from mminf.errors import shorten_text

LAST = "<answer>"
"""Stands for the answer of the step."""
_TRACKED = frozenset({"data", "user_data", "query_items", "images", "videos", "audios", "history", "f"})
_HARMLESS = frozenset({"print", "tqdm", "logging", "logger", "log", "warnings"})


@dataclass
class PostFunction:
    """What a post-processing function does with a row.

    Attributes:
        items: what it passes to the next prompt: names of fields, or `LAST`; None for a value that it computes. The
            whole is None if the function does not set it.
        writes: field -> another field, `LAST`, or None for a value that it computes.
        images: whether it passes images to the next prompt; None if it does not set them.
        reads: fields whose values it takes before it writes them.
        unclear: what a person has to convert, each with its line.
    """

    items: list[str | None] | None = None
    writes: dict[str, str | None] = field(default_factory=dict)
    images: bool | None = None
    reads: set[str] = field(default_factory=set)
    unclear: list[str] = field(default_factory=list)


def read_function(function: ast.FunctionDef, file: str) -> PostFunction:
    """Returns what a function does. Whatever is not understood and concerns the row is in `unclear`."""
    reader = _Reader(file)
    reader.read_decorators(function)
    reader.read(function.body)
    return reader.found


class _Reader:
    """Follows the statements of a function in their order.

    Args:
        file: name of the file, for messages.
    """

    def __init__(self, file: str) -> None:
        self.found = PostFunction()
        self._file = file
        self._names: dict[str, str | None] = {}
        self._lists: dict[str, list[str | None]] = {}
        self._loops = 0
        self._conditions: list[str] = []
        self._rows: set[str] = set()

    def read_decorators(self, function: ast.FunctionDef) -> None:
        """Tells of decorators, which may change everything."""
        for decorator in function.decorator_list:
            self._tell(decorator, f"is decorated with {ast.unparse(decorator)}, which was not read")

    def read(self, body: Iterable[ast.stmt]) -> None:
        """Reads statements."""
        for node in body:
            read = _STATEMENTS.get(type(node), _Reader._tell_if_tracked)
            read(self, node)

    def _read_assignment(self, node: ast.Assign) -> None:
        for target in node.targets:
            self._assign(target, node.value)

    def _read_typed(self, node: ast.AnnAssign) -> None:
        if node.value is not None:
            self._assign(node.target, node.value)

    def _read_augmented(self, node: ast.AugAssign) -> None:
        if isinstance(node.target, ast.Name):
            self._names[node.target.id] = None
            if node.target.id == "images":
                self.found.images = True
        self._tell_if_tracked(node)

    def _read_loop(self, node: ast.For | ast.While) -> None:
        if isinstance(node, ast.While):
            self._tell_if_tracked(node)
        elif not self._loops and not self._is_all_rows(node.iter):
            self._tell(node.iter, f"may read a part of the rows only: {ast.unparse(node.iter)}")
        self._loops += 1
        self.read(node.body)
        self._loops -= 1
        self.read(node.orelse)

    def _read_with(self, node: ast.With) -> None:
        self.read(node.body)

    def _read_if(self, node: ast.If) -> None:
        self._read_branch(node.body, ast.unparse(node.test))
        self._read_branch(node.orelse, f"not ({ast.unparse(node.test)})")

    def _read_try(self, node: ast.Try) -> None:
        self.read(node.body)
        for handler in node.handlers:
            self._read_branch(handler.body, "an error")
        self.read([*node.orelse, *node.finalbody])

    def _read_branch(self, body: list[ast.stmt], condition: str) -> None:
        self._conditions.append(condition)
        self.read(body)
        self._conditions.pop()

    def _is_all_rows(self, iterated: ast.expr) -> bool:
        """Returns whether a loop is over all rows: `load_data(...)`, a name of it, `enumerate` or `tqdm` of that."""
        if isinstance(iterated, ast.Name):
            return iterated.id in self._rows
        if not isinstance(iterated, ast.Call):
            return False
        name = _root(iterated.func)
        return name == "load_data" or (
            name in ("enumerate", "tqdm") and bool(iterated.args) and self._is_all_rows(iterated.args[0])
        )

    def _leave(self, node: ast.stmt) -> None:
        if self._conditions:
            self._tell(node, f"leaves rows out: {self._condition}; write a step `keep`, or a filter")
        elif self._loops or getattr(node, "value", None) is not None:
            self._tell(node, f"is not converted: {ast.unparse(node)}")

    @property
    def _condition(self) -> str:
        return " and ".join(self._conditions)

    def _read_call(self, node: ast.Expr) -> None:
        call = node.value
        if isinstance(call, ast.Constant):  # a docstring
            return
        if not isinstance(call, ast.Call):
            self._tell_if_tracked(node)
        elif _is_write(call):
            if self._conditions:
                self._tell(node, f"writes a row only if {self._condition}; write a step `keep`, or a filter")
            if self._loops > 1:
                self._tell(node, "writes several rows per row: `extract` a list, then `split` it")
        elif _root(call.func) == "query_items" and getattr(call.func, "attr", "") == "append" and call.args:
            self._lists.setdefault("query_items", []).append(self._item(call.args[0]))
            self._set_items(call.args)
        elif _root(call.func) not in _HARMLESS:
            if _root(call.func) == "images":
                self.found.images = True
            self._tell_if_tracked(node)

    def _assign(self, target: ast.expr, value: ast.expr) -> None:
        if isinstance(target, ast.Tuple) and isinstance(value, ast.Tuple) and len(target.elts) == len(value.elts):
            for one, its in zip(target.elts, value.elts, strict=True):
                self._assign(one, its)
        elif isinstance(target, ast.Name):
            self._assign_name(target.id, value)
        elif (key := _key(target)) is not None and key[0] == "user_data":
            self._write(key[1], value)
        elif key is not None and key[1] in ("query_items", "images", "videos", "audios"):
            self._assign_name(key[1], value)
        else:
            self._tell_if_tracked(target)

    def _assign_name(self, name: str, value: ast.expr) -> None:
        if isinstance(value, ast.Name) and value.id == name:
            return  # data['images'] = images
        if name in ("data", "user_data"):
            if not _is_usual(value):
                self._tell(value, f"is not converted: {name} = {ast.unparse(value)}")
        elif isinstance(value, ast.Name) and value.id in _TRACKED and name not in _TRACKED:
            self._tell(value, f"is not converted: {name} = {value.id}")
        elif self._is_all_rows(value):
            self._rows.add(name)
        elif name in ("images", "videos", "audios"):
            self._assign_media(name, value)
        else:
            self._assign_value(name, value)

    def _assign_value(self, name: str, value: ast.expr) -> None:
        if isinstance(value, ast.List):
            self._lists[name] = [self._item(item) for item in value.elts]
        elif isinstance(value, ast.Name) and value.id in self._lists:
            self._lists[name] = list(self._lists[value.id])
        else:
            self._names[name] = None if self._conditions else self._value(value)
            if name == "query_items":
                self._lists.pop(name, None)
                self._tell(value, f"computes the values of the next prompt: {ast.unparse(value)}")
        if name == "query_items":
            self._set_items(getattr(value, "elts", []))

    def _assign_media(self, name: str, value: ast.expr) -> None:
        none = isinstance(value, ast.List) and not value.elts
        if isinstance(value, ast.Name) and value.id in self._lists:
            none = not self._lists[value.id]
        if name != "images":
            if not none:
                self._tell(value, f"passes {name} to the next prompt, which are not supported")
            return
        if self._conditions:
            self._tell(value, f"passes images to the next prompt only if {self._condition}; they are always shown")
            self.found.images = True
        else:
            self.found.images = not none

    def _set_items(self, values: list[ast.expr]) -> None:
        self.found.items = self._lists.get("query_items")
        if self._conditions and values:
            self._tell(values[0], f"passes values to the next prompt only if {self._condition}")
            self.found.items = [None] * len(self.found.items or ())
        elif self.found.items and values:
            for value, known in zip(values, self.found.items[-len(values) :], strict=True):
                if known is None:
                    self._tell(value, f"passes a computed value to the next prompt: {ast.unparse(value)}")

    def _write(self, name: str, value: ast.expr) -> None:
        if name == "images":
            return  # a record has its images from the source
        if not name.isidentifier():
            self._tell(value, f"writes the field {name!r}, which a template can't name; give it another name")
            return
        source = self._value(value)
        if self._conditions:
            source = None
            self._tell(value, f"sets the field {name} only if {self._condition}; write a step `set` with `when`")
        elif source is None:
            self._tell(value, f"computes the field {name}: {ast.unparse(value)}; write a step `set` or `extract`")
        self.found.writes[name] = source

    def _value(self, value: ast.expr) -> str | None:
        """Returns the field that a value is, or LAST; None if it is computed."""
        if isinstance(value, ast.Name):
            return self._names.get(value.id)
        if isinstance(value, ast.Call):
            if isinstance(value.func, ast.Name) and value.func.id == "get_last_resp":
                return LAST if _is_own_step(value) else None
            if isinstance(value.func, ast.Attribute) and value.func.attr == "strip" and not value.args:
                return self._value(value.func.value)
        key = _key(value)
        if key is None or key[0] != "user_data" or not key[1].isidentifier():
            return None
        if key[1] in self.found.writes:
            return self.found.writes[key[1]]
        self.found.reads.add(key[1])
        return key[1]

    def _item(self, value: ast.expr) -> str | None:
        """Returns the field that a value for the next prompt is in, after the fields were written."""
        key = _key(value)
        if key is not None and key[0] == "user_data" and self.found.writes.get(key[1], LAST) != LAST:
            return key[1]
        return self._value(value)

    def _tell_if_tracked(self, node: ast.AST) -> None:
        """Tells of a statement that is not understood, if it concerns the row."""
        if any(isinstance(part, ast.Name) and part.id in _TRACKED for part in ast.walk(node)):
            self._tell(node, f"is not converted: {ast.unparse(node)}")

    def _tell(self, node: ast.AST, what: str) -> None:
        line = f"{self._file}:{getattr(node, 'lineno', 0)} {shorten_text(' '.join(what.split()), 300)}"
        if line not in self.found.unclear:
            self.found.unclear.append(line)


_STATEMENTS: Mapping[type[ast.stmt], Callable[[_Reader, Any], None]] = {
    ast.Assign: _Reader._read_assignment,
    ast.AnnAssign: _Reader._read_typed,
    ast.For: _Reader._read_loop,
    ast.While: _Reader._read_loop,
    ast.With: _Reader._read_with,
    ast.If: _Reader._read_if,
    ast.Try: _Reader._read_try,
    ast.Continue: _Reader._leave,
    ast.Break: _Reader._leave,
    ast.Return: _Reader._leave,
    ast.Expr: _Reader._read_call,
    ast.AugAssign: _Reader._read_augmented,
    **dict.fromkeys((ast.Pass, ast.Import, ast.ImportFrom, ast.Global), lambda *_: None),
}
"""What is done with a statement; every other one is told if it concerns the row."""


def _key(node: ast.expr) -> tuple[str, str] | None:
    """Returns the names of `data['key']` or `data['user_data']['key']`: of the inner mapping, and the key."""
    if not isinstance(node, ast.Subscript) or not isinstance(node.slice, ast.Constant):
        return None
    if not isinstance(name := node.slice.value, str):
        return None
    if isinstance(node.value, ast.Name):
        return node.value.id, name
    inner = _key(node.value)
    return (inner[1], name) if inner is not None else None


def _is_own_step(call: ast.Call) -> bool:
    """Returns whether `get_last_resp(data, step_name)` reads the answer of the function's own step."""
    return len(call.args) > 1 and isinstance(call.args[1], ast.Name) and call.args[1].id == "step_name"


def _is_usual(value: ast.expr) -> bool:
    """Returns whether a value is the row or its fields, as functions of MM-INF begin: nothing is changed."""
    if isinstance(value, ast.Call):
        return isinstance(value.func, ast.Name) and value.func.id == "first_process"
    return _key(value) == ("data", "user_data")


def _root(node: ast.expr) -> str:
    """Returns the name that a call or an attribute begins with."""
    while isinstance(node, ast.Attribute | ast.Subscript | ast.Call):
        node = node.func if isinstance(node, ast.Call) else node.value
    return node.id if isinstance(node, ast.Name) else ""


def _is_write(call: ast.Call) -> bool:
    """Returns whether a call writes a row: `f.write(...)`, `json.dump(data, f)`."""
    return isinstance(call.func, ast.Attribute) and call.func.attr in ("write", "dump")
