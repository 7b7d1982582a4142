"""Properties of whole datasets."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mminf.properties import BrokenRow, Conversation, Properties, load_tokenizer, measure
from mminf.properties.figures import LanguageCount, Missing, Problems, Sample, Share

from ..conftest import tiny_image
from .test_verbs import FirstWords


def rows(*pairs: tuple[str, str], images: tuple[str, ...] = ()) -> Iterator[Conversation]:
    for number, (asked, said) in enumerate(pairs):
        yield Conversation("messages", (asked,), (said,), images, f"rows:{number}")


def measured(found: Iterator[Conversation | BrokenRow], **options: object) -> Properties:
    return measure(found, parser=FirstWords(), **options)  # type: ignore[arg-type]


PAIRS = [
    ("What is in the picture?", "There are two cats on the sofa."),
    ("Describe the picture in detail.", "The picture shows a cat, a dog and a red ball."),
    ("描述这张图片。", "图中有两只猫。"),
    ("What is in  the picture?", "There are two cats on the sofa."),
    ("Décris cette image.", ""),
]


def test_every_figure_of_a_small_dataset(tmp_path: Path) -> None:
    tiny_image(tmp_path / "a.png", size=(40, 20))
    several = Conversation(
        "conversations", ("Read the sign.", "And the other?"), ("The sign says stop.",), ("a.png", "b.png"), "rows:5"
    )
    broken = BrokenRow("rows:6", "is not JSON")
    found = measured(
        iter([*rows(*PAIRS, images=("a.png",)), several, broken, broken]),
        path="rows.jsonl",
        folder=tmp_path,
        tokenizer=load_tokenizer("builtin:demo"),
    )
    assert (found.path, found.rows, found.shapes) == ("rows.jsonl", 6, {"messages": 5, "conversations": 1})
    assert found.broken == Problems(2, "rows:6: is not JSON")
    assert (found.turns.mean, found.turns.most) == (7 / 6, 2)
    asked, said = found.instructions, found.responses
    assert (asked.texts, said.texts, asked.empty, said.empty) == (7, 6, 0, 1)
    assert (asked.words.mean, asked.words.most) == (pytest.approx((5 + 5 + 6 + 5 + 3 + 3 + 3) / 7), 6)
    assert sum(asked.words.histogram.counts) == 7
    assert asked.languages == (LanguageCount("en", 5), LanguageCount("fr", 1), LanguageCount("zh", 1))
    assert said.languages[0] == LanguageCount("en", 4)
    assert asked.exact.repeated == Share(1, 7)
    assert said.exact.repeated == Share(1, 5)
    assert asked.near == Share(1, 7)
    assert asked.tokens is not None
    assert asked.tokens.count == 7
    assert found.tokenizer == "builtin:demo"
    assert found.verbs is not None
    assert (found.verbs.instructions, found.verbs.verbs[0].lemma) == (5, "What")
    assert found.images.per_row.most == 2
    assert (found.images.measured, found.images.landscape) == (6, Share(6, 6))
    assert found.images.missing == Problems(1, f"rows:5: {tmp_path / 'b.png'}")
    assert found.images.names.repeated == Share(5, 7)
    assert found.sample == Sample(6, 6, 0)
    assert found.missing == ()


def test_nothing_is_measured_without_rows() -> None:
    found = measured(iter(()))
    assert (found.rows, found.instructions.texts, found.images.measured) == (0, 0, 0)
    assert found.instructions.words.mean is None
    assert found.instructions.near.share is None
    json.dumps(found.to_json(), allow_nan=False)


def test_what_is_missing_is_named_with_what_to_do() -> None:
    found = measure(rows(*PAIRS), parser="en_core_none")
    assert found.verbs is None
    assert found.instructions.tokens is None
    assert found.missing == (
        Missing(
            "tokens", "no tokenizer", "--tokenizer MODEL: a folder with tokenizer.json, or a model on this machine"
        ),
        Missing("root verbs", "spaCy's model en_core_none is not installed", "python -m spacy download en_core_none"),
    )


def test_the_figures_are_json() -> None:
    found = json.loads(json.dumps(measured(rows(*PAIRS)).to_json(), allow_nan=False))
    assert found["rows"] == 5
    assert found["instructions"]["exact"] == {"repeated": {"count": 1, "of": 5, "share": 0.2}, "one_in": 1}
    assert found["sample"] == {"rows": 5, "of": 5, "seed": 0, "all": True}
    histogram = found["instructions"]["words"]["histogram"]
    assert len(histogram["edges"]) == len(histogram["counts"]) + 1
    assert found["verbs"]["verbs"][0]["nouns"][0].keys() == {"lemma", "count"}
    assert found.keys() == {field.name for field in dataclasses.fields(Properties)}


def many(number: int) -> Iterator[Conversation]:
    return rows(*((f"Read sign number {n} of the street", "It says stop") for n in range(number)))


def test_costly_figures_are_about_a_sample() -> None:
    found = measured(many(300), sample=50)
    assert found.sample == Sample(50, 300, 0)
    assert not found.sample.all
    assert found.instructions.words.count == 300
    assert found.responses.exact.repeated == Share(299, 300)
    assert found.responses.near == Share(49, 50)
    assert found.verbs is not None
    assert found.verbs.instructions == 50
    assert measured(many(300), sample=50) == found


def test_exact_measures_all_rows() -> None:
    found = measured(many(300), sample=50, exact=True)
    assert found.sample == Sample(300, 300, 0)
    assert found.responses.near == Share(299, 300)
    assert found == measured(many(300), sample=300)


def test_the_sample_is_uniform() -> None:
    counts = [0] * 10
    for seed in range(300):
        from mminf.properties.sample import Reservoir

        drawn = Reservoir[int, int](3, lambda item: item, seed)
        for item in range(10):
            drawn.add(item)
        kept = list(drawn.drain())
        assert kept == sorted(kept)
        for item in kept:
            counts[item] += 1
    assert sum(counts) == 900
    assert all(60 < count < 120 for count in counts), counts


def test_the_sample_does_not_keep_the_bytes_of_images(tmp_path: Path) -> None:
    from mminf.properties.costly import Costly
    from mminf.properties.images import Facts, ImageReader

    data = tiny_image(tmp_path / "a.png").read_bytes()
    costly = Costly(ImageReader(tmp_path), None, 5)
    for _ in range(20):
        costly.add(Conversation("messages", ("x",), (), (data, "a.png"), "r"))
    assert costly._reservoir is not None
    for _, row in costly._reservoir._items:
        assert isinstance(row.images[0], Facts)
        assert row.images[1] == "a.png"


@pytest.mark.parametrize(("number", "measured_rows"), [(99, 99), (100, 100), (101, 10), (500, 10)])
def test_a_large_dataset_may_have_a_small_sample(number: int, measured_rows: int) -> None:
    found = measured(many(number), sample=100, few=10)
    assert (found.sample.rows, found.sample.of, found.rows) == (measured_rows, number, number)
    assert sum(item.count for item in found.instructions.languages) == measured_rows
    assert found.instructions.near.of == measured_rows
    assert found.instructions.texts == number


def test_only_english_instructions_are_parsed() -> None:
    found = measured(rows(("图中有什么？", "x"), ("What is it, and where was the picture taken?", "x")))
    assert found.verbs is not None
    assert found.verbs.instructions == 1


TEXT = st.text(max_size=30) | st.sampled_from(["What is it?", "图中有什么？", "a b c d e f"])


@given(
    st.lists(
        st.tuples(st.lists(TEXT, max_size=3), st.lists(TEXT, max_size=3), st.lists(st.text(max_size=5), max_size=2))
    )
)
@settings(max_examples=60, deadline=None)
def test_any_rows_are_measured(items: list[tuple[list[str], list[str], list[str]]]) -> None:
    found = measured(Conversation("messages", tuple(a), tuple(b), tuple(c), "r") for a, b, c in items)
    asked = [text for item in items for text in item[0]]
    assert found.rows == len(items) == sum(found.shapes.values())
    assert found.instructions.texts == len(asked) == sum(item.count for item in found.instructions.languages)
    assert found.instructions.near.of <= found.instructions.exact.repeated.of <= len(asked)
    assert found.images.per_row.count == len(items)
    problems = found.images.missing.count + found.images.broken.count + found.images.remote.count
    assert found.images.measured + problems == sum(len(item[2]) for item in items)
    json.dumps(found.to_json(), allow_nan=False)


def test_memory_is_flat(tmp_path: Path) -> None:
    import tracemalloc

    def peak(number: int) -> int:
        tracemalloc.start()
        measured(many(number), sample=100)
        found = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return found

    peak(100)  # loads libraries
    few, more = peak(500), peak(3000)
    assert more - few < 2500 * 500, (few, more)  # digests of distinct texts and words, not the texts
