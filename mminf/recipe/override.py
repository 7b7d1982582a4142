"""Profiles and `--set`: overrides that are applied to a recipe before it is checked.

Mappings are merged, all other values are replaced. There are two exceptions. Steps are addressed by name
(`steps.hook.sampling.temperature=0.7`), and `false` removes a step. An engine with a `backend` replaces the whole
engine, because keys of another backend are not valid for it.
"""

from __future__ import annotations

import copy
import itertools
from collections.abc import Mapping, Set
from typing import Any, NamedTuple

import yaml

from mminf.content import builtin_recipes, find_recipe
from mminf.errors import Problem, RecipeError, nearest, shorten_text
from mminf.recipe.config import SourceConfig, StepConfig
from mminf.recipe.insert import find_insertion, insert_steps
from mminf.recipe.lines import Document, Path_, load_document, parse_document
from mminf.recipe.names import step_paths
from mminf.redact import redact
from mminf.registry import SINKS, SOURCES, STEPS, Registry


def _bundled(document: Document, profile: str) -> str:
    """Returns how to run the bundled recipe of the same name with a profile, if it has this profile."""
    name = str(document.data.get("name"))
    if name not in builtin_recipes() or profile not in (load_document(find_recipe(name)).data.get("profiles") or {}):
        return ""
    return f"; the bundled recipe has it: mminf run {name} --profile {profile}"


def apply_profile(document: Document, name: str) -> None:
    """Applies `profiles.<name>` to the recipe: first its `insert`, then its other keys.

    Raises:
        RecipeError: if there is no such profile, or its steps can't be inserted.
    """
    profiles = document.data.get("profiles") or {}
    if not isinstance(profiles, Mapping) or not isinstance(profiles.get(name, {}) or {}, Mapping):
        raise RecipeError(
            [Problem(document.locate(("profiles", name)), "profiles must be a mapping of names to mappings")]
        )
    if name not in profiles:
        known = nearest(name, profiles) or f"; the recipe has no profiles{_bundled(document, name)}"
        raise RecipeError([Problem(document.locate(("profiles",)), f"no profile {name!r}{known}")])
    insert_steps(document, name)
    for key, value in (profiles[name] or {}).items():
        if key == "insert":
            continue
        where = document.locate(("profiles", name, key))
        if key == "note" and document.data.get("note"):
            value = f"{document.data['note']} {value}"  # notes of several profiles are joined
        overlay(document, (key,), value, f"{where} (profile {name})")


def apply_setting(document: Document, setting: str) -> None:
    """Applies one `a.b.c=value` to the recipe; the value is YAML.

    Raises:
        RecipeError: if the setting has no `=` or its value isn't YAML.
    """
    path, equals, text = setting.partition("=")
    where = f"--set {shorten_text(path)}"
    if not equals or not path or not text or len(path) > 1000:
        raise RecipeError([Problem(f"--set {shorten_text(setting)}", "must be path.to.key=value (null for no value)")])
    try:
        value = text.strip() if _is_cut(text) else parse_document(text, where).data
    except RecipeError as error:
        reasons = "; ".join(problem.message for problem in error.problems)
        quoted = f"; the value is YAML: quote a text, --set '{path}=\"...\"'"
        raise RecipeError([Problem(where, f"value {redact(shorten_text(text))!r}: {reasons}{quoted}")]) from error
    overlay_dotted(document, path, value, where)


def _is_cut(text: str) -> bool:
    """Returns whether YAML takes a part of a text for a comment: a text without quotes that contains ` #`."""
    if "#" not in text or text.lstrip().startswith(("&", "!")):
        return False
    try:
        node = yaml.compose(text, Loader=yaml.SafeLoader)
    except (yaml.YAMLError, RecursionError):  # reported when it is parsed
        return False
    if node is None:
        return True
    is_text = isinstance(node, yaml.ScalarNode) and node.style is None and node.tag == "tag:yaml.org,2002:str"
    return is_text and (text[: node.start_mark.index] + text[node.end_mark.index :]).strip() != ""


def overlay_dotted(document: Document, path: str, value: Any, where: str) -> None:
    """Applies a value to the part of the recipe at `a.b.c`."""
    keys: list[str | int] = [*path.split(".")]
    if keys[0] == "steps":
        for key in reversed(keys[1:]):
            value = {str(key): value}
        keys = keys[:1]
    if keys[0] == "source" and len(keys) > 1:
        keys = _in_source(document, keys, where)
    if keys[0] == "sinks" and len(keys) > 1:
        keys[1] = _find_sink(document, str(keys[1]), where)
        sink = document.data["sinks"][keys[1]]
        if len(keys) > 2 and isinstance(sink, Mapping) and keys[2] not in sink and keys[2] not in SINKS:
            keys[2:2] = itertools.islice(sink, 1)  # `sinks.swift.path` is the path of the only sink of type swift
    overlay(document, tuple(keys), value, where)


