"""The JSON Schema of recipes, generated from the configs of all registered members."""

from __future__ import annotations

from typing import Any

from mminf.recipe.config import RunConfig
from mminf.recipe.insert import InsertConfig
from mminf.recipe.repeat import RepeatConfig
from mminf.registry import BACKENDS, SINKS, SOURCES, STEPS, Registry


def make_schema() -> dict[str, Any]:
    """Returns a JSON Schema (draft 2020-12)."""
    definitions: dict[str, Any] = {}
    plain = _definition(RunConfig, definitions)
    properties = plain.pop("properties")
    steps = _steps(definitions)
    properties |= {
        "engines": {
            "type": "object",
            "description": "Engines by name.",
            "additionalProperties": {"anyOf": [_engine(name, definitions) for name in BACKENDS]},
        },
        "source": _members(SOURCES, definitions),
        "steps": {"type": "array", "description": "Steps, in order.", "items": steps},
        "sinks": {"type": "array", "description": "Datasets to write.", "items": _members(SINKS, definitions)},
        "profiles": {
            "type": "object",
            "description": "Profiles by name: changes of the recipe that --profile applies.",
            "additionalProperties": _profile(steps, definitions),
        },
    }
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "mminf recipe",
        "type": "object",
        "additionalProperties": False,
        "required": ["steps"],
        "properties": properties,
        "$defs": definitions,
    }


def _steps(definitions: dict[str, Any]) -> dict[str, Any]:
    """Returns the schema of all registered steps and `repeat`."""
    steps = _members(STEPS, definitions)
    rounds = _definition(RepeatConfig, definitions)
    rounds["properties"]["steps"]["items"] = dict(steps, properties=dict(steps["properties"]))
    definitions["repeat"] = rounds
    steps["properties"]["repeat"] = {"description": "Rounds of steps.", "$ref": "#/$defs/repeat"}
    return steps


def _profile(steps: dict[str, Any], definitions: dict[str, Any]) -> dict[str, Any]:
    """Returns the schema of a profile: parts of a recipe, and the steps to insert."""
    entry = _definition(InsertConfig, definitions)
    entry["properties"]["steps"]["items"] = steps
    entry["oneOf"] = [{"required": ["before"]}, {"required": ["after"]}]
    definitions["insert"] = entry
    inserted = {
        "type": "array",
        "description": "Steps to insert before or after steps of the recipe.",
        "items": {"$ref": "#/$defs/insert"},
    }
    return {"type": ["object", "null"], "properties": {"insert": inserted}}


def _members(registry: Registry[Any], definitions: dict[str, Any]) -> dict[str, Any]:
    """Returns the schema of a mapping with one key, the type of the member."""
    properties = {}
    for name in registry:
        cls = registry.get(name)
        key = f"{registry.kind}.{name}"
        definitions[key] = _definition(cls.Config, definitions)
        options: list[dict[str, Any]] = [{"$ref": f"#/$defs/{key}"}]
        if cls.Config.shorthand is not None:
            options.append({"type": ["string", "number", "object"]})
        properties[name] = {"description": (cls.__doc__ or "").strip().partition("\n")[0], "anyOf": options}
    return {
        "type": "object",
        "minProperties": 1,
        "maxProperties": 1,
        "additionalProperties": False,
        "properties": properties,
    }


def _engine(name: str, definitions: dict[str, Any]) -> dict[str, Any]:
    definition = _definition(BACKENDS.get(name).Config, definitions)
    definition["properties"]["backend"] = {"const": name}
    definitions[f"engine.{name}"] = definition
    return {"$ref": f"#/$defs/engine.{name}"}


def _definition(config: Any, definitions: dict[str, Any]) -> dict[str, Any]:
    schema: dict[str, Any] = config.model_json_schema(ref_template="#/$defs/{model}")
    definitions.update(schema.pop("$defs", {}))
    return schema
