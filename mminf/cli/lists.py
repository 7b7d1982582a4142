"""`mminf steps` and `mminf recipes`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from mminf.cli.options import PLUGIN
from mminf.cli.terminal import echo, echo_wrapped
from mminf.errors import UsageError

if TYPE_CHECKING:
    from mminf.catalogue import MemberSummary, RecipeSummary


def register(app: typer.Typer) -> None:
    """Adds the commands."""
    app.command("steps")(steps)
    app.command("recipes")(recipes)


def steps(
    name: str | None = typer.Argument(None, help="A step, backend, source or sink, to show its keys and an example."),
    plugins: list[str] = PLUGIN,
) -> None:
    """List the steps, backends, sources and sinks that recipes can name, or describe one of them.

    Example:

        mminf steps

        mminf steps score

        mminf steps my_step --plugin my_plugin.py
    """
    from mminf import api

    if name is not None:
        for number, found in enumerate(api.describe_member(name, plugins)):
            if number:
                echo()
            _print_member(found)
        return
    for kind, members in api.list_members(plugins).items():
        echo(f"{kind}:")
        for member, line in members.items():
            echo_wrapped(f"  {member:13} {line}", indent=" " * 16)


def recipes(
    name: str | None = typer.Argument(None, help="A bundled recipe or a recipe file, to describe it."),
    profile: str | None = typer.Option(None, "--profile", "-p", help="Describe it with this profile."),
    copy: Path | None = typer.Option(
        None, "--copy", metavar="FOLDER", help="Copy the recipe and its templates to a folder, to change them."
    ),
    force: bool = typer.Option(False, "--force", help="With --copy: also replace files that are there."),
) -> None:
    """List the recipes that are bundled with mminf, describe one of them, or copy it.

    Example:

        mminf recipes

        mminf recipes oasis

        mminf recipes oasis --copy my_recipe
    """
    from mminf import api

    if name is None:
        if copy is not None or profile is not None:
            raise UsageError("name a recipe; `mminf recipes` lists them")
        for recipe, line in api.list_recipes().items():
            echo_wrapped(f"{recipe:20} {line}", indent=" " * 21)
    elif copy is None:
        _print_recipe(name, api.describe_recipe(name, profile=profile))
    else:
        for path in (files := api.copy_recipe(name, copy, force=force)):
            echo(path)
        echo_wrapped(f"to check it after a change: mminf validate {files[0]}", indent="  ")


def _print_recipe(given: str, found: RecipeSummary) -> None:
    from mminf.card.citations import find_papers
    from mminf.display.calls import most_calls_text

    echo_wrapped(f"{found['name']}: {found['description']}")
    echo()
    echo_wrapped(f"input     {_input(found)}", indent=" " * 10)
    for number, engine in enumerate(found["engines"]):
        echo_wrapped(
            f"{'' if number else 'engines':10}{engine.name}: {engine.model} ({engine.backend})", indent=" " * 12
        )
    for number, sink in enumerate(found["sinks"]):
        whose = f", the records that {sink.dropped_by} dropped" if sink.dropped_by else ""
        echo_wrapped(f"{'' if number else 'datasets':10}{sink.path} ({sink.type}){whose}", indent=" " * 12)
    echo_wrapped(f"calls     {most_calls_text(found['recipe'])} per record", indent=" " * 10)
    if found["profiles"]:
        echo_wrapped(f"profiles  {', '.join(found['profiles'])}", indent=" " * 10)
    for number, paper in enumerate(find_papers(found["description"])):
        echo_wrapped(f"{'' if number else 'paper':10}{paper.title or paper.arxiv}, {paper.link}", indent=" " * 10)
    echo()
    for line in _steps(found):
        echo_wrapped(line, indent=" " * 4)
    echo()
    _print_commands(given, found)


def _input(found: RecipeSummary) -> str:
    if found["source"] == "blank":
        return "none; `--set source.blank=N` sets the number of records"
    names = [name for name in found["fields"] if name != "images" or found["source"] != "images"]
    fields = f", records with the field{'s' if len(names) > 1 else ''} {', '.join(names)}" if names else ""
    return f"{found['source'] or 'given with --input'}{fields}"


def _print_commands(given: str, found: RecipeSummary) -> None:
    take = "" if found["source"] == "blank" else " --input INPUT"
    if "demo" in found["profiles"]:
        echo_wrapped(f"to try it:     mminf run {given} --profile demo --output FOLDER")
    echo_wrapped(f"to change it:  mminf recipes {given} --copy FOLDER")
    echo_wrapped(f"to plan a run: mminf plan {given}{take}")
    echo_wrapped(f"to run it:     mminf run {given}{take} --output FOLDER")


def _steps(found: RecipeSummary) -> Iterator[str]:
    from mminf.display.calls import split_round

    rounds = Counter(split_round(step.name)[0] for step in found["steps"])
    first = {split_round(step.name)[0]: step for step in reversed(found["steps"])}
    for number, (name, step) in enumerate(reversed(first.items()), start=1):
        kind = "" if name == step.type else f" ({step.type})"
        kind += f" in at most {rounds[name]} rounds" if rounds[name] > 1 else ""
        calls = f", calls {step.engine}" if step.engine is not None else ""
        yield f"{number:2}  {name}{kind}{calls}: {step.purpose}"


def _print_member(found: MemberSummary) -> None:
    import yaml

    echo_wrapped(f"{found['kind']} {found['name']}: {found['documentation']}")
    echo()
    if found["shorthand"] is not None:
        echo_wrapped(f"a bare value sets `{found['shorthand']}`")
    for key in found["keys"]:
        default = "required" if key.required else f"default {_value(key.default)}"
        echo_wrapped(f"  {key.name} ({default}): {key.description}".rstrip(": "), indent="      ")
    if found["example"] is not None:
        echo()
        echo_wrapped(f"example, from {found['recipe']}:")
        text = yaml.safe_dump(found["example"], sort_keys=False, allow_unicode=True, width=76)
        for line in text.rstrip().splitlines():
            echo(f"  {line}")


def _value(value: object) -> str:
    from pydantic import BaseModel

    if isinstance(value, BaseModel):
        value = value.model_dump(mode="json", exclude_defaults=True)
    if value is None or isinstance(value, bool):
        return str(value).lower()
    return str(value) if value not in ("", {}, []) else "empty"
