"""Reads the Python functions of an MM-INF project: post-processing functions, without running them, and prompts."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

from mminf.errors import UsageError, shorten_text

LAST = "<answer>"
"""Stands for the answer of the step."""
_MARK = "MMINF_ARGUMENT_{}_MMINF"
_SECONDS = 60
_CALL = """
import importlib, inspect, json, sys
folder, module, name, mark = sys.argv[1:]
sys.path.insert(0, folder)
function = getattr(importlib.import_module(module), name)
names = list(inspect.signature(function).parameters)
text = function(*(mark.format(number) for number in range(len(names))))
print("\\n" + json.dumps({"names": names, "text": text}))
"""


@dataclass
class PostFunction:
    """What a post-processing function does with a row.

    Attributes:
        items: what it passes to the next prompt: names of fields, or `LAST`; None for a value that it computes. The
            whole is None if the function does not set it.
        writes: field -> another field, `LAST`, or None for a value that it computes.
        images: whether it passes images to the next prompt.
        unclear: what a person has to convert, each with its line.
    """

    items: list[str | None] | None = None
    writes: dict[str, str | None] = field(default_factory=dict)
    images: bool = False
    unclear: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class PromptFunction:
    """The text of a prompt function: its parts, of which a number stands for an argument."""

    names: list[str]
    parts: list[str | int]


class Code:
    """A folder with the Python modules that a configuration names.

    Args:
        folder: the project's folder; its modules are imported from there, as MM-INF does.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def post_function(self, dotted: str) -> PostFunction:
        """Returns what a post-processing function does, from its source. Nothing is run.

        Raises:
            UsageError: if there is no such function.
        """
        module, _, name = dotted.rpartition(".")
        path = self._folder / f"{module.replace('.', '/')}.py"
        try:
            tree = ast.parse(path.read_text(encoding="utf-8"))
        except (OSError, SyntaxError, UnicodeDecodeError, ValueError) as error:
            raise UsageError(f"{dotted}: {path} can't be read: {shorten_text(str(error), 200)}") from error
        for node in tree.body:
            if isinstance(node, ast.FunctionDef) and node.name == name:
                reader = _Reader(path.name)
                reader.read(node.body)
                return reader.found
        raise UsageError(f"{path} has no function {name!r}")

    def prompt_function(self, dotted: str) -> PromptFunction:
        """Calls a prompt function with marks as arguments, in a process of its own, and returns the text around them.

        Raises:
            UsageError: if it can't be imported or called, or does not return a text.
        """
        module, _, name = dotted.rpartition(".")
        command = [sys.executable, "-c", _CALL, str(self._folder.resolve()), module, name, _MARK]
        try:
            done = subprocess.run(  # noqa: S603 (the user named the folder with --code)
                command, capture_output=True, text=True, timeout=_SECONDS, check=False
            )
        except subprocess.TimeoutExpired as error:
            raise UsageError(f"{dotted} did not return within {_SECONDS} s") from error
        if done.returncode:
            reason = (done.stderr.strip().splitlines() or ["no output"])[-1]
            raise UsageError(f"{dotted} can't be called: {shorten_text(reason, 200)}")
        found = json.loads(done.stdout.strip().splitlines()[-1])
        if not isinstance(found["text"], str):
            raise UsageError(f"{dotted} does not return a text, but {type(found['text']).__name__}")
        return PromptFunction(found["names"], split_marks(found["text"], len(found["names"])))


def split_marks(text: str, number: int) -> list[str | int]:
    """Returns the parts of a text between and with the marks of arguments."""
    parts: list[str | int] = [text]
    for index in range(number):
        cut: list[str | int] = []
        for part in parts:
            if isinstance(part, int):
                cut.append(part)
                continue
            for place, piece in enumerate(part.split(_MARK.format(index))):
                cut += [index, piece] if place else [piece]
        parts = cut
    return [part for part in parts if part != ""]


