"""A recipe that has been checked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Protocol

from mminf.recipe.config import EngineConfig, RunConfig, SinkConfig, SourceConfig, StepConfig
from mminf.template import Expression, Template, find_template


class StepLike(Protocol):
    """The parts of a step that recipes and schedulers use."""

    type: ClassVar[str]
    version: ClassVar[int]
    dataset: ClassVar[bool]
    config: Any

    @property
    def gate(self) -> bool: ...
    @property
    def name(self) -> str: ...
    @property
    def reads(self) -> frozenset[str]: ...
    @property
    def uses(self) -> frozenset[str]: ...
    @property
    def writes(self) -> frozenset[str]: ...
    @property
    def removes(self) -> frozenset[str]: ...
    @property
    def engine(self) -> str | None: ...
    @property
    def checks(self) -> tuple[Expression, ...]: ...
    def describe(self) -> dict[str, Any]: ...


class TemplateFolders:
    """Finds templates and keeps the ones that were used; `files` has their files and those of texts.

    Args:
        folders: searched in order.
    """

    def __init__(self, folders: list[Path]) -> None:
        self.folders = folders
        self.used: dict[str, Template] = {}
        self.files: dict[str, Path] = {}

    def template(self, name: str) -> Template:
        """Returns the template with that name.

        Raises:
            FileNotFoundError: if no folder contains it.
            jinja2.TemplateSyntaxError: if it is not valid Jinja.
        """
        if name not in self.used:
            self.used[name] = Template(self.text(name), name)
        return self.used[name]

    def text(self, name: str) -> str:
        """Returns the content of a text file. Raises FileNotFoundError if no folder contains it."""
        return self._path(name).read_text(encoding="utf-8")

    def _path(self, name: str) -> Path:
        path = find_template(name, self.folders)
        if path is None:
            looked = ", ".join(str(folder) for folder in self.folders)
            raise FileNotFoundError(f"no template {name!r} in {looked}")
        self.files[name] = path
        return path


@dataclass(frozen=True, slots=True)
class Member:
    """Type and config of a source or sink."""

    type: str
    config: Any


@dataclass(frozen=True, slots=True)
class Recipe:
    """A checked recipe.

    Attributes:
        path: the recipe file.
        run: the keys other than those below.
        engines: name -> config.
        source: None if the input comes from `--input`.
        steps: in list order.
        sinks: in list order.
        places: `file:line` of each step, by name.
        templates: the files that its steps have read, by name.
    """

    path: Path
    run: RunConfig
    engines: Mapping[str, EngineConfig]
    source: Member | None
    steps: tuple[Any, ...]
    sinks: tuple[Member, ...]
    places: Mapping[str, str] = field(default_factory=dict)
    templates: Mapping[str, Path] = field(default_factory=dict)

    @property
    def name(self) -> str:
        return self.run.name

    def resolved(self) -> dict[str, Any]:
        """Returns the recipe as JSON values, with defaults and the texts of templates."""
        return {
            **self.run.model_dump(mode="json"),
            "engines": {name: config.model_dump(mode="json") for name, config in self.engines.items()},
            "source": _member(self.source) if self.source else None,
            "steps": [step.describe() for step in self.steps],
            "sinks": [_member(sink) for sink in self.sinks],
        }


def _member(member: Member) -> dict[str, Any]:
    return {member.type: member.config.model_dump(mode="json")}


__all__ = [
    "EngineConfig",
    "Member",
    "Recipe",
    "RunConfig",
    "SinkConfig",
    "SourceConfig",
    "StepConfig",
    "StepLike",
    "TemplateFolders",
]
