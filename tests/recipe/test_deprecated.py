"""Deprecated keys and values: accepted with a warning that names file, step, old and new spelling."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import mminf
from mminf.config import Config
from mminf.errors import RecipeError
from mminf.recipe.loader import load_recipe
from mminf.registry import BACKENDS, SINKS, SOURCES, STEPS

Write = Callable[..., Path]
HEAD = """\
engines: {a: {backend: scripted, answer: "[[A]]"}}
source: {jsonl: rows.jsonl}
steps:
"""
SPELLINGS = [
    ("clean_caption", "least_words: 3", "min_words: 3"),
    ("clean_caption", "most_repeated: 0.5", "max_repetition: 0.5"),
    ("clean_caption", "least_letters: 0.5", "min_letters: 0.5"),
    ("parts", "sentences: 2", "max_sentences: 2"),
    ("deduplicate", "reads: images, method: image, distance: 3", "reads: images, method: image, max_distance: 3"),
    ("check", "engine: a, prompt: x, chance: p", "engine: a, prompt: x, probability: p"),
    ("draw", "writes: x, of: [1, 2]", "writes: x, values: [1, 2]"),
    ("draw", "writes: x, of: {a: 1, b: 2}", "writes: x, values: {a: 1, b: 2}"),
    ("word_changes", "first: x, second: y", "reads: [x, y]"),
    ("word_changes", "second: y, first: x", "reads: [x, y]"),
    (
        "compare",
        "engine: a, prompt: '{{ a }}{{ b }}', first: x, second: y",
        "engine: a, prompt: '{{ a }}{{ b }}', reads: [x, y]",
    ),
    ("generate", "engine: a, prompt: x, truncated: again", "engine: a, prompt: x, truncated: retry"),
    ("qa_pairs", "engine: a, prompt: x, truncated: again", "engine: a, prompt: x, truncated: retry"),
]


def warnings(caplog: pytest.LogCaptureFixture, path: Path) -> list[str]:
    return [record.message.removeprefix(f"{path.parent}/") for record in caplog.records]


def load(path: Path, **options: Any) -> list[dict[str, Any]]:
    steps: list[dict[str, Any]] = load_recipe(path, **options).resolved()["steps"]
    return steps


@pytest.mark.parametrize(("kind", "old", "new"), SPELLINGS)
def test_the_old_spelling_means_the_new_one(
    write_recipe: Write, caplog: pytest.LogCaptureFixture, kind: str, old: str, new: str
) -> None:
    path = write_recipe(f"{HEAD}  - {kind}: {{{old}}}\n")
    with caplog.at_level(logging.WARNING, "mminf"):
        found = load(path)
    told = warnings(caplog, path)
    assert told
    assert all(line.startswith(f"recipe.yaml:4: step '{kind}': ") and "is deprecated; use " in line for line in told)
    caplog.clear()
    with caplog.at_level(logging.WARNING, "mminf"):
        assert load(write_recipe(f"{HEAD}  - {kind}: {{{new}}}\n")) == found
    assert not caplog.records


def test_the_warning_names_place_step_and_keys(write_recipe: Write, caplog: pytest.LogCaptureFixture) -> None:
    path = write_recipe(
        HEAD + "  - repeat:\n      times: 3\n      steps:\n        - clean_caption:\n            least_words: 2\n"
    )
    load(path, settings=["steps.clean_caption.most_repeated=0.1"])
    assert warnings(caplog, path) == [
        "recipe.yaml:8: step 'clean_caption': key 'least_words' is deprecated; use 'min_words'",
        "--set steps.clean_caption.most_repeated: step 'clean_caption': key 'most_repeated' is deprecated; use 'max_repetition'",
    ]  # fmt: skip


def test_both_spellings_are_an_error(write_recipe: Write) -> None:
    path = write_recipe(HEAD + "  - clean_caption: {least_words: 2, min_words: 3}\n")
    message = r"recipe.yaml:4: step 'clean_caption': 'least_words' is the deprecated name of 'min_words'; remove 'least_words'"
    with pytest.raises(RecipeError, match=message):
        load(path)


def test_one_of_two_texts_is_not_enough(write_recipe: Write) -> None:
    with pytest.raises(RecipeError, match="reads: must have 2 or more items"):
        load(write_recipe(HEAD + "  - word_changes: {first: x}\n"))


@pytest.mark.parametrize(
    ("body", "setting", "expected"),
    [
        ("least_words: 2", "min_words=4", {"min_words": 4}),
        ("min_words: 2", "least_words=4", {"min_words": 4}),
    ],
)
def test_a_setting_replaces_either_spelling(
    write_recipe: Write, body: str, setting: str, expected: dict[str, Any]
) -> None:
    path = write_recipe(f"{HEAD}  - clean_caption: {{{body}}}\n")
    config = load_recipe(path, settings=[f"steps.clean_caption.{setting}"]).steps[0].config
    assert {key: getattr(config, key) for key in expected} == expected


@pytest.mark.parametrize(("key", "laid"), [("of", "values"), ("values", "of")])
def test_a_mapping_is_merged_into_either_spelling(write_recipe: Write, key: str, laid: str) -> None:
    path = write_recipe(f"{HEAD}  - draw: {{writes: x, {key}: {{a: 1, b: 2}}}}\n")
    config = load_recipe(path, settings=[f"steps.draw.{laid}={{b: 0}}"]).steps[0].config
    assert config.values == {"a": 1, "b": 0}


def test_one_of_two_texts_can_be_set(write_recipe: Write) -> None:
    path = write_recipe(HEAD + "  - word_changes: {reads: [x, y]}\n")
    assert load_recipe(path, settings=["steps.word_changes.second=z"]).steps[0].config.reads == ["x", "z"]
    path = write_recipe(HEAD + "  - word_changes: {first: x, second: y}\n")
    assert load_recipe(path, settings=["steps.word_changes.reads=[p, q]"]).steps[0].config.reads == ["p", "q"]


def test_sinks_have_old_spellings_as_well(write_recipe: Write, caplog: pytest.LogCaptureFixture) -> None:
    path = write_recipe(HEAD + "  - keep: 'true'\nsinks:\n  - embeddings: {path: e, rows: 5}\n")
    assert load_recipe(path).sinks[0].config.rows_per_file == 5
    assert warnings(caplog, path) == [
        "recipe.yaml:6: sink 'embeddings': key 'rows' is deprecated; use 'rows_per_file'"
    ]  # fmt: skip
    assert (
        load_recipe(path, settings=["sinks.embeddings.embeddings.rows_per_file=7"]).sinks[0].config.rows_per_file == 7
    )


def test_configs_that_python_makes_warn_too(caplog: pytest.LogCaptureFixture) -> None:
    config = STEPS.get("draw").Config
    assert config(writes="x", of=[1]).values == [1]
    assert [record.message for record in caplog.records] == ["DrawConfig: key 'of' is deprecated; use 'values'"]


def test_no_answer_is_asked_again_for_a_new_spelling(
    write_recipe: Write, rows: Callable[..., Path], calls_log: Path, tmp_path: Path
) -> None:
    (tmp_path / "script.py").write_text(
        "import os\n\ndef answer(request):\n"
        "    with open(os.environ['CALLS_LOG'], 'a') as file:\n        file.write('call\\n')\n"
        "    return 'Yes' if 'true?' in request.turns[-1].text else '[[A]]'\n"
    )
    rows({"id": "r", "x": "one two three four five six", "y": "two"})
    text = (
        HEAD.replace("answer: '[[A]]'", "").replace('answer: "[[A]]"', f"script: {tmp_path}/script.py")
        + "  - draw: {writes: word, of: [one, two]}\n"
        "  - generate: {engine: a, prompt: '{{ word }}', truncated: again, sampling: {temperature: 1}}\n"
        "  - compare: {engine: a, prompt: '{{ a }}{{ b }}', first: x, second: y}\n"
        "  - check: {engine: a, prompt: 'true?', chance: p}\n"
        "sinks: [{jsonl: out.jsonl}]\n"
    )
    mminf.run(write_recipe(text), output=tmp_path / "out")
    asked = len(calls_log.read_text().splitlines())
    assert asked == 4
    for old, new in (("of:", "values:"), ("truncated: again", "truncated: retry"), ("first: x, second: y", "reads: [x, y]"), ("chance:", "probability:")):  # fmt: skip
        assert old in text
        text = text.replace(old, new)
    mminf.run(write_recipe(text), output=tmp_path / "out")
    assert len(calls_log.read_text().splitlines()) == asked


def test_no_new_key_is_deprecated_itself() -> None:
    for registry in (STEPS, SINKS, SOURCES, BACKENDS):
        for name in registry:
            config: type[Config] = registry.get(name).Config
            for old, new in config.renamed.items():
                assert old not in config.model_fields, f"{name}: {old}"
                assert new in config.model_fields, f"{name}: {new}"
