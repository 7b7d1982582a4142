"""What a plugin's source or sink does against the rules is told; no row is lost, replaced or written wrongly."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import mminf
from mminf.engine.input import read_input
from mminf.errors import OutputError, SourceError
from mminf.recipe.config import SourceConfig
from mminf.record import Record
from mminf.registry import SINKS, STEPS
from mminf.source.base import BadRow, Source

from ..conftest import read_rows, tiny_image

Recipe = Callable[..., Path]


class Given(Source):
    """A source of a plugin, with rows that a test gives."""

    given: list[object]
    gaps = False

    def read(self, shard: object = None) -> Iterator[Record | BadRow]:
        yield from self.given  # type: ignore[misc]


class GivenWithGaps(Given):
    gaps = True


def made(kind: type[Given], *rows: object) -> Source:
    source = kind(SourceConfig(path="x"), Path(), Path())  # type: ignore[arg-type]
    source.given = list(rows)
    return source


@pytest.mark.parametrize(
    ("rows", "told"),
    [
        ([{"id": "a"}], "source Given yielded dict, not a Record or a BadRow"),
        ([Record("a", {}, 0), None, Record("b", {}, 1)], "source Given yielded NoneType, not a Record or a BadRow"),
        ([Record(7, {}, 0)], "with the id 7, not a text"),  # type: ignore[arg-type]
        ([Record("", {}, 0)], "with the id '', not a text"),
        ([Record("a", {}, 1)], "yielded row 'a' with number 1 first"),
        ([Record("a", {}, None)], "yielded row 'a' with number None"),  # type: ignore[arg-type]
        ([Record("a", {}, 0), BadRow("b", "x", "1")], "yielded row 'b' with number '1'"),  # type: ignore[arg-type]
        ([Record("a", {}, 0), Record("b", {}, 0)], "yielded row 'b' with number 0 after number 0"),
        ([Record("a", {}, 0), Record("b", {}, 2)], "yielded row 'b' with number 2 after number 0"),
        ([Record("a", {}, 0, (1,), "b")], "yielded 'a', which is a child of another record"),
    ],
)
def test_what_is_no_row_ends_the_run(rows: list[object], told: str) -> None:
    with pytest.raises(SourceError, match=told):
        list(read_input(made(Given, *rows)))


class Iterated:
    """An iterator that ends as iterators do, in a method of its own."""

    def __init__(self, rows: list[object]) -> None:
        self.rows = rows

    def __iter__(self) -> Iterated:
        return self

    def following(self) -> object:
        return self._next()

    __next__ = following

    def _next(self) -> object:
        if not self.rows:
            raise StopIteration
        return self.rows.pop(0)


def test_the_end_of_the_rows_is_not_that_of_a_function() -> None:
    def convert(number: int) -> Record:
        return Record(str(number), {"n": next(iter(range(number, 2)))}, number)

    class Mapped(Given):
        def read(self, shard: object = None) -> Iterator[Record | BadRow]:
            return map(convert, range(4))

    with pytest.raises(SourceError, match=r"source Mapped failed: StopIteration:  \(test_faulty_inputs.py:\d+\)"):
        list(read_input(made(Mapped)))

    class Ending(Given):
        def read(self, shard: object = None) -> Iterator[Record | BadRow]:
            return Iterated(self.given)  # type: ignore[return-value]

    rows: list[object] = [Record(name, {}, number) for number, name in enumerate("abc")]
    assert list(read_input(made(Ending, *rows))) == rows


def test_numbers_with_gaps_increase() -> None:
    rows = [Record("a", {}, 3), Record("b", {}, 5)]
    assert [row.seq for row in read_input(made(GivenWithGaps, *rows))] == [3, 5]
    with pytest.raises(SourceError, match="with number 3 after number 5"):
        list(read_input(made(GivenWithGaps, *reversed(rows))))


@given(st.lists(st.sampled_from(["a", "b", "a~2", "\ud800"]), max_size=8))
def test_ids_are_unique(ids: list[str]) -> None:
    rows = [Record(name, {"n": n}, n) if n % 3 else BadRow(name, "broken", n) for n, name in enumerate(ids)]
    found = list(read_input(made(Given, *rows)))
    assert [row.seq for row in found] == list(range(len(ids)))
    assert len({row.id for row in found}) == len(ids)
    assert [row.id for row in found if row.id in ids] == sorted(
        {name for name in ids if name != "\ud800"}, key=[row.id for row in found].index
    )
    assert list(read_input(made(Given, *rows))) == found


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"n": float("nan")}, "its fields are not JSON: Out of range float values are not JSON compliant"),
        ({"n": {1, 2}}, "its fields are not JSON: Object of type set is not JSON serializable"),
        ({"n": b"x"}, "its fields are not JSON: Object of type bytes is not JSON serializable"),
        ({0: "n"}, "its field 0 has a name that is not a text"),
        ([1], "its fields are not a dict, but list"),
    ],
)
def test_values_that_are_not_json_fail_their_record(fields: object, reason: str) -> None:
    rows = [Record("a", {"n": (1, 2)}, 0), Record("b", fields, 1), Record("c", {}, 2)]  # type: ignore[arg-type]
    assert list(read_input(made(Given, *rows))) == [rows[0], BadRow("b", reason, 1), rows[2]]


FAULTY = """
from mminf.sink import Sink, sink
from mminf.source import Numbered, Source, source


