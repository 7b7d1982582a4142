"""Prompt functions of an MM-INF project are called, and its post-processing functions are read."""

from __future__ import annotations

from pathlib import Path

import pytest

from mminf.convert import Code
from mminf.convert.reader import LAST
from mminf.errors import UsageError

from .project import FUNCTIONS, body, converted


def test_a_prompt_function_that_fails_leaves_the_rest(project: Path) -> None:
    config = (project / "config/mine.yaml").read_text().replace("prompt_func.mine.ask", "prompt_func.mine.broken")
    (project / "config/mine.yaml").write_text(config)
    found = converted(project)
    assert "; write its prompt as a template" in "\n".join(found.decide)
    assert body(found, "ask")["prompt"] == "{{ DECIDE_ask }}"
    assert body(found, "caption")["writes"] == "caption"


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("prompt_func.mine.number", "does not return a text, but int"),
        ("prompt_func.mine.broken", "RuntimeError: no template"),
        ("prompt_func.mine.missing", "has no attribute 'missing'"),
        ("prompt_func.mine.ends", "ended before it returned a text"),
        ("prompt_func.mine.changed", "does not show its arguments as they are"),
        ("prompt_func.mine.lower", "does not show its arguments as they are"),
        ("prompt_func.mine.length", "or returns another text for each call"),
        ("prompt_func.mine.draws", "or returns another text for each call"),
        ("prompt_func.mine.surrogate", "is not Unicode"),
        ("prompt_func.other.ask", "No module named"),
    ],
)
def test_a_prompt_function_that_can_not_be_called_is_told(name: str, message: str, project: Path) -> None:
    with pytest.raises(UsageError, match=message):
        Code(project).prompt_function(name, None)


def test_a_prompt_function_gets_what_is_passed_to_it(project: Path) -> None:
    code = Code(project)
    assert code.prompt_function("prompt_func.mine.defaults", 1) == ["In French: ", 0, "."]
    assert code.prompt_function("prompt_func.mine.defaults", 2) == ["In ", 1, ": ", 0, "."]
    assert code.prompt_function("prompt_func.mine.defaults", None) == ["In French: ", 0, "."]
    with pytest.raises(UsageError, match="TypeError"):
        code.prompt_function("prompt_func.mine.defaults", 3)
    assert code.prompt_function("prompt_func.mine.loud", None) == ["Say ", 0]


@pytest.mark.parametrize("name", ["pp_func.mine.missing", "pp_func.other.pre"])
def test_a_missing_post_function_is_told(name: str, project: Path) -> None:
    with pytest.raises(UsageError, match=r"no function|can't be read"):
        Code(project).post_function(name)


def test_a_post_function_is_not_run(project: Path) -> None:
    (project / "pp_func/mine.py").write_text(f"raise SystemExit('run')\n{FUNCTIONS}")
    found = Code(project).post_function("pp_func.mine.caption_pp")
    assert found.items == [LAST, "topic"]
    assert found.writes == {"caption": LAST, "seen": LAST}
    assert not found.images


def test_a_condition_of_a_prompt_function_stops_the_run(project: Path) -> None:
    """A call with marks takes one branch; without this, all rows would get its prompt."""
    (project / "prompt_func" / "mine.py").write_text(
        "def ask(caption, topic):\n    if len(topic) < 5:\n        return None\n    return f'{caption} {topic}'\n"
    )
    found = converted(project)
    told = [line for line in found.decide if line.startswith(("ask: mine.py:2 ", "ask: then"))]
    assert told == [
        "ask: mine.py:2 if len(topic) < 5: the prompt is what prompt_func.mine.ask returned for one call; add what this "
        "changes",
        "ask: then remove 'DECIDE_ask' from the end of the prompt",
    ]
    assert body(found, "ask")["prompt"] == "{{ caption }} {{ topic }}{{ DECIDE_ask }}"
