"""YAML with the line of every key, loaded safely."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from mminf.errors import Problem, RecipeError

Path_ = tuple[str | int, ...]
_MAX_NODES = 100_000
_PLAIN_TAGS = ("tag:yaml.org,2002:map", "tag:yaml.org,2002:seq")


class Document:
    """A YAML document as plain data, and where each of its parts stands.

    Attributes:
        data: mappings, lists and scalars.
        where: path of keys and indices -> `file:line` (or the option that put it there).
    """

    def __init__(self, data: Any, where: dict[Path_, str]) -> None:
        self.data = data
        self.where = where

    def locate(self, path: Path_) -> str:
        """Returns where the innermost known part of a path stands."""
        for end in range(len(path), -1, -1):
            if path[:end] in self.where:
                return self.where[path[:end]]
        return "recipe"

    def place(self, path: Path_, where: str) -> None:
        """Says that everything at and below `path` now comes from `where`."""
        for known in [known for known in self.where if known[: len(path)] == path]:
            del self.where[known]
        self.where[path] = where


def load_document(path: Path) -> Document:
    """Reads a YAML file.

    Raises:
        RecipeError: if it can't be read, isn't YAML, or has a key twice.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise RecipeError([Problem(str(path), f"can't be read: {error}")]) from error
    return parse_document(text, str(path))


def parse_document(text: str, file: str) -> Document:
    """Parses YAML text; errors and lines are reported against `file`. Raises as `load_document` does."""
    try:
        node = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f"{file}:{mark.line + 1}" if mark else file
        raise RecipeError([Problem(where, f"is not YAML: {getattr(error, 'problem', None) or error}")]) from error
    builder = _Builder(file)
    data = builder.build(node, ()) if node is not None else None
    if builder.problems:
        raise RecipeError(builder.problems)
    return Document(data, builder.where)


class _Builder:
    def __init__(self, file: str) -> None:
        self.file = file
        self.where: dict[Path_, str] = {}
        self.problems: list[Problem] = []
        self._open: set[int] = set()
        self._scalars = yaml.SafeLoader("")

    def build(self, node: yaml.Node, path: Path_) -> Any:
        where = f"{self.file}:{node.start_mark.line + 1}"
        self.where.setdefault(path, where)
        if len(self.where) > _MAX_NODES:  # aliases of aliases can name more nodes than there are atoms
            raise RecipeError([Problem(where, f"expands to more than {_MAX_NODES:,} values; use fewer aliases")])
        if not isinstance(node, yaml.ScalarNode) and node.tag not in _PLAIN_TAGS:
            self.problems.append(Problem(where, f"is not a plain value: tag {node.tag!r}"))
            return None
        if isinstance(node, yaml.MappingNode | yaml.SequenceNode):
            if id(node) in self._open:
                raise RecipeError([Problem(where, "holds itself by an alias")])
            self._open.add(id(node))
            built = (
                self._mapping(node, path)
                if isinstance(node, yaml.MappingNode)
                else [self.build(item, (*path, index)) for index, item in enumerate(node.value)]
            )
            self._open.discard(id(node))
            return built
        try:
            return self._scalars.construct_object(node, deep=True)
        except yaml.YAMLError as error:
            self.problems.append(Problem(where, f"is not a plain value: {getattr(error, 'problem', error)}"))
            return None

    def _mapping(self, node: yaml.MappingNode, path: Path_) -> dict[str, Any]:
        self._scalars.flatten_mapping(node)
        built: dict[str, Any] = {}
        for key_node, value_node in node.value:
            key = str(key_node.value)
            where = f"{self.file}:{key_node.start_mark.line + 1}"
            if key in built:
                self.problems.append(Problem(where, f"key {key!r} stands twice"))
            self.where[(*path, key)] = where
            built[key] = self.build(value_node, (*path, key))
        return built
