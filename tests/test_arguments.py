"""Arguments of the functions for Python: one text stands for a list, and wrong types are errors that say what is right."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import mminf
from mminf.errors import UsageError

RECIPE = """
name: plain
source: {jsonl: rows.jsonl}
steps: [{set: {a: n}}]
sinks: [{jsonl: out.jsonl}]
profiles:
  one: {note: first}
  two: {note: second}
"""


@pytest.fixture
def recipe(write_recipe: Callable[[str], Path], rows: Callable[..., Path]) -> Path:
    rows({"n": 1}, {"n": 2})
    return write_recipe(RECIPE)


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ({"limit": 0}, "limit: must be a whole number of at least 1, not 0"),
        ({"limit": -1}, "limit: must be a whole number of at least 1, not -1"),
        ({"limit": "2"}, "limit: must be a whole number of at least 1, not '2'"),
        ({"limit": True}, "limit: must be a whole number of at least 1, not True"),
        ({"overrides": ["a"]}, "overrides: must be a mapping, such as "),
        ({"recipe": {"name": "x"}}, "recipe: must be the path or the name of a recipe, not dict"),
        ({"settings": "name"}, "--set name: must be path.to.key=value"),
    ],
    ids=str,
)
def test_wrong_arguments(arguments: dict[str, Any], told: str, recipe: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError) as raised:
        mminf.run(**{"recipe": recipe, "output": tmp_path / "out", **arguments})
    assert str(raised.value).startswith(told)
    assert not (tmp_path / "out").exists(), "no dataset is replaced"


def test_one_text_stands_for_a_list(recipe: Path, tmp_path: Path) -> None:
    loaded = mminf.load(recipe, profile=["one", "two"], settings="name=other")
    assert (loaded.name, loaded.run.note) == ("other", "first second")
    result = mminf.run(recipe, output=tmp_path / "out")
    records = mminf.list(tmp_path / "out", outcomes="done")
    assert [record["state"] for record in records] == ["done", "done"]
    assert repr(records) == f"<some records of {tmp_path / 'out'}; iterate over them>"
    assert result.dataset("out").num_rows == result.dataset("out.jsonl").num_rows == 2


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("Which is #1 in {{ n }}", "Which is #1 in {{ n }}"),
        ("# heading", "# heading"),
        ("'Say it' # a comment", "Say it"),
        ('"Item # 1"', "Item # 1"),
        ("a#b", "a#b"),
        ("# Task\nDescribe it.", "# Task\nDescribe it."),
        ("!!str 5 # five", "5"),
    ],
)
def test_a_text_of_a_setting_is_not_cut(value: str, text: str, recipe: Path) -> None:
    assert mminf.load(recipe, settings=[f"note={value}"]).run.note == text


def test_a_value_that_is_no_text_may_have_a_comment(recipe: Path) -> None:
    loaded = mminf.load(recipe, settings=["seed=5 # five", "early_drop=false # off", "target=null # none"])
    assert (loaded.run.seed, loaded.run.early_drop, loaded.run.target) == (5, False, None)


@pytest.mark.parametrize("value", ["Task: describe it", "Rate 1: bad, 2: good", "{{ n }} and more", "a\nb: c # d"])
def test_a_text_that_is_yaml_is_refused_with_the_remedy(value: str, recipe: Path) -> None:
    with pytest.raises(UsageError, match="quote a text"):
        mminf.load(recipe, settings=[f"note={value}"])


def test_a_script_that_an_engine_process_imports_does_not_run_again(
    tmp_path: Path, write_recipe: Callable[[str], Path], rows: Callable[..., Path]
) -> None:
    """Processes of vLLM import the script that has started them."""
    rows({"id": "a", "text": "x"})
    write_recipe("name: r\nsource: {jsonl: rows.jsonl}\nsteps:\n  - keep: text\nsinks: [{jsonl: o.jsonl}]\n")
    script = tmp_path / "script.py"
    script.write_text(
        "import multiprocessing, sys\nimport mminf\n"
        "def work():\n    print('worked')\n"
        "if __name__ == '__main__' or 'guarded' not in sys.argv:\n"
        "    print(mminf.run('recipe.yaml', output='out').counts.done)\n"
        "if __name__ == '__main__':\n"
        "    process = multiprocessing.get_context('spawn').Process(target=work)\n"
        "    process.start()\n    process.join()\n"
    )
    for arguments, printed, told in (((), "1\n", True), (("guarded",), "1\nworked\n", False)):
        ended = subprocess.run([sys.executable, script, *arguments], cwd=tmp_path, capture_output=True, text=True)
        assert ended.stdout == printed
        assert ('put the call of mminf under `if __name__ == "__main__":`' in ended.stderr) is told
