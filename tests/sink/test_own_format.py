"""The sink of `mminf new-plugin` and docs/plugins.md: a format of a plugin, in one file and in several."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import IO, Any

import pytest

from mminf.errors import RecipeError
from mminf.plugin.kinds import KINDS
from mminf.plugin.scaffold import fill
from mminf.sink import Record, Sink, SinkConfig
from mminf.sink.placing import make_part

from .runs import SCRIPT, Make, run

DOCS = Path(__file__).parents[2] / "docs"


@pytest.fixture(scope="module")
def plugin(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Writes the plugin of the page, which is also that of `mminf new-plugin`, to a file."""
    file = tmp_path_factory.mktemp("plugin") / "csv_sink.py"
    file.write_text(fill(KINDS["sink"].plugin, "csv"))
    return [str(file)]


def rows_of(path: Path) -> list[dict[str, Any]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


@pytest.mark.parametrize(("keys", "name"), [("", "o.csv"), (", rows_per_file: 2", "o")])
def test_a_format_is_written_split_and_protected(
    make: Make, tmp_path: Path, plugin: list[str], monkeypatch: pytest.MonkeyPatch, keys: str, name: str
) -> None:
    output, recipe = tmp_path / "out", make(f"{{csv: {{path: {name}, columns: [q, response]{keys}}}}}")
    assert run(recipe, output, plugins=plugin).written[0].rows == 5
    files = sorted((output / name).glob("*.csv")) if keys else [output / name]
    assert [len(rows_of(file)) for file in files] == ([2, 2, 1] if keys else [5])
    assert [row for file in files for row in rows_of(file)] == [{"q": f"q{n}", "response": "hi"} for n in range(5)]

    monkeypatch.setenv("BROKEN", "q1 q2 q3")
    (tmp_path / "s.py").write_text(SCRIPT + "# another model\n")
    written = run(recipe, output, plugins=plugin).written[0]
    assert (written.kept, written.rows, written.before) == (name, 2, 5)


def test_figures_of_texts_are_never_split(tmp_path: Path) -> None:
    from mminf_plugins.unicorn.stats import TextStats, TextStatsConfig

    config = TextStatsConfig(path="stats.json", reads="text", rows_per_file=2)  # type: ignore[arg-type]
    with pytest.raises(RecipeError, match="text_stats writes one file"):
        TextStats(config, tmp_path).check()


def test_the_count_of_a_format_of_ones_own_is_unknown_by_default(tmp_path: Path) -> None:
    """Lines are no rows of a binary format."""

    class Binary(Sink):
        def row(self, record: Record) -> dict[str, object]:
            return {}

        def write_file(self, file: IO[bytes], rows: Iterable[Mapping[str, object]], first: int) -> None:
            file.write(b"\n\n\n")

    config = SinkConfig(path="x.bin")  # type: ignore[arg-type]
    (tmp_path / "x.bin").write_bytes(b"\n\n\n")
    assert Binary(config, tmp_path).count() is None


def test_a_killed_run_may_leave_files_with_two_endings(tmp_path: Path) -> None:
    folder = tmp_path / ".o.part"
    folder.mkdir()
    (folder / "00000.tsv.gz").touch()
    assert make_part(tmp_path / "o") == folder
    assert not list(folder.iterdir())


def test_an_error_without_a_list_of_problems_is_refused() -> None:
    with pytest.raises(TypeError, match="takes a list"):
        RecipeError("one text")  # type: ignore[arg-type]


def test_the_pages_list_every_sink() -> None:
    from mminf.plugin import discover
    from mminf.registry import SINKS

    discover()
    page = (DOCS / "recipes.md").read_text()
    own = [name for name in SINKS if name != "csv"]
    assert [name for name in own if f"`{name}`" not in page] == []