class _Reader:
    """Follows the assignments of a post-processing function in their order."""

    def __init__(self, file: str) -> None:
        self.found = PostFunction()
        self._file = file
        self._names: dict[str, str | None] = {}
        self._lists: dict[str, list[str | None]] = {}
        self._loops = 0

    def read(self, body: list[ast.stmt], condition: ast.expr | None = None) -> None:
        """Reads statements, which are run under a condition."""
        for node in body:
            if isinstance(node, ast.Assign):
                for target in node.targets:
                    self._assign(target, node.value)
            elif isinstance(node, ast.For):
                self._loops += 1
                self.read(node.body)
                self._loops -= 1
            elif isinstance(node, ast.With | ast.Try):
                self.read(node.body)
            elif isinstance(node, ast.If):
                self.read(node.body, node.test)
                self.read(node.orelse, ast.UnaryOp(ast.Not(), node.test))
            elif isinstance(node, ast.Continue) and condition is not None:
                self._tell(node, f"leaves rows out: {ast.unparse(condition)}; write a step `keep`, or a filter")
            elif _is_write(node) and self._loops > 1:
                self._tell(node, "writes several rows per row: `extract` a list, then `split` it")

    def _assign(self, target: ast.expr, value: ast.expr) -> None:
        if isinstance(target, ast.Tuple) and isinstance(value, ast.Tuple):
            for one, its in zip(target.elts, value.elts, strict=False):
                self._assign(one, its)
        elif isinstance(target, ast.Name):
            self._assign_name(target.id, value)
        elif (key := _key(target)) is not None:
            whose, name = key
            if whose == "user_data":
                self._write(name, value)
            elif name in ("query_items", "images"):
                self._assign_name(name, value)

    def _assign_name(self, name: str, value: ast.expr) -> None:
        if name == "images":
            if isinstance(value, ast.Name) and value.id == "images":
                return
            self.found.images = not (isinstance(value, ast.List) and not value.elts)
        if isinstance(value, ast.List):
            self._lists[name] = [self._resolve(item) for item in value.elts]
        elif isinstance(value, ast.Name) and value.id in self._lists:
            self._lists[name] = self._lists[value.id]
        else:
            self._names[name] = self._resolve(value)
        if name == "query_items":
            self._set_items(value)

    def _set_items(self, value: ast.expr) -> None:
        self.found.items = self._lists.get("query_items")
        for item, field_ in zip(getattr(value, "elts", []), self.found.items or [], strict=False):
            if field_ is None:
                self._tell(item, f"passes a computed value to the next prompt: {ast.unparse(item)}")

    def _write(self, name: str, value: ast.expr) -> None:
        if name == "images":
            return  # a record has its images from the source
        source = self._resolve(value)
        self.found.writes[name] = source
        if source is None:
            self._tell(value, f"computes the field {name}: {ast.unparse(value)}; write a step `set` or `extract`")

    def _resolve(self, value: ast.expr) -> str | None:
        """Returns the field that a value is, or LAST; None if it is computed."""
        if isinstance(value, ast.Name):
            return self._names.get(value.id)
        if isinstance(value, ast.Call):
            if isinstance(value.func, ast.Name) and value.func.id == "get_last_resp":
                return LAST
            if isinstance(value.func, ast.Attribute) and value.func.attr == "strip" and not value.args:
                return self._resolve(value.func.value)
        key = _key(value)
        return key[1] if key is not None and key[0] == "user_data" else None

    def _tell(self, node: ast.AST, what: str) -> None:
        self.found.unclear.append(f"{self._file}:{getattr(node, 'lineno', 0)} {shorten_text(what, 300)}")


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


def _is_write(node: ast.stmt) -> bool:
    if not isinstance(node, ast.Expr) or not isinstance(node.value, ast.Call):
        return False
    return isinstance(node.value.func, ast.Attribute) and node.value.func.attr == "write"
