"""Runs steps over rows with a scripted model."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

Run = Callable[..., dict[str, Any]]

SCRIPT = """
import os

def answer(request):
    text = request.turns[-1].text
    with open(os.environ["CALLS_LOG"], "a") as file:
        file.write(text.replace("\\n", " ") + "\\n")
    return reply(request, text)
"""


def calls(log: Path) -> list[str]:
    return sorted(log.read_text().splitlines())
