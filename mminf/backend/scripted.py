"""`scripted`: answers from a table or a function, for tests, and for measuring mminf's overhead."""

from __future__ import annotations

import asyncio
import hashlib
import importlib.util
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

from pydantic import Field

from mminf.backend.base import Backend, backend
from mminf.errors import EngineError, RequestError
from mminf.recipe.config import EngineConfig
from mminf.request import Generation, Rendered, Request
from mminf.turns import Turn


class ScriptedConfig(EngineConfig):
    model: str = Field("scripted", description="Name of the model; part of every memo key.")
    script: Path | None = Field(
        None,
        description="A .json file with a mapping of patterns to answers (the first match is used), or a .py file with "
        "answer(request).",
    )
    answer: str | None = Field(None, description="The answer to every request.")
    latency: float = Field(0.0, ge=0, description="Duration of a call in seconds.")


@backend("scripted")
class ScriptedBackend(Backend):
    """Answers from a table or a function; no model is involved.

    A function `answer(request)` gets the `Request`. It returns a text, or a `Generation` such as a truncated answer. An
    exception fails that request.
    """

    Config: ClassVar[type[EngineConfig]] = ScriptedConfig
    constrains = True
    local = True  # replaces a model in this process

    def __init__(self, config: Any) -> None:
        super().__init__(config)
        self._answer: Callable[[Request], str | Generation] | None = None

    def identity(self) -> dict[str, Any]:
        script = self.config.script
        text = script.read_bytes() if script is not None and script.is_file() else b""
        return {**super().identity(), "script": hashlib.sha256(text).hexdigest() if text else None}

    def load(self) -> None:
        if self.config.answer is not None:
            answer: str = self.config.answer
            self._answer = lambda _: answer
            return
        script = self.config.script
        if script is None or not script.is_file():
            raise EngineError(f"scripted engine: script {str(script)!r} does not exist; set `script` or `answer`")
        self._answer = _load_function(script) if script.suffix == ".py" else _load_table(script)

    def gpus(self) -> int:
        return 0

    async def generate(self, request: Request) -> Generation:
        assert self._answer is not None, "load() comes first"
        if self.config.latency:
            await asyncio.sleep(self.config.latency)
        try:
            text = self._answer(request)
        except Exception as error:  # a script fails a request by raising
            raise RequestError(f"scripted: {error}") from error
        if isinstance(text, Generation):
            return text
        prompt = sum(turn.text.count(" ") + 1 for turn in request.turns)  # about one token per word
        return Generation(text, "stop", prompt, len(text.split()))

    def render(self, request: Request) -> Rendered:
        return Rendered(show_chat(request.turns, request.open_turn), None)


def show_chat(turns: tuple[Turn, ...], open_turn: str | None) -> str:
    """Returns a chat as plain text, for backends without a template."""
    shown = []
    for index, turn in enumerate(turns):
        text = "".join(part if isinstance(part, str) else "<image>" for part in turn.parts)
        closed = "" if open_turn and index == len(turns) - 1 else "\n"
        shown.append(f"[{turn.role}]\n{text}{closed}")
    return "".join(shown) + ("" if open_turn else "[assistant]\n")


def _load_function(script: Path) -> Callable[[Request], str | Generation]:
    spec = importlib.util.spec_from_file_location(f"mminf_script_{script.stem}", script)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
        function: Callable[[Request], str | Generation] = module.answer
    except Exception as error:  # a script may raise any exception
        raise EngineError(f"scripted engine: can't load answer(request) from {script}: {error}") from error
    return function


def _load_table(script: Path) -> Callable[[Request], str]:
    try:
        table = [(re.compile(pattern, re.DOTALL), answer) for pattern, answer in json.loads(script.read_text()).items()]
    except (ValueError, AttributeError, re.error) as error:
        raise EngineError(f"scripted engine: {script} is not a mapping of patterns to answers: {error}") from error

    def answer(request: Request) -> str:
        text = "\n".join(turn.text for turn in request.turns)
        for pattern, found in table:
            if pattern.search(text):
                return str(found)
        raise LookupError(f"no pattern of {script.name} matches")

    return answer
