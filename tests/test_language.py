"""The language of a text, by its script."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mminf.language import (
    find_language,
    find_not_in,
    find_other_language,
    identify,
    is_chinese,
    language_of,
    likely_language,
)
from mminf.template import Expression


@pytest.mark.parametrize(
    ("text", "chinese"),
    [
        ("桌子上的球是什么颜色？", True),
        ("图中的 iPhone 15 Pro Max 多少钱？", True),
        ("What colour is the ball?", False),
        ("What does 出口 mean?", False),
        ("这个 <table><tr><td>Region</td></tr></table> 是什么意思？", True),
        ("机の上のボールは何色ですか？", False),
        ("책상 위의 공은 무슨 색입니까?", False),
        ("東京タワー", False),
        ("請描述這張圖片。", True),
        ("", False),
        ("12345 + 678", False),
        ("Какого цвета мяч?", False),
    ],
)
def test_chinese_is_told_from_other_languages(text: str, chinese: bool) -> None:
    assert is_chinese(text) is chinese
    assert language_of(text) == ("zh" if chinese else None)
    assert Expression("text is chinese").test({"text": text}) is chinese


def test_other_values_are_not_chinese() -> None:
    assert Expression("value is not chinese").test({"value": ["球"]})


SHORT = [
    json.loads(line)
    for line in (Path(__file__).parent.parent / "evaluation" / "languages" / "short.jsonl").read_text().splitlines()
]


def test_the_likeliest_language_of_short_texts_is_right() -> None:
    """docs/looking.md states the figures of all libraries."""
    wrong = {(row["text"], likely_language(row["text"])) for row in SHORT} - {
        (row["text"], row["language"]) for row in SHORT
    }
    assert len(SHORT) == 236
    assert len(wrong) <= 6, wrong
    assert sum(find_language(row["text"]).startswith("und") for row in SHORT) > 20


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("", "und"),
        ("2 + 2 = ?", "und"),
        ("```print(1)```", "und"),
        ("写真には猫が二匹いて", "ja"),
        ("Hvor mange personer er det på bildet som ble tatt i går?", "no"),
        ("What is in this picture? " * 20 + "这是什么？" * 300, "en"),
    ],
)
def test_the_likeliest_language_of_odd_texts(text: str, code: str) -> None:
    assert likely_language(text) == code


@given(st.text(max_size=300))
def test_any_text_has_a_likeliest_language(text: str) -> None:
    assert 2 <= len(likely_language(text)) <= 3


def test_clear_texts_are_found_as_all_others(monkeypatch: pytest.MonkeyPatch) -> None:
    texts = [str(row["text"]) for row in SHORT]
    texts += [f"{text} {other}" for text, other in zip(texts, texts[17:], strict=False)]

    def find_all() -> list[list[str | None]]:
        return [
            [
                find_language(text),
                find_other_language(text, other),
                *(find_not_in(text, code) for code in ("en", "de", "no")),
            ]
            for text, other in zip(texts, texts[5:], strict=False)
        ]

    shortened = find_all()
    monkeypatch.setattr(identify, "_find_clear", lambda *_: None)
    assert shortened == find_all()
    assert {found[0] for found in shortened} >= {"en", "de", "zh", "und-Latn"} and any(found[1] for found in shortened)
