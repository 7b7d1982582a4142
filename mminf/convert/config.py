"""Converts a configuration to a recipe, step by step."""

from __future__ import annotations

import keyword
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from mminf.convert.functions import LAST, Code, PostFunction
from mminf.convert.known import KNOWN, Known
from mminf.errors import UsageError, shorten_text
from mminf.registry import BACKENDS
from mminf.request import Sampling

_STEP = frozenset(
    ["name", "model_id_or_path", "prompt", "pp_func", "model_args", "request_args", "sys_prompt", "oasis", "step_name"]
)
_HOOK: Mapping[str, Any] = {
    "temperature": 1.0,
    "top_k": 20,
    "top_p": 1.0,
    "max_tokens": 512,
    "min_tokens": 2,
    "ban": ["special"],
}
_DOTTED = re.compile(r"[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)+")
_PLACE = re.compile(r"\{\{|\}\}|\{[^{}]*\}")
_LONG = 120


@dataclass
class Converted:
    """A recipe, or the bundled recipe that takes its place.

    Attributes:
        recipe: sections of the recipe.
        templates: file name -> text, of prompts too long for the recipe.
        decide: what a person has to convert, and why.
        told: what changed.
        known: the bundled recipe that does what the configuration does; `recipe` then contains its engines only.
        output: the folder of the results.
    """

    recipe: dict[str, Any] = field(default_factory=dict)
    templates: dict[str, str] = field(default_factory=dict)
    decide: list[str] = field(default_factory=list)
    told: list[str] = field(default_factory=list)
    known: Known | None = None
    output: str | None = None


def load_config(path: Path) -> dict[str, Any]:
    """Reads a configuration of MM-INF.

    Raises:
        UsageError: if it is not one.
    """
    try:
        found = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise UsageError(f"{path} can't be read: {shorten_text(str(error), 200)}") from error
    base = found.get("base_config") if isinstance(found, dict) else None
    if not isinstance(found, dict) or not isinstance(base, dict) or "input_file" not in base:
        raise UsageError(f"{path} is not a configuration of MM-INF: it has no base_config with input_file")
    steps = {str(name): body or {} for name, body in found.items() if name != "base_config"}
    for name, body in steps.items():
        if not isinstance(body, dict):
            raise UsageError(f"{path}: step {name!r} is not a mapping, but {type(body).__name__}")
    if not any(body.get("model_id_or_path") for body in steps.values()):
        raise UsageError(f"{path}: no step has a model_id_or_path")
    return {"base_config": base, **steps}


def convert_config(config: Mapping[str, Any], *, code: Code | None = None, steps: bool = False) -> Converted:
    """Converts a configuration.

    Args:
        config: as `load_config` returns it.
        code: the modules with its functions; None: they are not read, and every value between steps is to be decided.
        steps: convert step by step, also if a bundled recipe does the same.
    """
    base = config["base_config"]
    bodies = {name: body for name, body in config.items() if name != "base_config"}
    found = Converted(output=base.get("save_dir"))
    if not steps and (known := _find_known(bodies)) is not None:
        found.known = known
        for engine, step in known.engines.items():
            body = bodies.get(step) or {}
            if model := body.get("model_id_or_path"):
                found.recipe.setdefault("engines", {})[engine] = _engine(model, body)
        _add_hooked(bodies, found)
        return found
    _Steps(code, found).convert(str(base["input_file"]), bodies)
    return found


def _find_known(bodies: Mapping[str, Any]) -> Known | None:
    """Returns the bundled recipe if all functions are in one module of MM-INF."""
    modules = {dotted.rpartition(".")[0] for body in bodies.values() for dotted in _functions(body)}
    return KNOWN.get(modules.pop()) if len(modules) == 1 else None


def _functions(body: Mapping[str, Any]) -> list[str]:
    found = body.get("pp_func") or []
    return [str(found)] if isinstance(found, str) else [str(item) for item in found]


def _add_hooked(bodies: Mapping[str, Any], found: Converted) -> None:
    """Adds the engine of the hook, if it is another model than the one that answers."""
    for body in bodies.values():
        if body.get("oasis") and (model := body.get("model_id_or_path")):
            hooked = _engine(model, body)
            if hooked != found.recipe.get("engines", {}).get("vlm"):
                found.recipe.setdefault("engines", {})["hooked"] = hooked


