"""`failure`: a step that keeps the records for which the model gives no usable answer."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mminf.cost import Amount, Range
from mminf.errors import NoUsableAnswer
from mminf.recipe.config import EngineConfig
from mminf.record import Json, Record
from mminf.registry import WRAPPERS
from mminf.step.base import Outcome, Step
from mminf.step.context import Context
from mminf.step.outcome import check_outcome
from mminf.step.retry import retry


@WRAPPERS.register("failure")
class KeepFailed(Step[Any]):
    """Runs a step. A record without a usable answer continues as if it had skipped the step; a field has the reason.

    Other errors fail the record as usual: a failed request is not the model's answer, and the next run retries it.

    Args:
        inner: the step; its config names the field.
    """

    def __init__(self, inner: Step[Any]) -> None:
        self.field = str(inner.config.failure)
        if self.field in inner.writes:
            raise ValueError(f"`failure: {self.field}` is a field that the step itself writes")
        self.inner = inner
        self.config = inner.config
        self.type = inner.type  # type: ignore[misc]
        self.version = inner.version  # type: ignore[misc]
        self.code = inner.code  # type: ignore[misc]
        self.condition = inner.condition

    @property
    def gate(self) -> bool:
        return self.inner.gate

    @property
    def reads(self) -> frozenset[str]:
        return self.inner.reads

    @property
    def uses(self) -> frozenset[str]:
        return self.inner.uses

    @property
    def writes(self) -> frozenset[str]:
        return self.inner.writes | {self.field}

    @property
    def removes(self) -> frozenset[str]:
        return self.inner.removes

    @property
    def optional(self) -> bool:
        return True

    @property
    def calls_per_record(self) -> Amount:
        return self.inner.calls_per_record

    @property
    def children_per_record(self) -> Amount:
        return self.inner.children_per_record

    def list_lengths(self, known: Mapping[str, Range]) -> Mapping[str, Range]:
        return self.inner.list_lengths(known)

    def describe(self) -> dict[str, Any]:
        return self.inner.describe()

    def check_engine(self, backend: Any, config: EngineConfig) -> None:
        self.inner.check_engine(backend, config)

    def use_engine(self, config: EngineConfig) -> None:
        self.inner.use_engine(config)

    async def run(self, record: Record, ctx: Context) -> Outcome:
        # From 0, even if `mminf retry` wrote attempts off: readable answers of these attempts are in the journal.
        async def attempt(number: int) -> Outcome:
            return check_outcome(self.inner, await self.inner.run(record, ctx.fork(record, number)))

        try:
            return await retry(attempt, ctx.attempt + self.config.attempts, before=ctx.count_retry)
        except NoUsableAnswer as error:
            return {self.field: str(error)}

    def reason(self, fields: Mapping[str, Json]) -> str | None:
        """Returns why the step wrote these fields instead of an answer, or None if there was a usable one."""
        return str(fields[self.field]) if self.field in fields else None
