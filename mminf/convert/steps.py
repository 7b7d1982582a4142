"""Converts the steps of a configuration one by one."""

from __future__ import annotations

import keyword
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from mminf.convert.converted import Converted, make_engine, source_kind
from mminf.convert.functions import Code
from mminf.convert.reader import LAST, PostFunction
from mminf.errors import UsageError
from mminf.recipe.dataflow import UNDECIDED
from mminf.request import Sampling

_STEP = frozenset(
    ("name", "step_name", "model_id_or_path", "model_args", "request_args", "prompt", "sys_prompt", "pp_func", "oasis")
)
# The released code samples like this, with the penalties and bans for Qwen2.5-VL only.
_HOOK: Mapping[str, Any] = {
    "sampling": {"temperature": 1.0, "top_k": 20, "top_p": 1.0, "max_tokens": 512, "min_tokens": 2, "ban": ["special"]},
    "sampling_for": {"qwen2.5-vl": {"frequency_penalty": 1.0, "presence_penalty": 1.0, "ban": ["special", "emoji"]}},
}
_DOTTED = re.compile(r"[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)+")
_PLACE = re.compile(r"\{\{|\}\}|\{[^{}]*\}")
_LONG = 120
_WHOLE = -1
"""Stands for a whole prompt that is not known."""


def functions_of(body: Mapping[str, Any]) -> list[str]:
    """Returns the names of a step's post-processing functions."""
    found = body.get("pp_func") or []
    return [str(item) for item in found] if isinstance(found, list) else [str(found)]


def convert_steps(bodies: Mapping[str, Any], found: Converted, code: Code | None) -> None:
    """Converts all steps, and writes the sections of the recipe.

    Args:
        found: gets the result; its `name` is the folder of the templates.
        code: the modules with the functions; None: they are not read.
    """
    steps = _Steps(code, found)
    for name, body in bodies.items():
        steps.convert(name, body)
    found.recipe = {
        "engines": steps.engines,
        "source": {source_kind(found.input_file): {"path": found.input_file}},
        "steps": steps.steps,
        "sinks": [{"jsonl": "rows.jsonl"}],
    }
    found.told.append(
        "the dataset rows.jsonl contains all fields of the records; for training data, use the sink `swift` and name "
        f"the fields of the turns, such as `swift: {{path: rows.jsonl, user: FIELD, assistant: {steps.last}}}`"
    )
    found.tell_parallel()
    if number := len(found.decide):
        points = f"{number} points are" if number > 1 else "one point is"
        found.recipe["note"] = f"Converted from MM-INF; {points} undecided: see the comments in the recipe."