@source("faulty")
class Faulty(Source):
    def check(self):
        CHECK

    def count(self):
        COUNT

    def read(self, shard=None):
        READ
        yield Numbered(self.config.id).record("a", {"n": 1})


@sink("bad")
class Bad(Sink):
    def check(self):
        SINK
        super().check()

    def row(self, record):
        return {"n": 1}
"""


@pytest.mark.usefixtures("own_plugins")
@pytest.mark.parametrize(
    ("part", "body", "told"),
    [
        ("CHECK", "{}['a']", "source Faulty failed: KeyError: 'a' (faulty.py:9)"),
        ("COUNT", "return 1 / 0", "source Faulty failed: ZeroDivisionError: division by zero (faulty.py:12)"),
        ("COUNT", "return 'many'", "source Faulty: `count` returned 'many', not a number of records or None"),
        ("COUNT", "return -1", "source Faulty: `count` returned -1, not a number of records or None"),
        (
            "READ",
            "open('/missing/file')",
            "source Faulty failed: FileNotFoundError: [Errno 2] No such file or directory",
        ),
        ("SINK", "raise OSError('full')", "sink Bad failed: OSError: full (faulty.py:22)"),
        ("SINK", "None.x", "sink Bad failed: AttributeError: 'NoneType' object has no attribute 'x' (faulty.py:22)"),
    ],
)
def test_an_exception_of_a_plugin_is_one_line(
    part: str, body: str, told: str, write_recipe: Callable[..., Path], tmp_path: Path
) -> None:
    text = FAULTY.replace(part, body)
    for other in ("CHECK", "COUNT", "READ", "SINK"):
        text = text.replace(other, "return None" if other == "COUNT" else "pass")
    (tmp_path / "faulty.py").write_text(text)
    recipe = write_recipe(
        "plugins: [faulty.py]\nsource: {faulty: {path: x}}\nsteps: [{set: {a: 'n'}}]\nsinks: [{bad: {path: o.jsonl}}]\n"
    )
    with pytest.raises((SourceError, OutputError)) as raised:
        mminf.run(recipe, output=tmp_path / "out")
    assert str(raised.value).startswith(told)


def test_an_exception_names_the_line() -> None:
    class Raises(Given):
        def read(self, shard: object = None) -> Iterator[Record | BadRow]:
            raise KeyError("x")

    with pytest.raises(SourceError, match=r"source Raises failed: KeyError: 'x' \(test_faulty_inputs.py:\d+\)"):
        list(read_input(made(Raises)))


SINK = """
from mminf.sink import Record, Sink, SinkConfig, sink

class C(SinkConfig):
    value: str = "0"

@sink("faulty_sink")
class FaultySink(Sink):
    Config = C

    def row(self, record):
        return eval(self.config.value) if record["n"] == 1 else {"n": record["n"]}
"""

STEP = """
from mminf.step import Step, StepConfig, step

@step("no_number")
class NoNumber(Step[StepConfig]):
    writes = frozenset({"value"})

    async def run(self, record, ctx):
        return {"value": eval(record["text"])}
"""


@pytest.fixture(scope="module")
def plugins(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The plugins as one file each, since their names are registered once."""
    folder = tmp_path_factory.mktemp("plugins")
    (folder / "faulty_sink.py").write_text(SINK)
    (folder / "no_number.py").write_text(STEP)
    yield f"plugins: [{folder / 'faulty_sink.py'}, {folder / 'no_number.py'}]\n"
    # Other tests list what is registered.
    del SINKS._items["faulty_sink"]
    del STEPS._items["no_number"]


@pytest.mark.parametrize(
    ("value", "told"),
    [
        ("'text'", "`row` returned str, not a dict or None"),
        ("[]", "`row` returned list, not a dict or None"),
        ("{'n': object()}", "TypeError: Object of type object is not JSON serializable"),
        ("next(iter(()))", "StopIteration: "),
        ("open('/nonexistent')", "FileNotFoundError: [Errno 2] No such file or directory: '/nonexistent'"),
        ("{'n': 1 // 0}", "ZeroDivisionError: integer division or modulo by zero"),
    ],
)
def test_a_sink_that_fails_names_the_record(
    write_recipe: Recipe, rows: Callable[..., Path], plugins: str, tmp_path: Path, value: str, told: str
) -> None:
    start = plugins + "source: {jsonl: rows.jsonl}\nsteps:\n  - set: {m: '1'}\nsinks:\n"

    def recipe(value: str) -> Path:
        return write_recipe(start + f"  - faulty_sink: {{path: o.jsonl, value: {value!r}}}\n")

    rows({"id": "a", "n": 0}, {"id": "b", "n": 1}, {"id": "c", "n": 2})
    mminf.run(recipe("{'n': 5}"), output=tmp_path / "out")
    before = read_rows(tmp_path / "out" / "o.jsonl")
    assert [row["n"] for row in before] == [0, 5, 2]
    with pytest.raises(OutputError) as error:
        mminf.run(recipe(value), output=tmp_path / "out")
    assert f"o.jsonl can't be written: the sink failed at record b: {told}" in str(error.value)
    assert read_rows(tmp_path / "out" / "o.jsonl") == before


