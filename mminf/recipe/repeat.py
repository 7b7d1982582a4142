"""`repeat`: rounds of steps. A recipe is unrolled when it is read, so that rounds are planned like other steps."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import jinja2
from pydantic import Field, field_validator

from mminf.config import Config
from mminf.registry import STEPS
from mminf.template import Expression


class RepeatConfig(Config):
    """`repeat: {times: 3, until: EXPRESSION, steps: [...]}`."""

    name: str = Field("repeat", description="Prefix of the field `NAME_done`.", pattern=r"^[A-Za-z_]\w*$")
    times: int = Field(ge=1, le=100, description="Maximum number of rounds.")
    until: str | None = Field(
        None, description="Expression, tested after each round; a record for which it is true skips the later rounds."
    )
    steps: list[dict[str, Any]] = Field(
        min_length=1, description="Steps of a round; they may overwrite fields that an earlier round wrote."
    )

    @field_validator("until")
    @classmethod
    def _compiles(cls, value: str | None) -> str | None:
        if value is not None:
            try:
                Expression(value)
            except jinja2.TemplateSyntaxError as error:
                raise ValueError(f"not a valid expression: {error.message}") from error
        return value

    @field_validator("steps")
    @classmethod
    def _flat(cls, steps: list[dict[str, Any]]) -> list[dict[str, Any]]:
        if any("repeat" in step for step in steps):
            raise ValueError("a repeat can't contain another repeat")
        return steps

    def rounds(self) -> Iterator[tuple[dict[str, Any], int | None]]:
        """Yields the steps of all rounds, each with its position in `steps`, or None for a generated step.

        From the second round on, steps are named `name.2`, `name.3`. Records whose field `<name>_done` is true skip
        them.
        """
        done = f"{self.name}_done"
        for number in range(1, self.times + 1):
            guard = None
            if number > 1 and self.until is not None:
                earlier = f"{done} or " if number > 2 else ""
                fields = {done: f"true if {earlier}({self.until}) else false"}
                yield {"set": {"name": f"{done}.{number}", "fields": fields}}, None
                guard = f"not {done}"
            for position, step in enumerate(self.steps):
                yield (_in_round(step, number, guard) if number > 1 else step), position


def _in_round(step: dict[str, Any], number: int, guard: str | None) -> dict[str, Any]:
    """Returns a step with its name in a round, for the records that are not done yet."""
    if len(step) != 1:
        return step  # the loader reports the problem
    kind, body = next(iter(step.items()))
    if not isinstance(body, Mapping):
        short = STEPS.get(kind).Config.shorthand if kind in STEPS else None
        body = {} if body is None or short is None else {short: body}
    name = body.get("name") or kind
    changed = {**body, "name": f"{name}.{number}"}
    writes = STEPS.get(kind).Config.model_fields.get("writes") if kind in STEPS else None
    if writes is not None and writes.default == "" and not body.get("writes"):
        changed["writes"] = name  # the default, the step's name, is the same in all rounds
    if guard is not None:
        changed["when"] = f"{guard} and ({body['when']})" if body.get("when") else guard
    return {kind: changed}
