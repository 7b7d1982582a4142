"""Reads a recipe, applies overrides, checks it, and reports all problems at once."""

from __future__ import annotations

import copy
import logging
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import jinja2
from pydantic import BaseModel, ValidationError

from mminf.config import DEPRECATED, Deprecation
from mminf.errors import MminfError, PluginError, Problem, RecipeError, nearest, shorten_text
from mminf.output_names import conflicts
from mminf.plugin import broken_plugins, discover
from mminf.recipe.config import EngineConfig, RunConfig
from mminf.recipe.dataflow import undefined_reads
from mminf.recipe.doubtful import doubt, fill_unknown, only_known
from mminf.recipe.lines import Document, Path_, load_document
from mminf.recipe.model import Member, Recipe, TemplateFolders
from mminf.recipe.names import step_name
from mminf.recipe.override import (
    apply_profile,
    apply_setting,
    overlay_dotted,
    replace_source,
    set_image_root,
)
from mminf.recipe.prices import find_price_problems
from mminf.recipe.problems import find_problems, without_unknown
from mminf.recipe.repeat import RepeatConfig
from mminf.recipe.wrap import wrap_step
from mminf.registry import BACKENDS, SINKS, SOURCES, STEPS, Registry
from mminf.template import Expression

log = logging.getLogger("mminf")
SECTIONS = ("engines", "source", "steps", "sinks", "profiles")


def load_recipe(
    path: Path,
    *,
    profile: str | None = None,
    settings: Sequence[str] = (),
    overrides: Mapping[str, Any] | None = None,
    source: Mapping[str, Any] | None = None,
    image_root: str | None = None,
    plugins: Sequence[str] = (),
    templates: Sequence[Path] = (),
    check: Callable[[Recipe], list[Problem]] | None = None,
) -> Recipe:
    """Reads and checks a recipe; no model is loaded and no input is read.

    Args:
        profile: name of a profile of the recipe; several names, separated by commas, are applied in order.
        settings: `a.b.c=value` texts, as `--set` takes them.
        overrides: the same as nested or dotted mappings, from Python.
        source: replaces the recipe's source (`{"images": "my_images"}`).
        image_root: the source's `image_root`.
        plugins: additional plugin files or modules.
        templates: additional template folders, searched after the recipe's own.
        check: finds more problems of a recipe that has some. It gets what is valid of it; steps with a problem are
            `Doubtful`.

    Raises:
        RecipeError: with every problem found.
        PluginError: if a named plugin is missing or broken.
    """
    document = load_document(path)
    if not isinstance(document.data, dict):
        raise RecipeError(
            [Problem(str(path), "is not a mapping; a recipe has the keys name, engines, source, steps, sinks")]
        )
    discover(plugins)
    discover(_plugins(document), base=path.parent)
    first = copy.deepcopy(document.data.get("source"))
    for name in (profile or "").split(","):
        if name.strip():
            apply_profile(document, name.strip())
    if source is not None:
        replace_source(document, source, "--input", first)
    if image_root is not None:
        set_image_root(document, image_root, "--image-root")
    for setting in settings:
        apply_setting(document, setting)
    for key, value in (overrides or {}).items():
        overlay_dotted(document, key, value, f"override {key}")
    return _Builder(document, path, templates).build(check)


def _plugins(document: Document) -> list[str]:
    named = document.data.get("plugins") or []
    named = [named] if isinstance(named, str) else named
    if not isinstance(named, list) or not all(isinstance(item, str) for item in named):
        raise RecipeError([Problem(document.locate(("plugins",)), "plugins must be a list of files or modules")])
    return named


class _Builder:
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
        source = self._member(SOURCES, self.data.get("source"), ("source",)) if self.data.get("source") else None
        sinks = self._sinks(steps)
        if source is not None and (columns := SOURCES.get(source.type).columns) is not None:
            for problem in undefined_reads(steps, columns | source.config.added, self.places):
                self._report(problem)
        valid = run or RunConfig(name=self.path.stem)
        made = Recipe(self.path, valid, engines, source, tuple(steps), tuple(sinks), self.places, folders.files)
        if self.problems or run is None:
            for problem in check(only_known(made)) if check is not None else ():
                self._report(problem)
            raise RecipeError(sorted(self.problems, key=_line))
        return made

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

    def _steps(self, folders: TemplateFolders, engines: Mapping[str, EngineConfig]) -> list[Any]:
        raw = self.data.get("steps")
        if not isinstance(raw, list):
            self.fail(("steps",), "steps must be a list; an empty list only converts rows")
            return []
        steps: list[Any] = []
        names: set[str] = set()
        for item, path in self._unrolled(raw):
            split = self._split_member(STEPS, item, path) if item is not None else None
            if split is None:
                steps.append(doubt(item, folders))
                continue
            kind, cls, body = split
            name = step_name(item) or kind
            if name in names:
                self.fail(path, f"duplicate step name {name!r}; give this step another `name`")
            names.add(name)
            self.places[name] = self.document.locate((*path, kind))
            before = self.reports
            config = self._config(cls.Config, {**body, "name": name}, (*path, kind))
            step = self._construct(cls, config, folders, name, (*path, kind))
            doubtful = self.reports > before
            if step is None:
                self._check_name(name, body.get("engine"), (*path, kind))
            elif config.enabled:
                self._use_engine(step, engines, (*path, kind))
            if doubtful:
                steps.append(doubt(item, folders, step))
            elif config.enabled:
                steps.append(step)
        return fill_unknown(steps)

    def _unrolled(self, raw: list[Any]) -> Iterator[tuple[Any, Path_]]:
        """Yields the steps with their paths; the steps of a `repeat` once per round. A broken `repeat` is None."""
        repeats: set[str] = set()
        for index, item in enumerate(raw):
            path: Path_ = ("steps", index)
            if not isinstance(item, Mapping) or list(item) != ["repeat"]:
                yield item, path
                continue
            path = (*path, "repeat")
            body = item["repeat"]
            config = self._config(RepeatConfig, body if isinstance(body, Mapping) else {}, path)
            if config is not None and config.name in repeats:
                self.fail(path, f"duplicate name of a repeat, {config.name!r}; give this repeat another `name`")
            elif config is None:
                yield None, path
            else:
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
            where = f"{error.name or 'expression'} line {error.lineno}"
            self.fail(path, f"step {name!r}: {where}: {error.message}")
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

    def _sinks(self, steps: Iterable[Any]) -> list[Member]:
        raw = self.data.get("sinks") or []
        if not isinstance(raw, list):
            self.fail(("sinks",), "sinks must be a list")
            return []
        sinks: list[Member] = []
        names = [step.name for step in steps]
        places: list[int] = []
        for index, item in enumerate(raw):
            sink = self._member(SINKS, item, ("sinks", index))
            if sink is None:
                continue
            if sink.config.dropped_by is not None and sink.config.dropped_by not in names:
                self.fail(
                    ("sinks", index, sink.type, "dropped_by"),
                    f"`dropped_by`: no step {sink.config.dropped_by!r} in the recipe"
                    f"{nearest(sink.config.dropped_by, names)}",
                )
            self._check_expression(sink.config.where, ("sinks", index, sink.type, "where"))
            sinks.append(sink)
            places.append(index)
        for number, message in conflicts([sink.config.path for sink in sinks]):
            self.fail(("sinks", places[number]), message)
        return sinks

    def _check_expression(self, source: str | None, path: Path_) -> None:
        if source is not None:
            try:
                Expression(source)
            except jinja2.TemplateSyntaxError as error:
                self.fail(path, f"not a valid expression: {source!r}: {error.message}")

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
