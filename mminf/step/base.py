"""The step: reads fields of a record and writes others, drops the record, or fans it out into children."""

from __future__ import annotations

import hashlib
import inspect
import sys
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, Generic, TypeAlias, TypeVar, get_args

from mminf.cost import NONE, ONE, Amount, Range
from mminf.errors import MminfError, PluginError, RecordError, tell_bug
from mminf.recipe.config import EngineConfig, StepConfig
from mminf.recipe.model import TemplateFolders
from mminf.record import Json, Record
from mminf.registry import STEPS, is_bundled
from mminf.step.context import Context
from mminf.template import Expression

C = TypeVar("C", bound=StepConfig)
S = TypeVar("S")


@dataclass(frozen=True, slots=True)
class Drop:
    """The record is dropped for this reason; `fields` are stored with it."""

    reason: str
    fields: Mapping[str, Json] | None = None


Children = Sequence[Mapping[str, Json]]
Outcome = Mapping[str, Json] | Drop | Children
"""New fields; or a drop; or a list with the new fields of each child (an empty list drops the record)."""


class Step(ABC, Generic[C]):
    """Base of the steps.

    Subclass it, register it with `@step("my_step")`, and write `run`. The config class is the type argument. The config
    fields `reads` and `writes` declare which fields the step reads and writes; without them, override the properties.

    Attributes:
        version: increase it when the step's results change for the same input.
        code: a digest of the plugin's file, set when the step is registered; None for the steps of mminf.
        dataset: the step sees all records; see `DatasetStep`.
    """

    Config: ClassVar[type[StepConfig]] = StepConfig
    type: ClassVar[str] = ""
    version: ClassVar[int] = 1
    code: ClassVar[str | None] = None
    dataset: ClassVar[bool] = False

    def __init_subclass__(cls, **kwargs: object) -> None:
        super().__init_subclass__(**kwargs)
        for base in getattr(cls, "__orig_bases__", ()):
            for argument in get_args(base):
                if isinstance(argument, type) and issubclass(argument, StepConfig):
                    cls.Config = argument

    def __init__(self, config: C, folders: TemplateFolders) -> None:
        self.config = config
        self.condition = Expression(config.when) if config.when is not None else None

    @cached_property
    def name(self) -> str:
        return self.config.name or self.type

    @property
    def gate(self) -> bool:
        """Whether the step may drop a record or fan it out, so that later steps wait for it.

        A class attribute `gate = True` can replace the property.
        """
        return False

    @cached_property
    def engine(self) -> str | None:
        """Name of the engine that the step calls, or None."""
        return getattr(self.config, "engine", None)

    @property
    def reads(self) -> frozenset[str]:
        """The fields that the step reads."""
        return _names(getattr(self.config, "reads", ())) | (self.condition.reads if self.condition else frozenset())

    @property
    def uses(self) -> frozenset[str]:
        """All fields that the step may read: `reads`, and optional fields."""
        return self.reads

    @cached_property
    def writes(self) -> frozenset[str]:
        """The fields that the step writes."""
        return _names(getattr(self.config, "writes", ()))

    @property
    def removes(self) -> frozenset[str]:
        """The fields of the record that its children do not inherit."""
        return frozenset()

    @property
    def optional(self) -> bool:
        """Whether some records continue without the step's result."""
        return self.condition is not None

    @property
    def calls_per_record(self) -> Amount:
        """The model calls for a record without retries; a step that makes several overrides this."""
        return Amount(NONE if self.engine is None else ONE)

    @property
    def children_per_record(self) -> Amount:
        """The records that continue for a record that is not dropped; a step that makes children overrides this."""
        return Amount()

    @property
    def kept_share(self) -> float:
        """The share of records that the step keeps on average, if the recipe determines it, else 1."""
        return 1.0

    @property
    def most_records(self) -> int | None:
        """The maximum number of records that the step keeps in a run, or None."""
        return None

    def list_lengths(self, known: Mapping[str, Range]) -> Mapping[str, Range]:
        """Returns the lengths of the lists that the step writes, as far as the recipe determines them.

        `for_each` steps use them to determine their number of calls.

        Args:
            known: lengths of the lists that earlier steps have written.
        """
        return {}

    def describe(self) -> dict[str, Json]:
        """Returns everything that the step's results depend on, other than record and model, as JSON values."""
        config = {**self.config.model_dump(mode="json"), "name": self.name}
        for name, value in self.config:
            if isinstance(value, set | frozenset):  # its order differs between processes, and digests need one
                config[name] = sorted(config[name], key=repr)
        found: dict[str, Json] = {self.type: config, "version": self.version}
        return found if self.code is None else {**found, "code": self.code}

    @property
    def checks(self) -> tuple[Expression, ...]:
        """Conditions that a record must meet to pass this step; each is tested as soon as its fields are written."""
        return ()

    def check_engine(self, backend: object, config: EngineConfig) -> None:
        """Raises ValueError if the engine does not support what the step needs."""

    def use_engine(self, config: EngineConfig) -> None:
        """Adapts the step to its engine, after `check_engine`; most steps do not need this."""

    @abstractmethod
    async def run(self, record: Record, ctx: Context) -> Outcome:
        """Returns the outcome of the record.

        Raises:
            UnusableAnswer: if the model's answer can't be read; the step is retried with another seed.
            RecordError: if the record fails. Any other exception fails it after the last attempt.
        """


