"""Safe YAML with the line of each key."""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import Any

import yaml

from mminf.errors import Problem, RecipeError, reason_of, shorten_text
from mminf.limits import RECIPE_BYTES, RECIPE_DEPTH, RECIPE_VALUES

Path_ = tuple[str | int, ...]
_Entries = dict[str, tuple[yaml.Node, yaml.Node]]
_PLAIN_TAGS = ("tag:yaml.org,2002:map", "tag:yaml.org,2002:seq")
_MERGE, _TIMESTAMP = "tag:yaml.org,2002:merge", "tag:yaml.org,2002:timestamp"
_TOO_LARGE = 2**63
_INDENTATION = "; check the indentation of this line and of those before"


class Document:
    """A YAML document as plain data, with the position of each part.

    Attributes:
        data: mappings, lists and scalars.
        where: path of keys and indices -> `file:line`, or the option that set the value.
        anchors: step that a profile inserted -> step before or after which it was inserted.
    """

    def __init__(self, data: Any, where: dict[Path_, str]) -> None:
        self.data = data
        self.where = where
        self.anchors: dict[str, str] = {}

    def locate(self, path: Path_) -> str:
        """Returns the position of the innermost known part of a path."""
        for end in range(len(path), -1, -1):
            if path[:end] in self.where:
                return self.where[path[:end]]
        return "recipe"

    def place(self, path: Path_, where: str) -> None:
        """Sets the position of everything at and below `path`."""
        for known in [known for known in self.where if known[: len(path)] == path]:
            del self.where[known]
        self.where[path] = where

    def get(self, path: Path_) -> Any:
        """Returns the part at a path that exists."""
        data = self.data
        for key in path:
            data = data[key]
        return data

    def insert(self, path: Path_, items: Path_, note: str) -> None:
        """Inserts copies of the items of one list into another list, and moves the items after them down.

        Args:
            path: position of the first inserted item.
            items: path of the list that is copied.
            note: appended to the place of each inserted part.
        """
        *folder, index = path
        copied = copy.deepcopy(self.get(items))
        self.get(tuple(folder))[index:index] = copied
        depth = len(items)
        inserted = {
            (*folder, int(place[depth]) + int(index), *place[depth + 1 :]): f"{where}{note}"
            for place, where in self.where.items()
            if place[:depth] == items and len(place) > depth
        }
        self.where = {_moved(place, path, len(copied)): where for place, where in self.where.items()} | inserted

    def remove(self, path: Path_) -> None:
        """Removes an item of a list, and moves the items after it up."""
        *folder, index = path
        del self.get(tuple(folder))[index]
        self.where = {
            _moved(place, path, -1): where for place, where in self.where.items() if place[: len(path)] != path
        }


def _moved(place: Path_, path: Path_, by: int) -> Path_:
    """Returns a place after the items of a list from `path` on have moved by some positions."""
    end = len(path) - 1
    index = place[end] if place[:end] == path[:end] and len(place) > end else None
    if isinstance(index, int) and index >= int(path[end]):
        return (*place[:end], index + by, *place[end + 1 :])
    return place


def load_document(path: Path) -> Document:
    """Reads a YAML file.

    Raises:
        RecipeError: if it can't be read, is not YAML, or has a duplicate key.
    """
    try:
        if path.stat().st_size > RECIPE_BYTES.value:
            raise RecipeError([Problem(str(path), f"recipe is too large: {RECIPE_BYTES}")])
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError as error:
        raise RecipeError([Problem(str(path), "file does not exist")]) from error
    except (OSError, ValueError) as error:
        raise RecipeError([Problem(str(path), f"can't be read: {reason_of(error)}")]) from error
    return parse_document(text, str(path))


def parse_document(text: str, file: str) -> Document:
    """Parses YAML text; errors and lines are reported against `file`. Raises as `load_document` does."""
    if len(text) > RECIPE_BYTES.value:
        raise RecipeError([Problem(shorten_text(file), f"is too large: {RECIPE_BYTES}")])
    try:
        node = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f"{file}:{mark.line + 1}" if mark else file
        problem = getattr(error, "problem", None) or str(error).splitlines()[0]
        hint = _INDENTATION if problem.startswith(("expected <block end>", "mapping values are not")) else ""
        raise RecipeError([Problem(where, f"not valid YAML: {problem}{hint}")]) from error
    except RecursionError as error:
        raise RecipeError([Problem(file, f"is nested too deeply: {RECIPE_DEPTH}")]) from error
    builder = _Builder(file)
    data = builder.build(node, ()) if node is not None else None
    if builder.problems:
        raise RecipeError(builder.problems)
    return Document(data, builder.where)


