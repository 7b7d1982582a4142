"""What `clean_caption` takes out of captions, and what it must leave."""

from __future__ import annotations

import re
import unicodedata

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mminf_plugins.oasis.markup import clean, letters_of, split_words

UNTOUCHED = [
    "2*3*4", "5 * 3 * 2", "(2)*(3)*(4)", "2 *3* 4", "a_b_c", "snake_case and _private", "__init__", "__name__ == '__main__'",
    "file_name_v2.txt", "x = *p", "f(*args, **kwargs)", "`*args*` and `a_b`", "$x_1^2 * y_2$", "E=mc^2", "50% * 3 = 1.5",
    "<5 kg and >3 kg", ">3 kg", "a < b > c", "if a <b and c> d", "a <b> c", "x<y and z>w", "5 > 3", "<3", "->", "=>", "a <| b |> c",
    "#1", "#1 fan", "#5 and #6", "C#", "C++ and C#", "a #hashtag here", "@user", "~5 km", "1/2", "a|b|c", "|---|---|",
    "10:30 and 12:45", "rated 4* to 5* hotels", "**** **** **** 1234", "★★★★★ of five", "$$$ price", "- a list", "* a list", "1. a list",
    "f[0](x) and [1](2)", "\"https://example.com\" is printed on it", "m² and H₂O", "120㎡ and 3㎏", "25°C, or 77 ℉", "A → B ↔ C", "♂ and ♀",
    "✓ done", "① one", "Café", "naïve", "T-shirt — red", "it's 5'3\" tall", "Wait... what?", "他说……", "一只**红",
    "می‌خواهم", "क्‍ष", "ക്‍", "এক্‌টি", "ᠠ᠎ᠠ", "ลูกบอลสีแดง", "ลูก\u200bบอล", "؀١٢", "葛\U000e0100", "A caption: none.", "an answer: yes",
]  # fmt: skip
CHANGED = [
    ("这是**重点**内容", "这是重点内容"),
    ("*really* nice", "really nice"),
    ("(*really*) nice", "(really) nice"),
    ("***both*** of them", "both of them"),
    ("__very important__ thing", "very important thing"),
    ("a **5** b", "a 5 b"),
    ("**A**, **B** and **C**", "A, B and C"),
    ("H<sub>2</sub>O", "H₂O"),
    ("25 m<sup>2</sup>", "25 m²"),
    ("<b>A</b> ball", "A ball"),
    ('<p class="x">A ball</p>', "A ball"),
    ('<a href="http://x.y">ball</a> and <br/>x', "ball and x"),
    ("<!-- draft --> A ball", "A ball"),
    ("> A quote here", "A quote here"),
    ("## Title\ntext", "Title\ntext"),
    ("A ball\n----\nB", "A ball\nB"),
    ("![](a.png) A ball", "A ball"),
    ("![ball](a.png) rolls", "ball rolls"),
    ("See [this [ball](http://a.b)](http://c.d) here", "See this ball here"),
    ("详见https://x.y/z，这是红色的", "详见，这是红色的"),
    ("See https://x.y/z, which is red.", "See , which is red."),
    ("☀️ sun ©️", "sun ©"),
    ("👨‍👩‍👧 family", "family"),
    ("🇩🇪 flag", "flag"),
    ("soft\u00adhyphen, zero\u200bwidth, byte\ufefforder", "softhyphen, zerowidth, byteorder"),
    ("<think>hm</think>A ball", "A ball"),
    ("a\rb\x0bc", "a\nb\nc"),
    ("so on......", "so on..."),
    ("What?????", "What?"),
    ("A red ball<｜end▁of▁sentence｜>", "A red ball"),
    ("Caption: Description: x", "x"),
    ("Answer: 10:30", "10:30"),
    ("答案在图中。\n标题：日落", "答案在图中。\n标题：日落"),
    ("标题：日落", "日落"),
    ("**Answer**: 42 #1 fans", "42 #1 fans"),
]
FENCED = "Run this:\n```python\nfor x in y:\n    z = x *2* 3  # __a b__\n```"


@pytest.mark.parametrize("text", UNTOUCHED)
def test_characters_that_are_no_markup_stay(text: str) -> None:
    assert clean(text) == text
    assert clean(f"A ball, {text} and a box.") == unicodedata.normalize("NFC", f"A ball, {text} and a box.")


@pytest.mark.parametrize(("text", "wanted"), CHANGED)
def test_markup_goes(text: str, wanted: str) -> None:
    assert clean(text) == wanted


def test_code_blocks_keep_their_indentation() -> None:
    assert clean(FENCED) == FENCED
    assert clean(f"**A** ball.\n{FENCED}\n*the end*") == f"A ball.\n{FENCED}\nthe end"


PIECES = st.sampled_from(
    ["*", "**", "_", "__", "`", "```\n", "#", "# ", ">", "> ", "<", "<b>", "</b>", "<p>", "<br/>", "<sup>2</sup>", "[", "](", "a.b)", "!", "!!!!",
     "....", "----", "\n", "\r", " ", "  ", "Caption:", "描述：", "https://a.b", "<|im_end|>", "<think>", "</think>", "😀", "\u200d", "\ufe0f", "&", "=",
     "a", "b c", "5", "红", "क", "ا", ".", ",", "(", ")", '"', "|", "~", "★", "<!--", "-->", "\ufffd", "\x00", "a\u0301"]
)  # fmt: skip


@given(st.lists(PIECES | st.characters(), max_size=25).map("".join))
@settings(max_examples=1500, deadline=None)
def test_what_is_clean_stays_so(text: str) -> None:
    once = clean(text)
    assert clean(once) == once
    assert len(once) <= len(unicodedata.normalize("NFC", text))


PLAIN = st.from_regex(r"[A-Za-z0-9红猫éçñ]+(?:[-'/_*#+=<>|&%$@^~][A-Za-z0-9红猫]+)*[.,;!?]?", fullmatch=True)


@given(st.lists(PLAIN, min_size=1, max_size=12).map(" ".join))
@settings(max_examples=800, deadline=None)
def test_text_without_markup_is_unchanged(text: str) -> None:
    if not re.search(r"<[A-Za-z/]|[一-鿿]\*|(.)\1{3}", text):  # those may be tags, emphasis next to Chinese, runs
        assert clean(text) == text


def test_vowel_signs_count_with_their_letters() -> None:
    for text in ("एक लाल गेंद मेज पर है", "ลูกบอลสีแดงอยู่บนโต๊ะ", "می‌خواهم یک توپ"):
        assert letters_of(text) == len(text.replace(" ", ""))
    assert split_words("एक लाल गेंद") == ["एक", "लल", "गद"]
    assert len(split_words("ลูกบอลสีแดงอยู่บนโต๊ะ")) >= 5, "Thai has no blanks between words"
    assert split_words("红色的球 is 25 cm") == ["红", "色", "的", "球", "is", "25", "cm"]