class _Steps:
    """Converts steps in their order.

    Args:
        code: the modules with the functions.
        found: gets what is to be told and decided, and the templates.
    """

    def __init__(self, code: Code | None, found: Converted) -> None:
        self._code = code
        self._found = found
        self.engines: dict[str, dict[str, Any]] = {}
        self.steps: list[dict[str, Any]] = []
        self.last: str | None = None
        self._names: dict[str, str] = {}
        self._items: list[str | None] | None = None
        self._images = True

    def convert(self, name: str, body: Mapping[str, Any]) -> None:
        """Converts a step."""
        for key in body:
            if key not in _STEP:
                self._found.told.append(f"{name}: key {key!r}, which has no effect in MM-INF, was left out")
        after = [self._read(name, dotted) for dotted in functions_of(body)]
        writes = {key: value for function in after for key, value in function.writes.items()}
        if body.get("model_id_or_path"):
            read = {key for function in after for key in function.reads}
            answer = next((key for key, value in writes.items() if value == LAST), self._name(name))
            if answer in read:  # the old value of the field is used after the answer is there
                answer = _unused(f"{answer}_answer", read)
            else:
                writes.pop(answer, None)
            self._call(name, body, answer)
            self.last, self._images, self._items = answer, False, []
        elif LAST in writes.values():
            self._decide(name, "reads an answer, but the step has no model")
            writes = {key: value for key, value in writes.items() if value != LAST}
        self._copy(name, writes)
        self._pass_on(name, after)

    def _copy(self, name: str, writes: Mapping[str, str | None]) -> None:
        """Adds a step that copies fields, if there are any."""
        copied = {key: self.last if value == LAST else value for key, value in writes.items()}
        if copied := {key: value for key, value in copied.items() if value not in (None, key)}:
            self.steps.append({"set": {"name": f"{self._name(name)}_fields", "fields": copied}})

    def _pass_on(self, name: str, after: list[PostFunction]) -> None:
        """Notes what the functions of a step pass to the next one, and what they do that is not converted."""
        unclear = [line for function in after for line in function.unclear]
        for line in unclear:
            self._decide(name, line)
        if unclear:  # without this step, a run would write rows that MM-INF leaves out or changes
            stop = f"decide_{self._name(name)}"
            self.steps.append({"keep": {"name": stop, "expression": f"{UNDECIDED}{self._name(name)}_function"}})
            self._decide(name, f"the step {stop!r} stops the run until you replace it by what the function does")
        for function in after:
            if function.images is not None:
                self._images = function.images
            if function.items is not None:
                self._items = [self._item(name, item, function) for item in function.items]
        if self._code is None and after:
            self._items = None

    def _item(self, name: str, item: str | None, function: PostFunction) -> str | None:
        """Returns the field of a value that is passed to the next prompt."""
        if item is not None and item in function.reads and item in function.writes:
            self._decide(name, f"passes the value that the field {item} had before")
            return None
        return self.last if item == LAST else item

    def _read(self, name: str, dotted: str) -> PostFunction:
        if self._code is None:
            unclear = [f"{dotted} was not read: name its folder with --code, or convert what it does to steps"]
            return PostFunction(None, {}, images=True, unclear=unclear)
        try:
            return self._code.post_function(dotted)
        except UsageError as error:
            return PostFunction(None, {}, images=True, unclear=[str(error)])

    def _call(self, name: str, body: Mapping[str, Any], writes: str) -> None:
        step: dict[str, Any] = {"name": self._name(name), "engine": self._engine(body)}
        if body.get("sys_prompt"):
            step["system"] = str(body["sys_prompt"])
        prompt = str(body.get("prompt") or "")
        if body.get("oasis"):
            self.steps.append({"hook": {**step, "writes": writes, **_HOOK}})
            if prompt.strip():
                self._decide(name, f"a hook has no prompt; {prompt!r} was left out")
            self._found.told.append(
                f"{name}: `oasis: true` became a hook. It samples at least 2 tokens instead of 50, which forced short "
                "questions to run on"
            )
            for key in body.get("request_args") or {}:
                if key not in _HOOK["sampling"] and key not in ("temperature", "repetition_penalty"):
                    self._decide(name, f"request_args.{key} of a hook was left out")
            return
        step |= self._prompt(name, prompt)
        step |= {"sampling": self._sampling(name, body.get("request_args") or {}), "writes": writes}
        self.steps.append({"generate": step})

    def _engine(self, body: Mapping[str, Any]) -> str:
        """Returns the engine with this model and these settings; adds it if there is none."""
        made = make_engine(body)
        for known, engine in self.engines.items():
            if engine == made:
                return known
        base = _field(made["model"].rstrip("/").rpartition("/")[2].lower())
        name = _unused(base, self.engines)
        self.engines[name] = made
        return name

    def _sampling(self, name: str, given: Mapping[str, Any]) -> dict[str, Any]:
        sampling: dict[str, Any] = {"max_tokens": 1024, "temperature": 0}  # MM-INF's defaults
        for key, value in given.items():
            if key in Sampling.model_fields:
                sampling[key] = value
            else:
                hint = "; `n` is a key of the step itself" if key == "n" else ""
                self._decide(name, f"request_args.{key} is not a sampling setting{hint}")
        return sampling

    def _prompt(self, name: str, prompt: str) -> dict[str, Any]:
        """Returns the step's prompt, or its template."""
        parts = split_places(prompt)
        if odd := [place[0] for place in _PLACE.finditer(prompt) if place[0] not in ("{{", "}}", "{}")]:
            self._decide(name, f"MM-INF refuses {odd[0]!r} in a prompt; it was read as {{}}")
        if prompt != prompt.rstrip():
            self._found.told.append(f"{name}: white space at the end of the prompt is not sent")
        if self._is_function(prompt):
            parts = self._from_function(name, prompt)
        text = ("{{ images }}" if self._images else "") + self._template(name, parts)
        if len(text) <= _LONG and "\n" not in text:
            return {"prompt": text}
        file = f"{self._found.name}/{self._name(name)}.jinja"
        self._found.templates[file] = text + "\n"
        return {"template": file}

    def _is_function(self, prompt: str) -> bool:
        """Returns whether a prompt is the name of a function; a text such as `e.g` looks like one."""
        if not _DOTTED.fullmatch(prompt):
            return False
        return prompt.startswith("prompt_func.") if self._code is None else self._code.has_module(prompt)

    def _from_function(self, name: str, dotted: str) -> list[str | int]:
        if self._code is None:
            self._decide(name, f"the prompt is made by {dotted}: name its folder with --code")
            return [_WHOLE]
        branches = self._code.branches(dotted)
        try:
            parts = self._code.prompt_function(dotted, None if self._items is None else len(self._items))
        except UsageError as error:
            seen = f" ({'; '.join(branches[:3])})" if branches else ""
            self._decide(name, f"{error}{seen}; write its prompt as a template")
            return [_WHOLE]
        if branches is None:
            branches = [f"the function is not defined by `def` in the file of {dotted}, and may have conditions"]
        for branch in branches:
            self._decide(name, f"{branch}: the prompt is what {dotted} returned for one call; add what this changes")
        if branches:
            parts = [*parts, _WHOLE]
            self._decide(name, f"then remove '{UNDECIDED}{self._name(name)}' from the end of the prompt")
        return parts

    def _template(self, name: str, parts: list[str | int]) -> str:
        places = max((part + 1 for part in parts if isinstance(part, int)), default=0)
        items = self._items if self._items is not None else []
        if self._items is not None and len(items) != places and _WHOLE not in parts:
            self._decide(name, f"places of the prompt: {places}; values that are passed to it: {len(items)}")
        shown = []
        for part in join_texts(parts):
            if isinstance(part, str):
                # MM-INF removes the tag, and shows the images before the text.
                shown.append(escape(part.replace("<image>", "")))
                continue
            if part == _WHOLE:
                shown.append(f"{{{{ {UNDECIDED}{self._name(name)} }}}}")
                continue
            value = items[part] if part < len(items) else None
            if value is None:
                value = f"{UNDECIDED}{self._name(name)}_{part + 1}"
                self._decide(name, f"which field is value {part + 1} of the prompt? replace {value!r} by it")
            shown.append(f"{{{{ {value} }}}}")
        return "".join(shown)

    def _name(self, name: str) -> str:
        """Returns the name of a step in the recipe."""
        if name not in self._names:
            self._names[name] = _unused(_field(name), self._names.values())
        return self._names[name]

    def _decide(self, name: str, what: str) -> None:
        line = f"{name}: {what}"
        if line not in self._found.decide:
            self._found.decide.append(line)


def escape(text: str) -> str:
    """Returns a text whose braces are not read as parts of a template."""
    return re.sub(r"\{(?=[{%#]|$)|(?<=\{)\{", "{{ '{' }}", text)


def join_texts(parts: Iterable[str | int]) -> Iterator[str | int]:
    """Yields the parts of a prompt with neighbouring texts joined: two braces may meet."""
    text = ""
    for part in parts:
        if isinstance(part, str):
            text += part
            continue
        if text:
            yield text
        text = ""
        yield part
    if text:
        yield text


def split_places(prompt: str) -> list[str | int]:
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


def _unused(name: str, used: Any) -> str:
    """Returns the name, with a number if it is used."""
    taken = set(used)
    return next(made for n in range(1, len(taken) + 2) if (made := name if n == 1 else f"{name}_{n}") not in taken)