def _in_source(document: Document, keys: list[str | int], where: str) -> list[str | int]:
    """Returns the keys of a setting of the source with its type, which may be left out: `source.columns`.

    Raises:
        RecipeError: if it names another type.
    """
    source = document.data.get("source")
    if not isinstance(source, Mapping) or len(source) != 1 or keys[1] in source:
        return keys
    kind = next(iter(source))
    if keys[1] not in SOURCES:
        return ["source", kind, *keys[1:]]
    if len(keys) > 2:
        wanted = ".".join(map(str, ["source", kind, *keys[2:]]))
        raise RecipeError([Problem(where, f"the input is read as {kind}: write {wanted}=...")])
    return keys


def overlay(document: Document, path: Path_, value: Any, where: str) -> None:
    """Applies a value to the part of the recipe at `path`."""
    if path == ("steps",) and isinstance(value, Mapping):
        for name, body in value.items():
            _overlay_step(document, str(name), body, where)
        return
    _spell_out_on_way(document, path)
    for end in range(1, len(path)):
        if not _has(document.data, path[:end]):
            document.where[path[:end]] = where
    parent = _descend(document.data, path[:-1], where)
    _respell(document, path, parent)
    key: Any = path[-1] if isinstance(parent, list) else str(path[-1])
    old = parent[key] if isinstance(parent, list) else parent.get(key)
    if isinstance(old, Mapping) and isinstance(value, Mapping) and not _replaces(path, old, value):
        for sub, item in value.items():
            overlay(document, (*path, sub), item, where)
        return
    parent[key] = value
    document.place(path, where)


def _spell_out_on_way(document: Document, path: Path_) -> None:
    """Replaces the shorthand of the source or sink that contains a path by its full form."""
    if path[0] == "source" and len(path) > 2:
        _spell_out_source(document)
    if path[0] == "sinks" and len(path) > 3:
        _spell_out(SINKS, document.data["sinks"][path[1]])


def _replaces(path: Path_, old: Mapping[str, object], value: Mapping[str, object]) -> bool:
    """Returns whether a value replaces an engine or a source: keys of another backend or type are not valid for it."""
    new_source = path == ("source",) and value.keys().isdisjoint(old)
    return new_source or (len(path) == 2 and path[0] == "engines" and "backend" in value)


class Source(NamedTuple):
    """The source of a recipe without profiles.

    Attributes:
        kind: its type.
        settings: its settings, each with its place.
    """

    kind: str
    settings: dict[str, tuple[Any, str]]


def copy_source(document: Document) -> Source | None:
    """Returns a recipe's source; None if it has none, or more than one."""
    _spell_out_source(document)
    source = document.data.get("source")
    if not isinstance(source, Mapping) or len(source) != 1:
        return None
    kind, body = next(iter(source.items()))
    if not isinstance(body, Mapping):
        return None
    settings = copy.deepcopy(dict(body))
    return Source(kind, {key: (value, document.locate(("source", kind, key))) for key, value in settings.items()})


def replace_source(document: Document, source: Mapping[str, Any], where: str, first: Source | None = None) -> None:
    """Replaces the recipe's input; the recipe's other settings of the source are kept.

    Args:
        first: the source without profiles. Its settings are kept, too, if a profile has a source of another type.
    """
    kind, body = next(iter(source.items()))
    _spell_out_source(document)
    old = document.data.get("source") or {}
    if isinstance(old, Mapping) and "blank" in old and kind != "blank":
        message = "the recipe takes no input; `--set source.blank=1000` makes a thousand records"
        raise RecipeError([Problem(where, message)])
    settings = next(iter(old.values()), None) if isinstance(old, Mapping) else None
    kept = settings if isinstance(settings, Mapping) else {}
    added: dict[str, tuple[Any, str]] = {}
    if kind not in old:
        kept = {key: value for key, value in kept.items() if key in SourceConfig.model_fields}
        added = _settings_for(kind, first, without=kept.keys() | body.keys())
    document.data["source"] = {kind: {**{key: value for key, (value, _) in added.items()}, **kept, **body}}
    document.where.setdefault(("source",), where)
    document.place(("source", kind, "path"), where)
    for key, (_, place) in added.items():
        document.place(("source", kind, key), place)


def _settings_for(kind: str, first: Source | None, *, without: Set[str]) -> dict[str, tuple[Any, str]]:
    """Returns the settings of a source that are valid for another type as well, or all of them for its own type."""
    if first is None:
        return {}
    valid = first.settings if first.kind == kind else SourceConfig.model_fields
    return {key: given for key, given in first.settings.items() if key in valid and key not in without}


def set_image_root(document: Document, folder: str, where: str) -> None:
    """Sets the `image_root` of the recipe's source."""
    _spell_out_source(document)
    source = document.data.get("source")
    if not isinstance(source, Mapping) or len(source) != 1:
        raise RecipeError([Problem(where, "the recipe has no source; give one with --input")])
    overlay(document, ("source", next(iter(source)), "image_root"), folder, where)