class _Builder:
    """Converts YAML nodes to plain data: mappings with text keys, lists, texts, numbers, booleans and null."""

    def __init__(self, file: str) -> None:
        self.file = file
        self.where: dict[Path_, str] = {}
        self.problems: list[Problem] = []
        self._open: set[int] = set()
        self._merged: dict[int, _Entries] = {}
        self._scalars = yaml.SafeLoader("")

    def build(self, node: yaml.Node, path: Path_) -> Any:
        where = self._line(node)
        self.where.setdefault(path, where)
        if len(self.where) > RECIPE_VALUES.value:  # aliases of aliases can expand to any number of nodes
            raise RecipeError([Problem(where, f"expands to too many values: {RECIPE_VALUES}")])
        if len(path) > RECIPE_DEPTH.value:
            raise RecipeError([Problem(where, f"is nested too deeply: {RECIPE_DEPTH}")])
        if isinstance(node, yaml.ScalarNode):
            return self._scalar(node, where)
        if node.tag not in _PLAIN_TAGS:
            self.problems.append(Problem(where, f"not a plain value: tag {node.tag!r}"))
            return None
        with self._entered(node):
            if isinstance(node, yaml.MappingNode):
                return self._mapping(node, path)
            return [self.build(item, (*path, index)) for index, item in enumerate(node.value)]

    def _scalar(self, node: yaml.ScalarNode, where: str) -> Any:
        if node.tag == _TIMESTAMP:  # recipes have no dates; a value that looks like a date is a text
            return node.value
        try:
            value = self._scalars.construct_object(node, deep=True)
        except yaml.YAMLError as error:
            problem = str(getattr(error, "problem", error))
        except (ValueError, KeyError, OverflowError, RecursionError):
            problem = f"{shorten_text(node.value, 60)!r} is not a valid {node.tag.rpartition(':')[2]}"
        else:
            if value is None or isinstance(value, str | bool):
                return value
            if isinstance(value, int | float) and -_TOO_LARGE < value < _TOO_LARGE:  # false for NaN, too
                return value
            kind = "out of range" if isinstance(value, int | float) else "of a type that JSON does not have"
            problem = f"{shorten_text(node.value, 60)!r} is {kind}"
        self.problems.append(Problem(where, f"not a plain value: {problem}"))
        return None

    def _mapping(self, node: yaml.MappingNode, path: Path_) -> dict[str, Any]:
        built: dict[str, Any] = {}
        for key, (key_node, value_node) in self._entries(node).items():
            self.where[(*path, key)] = self._line(key_node)
            built[key] = self.build(value_node, (*path, key))
        return built

    def _entries(self, node: yaml.MappingNode) -> _Entries:
        """Returns key and value nodes by key; the mapping's own keys override those that `<<` merges.

        Each mapping is flattened once, even if it is merged several times.
        """
        if (known := self._merged.get(id(node))) is not None:
            return known
        own: _Entries = {}
        merged: _Entries = {}
        for key_node, value_node in node.value:
            where = self._line(key_node)
            if key_node.tag == _MERGE:
                for other in self._mappings(value_node, where):
                    with self._entered(other):
                        # Of several mappings in one list, the first has precedence; so has a later `<<`, as in PyYAML.
                        merged = {**self._entries(other), **merged}
            elif not isinstance(key_node, yaml.ScalarNode):
                self.problems.append(Problem(where, "a key must be a text"))
            elif key_node.value in own:
                self.problems.append(Problem(where, f"duplicate key {shorten_text(key_node.value, 60)!r}"))
            else:
                own[key_node.value] = (key_node, value_node)
        found = self._merged[id(node)] = {**merged, **own}
        return found

    def _mappings(self, node: yaml.Node, where: str) -> list[yaml.MappingNode]:
        nodes = node.value if isinstance(node, yaml.SequenceNode) else [node]
        if not all(isinstance(item, yaml.MappingNode) for item in nodes):
            self.problems.append(Problem(where, "`<<` needs a mapping, or a list of mappings"))
        return [item for item in nodes if isinstance(item, yaml.MappingNode) and id(item) not in self._open]

    @contextlib.contextmanager
    def _entered(self, node: yaml.Node) -> Iterator[None]:
        if id(node) in self._open:
            raise RecipeError([Problem(self._line(node), "contains itself by an alias")])
        self._open.add(id(node))
        try:
            yield
        finally:
            self._open.discard(id(node))

    def _line(self, node: yaml.Node) -> str:
        return f"{self.file}:{node.start_mark.line + 1}"


def replace_section(text: str, key: str, new: str) -> str:
    """Returns a YAML text in which the lines of a key at the top level are replaced, with the comments inside of it.

    Args:
        new: lines with the key; an empty text removes it.
    """
    lines = text.splitlines(keepends=True)
    start, end = _section(lines, key)
    return text if start == end else "".join([*lines[:start], new, *lines[end:]])


def keep_in_section(text: str, key: str, names: Collection[str]) -> str:
    """Returns a YAML text in which the mapping of a top-level key has only some of its keys, with their comments.

    Args:
        names: keys to keep. If the mapping has none of them, its key is removed too.
    """
    lines = text.splitlines(keepends=True)
    start, end = _section(lines, key)
    indents = [_indent(line) for line in lines[start + 1 : end] if line.strip() and not line.strip().startswith("#")]
    if not indents:
        return "".join([*lines[:start], *lines[end:]])
    kept: list[str] = []
    pending: list[str] = []  # comments of the next key
    wanted = False
    for line in lines[start + 1 : end]:
        if line.strip() and (_indent(line) > indents[0] or line.strip().startswith("- ")):
            kept.extend([*pending, line] if wanted else [])
            pending = []
        elif not line.strip() or line.strip().startswith("#"):
            pending.append(line)
        else:
            wanted = line.strip().partition(":")[0].strip("\"'") in names
            kept.extend([*pending, line] if wanted else [])
            pending = []
    return "".join([*lines[:start], *([lines[start], *kept] if kept else []), *lines[end:]])


def _indent(line: str) -> int:
    return len(line) - len(line.lstrip())


def _section(lines: Sequence[str], key: str) -> tuple[int, int]:
    """Returns the range of the lines of a key at the top level, which is empty if there is none."""
    start = next((n for n, line in enumerate(lines) if line.startswith(f"{key}:")), None)
    if start is None:
        return 0, 0
    end = next((n for n in range(start + 1, len(lines)) if lines[n][:1] not in (" ", "#", "\n")), len(lines))
    while end > start + 1 and lines[end - 1][:1] in ("#", "\n"):  # comments before the next key belong to it
        end -= 1
    return start, end
