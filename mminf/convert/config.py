"""Converts a configuration of MM-INF: to the bundled recipe that does the same, or step by step."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from mminf.content import find_recipe
from mminf.convert.converted import Converted, make_engine, source_kind
from mminf.convert.functions import Code
from mminf.convert.known import KNOWN, Known
from mminf.convert.steps import convert_steps, functions_of
from mminf.errors import UsageError, reason_of, shorten_text
from mminf.recipe.lines import load_document


def load_config(path: Path) -> dict[str, Any]:
    """Reads a configuration of MM-INF.

    Raises:
        UsageError: if it is not one.
    """
    try:
        found = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, yaml.YAMLError, RecursionError) as error:
        raise UsageError(f"{path} can't be read: {shorten_text(reason_of(error), 200)}") from error
    base = found.get("base_config") if isinstance(found, dict) else None
    if not isinstance(found, dict) or not isinstance(base, dict) or not isinstance(base.get("input_file"), str):
        raise UsageError(f"{path} is not a configuration of MM-INF: it has no base_config with input_file")
    steps = {str(name): body or {} for name, body in found.items() if name != "base_config"}
    for name, body in steps.items():
        _check_step(path, name, body)
    if not any(body.get("model_id_or_path") for body in steps.values()):
        raise UsageError(f"{path}: no step has a model_id_or_path")
    return {"base_config": base, **steps}


def _check_step(path: Path, name: str, body: object) -> None:
    if not isinstance(body, dict):
        raise UsageError(f"{path}: step {name!r} is not a mapping, but {type(body).__name__}")
    for key in ("model_args", "request_args"):
        if not isinstance(body.get(key) or {}, dict):
            raise UsageError(f"{path}: {key} of step {name!r} is not a mapping, but {type(body[key]).__name__}")
    for key in ("prompt", "model_id_or_path", "sys_prompt"):
        if not isinstance(body.get(key) or "", str):
            raise UsageError(f"{path}: {key} of step {name!r} is not a text, but {type(body[key]).__name__}")


def convert_config(config: Mapping[str, Any], name: str, *, code: Code | None = None, steps: bool = False) -> Converted:
    """Converts a configuration.

    Args:
        name: of the recipe.
        config: as `load_config` returns it.
        code: the modules with its functions; None: they are not read, and every value between steps is to be decided.
        steps: convert step by step, also if a bundled recipe does the same.
    """
    base = config["base_config"]
    bodies = {name: body for name, body in config.items() if name != "base_config"}
    found = Converted(name, base["input_file"], output=str(base["save_dir"]) if base.get("save_dir") else None)
    known = None if steps else _find_known(bodies)
    if known is None:
        convert_steps(bodies, found, code)
    else:
        _take_known(known, bodies, found)
    return found


def _find_known(bodies: Mapping[str, Any]) -> Known | None:
    """Returns the bundled recipe if all functions are in one module of MM-INF, and its models are there."""
    modules = {dotted.rpartition(".")[0] for body in bodies.values() for dotted in functions_of(body)}
    known = KNOWN.get(modules.pop()) if len(modules) == 1 else None
    if known is None or not all((bodies.get(step) or {}).get("model_id_or_path") for step in known.engines.values()):
        return None
    return known


def _take_known(known: Known, bodies: Mapping[str, Any], found: Converted) -> None:
    """Puts the models and the input of a configuration into a bundled recipe."""
    found.known = known
    engines: dict[str, Any] = load_document(find_recipe(known.recipe)).data["engines"]
    made = {name: {**engines[name], **make_engine(bodies[step])} for name, step in known.engines.items()}
    for body in bodies.values():
        if body.get("oasis") and body.get("model_id_or_path"):
            hooked = {**engines["vlm"], **make_engine(body)}
            if hooked != made["vlm"]:
                made["hooked"] = hooked
    found.recipe["engines"] = made
    columns = {"columns": dict(known.columns)} if known.columns else {}
    found.recipe["source"] = {source_kind(found.input_file): {"path": found.input_file, **columns}}
    for name, body in bodies.items():
        _tell_left_out(name, body, found)
    found.decide += known.differs
    found.tell_parallel()


def _tell_left_out(name: str, body: Mapping[str, Any], found: Converted) -> None:
    """Tells which settings of a step the bundled recipe does not take over."""
    for key in ("request_args", "sys_prompt"):
        if body.get(key):
            found.decide.append(
                f"{name}: {key} is not converted; set `sampling` or `system` of the step that does this"
            )
    prompt = str(body.get("prompt") or "")
    if prompt.strip() not in ("", "{}") and "prompt_func." not in prompt:
        found.told.append(f"{name}: the recipe has a prompt of its own instead of {shorten_text(prompt, 60)!r}")
