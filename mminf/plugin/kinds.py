"""The files that `mminf new-plugin` writes, by kind. Each plugin runs as it is; docs/plugins.md shows them.

`NAME` and `CLASS` stand for the names of the member and of its class.
"""

from __future__ import annotations

from typing import NamedTuple


class Kind(NamedTuple):
    """A kind of plugin.

    Attributes:
        what: what it is, for help texts.
        plugin: the Python file.
        recipe: a recipe that uses it.
        rows: name and content of the recipe's input; None: a folder of images, which the user has.
    """

    what: str
    plugin: str
    recipe: str
    rows: tuple[str, str] | None


_ROWS = ("rows.jsonl", '{"text": "a cup"}\n{"text": "a red cup"}\n{"text": "two cups"}\n')

_STEP = '''"""A step that changes a field: `NAME`."""

from mminf.step import Context, Outcome, Record, Step, StepConfig, step


class CLASSConfig(StepConfig):
    reads: str = "text"
    writes: str = "NAME"


@step("NAME")
class CLASS(Step[CLASSConfig]):
    """Writes the upper-cased text of one field."""

    async def run(self, record: Record, ctx: Context) -> Outcome:
        return {self.config.writes: record[self.config.reads].upper()}
'''

_ASKING = '''"""A step that asks a model about the images of a record: `NAME`."""

from mminf.step import Context, Outcome, PromptConfig, PromptStep, Record, UnusableAnswer, step


class CLASSConfig(PromptConfig):
    writes: str = "NAME"


@step("NAME")
class CLASS(PromptStep[CLASSConfig]):
    """Writes the main colour of the images, in one word."""

    default_prompt = "{{ images }}\\nWhat is the main colour? Answer with one word."

    async def run(self, record: Record, ctx: Context) -> Outcome:
        answer = await self.ask_whole(record, ctx)
        words = answer.text.strip(" .\\n").split()
        if len(words) != 1:
            # The step asks again with another seed, up to `attempts` times; then the record fails.
            raise UnusableAnswer(f"not one word: {answer.text!r:.80}")
        # To leave a record out: `return Drop(reason)`, and `gate = True` in the class, so that later steps wait for it.
        return {self.config.writes: words[0].lower()}
'''

_DATASET = '''"""A step that sees the whole dataset: `NAME`."""

from collections import Counter
from collections.abc import Iterable, Iterator

from mminf.step import Context, DatasetStep, Drop, Outcome, Record, RecordError, StepConfig, step


class CLASSConfig(StepConfig):
    reads: str = "text"
    most: int = 1


@step("NAME")
class CLASS(DatasetStep[CLASSConfig]):
    """Keeps at most `most` records whose text begins with the same word."""

    def run_all(self, records: Iterable[Record], ctx: Context) -> Iterator[tuple[Record, Outcome | RecordError]]:
        seen: Counter[str] = Counter()

        def decide(record: Record) -> Outcome:
            first = (record[self.config.reads].split() or [""])[0]
            seen[first] += 1
            return {} if seen[first] <= self.config.most else Drop(f"begins with {first!r}, like earlier records")

        return self.each(records, decide)  # an exception fails its record, and no other
'''

_SOURCE = '''"""A source of records: `NAME`."""

from collections.abc import Iterator

from mminf.source import BadRow, Numbered, Record, Source, SourceConfig, source


class CLASSConfig(SourceConfig):
    field: str = "text"


@source("NAME")
class CLASS(Source):
    """A text file with an id and a text per line, separated by a tab."""

    config: CLASSConfig
    Config = CLASSConfig
    cuts = True  # `read` yields the records of one shard, if it gets one

    def read(self, shard: object = None) -> Iterator[Record | BadRow]:
        numbered = Numbered("id", shard)
        with self.path.open(encoding="utf-8") as lines:
            for number, line in enumerate(lines, 1):
                own, tab, text = line.rstrip("\\n").partition("\\t")
                fields = {"id": own, self.config.field: text}
                if not tab:
                    yield from numbered.maybe_bad(f"{self.path.name}:{number}", "the line has no tab")
                elif (name := numbered.name(fields)) is not None:
                    yield numbered.record(name, fields)
'''

