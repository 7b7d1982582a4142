"""The sink of docs/plugins.md: a format of a plugin, in one file and in several."""

from __future__ import annotations

import csv
import re
from pathlib import Path
from typing import Any

import pytest

from mminf.errors import RecipeError

from .runs import SCRIPT, Make, run

DOCS = Path(__file__).parents[2] / "docs" / "plugins.md"


@pytest.fixture(scope="module")
def plugin(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Writes the plugin of the page to a file."""
    found = re.search(r"```python\n# csv_sink.py\n(.*?)```", DOCS.read_text(), re.DOTALL)
    assert found is not None
    file = tmp_path_factory.mktemp("plugin") / "csv_sink.py"
    file.write_text(found[1])
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