AnyStep: TypeAlias = Step[Any]


class DatasetStep(Step[C], ABC):
    """A step that sees all remaining records, in source order."""

    dataset = True

    @property
    def gate(self) -> bool:
        return True

    @abstractmethod
    def run_all(self, records: Iterable[Record], ctx: Context) -> Iterator[tuple[Record, Outcome | RecordError]]:
        """Yields every record with its outcome, or with a RecordError, which fails that record.

        Args:
            records: streamed from the journal; can be iterated more than once.
        """

    @staticmethod
    def each(
        records: Iterable[Record], decide: Callable[[Record], Outcome]
    ) -> Iterator[tuple[Record, Outcome | RecordError]]:
        """Yields every record with the outcome that `decide` returns; an exception fails that record."""
        for record in records:
            try:
                outcome: Outcome | RecordError = decide(record)
            except RecordError as error:
                outcome = error
            except MminfError:
                raise
            except Exception as error:
                outcome = RecordError(tell_bug(error))
            yield record, outcome

    async def run(self, record: Record, ctx: Context) -> Outcome:
        raise NotImplementedError(f"{self.type} works on the whole dataset")


AnyDatasetStep: TypeAlias = DatasetStep[Any]


def step(name: str) -> Callable[[type[S]], type[S]]:
    """Registers a step class under the name that recipes use."""

    def decorate(cls: type[S]) -> type[S]:
        if not inspect.iscoroutinefunction(getattr(cls, "run", None)):
            raise PluginError(f"step {name!r}: `run` must be written as `async def run(self, record, ctx)`")
        cls.type = name  # type: ignore[attr-defined]
        cls.code = _digest_of_code(cls)  # type: ignore[attr-defined]
        return STEPS.register(name)(cls)

    return decorate


def _digest_of_code(cls: type) -> str | None:
    """Returns a digest of the file of a plugin's step: after a change, its records are computed again.

    None for the steps of mminf, whose `version` is increased. Modules that a plugin imports are not seen.
    """
    if is_bundled(cls):
        return None
    file = getattr(sys.modules.get(cls.__module__), "__file__", None)
    try:
        return None if file is None else hashlib.sha256(Path(file).read_bytes()).hexdigest()[:16]
    except OSError:
        return None


def _names(value: str | Iterable[str] | None) -> frozenset[str]:
    if not value:
        return frozenset()
    return frozenset([value]) if isinstance(value, str) else frozenset(value)
