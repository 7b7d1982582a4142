"""Commands that an installed package contributes by an entry point."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from mminf.cli.command import App

from ..conftest import subprocess_env

NAMES = typer.Option([], "--name")
GOOD = """
import typer

def register(app):
    app.command("polish")(polish)

def polish(name: str) -> None:
    '''Make it shine.'''
    typer.echo(f"{name} shines")
"""
TAKEN = (
    "def register(app):\n    app.command('run')(run)\n\ndef run() -> None:\n    '''Replaces a command of mminf.'''\n"
)


def run(site: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "mminf.cli.main", *arguments]
    return subprocess.run(
        command, capture_output=True, text=True, timeout=120, env=subprocess_env(PYTHONPATH=str(site))
    )


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """A folder with an installed package `shiny` whose module is not written yet."""
    info = tmp_path / "site" / "shiny-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: shiny\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[mminf.commands]\nshiny = shiny\n")
    return info.parent


def test_a_command_of_a_plugin_works_like_any_other(site: Path) -> None:
    (site / "shiny.py").write_text(GOOD)
    listed = run(site, "--help").stdout
    assert "\n  polish" in listed
    assert "Make it shine." in listed
    assert run(site, "polish", "brass").stdout == "brass shines\n"


@pytest.mark.parametrize(
    ("code", "why"),
    [
        ("import nothing_of_that_name", "ModuleNotFoundError: No module named 'nothing_of_that_name'"),
        ("", "AttributeError: module 'shiny' has no attribute 'register'"),
        (TAKEN, "PluginError: command 'run' exists already; rename the command of the plugin"),
    ],
    ids=["import", "register", "taken"],
)
def test_a_broken_one_breaks_no_other_command(site: Path, code: str, why: str) -> None:
    (site / "shiny.py").write_text(code)
    listed = run(site, "--help")
    assert listed.returncode == 0, listed.stderr
    assert "\n  run " in listed.stdout
    assert "Replaces a command" not in listed.stdout
    assert f"plugin shiny: broken: {why}" in run(site, "doctor").stdout


def test_options_that_count_are_given_as_often_as_wanted() -> None:
    own = App()

    @own.command("loud")
    def loud(
        verbose: int = typer.Option(0, "-v", count=True),
        names: list[str] = NAMES,
        last: str = typer.Option("", "--last"),
        full: bool = typer.Option(False, "--full"),
    ) -> None:
        typer.echo(f"{verbose} {names} {last} {full}")

    ask = CliRunner().invoke
    assert ask(own, ["-vv", "-v", "--name", "a", "--name", "b", "--full", "--full"]).output == "3 ['a', 'b']  True\n"
    refused = ask(own, ["--last", "a", "--last=a"])
    assert refused.exit_code == 2 and "--last is given twice; it takes one value" in refused.output


def test_completion_of_a_command_with_an_option_twice(tmp_path: Path) -> None:
    """The shell asks before the command is complete."""
    words = {"_MMINF_COMPLETE": "complete_bash", "COMP_WORDS": "mminf run --seed 1 --seed 2 --inp", "COMP_CWORD": "6"}
    command = [sys.executable, "-c", "from mminf.cli.main import app; app(prog_name='mminf')"]
    done = subprocess.run(command, env=os.environ | words, capture_output=True, text=True, cwd=tmp_path)
    assert (done.stdout.split(), done.stderr) == (["--input"], "")