@cache
def _engine_keys() -> frozenset[str]:
    return frozenset(BACKENDS.get("vllm").Config.model_fields)


def _engine(model: str, body: Mapping[str, Any]) -> dict[str, Any]:
    """Returns an engine. Arguments that are not settings of mminf are passed to vLLM."""
    given = body.get("model_args") or {}
    engine = {"backend": "vllm", "model": str(model), **{key: given[key] for key in given if key in _engine_keys()}}
    if others := {key: given[key] for key in given if key not in _engine_keys()}:
        engine["options"] = {"engine_kwargs": others}
    return engine


class _Steps:
    """Converts the steps of a configuration in their order.

    Args:
        code: the modules with its functions.
        found: gets the result.
    """

    def __init__(self, code: Code | None, found: Converted) -> None:
        self._code = code
        self._found = found
        self._engines: dict[str, dict[str, Any]] = {}
        self._steps: list[dict[str, Any]] = []
        self._items: list[str | None] | None = None
        self._images = True
        self._last: str | None = None

    def convert(self, source: str, bodies: Mapping[str, Any]) -> None:
        """Converts all steps."""
        for name, body in bodies.items():
            self._convert_step(name, body)
        kind = "jsonl" if source.endswith((".jsonl", ".jsonl.gz")) else "json"
        self._found.recipe = {
            "engines": self._engines,
            "source": {kind: source},
            "steps": self._steps,
            "sinks": [{"jsonl": "rows.jsonl"}],
        }
        self._found.told.append(
            "the dataset rows.jsonl contains all fields of the records; for training data, use the sink `swift` and "
            "name the fields of the turns, such as "
            f"`swift: {{path: rows.jsonl, user: instruction, assistant: {self._last}}}`"
        )
        self._found.told.append(
            "MM-INF spreads each model over all GPUs; here, `tensor_parallel_size` of an engine says over how many"
        )
        if number := len(self._found.decide):
            points = f"{number} points are" if number > 1 else "one point is"
            self._found.recipe["note"] = f"Converted from MM-INF; {points} undecided: see the comments in the recipe."

    def _convert_step(self, name: str, body: Mapping[str, Any]) -> None:
        for key in body:
            if key not in _STEP:
                self._found.decide.append(f"{name}: key {key!r} has no effect in MM-INF; it was left out")
        after = [self._read(name, dotted) for dotted in _functions(body)]
        writes = {key: value for function in after for key, value in function.writes.items()}
        if model := body.get("model_id_or_path"):
            answer = next((key for key, value in writes.items() if value == LAST), _field(name))
            writes.pop(answer, None)
            self._call(name, str(model), body, answer)
            self._last = answer
        self._copy(name, writes)
        self._pass_on(name, after)

    def _copy(self, name: str, writes: Mapping[str, str | None]) -> None:
        """Adds a step that copies fields, if there are any."""
        copied = {key: self._last if value == LAST else value for key, value in writes.items()}
        if copied := {key: value for key, value in copied.items() if value not in (None, key)}:
            self._steps.append({"set": {"name": f"{_field(name)}_fields", "fields": copied}})

    def _pass_on(self, name: str, after: list[PostFunction]) -> None:
        """Notes what the functions of a step pass to the next one, and what they do that is not converted."""
        for function in after:
            self._found.decide += [f"{name}: {line}" for line in function.unclear]
            self._images = function.images
            if function.items is not None:
                self._items = [self._last if item == LAST else item for item in function.items]
            elif self._code is not None:
                self._items = []

    def _read(self, name: str, dotted: str) -> PostFunction:
        if self._code is None:
            unclear = [f"{dotted} was not read: name its folder with --code, or convert what it does to steps"]
            return PostFunction(None, {}, images=True, unclear=unclear)
        return self._code.post_function(dotted)

    def _call(self, name: str, model: str, body: Mapping[str, Any], writes: str) -> None:
        step: dict[str, Any] = {"name": _field(name), "engine": self._engine_of(model, body)}
        if body.get("oasis"):
            step |= {"writes": writes, "sampling": dict(_HOOK)}
            self._steps.append({"hook": step})
            self._found.told.append(
                f"{name}: `oasis: true` became a hook. It samples at least 2 tokens instead of 50, which forced short "
                "questions to run on; request_args have no effect there in MM-INF"
            )
            return
        if body.get("sys_prompt"):
            step["system"] = str(body["sys_prompt"])
        step |= self._prompt(name, str(body.get("prompt") or ""))
        step |= {"sampling": self._sampling(name, body.get("request_args") or {}), "writes": writes}
        self._steps.append({"generate": step})

    def _engine_of(self, model: str, body: Mapping[str, Any]) -> str:
        """Returns the engine with this model and these settings; adds it if there is none."""
        made = _engine(model, body)
        for known, engine in self._engines.items():
            if engine == made:
                return known
        base = _field(model.rstrip("/").rpartition("/")[2].lower())
        engine_name = next(c for n in range(1, 1000) if (c := base if n == 1 else f"{base}_{n}") not in self._engines)
        self._engines[engine_name] = made
        return engine_name

    def _sampling(self, name: str, given: Mapping[str, Any]) -> dict[str, Any]:
        sampling: dict[str, Any] = {"max_tokens": 1024, "temperature": 0}  # MM-INF's defaults
        for key, value in given.items():
            if key in Sampling.model_fields:
                sampling[key] = value
            else:
                hint = "; `n` is a key of the step itself" if key == "n" else ""
                self._found.decide.append(f"{name}: request_args.{key} is not a sampling setting{hint}")
        return sampling

    def _prompt(self, name: str, prompt: str) -> dict[str, Any]:
        """Returns the step's prompt, or its template."""
        parts: list[str | int] = _split_places(prompt)
        if _DOTTED.fullmatch(prompt):
            if self._code is None:
                self._found.decide.append(f"{name}: the prompt is made by {prompt}: name its folder with --code")
                parts = [0]
            else:
                parts = self._code.prompt_function(prompt).parts
                self._found.told.append(f"{name}: {prompt} was called once; check its template if it has conditions")
        text = ("{{ images }}" if self._images else "") + self._template(name, parts)
        if len(text) <= _LONG and "\n" not in text:
            return {"prompt": text}
        file = f"{_field(name)}.jinja"
        self._found.templates[file] = text + "\n"
        return {"template": file}

    def _template(self, name: str, parts: list[str | int]) -> str:
        wanted = {part for part in parts if isinstance(part, int)}
        items = self._items if self._items is not None else []
        if self._items is not None and wanted and len(items) != max(wanted) + 1:
            self._found.decide.append(
                f"{name}: the prompt has {max(wanted) + 1} places, but {len(items)} values are passed to it"
            )
        shown = []
        for part in parts:
            if isinstance(part, str):
                # MM-INF removes the tag, and shows the images before the text.
                shown.append(escape(part.replace("<image>", "")))
                continue
            value = items[part] if part < len(items) else None
            if value is None:
                value = f"undecided_{_field(name)}_{part + 1}"
                self._found.decide.append(
                    f"{name}: which field is value {part + 1} of the prompt? replace {value!r} by it"
                )
            shown.append(f"{{{{ {value} }}}}")
        return "".join(shown)


def escape(text: str) -> str:
    """Returns a text whose braces are not read as parts of a template."""
    return re.sub(r"\{(?=[{%#])|(?<=\{)\{", "{{ '{' }}", text)


def _split_places(prompt: str) -> list[str | int]:
    """Returns the parts of a prompt of `str.format`; a number stands for its n-th place."""
    parts: list[str | int] = []
    last = place = 0
    for found in _PLACE.finditer(prompt):
        before = prompt[last : found.start()]
        last = found.end()
        if found[0] in ("{{", "}}"):
            parts.append(before + found[0][0])
            continue
        parts += [before, place]
        place += 1
    return [part for part in [*parts, prompt[last:]] if part != ""]


def _field(name: str) -> str:
    """Returns a name as a field, step or engine can have it."""
    made = re.sub(r"\W+", "_", name, flags=re.ASCII).strip("_") or "step"
    return f"s_{made}" if made[0].isdigit() or keyword.iskeyword(made) else made
