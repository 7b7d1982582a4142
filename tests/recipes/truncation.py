"""Truncated answers of a scripted model: an answer that ends in the mark `CUT` has the finish reason `length`."""

from __future__ import annotations

import dataclasses

import pytest

from mminf.backend.scripted import ScriptedBackend
from mminf.request import Generation, Request

CUT = "<cut>"


@pytest.fixture(autouse=True)
def truncated(monkeypatch: pytest.MonkeyPatch) -> None:
    """Truncates the marked answers of every scripted engine."""
    whole = ScriptedBackend.generate

    async def generate(self: ScriptedBackend, request: Request) -> Generation:
        answer = await whole(self, request)
        if not answer.text.endswith(CUT):
            return answer
        return dataclasses.replace(answer, text=answer.text.removesuffix(CUT), finish_reason="length")

    monkeypatch.setattr(ScriptedBackend, "generate", generate)
