"""Finds the Python functions of an MM-INF project: post-processing functions are read, prompt functions are called."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from mminf.convert.reader import PostFunction, read_function
from mminf.errors import UsageError, shorten_text

_MARK = "MMINF_ARGUMENT_{}_MMINF"
_SECONDS = 60
_CALL = """
import importlib, inspect, json, sys
folder, module, name, mark = sys.argv[1:]
sys.path.insert(0, folder)
function = getattr(importlib.import_module(module), name)
kinds = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
names = [one.name for one in inspect.signature(function).parameters.values() if one.kind in kinds]
text = function(*(mark.format(number) for number in range(len(names))))
sys.stdout.buffer.write(b"\\n" + json.dumps({"names": names, "text": text}).encode())
"""


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
        except (OSError, SyntaxError, UnicodeDecodeError, ValueError, RecursionError) as error:
            raise UsageError(f"{dotted}: {path} can't be read: {shorten_text(str(error), 200)}") from error
        for node in tree.body:
            if isinstance(node, ast.FunctionDef) and node.name == name:
                return read_function(node, path.name)
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
                command, capture_output=True, timeout=_SECONDS, check=False, cwd=self._folder
            )
        except subprocess.TimeoutExpired as error:
            raise UsageError(f"{dotted} did not return within {_SECONDS} s") from error
        except OSError as error:
            raise UsageError(f"{dotted} can't be called: {error}") from error
        if done.returncode:
            reason = (done.stderr.decode(errors="replace").strip().splitlines() or ["no output"])[-1]
            raise UsageError(f"{dotted} can't be called: {shorten_text(reason, 200)}")
        try:
            found = json.loads(done.stdout.rpartition(b"\n")[2])
            names, text = found["names"], found["text"]
        except (ValueError, KeyError, TypeError) as error:
            raise UsageError(f"{dotted} ended before it returned a text") from error
        if not isinstance(text, str):
            raise UsageError(f"{dotted} does not return a text, but {type(text).__name__}")
        parts = split_marks(text, len(names))
        if missing := [names[number] for number in range(len(names)) if number not in parts]:
            raise UsageError(f"{dotted} does not show its argument {missing[0]!r} as it is")
        return PromptFunction(names, parts)


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