@pytest.mark.parametrize(("path", "count"), [("o.jsonl", 3), ("o.json", 5)])
def test_nan_in_a_row_of_a_sink_is_null_and_told(
    write_recipe: Recipe,
    rows: Callable[..., Path],
    plugins: str,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    path: str,
    count: int,
) -> None:
    """JSON has no NaN. A journal of an earlier version may contain it as well: its datasets can be written."""
    value = "{'n': [float('nan'), {'a': float('inf')}, 1.5]}"
    rows({"id": "a", "n": 1}, {"id": "b", "n": 1}, {"id": "c", "n": 2})
    mminf.run(
        write_recipe(
            plugins + "source: {jsonl: rows.jsonl}\nsteps:\n  - set: {m: '1'}\nsinks:\n"
            f'  - faulty_sink: {{path: {path}, value: "{value}"}}\n'
        ),
        output=tmp_path / "out",
    )
    text = (tmp_path / "out" / path).read_text()
    assert text.count('{"n": [null, {"a": null}, 1.5]}') == 2 and len(text.splitlines()) == count
    told = [message for message in caplog.messages if "is written as null" in message]
    assert told == ['NaN or infinity, which JSON does not have, is written as null: {"n": [null, {"a": null}, 1.5]}']


@pytest.mark.parametrize("text", ["float('nan')", "float('-inf')", "[1.5, {'a': float('inf')}]"])
def test_a_step_that_writes_no_number_fails_its_record(
    write_recipe: Recipe, rows: Callable[..., Path], plugins: str, tmp_path: Path, text: str
) -> None:
    """JSON has no NaN: readers of a dataset refuse it, or read it as null."""
    recipe = plugins + "source: {jsonl: rows.jsonl}\nsteps:\n  - no_number: {}\nsinks:\n  - jsonl: o.jsonl\n"
    rows({"id": "a", "text": "1.5"}, {"id": "b", "text": text})
    result = mminf.run(write_recipe(recipe), output=tmp_path / "out")
    assert (result.counts.done, result.counts.failed) == (1, 1)
    assert "wrote a value that is not JSON" in next(
        row["reason"] or "" for row in mminf.list(tmp_path / "out") if row["state"] == "failed"
    )


@pytest.mark.parametrize(
    ("step", "told"),
    [
        ("{generate: {engine: e, prompt: 'Which colour?'}}", True),
        ("{generate: {engine: e, prompt: 'Which colour?', images: false}}", False),
        ("{generate: {engine: e, prompt: '{{ images }}Which colour?'}}", False),
        ("{generate: {engine: e, prompt: '<image>Which colour?'}}", False),
        ("{generate: {engine: e, prompt: '{% if images is defined %}{{ images }}{% endif %}Which?'}}", False),
        ("{hook: {engine: e}}", False),
        ("{set: {a: '1'}}", False),
    ],
)
def test_images_that_no_step_shows_are_told(
    step: str,
    told: bool,
    write_recipe: Callable[..., Path],
    rows: Callable[..., Path],
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    tiny_image(tmp_path / "a.png")
    rows({"images": ["a.png"]})
    recipe = write_recipe(
        "engines: {e: {backend: scripted, answer: red}}\nsource: {jsonl: rows.jsonl}\n"
        f"steps: [{step}]\nsinks: [{{jsonl: out.jsonl}}]\n"
    )
    mminf.run(recipe, output=tmp_path / "out")
    assert told == any("no step shows them" in record.getMessage() for record in caplog.records)


def test_a_column_that_a_step_overwrites_is_told(
    write_recipe: Callable[..., Path], rows: Callable[..., Path], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    recipe = write_recipe(
        """
source: {jsonl: rows.jsonl}
steps: [{set: {caption: "'of the step'"}}]
sinks: [{jsonl: out.jsonl}]
"""
    )
    rows({"caption": "of the input"})
    caplog.set_level("INFO", "mminf")
    mminf.run(recipe, output=tmp_path / "out")
    told = [record.getMessage() for record in caplog.records if "overwritten" in record.getMessage()]
    assert told == [
        "column caption of the input is overwritten by step set; to keep it as well, give it a second name in the "
        "source: `columns: {given_caption: caption}`"
    ]
    caplog.clear()
    recipe.write_text(
        recipe.read_text().replace("rows.jsonl}", "{path: rows.jsonl, columns: {given_caption: caption}}}")
    )
    mminf.run(recipe, output=tmp_path / "out2")
    assert read_rows(tmp_path / "out2" / "out.jsonl")[0]["given_caption"] == "of the input"
    assert not any("overwritten" in record.getMessage() for record in caplog.records)
