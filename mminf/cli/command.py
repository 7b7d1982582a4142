"""Commands that refuse an option with one value that is given twice."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import typer
from typer.core import TyperCommand, TyperOption


class OnceCommand(TyperCommand):
    """A command whose options are given once, unless they take several values. Click would take the last value."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Parses the arguments. Fails as for an unknown option if an option is given twice."""
        given = [] if ctx.resilient_parsing else self.make_parser(ctx).parse_args(args=list(args))[2]
        for option in given:
            single = isinstance(option, TyperOption) and not (option.multiple or option.is_flag or option.count)
            if single and given.count(option) > 1:
                ctx.fail(f"{option.opts[0]} is given twice; it takes one value")
        return super().parse_args(ctx, args)


class App(typer.Typer):
    """An application of such commands."""

    def command(self, name: str | None = None, **options: Any) -> Callable[[Any], Any]:
        """Returns a decorator that adds a function as a command."""
        return super().command(name, cls=options.pop("cls", OnceCommand), **options)
