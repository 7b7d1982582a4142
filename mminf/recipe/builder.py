"""Builds a recipe from a document, and collects all its problems."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import jinja2
from pydantic import BaseModel, ValidationError

from mminf.config import DEPRECATED, Deprecation
from mminf.errors import MminfError, PluginError, Problem, RecipeError, nearest, shorten_text
from mminf.output_names import conflicts
from mminf.plugin import broken_plugins
from mminf.recipe.config import EngineConfig, RunConfig
from mminf.recipe.dataflow import undefined_reads
from mminf.recipe.doubtful import Doubtful, doubt, fill_unknown, only_known
from mminf.recipe.lines import Document, Path_
from mminf.recipe.model import Member, Recipe, StepLike, TemplateFolders
from mminf.recipe.names import config_name, step_name
from mminf.recipe.prices import find_price_problems
from mminf.recipe.problems import find_problems, without_unknown
from mminf.recipe.repeat import RepeatConfig
from mminf.recipe.wrap import wrap_step
from mminf.registry import BACKENDS, SINKS, SOURCES, STEPS, Registry
from mminf.template import Expression

log = logging.getLogger("mminf")
SECTIONS = ("engines", "source", "steps", "sinks", "profiles")
_ROUNDS = object()


class Builder:
    """Converts a document to a recipe, and collects all problems."""

    def __init__(self, document: Document, path: Path, templates: Sequence[Path]) -> None:
        self.document = document
        self.data: dict[str, Any] = document.data
        self.path = path
        self.problems: list[Problem] = []
        self.extra_templates = list(templates)
        self.places: dict[str, str] = {}
        self.warned: set[tuple[str, str]] = set()
        self.reports = 0
        """Number of problems, with those that were reported before: the rounds of a `repeat` have the same ones."""

    def build(self, check: Callable[[Recipe], list[Problem]] | None) -> Recipe:
        """Returns the recipe. Raises RecipeError with all problems."""
        run = self._run()
        folders = self._folders(run)
        engines = self._engines()
        local = [name for name, config in engines.items() if BACKENDS.get(config.backend).local]
        for place, message in find_price_problems(engines, run.budget if run is not None else None, local):
            self.fail(place, message)
        steps = self._steps(folders, engines)
        source, known_source = self._source()
        sinks, known_sinks = self._sinks(steps)
        if known_source is not None and (columns := SOURCES.get(known_source.type).columns) is not None:
            for problem in undefined_reads(steps, columns | known_source.config.added, self.places):
                self._report(problem)
        if self.problems or run is None:
            valid = run or RunConfig(name="recipe")
            known = Recipe(self.path, valid, engines, known_source, tuple(steps), tuple(known_sinks), self.places)
            for problem in check(only_known(known)) if check is not None else ():
                self._report(problem)
            raise RecipeError(sorted(self.problems, key=_line))
        assert not any(isinstance(step, Doubtful) for step in steps), "each of them has a problem"
        return Recipe(self.path, run, engines, source, tuple(steps), tuple(sinks), self.places, folders.files)

    def _folders(self, run: RunConfig | None) -> TemplateFolders:
        folder = self.path.parent
        own = [folder, folder / "templates"]
        if folder.name == "recipes":  # as in a checkout
            own.append(folder.parent / "templates")
        named = [folder / name for name in (run.templates if run else [])]
        return TemplateFolders([*named, *own, *self.extra_templates])

    def fail(self, path: Path_, message: str) -> None:
        self._report(Problem(self.document.locate(path), message))

    def _report(self, problem: Problem) -> None:
        self.reports += 1
        if problem not in self.problems:
            self.problems.append(problem)

    def _run(self) -> RunConfig | None:
        for key in self.data:
            if key not in SECTIONS and key not in RunConfig.model_fields:
                self.fail((key,), f"unknown key {key!r}{nearest(key, [*SECTIONS, *RunConfig.model_fields])}")
        plain = {key: value for key, value in self.data.items() if key in RunConfig.model_fields}
        plain.setdefault("name", self.path.stem)
        built: RunConfig | None = self._config(RunConfig, plain, ())
        return built

    def _engines(self) -> dict[str, EngineConfig]:
        raw = self.data.get("engines") or {}
        if not isinstance(raw, Mapping):
            self.fail(("engines",), "engines must be a mapping of names to engines")
            return {}
        engines: dict[str, EngineConfig] = {}
        for name, body in raw.items():
            path: Path_ = ("engines", name)
            if not isinstance(body, Mapping) or "backend" not in body:
                self.fail(path, f"engine {name!r} needs a backend{nearest('', BACKENDS)}")
                continue
            kind = self._known(BACKENDS, str(body["backend"]), (*path, "backend"))
            if kind is not None and (config := self._config(kind.Config, body, path)) is not None:
                engines[name] = config
        return engines

    def _source(self) -> tuple[Member | None, Member | None]:
        """Returns the source, and the source if it has no problem: an unknown key may give the columns other names."""
        if not self.data.get("source"):
            return None, None
        before = self.reports
        source = self._member(SOURCES, self.data["source"], ("source",))
        return source, source if self.reports == before else None

    def _steps(self, folders: TemplateFolders, engines: Mapping[str, EngineConfig]) -> list[Any]:
        raw = self.data.get("steps")
        if not isinstance(raw, list):
            self.fail(("steps",), "steps must be a list; an empty list only converts rows")
            return [Doubtful("")]
        steps: list[Any] = []
        names: set[str] = set()
        for item, path in self._unrolled(raw):
            split = self._split_member(STEPS, item, path) if item is not _ROUNDS else None
            if split is None:
                steps.append(doubt(item, folders) if item is not _ROUNDS else Doubtful(""))
                continue
            kind, cls, body = split
            before = self.reports
            name = step_name(item) or kind
            again = name in names
            if again:
                self.fail(path, f"duplicate step name {name!r}; give this step another `name`")
            names.add(name)
            self.places[name] = self.document.locate((*path, kind))
            config = self._config(cls.Config, {**body, "name": config_name(body, name)}, (*path, kind))
            step = self._construct(cls, config, folders, name, (*path, kind))
            doubtful = self.reports > before
            if step is None:
                self._check_name(name, body.get("engine"), (*path, kind))
            elif config.enabled:
                self._use_engine(step, engines, (*path, kind))
            if step is not None and not config.enabled:
                continue
            if again:  # a field may get the step's name
                steps.append(Doubtful(name))
            else:
                steps.append(doubt(item, folders, step) if doubtful else step)
        return fill_unknown(steps)

    def _unrolled(self, raw: list[Any]) -> Iterator[tuple[Any, Path_]]:
        """Yields the steps with their paths; the steps of a `repeat` once per round.

        `_ROUNDS` stands for steps that are not known, because a `repeat` has a problem.
        """
        repeats: set[str] = set()
        for index, item in enumerate(raw):
            path: Path_ = ("steps", index)
            if not isinstance(item, Mapping) or list(item) != ["repeat"]:
                yield item, path
                continue
            path = (*path, "repeat")
            body = item["repeat"]
            before = self.reports
            config = self._config(RepeatConfig, body if isinstance(body, Mapping) else {}, path)
            if config is not None and config.name in repeats:
                self.fail(path, f"duplicate name of a repeat, {config.name!r}; give this repeat another `name`")
            if self.reports > before:
                yield _ROUNDS, path
            if config is not None and config.name not in repeats:
                repeats.add(config.name)
                for step, number in config.rounds():
                    yield step, path if number is None else (*path, "steps", number)

    def _construct(self, cls: Any, config: Any, folders: TemplateFolders, name: str, path: Path_) -> Any:
        if config is None:
            return None
        try:
            return wrap_step(cls(config, folders))
        except FileNotFoundError as error:
            self.fail((*path, "template"), f"step {name!r}: {error}")
        except jinja2.TemplateSyntaxError as error:
            self.fail(path, f"step {name!r}: {error.name} line {error.lineno}: {error.message}")
        except (MminfError, ValueError) as error:
            self.fail(path, f"step {name!r}: {error}")
        return None

    def _check_name(self, step: str, engine: object, path: Path_) -> None:
        """Checks that the engine that a step names is in the recipe."""
        raw = self.data.get("engines") or {}
        raw = raw if isinstance(raw, Mapping) else {}
        if isinstance(engine, str) and engine not in raw:
            self.fail((*path, "engine"), f"step {step!r}: no engine {engine!r}{nearest(engine, raw)}")

    def _use_engine(self, step: Any, engines: Mapping[str, EngineConfig], path: Path_) -> None:
        self._check_name(step.name, step.engine, path)
        if step.engine in engines:
            try:
                step.check_engine(BACKENDS.get(engines[step.engine].backend), engines[step.engine])
                step.use_engine(engines[step.engine])
            except (MminfError, ValueError) as error:
                self.fail(path, f"step {step.name!r}: {error}")

    def _sinks(self, steps: Sequence[Any]) -> tuple[list[Member], list[Member]]:
        """Returns the sinks, and those without a problem."""
        raw = self.data.get("sinks") or []
        if not isinstance(raw, list):
            self.fail(("sinks",), "sinks must be a list")
            return [], []
        sinks: dict[int, Member] = {}
        known: list[Member] = []
        for index, item in enumerate(raw):
            before = self.reports
            sink = self._member(SINKS, item, ("sinks", index))
            if sink is None:
                continue
            self._check_dropped_by(sink.config.dropped_by, steps, ("sinks", index, sink.type, "dropped_by"))
            self._check_expression(sink.config.where, ("sinks", index, sink.type, "where"))
            sinks[index] = sink
            if self.reports == before:
                known.append(sink)
        for number, message in conflicts([sink.config.path for sink in sinks.values()]):
            self.fail(("sinks", list(sinks)[number]), message)
        return list(sinks.values()), known

    def _check_dropped_by(self, name: str | None, steps: Iterable[StepLike], path: Path_) -> None:
        names = [step.name for step in steps if step.name]
        of_unknown_type = [step for step in names if step not in self.places]
        if name is None or name in names or get_close_matches(name, of_unknown_type, n=1):
            return  # a step without a name is named by its type, which may be misspelt
        self.fail(path, f"`dropped_by`: no step {name!r} in the recipe{nearest(name, names)}")

    def _check_expression(self, source: str | None, path: Path_) -> None:
        if source is not None:
            try:
                Expression(source)
            except jinja2.TemplateSyntaxError as error:
                self.fail(path, f"sink {path[-2]!r}: where: not a valid {error.name}: {error.message}")

    def _member(self, registry: Registry[Any], item: Any, path: Path_) -> Member | None:
        split = self._split_member(registry, item, path)
        if split is None:
            return None
        kind, cls, body = split
        config = self._config(cls.Config, body, (*path, kind))
        return None if config is None else Member(kind, config)

    def _split_member(
        self, registry: Registry[Any], item: Any, path: Path_
    ) -> tuple[str, Any, Mapping[str, Any]] | None:
        """Splits `{type: settings}`. A value that is not a mapping is the value of the config's shorthand field."""
        if not isinstance(item, Mapping) or len(item) != 1:
            found = f"{' and '.join(map(str, item))} together" if isinstance(item, Mapping) and item else repr(item)
            self.fail(path, f"a {registry.kind} must be one `type: settings`, not {shorten_text(found)}")
            return None
        kind, body = next(iter(item.items()))
        cls = self._known(registry, str(kind), (*path, kind))
        if cls is None:
            return None
        if body is None:
            body = {}
        elif not isinstance(body, Mapping):
            if cls.Config.shorthand is None:
                self.fail((*path, kind), f"{kind} needs settings (`{kind}: {{...}}`), not {shorten_text(repr(body))}")
                return None
            body = {cls.Config.shorthand: body}
        return str(kind), cls, body

    def _known(self, registry: Registry[Any], name: str, path: Path_) -> Any:
        try:
            return registry.get(name)
        except PluginError as error:
            broken = "".join(f"; plugin {plugin!r} is broken: {why}" for plugin, why in broken_plugins().items())
            self.fail(path, f"{error}{broken}")
            return None

    def _config(self, cls: type[BaseModel], body: Mapping[str, Any], path: Path_) -> Any:
        label = f"{str(path[0]).removesuffix('s')} {body.get('name') or path[-1]!r}" if path else ""
        deprecated: list[Deprecation] = []
        try:
            built = cls.model_validate(dict(body), context={DEPRECATED: deprecated})
        except ValidationError as error:
            for problem in find_problems(error, cls, self.document, path, label=label):
                self._report(problem)
            # The other keys are checked as well.
            kept = without_unknown(body, error)
            return None if kept is None else self._config(cls, kept, path)
        for key, message in deprecated:
            where = self.document.locate((*path, key))
            if (where, message) not in self.warned:  # a step of a `repeat` is built once per round
                self.warned.add((where, message))
                log.warning("%s: %s: %s", where, label, message)
        return built


def _line(problem: Problem) -> tuple[str, int]:
    file, _, line = problem.where.partition(" ")[0].rpartition(":")
    return (file, int(line)) if line.isdigit() else (problem.where, 0)