def _spell_out_source(document: Document) -> None:
    """Turns `source: {images: folder}` into `source: {images: {path: folder}}`."""
    _spell_out(SOURCES, document.data.get("source"))


def _has(data: Any, path: Path_) -> bool:
    for key in path:
        try:
            data = data[key]
        except (KeyError, IndexError, TypeError):
            return False
    return True


def _descend(data: Any, path: Path_, where: str) -> Any:
    """Returns the mapping at a path; missing mappings are created.

    Raises:
        RecipeError: if a part of the path is not a mapping.
    """
    for number, key in enumerate(path, 1):
        if isinstance(data, dict):
            data = data.setdefault(key, {})
            if data is None:
                raise RecipeError(
                    [Problem(where, f"{'.'.join(map(str, path[:number]))} is empty; a mapping is needed")]
                )
        elif isinstance(data, list) and isinstance(key, int) and 0 <= key < len(data):
            data = data[key]
        else:
            break
    if not isinstance(data, dict) and not (isinstance(data, list) and len(path) == 1 and path[0] == "sinks"):
        told = shorten_text(repr(data), 60)
        raise RecipeError([Problem(where, f"{'.'.join(map(str, path))} is {told}; a mapping is needed")])
    return data


def _find_sink(document: Document, name: str, where: str) -> int:
    """Returns the index of the sink with a number, or of the only sink of a type."""
    sinks = document.data.get("sinks") or []
    kinds = [next(iter(item), "") if isinstance(item, Mapping) else "" for item in sinks] if sinks else []
    if name.isascii() and name.isdecimal() and len(name) < 6 and int(name) < len(kinds):
        return int(name)
    if kinds.count(name) == 1:
        return kinds.index(name)
    told = ", ".join(f"{number} ({kind})" for number, kind in enumerate(kinds)) or "none"
    raise RecipeError([Problem(where, f"no sink {shorten_text(name, 40)!r}; the recipe's sinks are {told}")])


def _spell_out(registry: Registry[Any], member: Any) -> None:
    """Turns `{type: shorthand}` into `{type: {field: shorthand}}`."""
    for kind, body in member.items() if isinstance(member, dict) else ():
        if not isinstance(body, Mapping) and kind in registry:
            short = registry.get(kind).Config.shorthand
            member[kind] = {} if body is None or short is None else {short: body}


def _respell(document: Document, path: Path_, body: Any) -> None:
    """Renames an option of a step or sink to the spelling of the key that overrides it, deprecated or not.

    Args:
        body: the settings at `path[:-1]`.
    """
    registry: Registry[Any] | None = {"steps": STEPS, "sinks": SINKS}.get(str(path[0]))
    if registry is None or len(path) < 4 or not isinstance(path[-3], int) or path[-2] not in registry:
        return
    config = registry.get(str(path[-2])).Config
    *folder, key = path
    new = config.renamed.get(key, key)
    deprecated = config.other_spellings(new)
    found = {other: body.pop(other) for other in (deprecated if key == new else [new]) if other in body}
    for other, value in found.items():
        document.where[path] = document.locate((*folder, other))
        if len(deprecated) == 1:
            body[key] = value
        elif key != new and isinstance(value, list):
            body |= dict(zip(deprecated, value, strict=False))


def _overlay_step(document: Document, name: str, body: Any, where: str) -> None:
    raw = document.data.get("steps") or []
    if not isinstance(raw, list):
        raise RecipeError([Problem(document.locate(("steps",)), "steps must be a list")])
    places = {found: path for path, found in step_paths(raw)}
    if name not in places:
        inserts = find_insertion(document, name)
        hint = f"; profile {inserts!r} inserts it" if inserts else nearest(name, places)
        raise RecipeError([Problem(where, f"no step {name!r}{hint}")])
    *folder, index = path = places[name]
    steps: Any = document.get(tuple(folder))
    if body is False:
        document.remove(path)
        return
    kind = next(iter(steps[index]))
    if isinstance(body, Mapping):
        _spell_out_step(steps[index], kind)
        for key, value in body.items():
            overlay(document, (*path, kind, key), value, where)
    else:
        steps[index][kind] = _keep_common(kind, steps[index][kind], body)
        document.place((*path, kind), where)


def _keep_common(kind: str, old: Any, value: Any) -> Any:
    """Returns a bare value that replaces the settings of a step, with those that all steps have: its name, `when`."""
    short = STEPS.get(kind).Config.shorthand if kind in STEPS else None
    common = {key: old[key] for key in StepConfig.model_fields if key in old} if isinstance(old, Mapping) else {}
    return {**common, short: value} if common and short is not None and value is not None else value


def _spell_out_step(item: dict[str, Any], kind: str) -> None:
    """Turns `{type: shorthand}` into `{type: {field: shorthand}}`; drops a bare value if the type has no shorthand."""
    old = item[kind]
    if not isinstance(old, Mapping):
        short = STEPS.get(kind).Config.shorthand if kind in STEPS else None
        item[kind] = {} if old is None or short is None else {short: old}
