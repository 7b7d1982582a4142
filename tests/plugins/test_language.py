"""`language`: the language of a text, and texts in another language than their request."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mminf_plugins.chains.language import Language
from pydantic import ValidationError

from mminf.language import find_language, find_not_in, find_other_language
from mminf.step import Drop
from mminf.testing import make_step, run_step

from .test_filters import labelled

ENGLISH = "How many cats are in the picture?"
CHINESE = "请描述这张图片。"
OTHERS = [
    (ENGLISH, "图中有两只猫坐在沙发上。"),
    (ENGLISH, "Hay dos gatos en la imagen, uno de ellos es negro."),
    (ENGLISH, "Un petit chat rouge est assis sur le canapé."),
    (ENGLISH, "Eine kleine rote Katze sitzt auf dem Sofa und schläft."),
    (ENGLISH, "Uma mulher está sentada na praia com um cachorro."),
    (ENGLISH, "Una donna è seduta sulla spiaggia con il suo cane."),
    (ENGLISH, "Een vrouw zit op het strand met een hond."),
    (ENGLISH, "На картинке две кошки, одна из них чёрная."),
    (ENGLISH, "写真には猫が二匹いて、ソファの上で寝ています。"),
    (ENGLISH, "There are two cats on the sofa. 图中的猫是红色的，它们坐在一张大沙发上，旁边有一盏灯。"),
    ("Describe this image.", "Un petit chat rouge est assis sur le canapé."),
    (CHINESE, "A small red cat sits on the sofa."),
    (CHINESE, "写真には猫が二匹いて、ソファの上で寝ています。"),
    ("Wie viele Katzen sind auf dem Bild zu sehen?", "There are two cats on the sofa in the picture."),
]
SAME = [
    (ENGLISH, "There are two cats on the sofa, and a dog in the garden."),
    (ENGLISH, "Two."),
    ("What does the sign say?", "停车"),
    ("What does the sign say?", 'The sign says "禁止停车，违者罚款五十元人民币".'),
    ("What is it?", "Le Monde"),
    ("Who painted it?", "Leonardo da Vinci painted La Gioconda in Florence."),
    ("What is the name of the dish?", "Pho bo, banh mi, bun cha"),
    ("Solve $x^2=4$ for x.", r"\[x = 2\] or \[x = -2\]"),
    ("图中写着什么？", "STOP"),
    ("图中写着什么？", "上面写着“STOP”，是一个停车标志。"),
    (CHINESE, "这张图片显示了一台 iPhone 15 Pro Max，屏幕上是 Google 的搜索页面。"),
    ("写一个函数。", "```python\ndef f(x): return x in y and not z\n```\n这个函数返回结果。"),
    ("写一个函数。", "```python\ndef f(x): return x in y and not z"),
    ("日本の首都はどこですか？", "東京です。"),
    ("日本の首都はどこですか？", "東京"),
    ("Wie viele Katzen sind auf dem Bild zu sehen?", "Auf dem Bild sind zwei Katzen zu sehen, die auf einem Sofa liegen."),
    ("¿Cuántos gatos hay en la imagen?", "Hay dos gatos en la imagen, uno de ellos es negro."),
    ("Сколько кошек на картинке?", "На картинке две кошки, одна из них чёрная."),
    ("2+2=?", "图中没有任何东西，所以答案是四。"),
    ("Translate it into French: The cat is red.", "Le chat est rouge et il est sur le canapé."),
    ("用英语描述这张图片。", "A small red cat sits on the sofa."),
]  # fmt: skip


@pytest.mark.parametrize(("request_text", "answer"), OTHERS)
def test_a_text_in_another_language_is_dropped(request_text: str, answer: str) -> None:
    found = run_step(Language, {"reads": "a", "same_as": "q"}, {"a": answer, "q": request_text})
    assert isinstance(found, Drop)
    assert found.reason.startswith(("a is in another language (", "a is in another script ("))


@pytest.mark.parametrize(("request_text", "answer"), SAME)
def test_other_texts_are_kept(request_text: str, answer: str) -> None:
    assert run_step(Language, {"reads": "a", "same_as": "q"}, {"a": answer, "q": request_text}) == {}


def test_each_text_of_a_list_is_compared() -> None:
    fields = {"a": ["Two cats.", "图中有两只猫坐在沙发上。"], "q": ENGLISH}
    assert isinstance(run_step(Language, {"reads": "a", "same_as": "q"}, fields), Drop)


@pytest.mark.parametrize(
    ("text", "code"),
    [
        (ENGLISH, "en"), (CHINESE, "zh"), ("写一首诗", "zh"), ("日本の首都はどこですか？", "ja"), ("한국의 수도는 어디입니까?", "ko"),
        ("Erstelle eine Liste der größten Städte in Europa.", "de"), ("Quelle est la capitale de la France ?", "fr"),
        ("¿Cuál es la capital de España?", "es"), ("Напиши стихотворение о море.", "ru"), ("Море", "und-Cyrl"), ("Write a haiku about autumn.", "en"), ("Die Hard trailer", "und-Latn"),
        ("", "und"), ("2+2=?", "und"), (None, "und"),
    ],
)  # fmt: skip
def test_the_language_is_written(text: str | None, code: str) -> None:
    assert run_step(Language, {"reads": "a", "writes": "language"}, {"a": text}) == {"language": code}


def test_the_step_compares_writes_or_does_both() -> None:
    fields = {"a": "There are two cats on the sofa.", "q": ENGLISH}
    assert run_step(Language, {"reads": "a", "same_as": "q", "writes": "code"}, fields) == {"code": "en"}
    assert make_step(Language, {"reads": "a", "same_as": "q"}).reads == {"a", "q"}
    assert not make_step(Language, {"reads": "a", "writes": "code"}).gate
    for config, message in (
        ({}, "give `same_as`, `expected` or `writes`"),
        ({"same_as": "q", "expected": "en"}, "give either `same_as` or `expected`"),
        ({"expected": "english"}, "'english' is not one of af, "),
    ):
        with pytest.raises(ValidationError, match=message):
            make_step(Language, {"reads": "a", **config})


TEXTS = {
    "en": "The cat is on the mat with a hat, and it sleeps.",
    "de": "Die Katze ist auf dem Sofa und der Hund liegt nicht davor.",
    "fr": "Le chat est sur le tapis avec une balle dans la maison.",
    "es": "El gato está en la mesa y hay una pelota con los niños.",
    "it": "Il gatto è sul tavolo con una palla e non si muove.",
    "pt": "O gato está em cima da mesa com uma bola e não se mexe.",
    "nl": "De kat is op het tapijt met een bal en het is niet groot.",
    "pl": "Kot leży na dywanie, a obok niego stoi mała piłka.",
    "tr": "Kedi halının üzerinde yatıyor ve yanında bir top var.",
    "vi": "Con mèo đang nằm trên tấm thảm và ngủ rất ngon.",
    "zh": "这张图片里有一只猫在垫子上睡觉。",
    "ja": "猫がマットの上で寝ています。",
    "ko": "고양이가 매트 위에서 편안하게 자고 있습니다.",
    "ru": "Рыжая кошка спит на большом коврике рядом с окном.",
    "el": "Η γάτα κοιμάται στο χαλί δίπλα στο παράθυρο.",
    "ar": "القطة نائمة على السجادة بجانب النافذة.",
    "hi": "बिल्ली चटाई पर सो रही है।",
    "th": "แมวนอนอยู่บนเสื่อ",
}


@pytest.mark.parametrize("expected", TEXTS)
def test_only_texts_in_the_expected_language_are_kept(expected: str) -> None:
    kept = {
        code
        for code, text in TEXTS.items()
        if run_step(Language, {"reads": "a", "expected": expected}, {"a": text}) == {}
    }
    assert kept == {expected}
    kept = {
        code
        for code, text in TEXTS.items()
        if run_step(Language, {"reads": "a", "same_as": "q"}, {"a": text, "q": TEXTS[expected]}) == {}
    }
    assert (
        expected in kept and len(kept) <= 2
    )  # the script of short texts is not compared: "猫がマットの上で寝ています。"


@pytest.mark.parametrize(
    "text",
    [
        "Two.",
        "B",
        "42",
        "3.5 kg",
        "Leonardo da Vinci",
        "Toyota Corolla, Honda Civic, Ford Fiesta",
        "Kødbyen",
        "x = y + 2",
        "停车",
        "Pho bo, banh mi, bun cha",
        "",
    ],
)
@pytest.mark.parametrize("expected", ["en", "zh", "fr"])
def test_names_and_numbers_are_in_any_language(text: str, expected: str) -> None:
    assert run_step(Language, {"reads": "a", "expected": expected}, {"a": text}) == {}


def test_lines_of_our_own_prompts_are_not_in_a_wrong_language() -> None:
    lines = [
        line
        for path in sorted((Path(__file__).parents[2] / "templates").rglob("*.txt"))
        for line in path.read_text("utf-8").splitlines()
        if line.strip()
    ]
    chinese = [line for line in lines if any("\u4e00" <= char <= "\u9fff" for char in line)]
    assert len(lines) > 200 and len(chinese) > 10
    assert [line for line in lines if line not in chinese and find_not_in(line, "en")] == []
    assert [line for line in chinese if find_not_in(line, "zh")] == []


@pytest.mark.parametrize("name", ["leaks", "no_leaks", "refusals", "no_refusals"])
def test_no_labelled_sentence_is_in_a_wrong_language(name: str) -> None:
    for text in labelled(name):
        request_text = CHINESE if any("\u4e00" <= char <= "\u9fff" for char in text) else ENGLISH
        assert find_other_language(text, request_text) is None, text


@given(st.text(max_size=200), st.text(max_size=200))
@settings(max_examples=200, deadline=None)
def test_any_text_has_a_language(one: str, other: str) -> None:
    assert find_other_language(one, one) is None
    find_other_language(one, other)
    assert find_language(one)
