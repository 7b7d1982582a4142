"""The language of a text, by its script."""

from __future__ import annotations

import pytest

from mminf.language import is_chinese, language_of
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