_SINK = '''"""A sink: `NAME`."""

import csv
import io

from mminf.sink import Record, Sink, SinkConfig, sink


class CLASSConfig(SinkConfig):
    columns: list[str]


@sink("NAME")
class CLASS(Sink):
    """One line per record, after a line with the names of the columns."""

    config: CLASSConfig
    Config = CLASSConfig
    ending = "csv"

    @property
    def reads(self) -> frozenset[str]:  # a run is refused if nothing provides one of these fields
        return frozenset(self.config.columns)

    def row(self, record: Record) -> dict[str, object]:
        return {name: record[name] for name in self.config.columns}

    def write_file(self, file, rows, first):
        text = io.TextIOWrapper(file, "utf-8", newline="")
        table = csv.DictWriter(text, self.config.columns)
        table.writeheader()
        table.writerows(rows)
        text.detach()  # the base class closes the file

    def count_file(self, path):
        with path.open(encoding="utf-8", newline="") as file:
            return sum(1 for _ in csv.DictReader(file))
'''

_BACKEND = '''"""A backend: `NAME`."""

from mminf.backend import Backend, EngineConfig, Generation, Request, backend


class CLASSConfig(EngineConfig):
    greeting: str = "You said:"


@backend("NAME")
class CLASS(Backend):
    """Repeats the last turn: put your own model or service in its place."""

    config: CLASSConfig
    Config = CLASSConfig

    def load(self) -> None:
        self.model = str.strip  # loaded once, before the first call

    async def generate(self, request: Request) -> Generation:
        asked = request.turns[-1].text
        answer = f"{self.config.greeting} {self.model(asked)}"
        return Generation(answer, "stop", prompt_tokens=len(asked.split()), completion_tokens=len(answer.split()))
'''

_HEAD = "# mminf run NAME.yaml\nname: NAME\nplugins: NAME.py\n"
_STAND_IN = """engines:
  # A stand-in without a model. A real one: {backend: vllm, model: Qwen/Qwen2.5-VL-7B-Instruct}
  vlm: {backend: scripted, answer: red}
"""

KINDS = {
    "step": Kind(
        "a step that changes a field",
        _STEP,
        _HEAD
        + "source: {jsonl: rows.jsonl}\nsteps:\n  - NAME: {reads: text, writes: NAME}\nsinks:\n  - jsonl: NAME.jsonl\n",
        _ROWS,
    ),
    "model-step": Kind(
        "a step that asks a model about images",
        _ASKING,
        _HEAD + _STAND_IN + "source: {drawn: 2}  # drawn scenes; your own images: {images: my_images/}\n"
        "steps:\n  - NAME: {engine: vlm}\nsinks:\n  - jsonl: NAME.jsonl\n",
        None,
    ),
    "dataset-step": Kind(
        "a step that sees the whole dataset",
        _DATASET,
        _HEAD
        + "source: {jsonl: rows.jsonl}\nsteps:\n  - NAME: {reads: text, most: 1}\nsinks:\n  - jsonl: NAME.jsonl\n",
        _ROWS,
    ),
    "source": Kind(
        "a reader of an input format",
        _SOURCE,
        _HEAD + "source: {NAME: rows.txt}\nsteps:\n  - keep: text|length < 100\nsinks:\n" + "  - jsonl: NAME.jsonl\n",
        ("rows.txt", "1\ta cup\n2\ta red cup\n3\ttwo cups\n"),
    ),
    "sink": Kind(
        "a writer of datasets",
        _SINK,
        _HEAD
        + "source: {jsonl: rows.jsonl}\nsteps:\n  - set: {length: text|length}\nsinks:\n"
        + "  - NAME: {path: NAME.csv, columns: [text, length]}\n",
        _ROWS,
    ),
    "backend": Kind(
        "a model or service of your own",
        _BACKEND,
        _HEAD
        + "engines:\n  own: {backend: NAME, model: mine}\nsource: {jsonl: rows.jsonl}\nsteps:\n"
        + '  - generate: {engine: own, prompt: "{{ text }}", writes: answer}\nsinks:\n  - jsonl: NAME.jsonl\n',
        _ROWS,
    ),
}
