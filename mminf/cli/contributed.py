"""Commands of plugins: the entry-point group `mminf.commands` names modules with a function `register(app)`."""

from __future__ import annotations

import typer
from typer.main import get_command_name

from mminf.cli.command import App
from mminf.errors import PluginError
from mminf.plugin import COMMANDS, installed, note_broken


def add_commands(app: typer.Typer) -> None:
    """Adds the commands of all installed plugins.

    A plugin that fails here must not disable the other commands. `mminf doctor` lists it.
    """
    for entry in installed(COMMANDS):
        own = App()
        try:
            entry.load().register(own)
            _refuse_duplicates(app, own)
        except Exception as error:  # a plugin can raise any exception
            note_broken(entry.name, error)
        else:
            app.registered_commands += own.registered_commands


def _refuse_duplicates(app: typer.Typer, own: typer.Typer) -> None:
    for name in _names(own) & _names(app):
        raise PluginError(f"command {name!r} exists already; rename the command of the plugin")


def _names(app: typer.Typer) -> set[str]:
    return {
        command.name or get_command_name(command.callback.__name__)
        for command in app.registered_commands
        if command.callback is not None
    }
