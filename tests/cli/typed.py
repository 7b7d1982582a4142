"""Runs a command as it is typed, in this process."""

from __future__ import annotations

from typer.testing import CliRunner

from mminf.cli.main import app
from mminf.errors import MminfError


def output_of(*arguments: str) -> str:
    """Returns what a command that succeeds prints."""
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 0, result.output or result.exception
    return result.output


def error_of(*arguments: str) -> str:
    """Returns the message of a command that fails."""
    result = CliRunner().invoke(app, arguments)
    assert isinstance(result.exception, MminfError)
    return str(result.exception)
