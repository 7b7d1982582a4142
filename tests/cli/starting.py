"""What the tests of `mminf init` share."""

from __future__ import annotations

from typing import Any

from typer.testing import CliRunner

from mminf.cli.main import app


def run(*arguments: str) -> str:
    """Runs `mminf init`, and returns what it prints."""
    result = CliRunner().invoke(app, ["init", *arguments])
    assert result.exit_code == 0, (result.output, result.exception)
    return result.output


def has_hook(recipe: Any) -> bool:
    """Returns whether a recipe needs a model whose user turn can be left open."""
    return any(step.type == "hook" for step in recipe.steps)
