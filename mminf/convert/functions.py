"""Finds the Python functions of an MM-INF project: post-processing functions are read, prompt functions are called."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
import tempfile
from pathlib import Path

from mminf.convert.branches import find_branches
from mminf.convert.reader import PostFunction, read_function
from mminf.errors import UsageError, reason_of, shorten_text

# Two marks of different lengths, with capitals and small letters: what a function changes or measures is seen.
_MARKS = ("MMINF_Argument_{}_x", "Other_MMINF_argument_{}_of_two_Y")
_SECONDS = 60
_CALL = """
import importlib, inspect, json, sys
folder, module, name, count, out, *marks = sys.argv[1:]
sys.path.insert(0, folder)
function = getattr(importlib.import_module(module), name)
kinds = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
them = [one for one in inspect.signature(function).parameters.values() if one.kind in kinds]
number = int(count) if count else sum(one.default is inspect.Parameter.empty for one in them)
texts = [function(*(mark.format(n) for n in range(number))) for mark in marks]
with open(out, "w") as file:
    json.dump({"number": number, "texts": texts}, file)
"""


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
        tree, path, name = self._read(dotted)
        for node in tree.body:
            if isinstance(node, ast.FunctionDef) and node.name == name:
                return read_function(node, path.name)
        raise UsageError(f"{path} has no function {name!r}")

    def branches(self, dotted: str) -> list[str] | None:
        """Returns what the text of a prompt function depends on besides its arguments as they are; see `find_branches`.

        Returns:
            None if its source was not found.
        """
        try:
            tree, path, name = self._read(dotted)
        except UsageError:
            return None
        return find_branches(tree, name, path.name)

    def _read(self, dotted: str) -> tuple[ast.Module, Path, str]:
        """Returns the module of a function, the module's file, and the function's name.

        Raises:
            UsageError: if the file can't be read.
        """
        module, _, name = dotted.rpartition(".")
        path = self._folder / f"{module.replace('.', '/')}.py"
        try:
            return ast.parse(path.read_text(encoding="utf-8")), path, name
        except (OSError, SyntaxError, UnicodeDecodeError, ValueError, RecursionError) as error:
            raise UsageError(f"{dotted}: {path} can't be read: {shorten_text(reason_of(error), 200)}") from error

    def has_module(self, dotted: str) -> bool:
        """Returns whether the project has the module of a dotted name."""
        path = self._folder / dotted.rpartition(".")[0].replace(".", "/")
        return path.with_suffix(".py").is_file() or (path / "__init__.py").is_file()

    def prompt_function(self, dotted: str, count: int | None) -> list[str | int]:
        """Calls a prompt function with marks as arguments, in a process of its own, and returns the parts of its text.

        Args:
            count: number of arguments; None: those without a default.

        Returns:
            Texts, and for each mark the number of its argument.

        Raises:
            UsageError: if it can't be called, does not return a text, or changes its arguments.
        """
        module, _, name = dotted.rpartition(".")
        with tempfile.TemporaryDirectory(prefix="mminf-") as folder:
            out = Path(folder) / "text.json"
            given = [str(self._folder.resolve()), module, name, "" if count is None else str(count), str(out)]
            try:
                done = subprocess.run(  # noqa: S603 (the user named the folder with --code)
                    [sys.executable, "-c", _CALL, *given, *_MARKS],
                    capture_output=True,
                    timeout=_SECONDS,
                    check=False,
                    cwd=self._folder,
                )
            except subprocess.TimeoutExpired as error:
                raise UsageError(f"{dotted} did not return within {_SECONDS} s") from error
            except OSError as error:
                raise UsageError(f"{dotted} can't be called: {error}") from error
            if done.returncode:
                reason = (done.stderr.decode(errors="replace").strip().splitlines() or ["no output"])[-1]
                raise UsageError(f"{dotted} can't be called: {shorten_text(reason, 200)}")
            if not out.exists():
                raise UsageError(f"{dotted} ended before it returned a text")
            found = json.loads(out.read_text())
        return _parts(dotted, found["texts"], int(found["number"]))


def _parts(dotted: str, texts: list[object], number: int) -> list[str | int]:
    for text in texts:
        if not isinstance(text, str):
            raise UsageError(f"{dotted} does not return a text, but {type(text).__name__}")
        try:
            text.encode()
        except UnicodeEncodeError as error:
            raise UsageError(f"{dotted} returns a text that is not Unicode") from error
    parts, others = (split_marks(str(text), mark, number) for text, mark in zip(texts, _MARKS, strict=True))
    if parts != others or any(index not in parts for index in range(number)):
        raise UsageError(f"{dotted} does not show its arguments as they are, or returns another text for each call")
    return parts


def split_marks(text: str, mark: str, number: int) -> list[str | int]:
    """Returns the parts of a text between and with the marks of arguments."""
    parts: list[str | int] = [text]
    for index in range(number):
        cut: list[str | int] = []
        for part in parts:
            if isinstance(part, int):
                cut.append(part)
                continue
            for place, piece in enumerate(part.split(mark.format(index))):
                cut += [index, piece] if place else [piece]
        parts = cut
    return [part for part in parts if part != ""]
