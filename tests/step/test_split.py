"""`split`: its children don't carry the list that they came from."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

import mminf
from mminf import api
from mminf.errors import RecipeError

from ..conftest import read_rows

RECIPE = """
engines: {{s: {{backend: scripted, answer: hi}}}}
source: {{jsonl: rows.jsonl}}
steps:
  - set: {{parts: items}}
  - split: {{reads: parts, writes: q, {more}}}
  - generate: {{engine: s, prompt: '{{{{ q }}}} {prompt}'}}
sinks: [{{jsonl: {{path: o.jsonl, columns: [q, response{columns}]}}}}]
"""


def test_the_journal_grows_with_the_number_of_children(
    write_recipe: Callable[[str], Path], rows: Callable[..., Path], tmp_path: Path
) -> None:
    recipe = write_recipe(RECIPE.format(more="", prompt="", columns="").replace("- set: {parts: items}\n  ", ""))
    recipe.write_text(recipe.read_text().replace("reads: parts", "reads: items"))
    sizes = []
    for count in (500, 2000):
        rows({"id": "x", "items": [f"i{number}" for number in range(count)]})
        api.run(recipe, output=tmp_path / str(count))
        sizes.append((tmp_path / str(count) / "journal.sqlite").stat().st_size)
        assert len(read_rows(tmp_path / str(count) / "o.jsonl")) == count
    assert sizes[1] < 5 * sizes[0], "not the square"


def test_later_steps_and_sinks_are_told_that_the_list_is_gone(
    write_recipe: Callable[[str], Path], rows: Callable[..., Path], tmp_path: Path
) -> None:
    rows({"id": "x", "items": ["a", "b"]})
    for prompt, sink in (("{{ parts }}", "jsonl: o.jsonl"), ("", "swift: {path: o.jsonl, user: q, columns: [parts]}")):
        recipe = write_recipe(RECIPE.format(more="", prompt=prompt, columns=""))
        recipe.write_text(recipe.read_text().partition("sinks:")[0] + f"sinks: [{{{sink}}}]")
        with pytest.raises(RecipeError, match="'parts'"):
            api.run(recipe, output=tmp_path / "out")
    with pytest.raises(RecipeError, match=r"'parts', which step 'split' removes; set `keep: true` there"):
        api.check(mminf.load(write_recipe(RECIPE.format(more="", prompt="{{ parts }}", columns=""))))
    recipe = write_recipe(RECIPE.format(more="keep: true", prompt="{{ parts }}", columns=", parts"))
    api.run(recipe, output=tmp_path / "kept")
    assert [row["parts"] for row in read_rows(tmp_path / "kept" / "o.jsonl")] == [["a", "b"]] * 2


def test_a_field_can_be_written_again(
    write_recipe: Callable[[str], Path], rows: Callable[..., Path], tmp_path: Path
) -> None:
    rows({"id": "x", "items": ["a", "b"]})
    text = RECIPE.format(more="", prompt="{{ parts }}", columns=", parts").replace(
        "  - generate", "  - set: {parts: q ~ '!', name: again}\n  - generate"
    )
    api.run(write_recipe(text), output=tmp_path / "out")
    assert [row["parts"] for row in read_rows(tmp_path / "out" / "o.jsonl")] == ["a!", "b!"]
