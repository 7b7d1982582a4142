"""The filters of texts: `no_leak`, `refusal`, `degenerate`. `labelled/` has sentences of both sides, one a line."""

from __future__ import annotations

import textwrap
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mminf_plugins.chains.degenerate import Degenerate, find_debris, is_echo, is_rehash
from mminf_plugins.chains.leaks import find_leak
from mminf_plugins.chains.refusals import find_refusal
from mminf_plugins.chains.repetition import find_repetition

import mminf
from mminf.journal import Journal
from mminf.language import find_other_script

from ..conftest import read_rows

Filter = Callable[..., tuple[list[str], dict[str, str]]]


def labelled(name: str) -> list[str]:
    return (Path(__file__).parent / "labelled" / f"{name}.txt").read_text(encoding="utf-8").splitlines()


@pytest.fixture
def run_filter(write_recipe: Callable[[str], Path], rows: Callable[..., Path], tmp_path: Path) -> Filter:
    """Runs steps over rows; returns the ids that are kept, and the reasons of those that are not."""

    def run(steps: str, *items: dict[str, object]) -> tuple[list[str], dict[str, str]]:
        rows(*items)
        recipe = write_recipe(
            "source: {jsonl: rows.jsonl}\nsteps:\n" + textwrap.indent(steps, "  ") + "\nsinks: [jsonl: out.jsonl]\n"
        )
        mminf.run(recipe, output=tmp_path / "out")
        with Journal(tmp_path / "out") as journal:
            dropped = {row.id: str(row.reason) for row in journal.outcomes.rows(0, states=("dropped",))}
        return [str(row["id"]) for row in read_rows(tmp_path / "out" / "out.jsonl")], dropped

    return run


@pytest.mark.parametrize("text", labelled("leaks"))
def test_talk_of_a_source_is_a_leak(text: str) -> None:
    assert find_leak(text)


@pytest.mark.parametrize("text", labelled("no_leaks"))
def test_text_in_the_image_is_no_leak(text: str) -> None:
    assert find_leak(text) is None


def test_a_leak_is_found_anywhere_in_a_text_and_in_any_dress() -> None:
    plain = "A red tram waits at the stop. Two people get on. The sky is grey."
    assert find_leak(plain) is None
    assert find_leak(f"{plain} The caption mentions a dog. {plain}")
    assert find_leak(f"{plain}\n\n- **According to the tags**, it rains.\n")
    assert find_leak("The **caption** mentions a dog.")
    assert find_leak("The caption’s dog is brown.")
    assert find_leak("according\nto the caption it is a dog")


def test_a_long_text_may_speak_of_itself() -> None:
    told = "As mentioned above, the tower is old."
    assert find_leak(told)
    assert find_leak(f"It is a tower. {told}")
    assert find_leak(f"It is a tower. It is of stone. It has a clock. {told}") is None
    assert find_leak(f"It is a tower. It is of stone. It has a clock. As described, {told}")


def test_only_the_kinds_of_sources_that_are_named_count() -> None:
    assert find_leak("The caption mentions a dog.", ["text", "hints"]) is None
    assert find_leak("The tags mention a dog.", ["text", "hints"])
    assert find_leak("As described, it is a dog.", ["hints"]) is None
    assert find_leak("As described, it is a dog.", ["unnamed"])
    assert find_leak("文中提到一只狗。", ["hints"]) is None


@pytest.mark.parametrize("text", labelled("refusals"))
def test_refusals_are_seen(text: str) -> None:
    found = find_refusal(text)
    assert found is not None
    assert not found.partial


@pytest.mark.parametrize("text", labelled("no_refusals"))
def test_what_only_sounds_like_a_refusal_is_an_answer(text: str) -> None:
    found = find_refusal(text)
    assert found is None or found.partial


@pytest.mark.parametrize(
    "text",
    [
        "I'm not able to identify the person, but the image shows a man in a blue coat.",
        "I can't identify the man, but he wears a red hat.",
        "I'm sorry, but I can't tell you who this is. The photo shows a woman at a lectern, in front of two flags.",
        "As an AI, I don't have personal preferences, but many people like the beach in the morning.",
        "抱歉，我无法识别这个人是谁，但图中是一位穿蓝色外套的男士。",
    ],
)
def test_an_answer_behind_a_caveat_is_partial(text: str) -> None:
    found = find_refusal(text)
    assert found is not None
    assert found.partial


LOOPS = {
    "letters": "a" * 30,
    "marks": "!" * 24,
    "characters": "哈" * 12,
    "syllables": "ha" * 20,
    "words": "no " * 10,
    "word in a text": "The man in the picture is very very very very very very very very very very very very very old.",
    "pair of words": "the ball " * 9,
    "phrase": "and then he went home " * 5,
    "question": "What is the colour of the car? " * 3,
    "sentence": "A cat sits on the mat. " * 8,
    "sentence at the end": "The image shows a cat. " + "It is very nice to look at. " * 9,
    "sentence without blanks": "图中有一只猫。" * 6,
    "phrase without blanks": "红色的球" * 10,
    "characters in a sentence": "是的" * 12,
    "lines": "The sky is blue today.\n" * 8,
    "numbered lines": "\n".join(f"{n}. The man is wearing a red hat." for n in range(1, 12)),
    "bullets": "\n".join(["- The man is wearing a red hat."] * 7),
    "lines with others between": "\n".join(f"The sky is blue and wide.\nLine {n}." for n in range(6)),
    "paragraphs": "The street is lined with old houses and small shops, and people walk along it under umbrellas. " * 4,
    "long passage": (" ".join(f"word{n}" for n in range(150)) + ". ") * 3,
    "numbers": "0 " * 300,
    "code": "```\n" + "x = x + 1\n" * 60 + "```",
    "table": "| yes | yes | yes |\n" * 60,
    "words of a known loop": "lol " * 20,
    "two sentences in turn": "It is red. It is not red. " * 10,
    "Japanese": "これは猫です。" * 8,
    "Korean": "고양이가 있습니다 " * 8,
    "list of one thing": "a red car, " * 9,
    "Hindi": "यह एक बिल्ली है। " * 8,
}
DEBRIS = {
    "nothing": "",
    "blanks": " \n ",
    "braces": "}}}}",
    "dots": "...",
    "Chinese stops": "。。。",
    "dashes": "- - - -",
    "bars": "|||||||",
    "quotes": '""',
    "fence": "```",
    "ends of sequences": "</s></s>",
    "end of a turn": "<|im_end|>",
    "answer and end of a turn": "A cat.<|im_end|>",
    "answer and end of a sequence": "A cat.</s>",
    "begin of a turn": "<|im_start|>assistant\nA cat.",
    "template": "[INST] What is it? [/INST]",
    "wide bars": "A cat.<｜end▁of▁sentence｜>",
    "bytes": "<0x0A><0x0A>",
    "unknown": "[UNK] [UNK]",
    "undefined": "undefined",
    "null": "null",
    "nan": "NaN",
    "object": "[object Object]",
    "replacement characters": "\ufffd\ufffd",
    "a broken character": "A cat \ufffd on a mat",
    "braces at the end": "A cat is here }}}}}}",
}
SOUND = {
    "number": "3",
    "letter": "B",
    "yes": "Yes.",
    "word": "Red",
    "sign": "+",
    "currency": "$",
    "Greek letter": "π",
    "none": "None",
    "not applicable": "N/A",
    "undefined result": "Undefined.",
    "million": "1000000",
    "long number": "10000000000000000000000000",
    "binary number": "101010101010101010101010",
    "pi": "3.1415926535897932384626433832795",
    "sentence": "A cat and a dog.",
    "laughter": "Hahaha, that is funny! 哈哈哈哈",
    "lengthened": "Loooooong cat is loooong",
    "emphasis": "No, no, no, no!",
    "very": "It is very, very, very old.",
    "chant": "Let it be, let it be, let it be, let it be.",
    "form": "Name: ______________________________\nDate: ______________________________",
    "contents": "Introduction ............................ 3\nMethods ................................. 7",
    "letters of options": "1. A\n2. C\n3. A\n4. B\n5. A\n6. A\n7. A\n8. A",
    "steps": "1. Open the box.\n2. Take out the cup.\n3. Close the box.\n4. Put the cup on the table.",
    "song": "Row, row, row your boat,\nGently down the stream.\nMerrily, merrily, merrily, merrily,\nLife is but a dream.",
    "refrain": "\n".join(
        f"{line}\nAnd the river runs on to the sea."
        for line in ("The mill wheel turns", "The boatman sings a song", "The evening falls on town and field")
    ),
    "table": "| a | b | c |\n|---|---|---|\n" + "| yes | yes | yes |\n" * 8,
    "wide table": "name\tvalue\tunit\n" + "none\tnone\tnone\n" * 6,
    "code": "```python\n" + "print('x')\n" * 8 + "```",
    "zeros": "[0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]",
    "brackets": "f(g(h(k(m(x)))))",
    "nested braces": 'Use {"a": {"b": {"c": {"d": 1}}}}',
    "a token in code": "The token `<|im_end|>` ends a turn.",
    "a token at the end in quotes": 'The turn ends with "<|im_end|>".',
    "a token in a question": "What does <|im_end|> mean?",
    "a token that is explained": "<|im_end|> is the token that ends a turn.",
    "the replacement character in quotes": "The character '\ufffd' replaces bytes that can't be read.",
    "figures in order": "1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12",
    "bars of a chart": " ".join(f"The bar for {year} is at {year - 1990}." for year in range(2000, 2012)),
    "people": "The man on the left wears a red hat. The man in the middle wears a blue hat. "
    "The man on the right wears a green hat. The woman wears a white hat.",
    "anaphora": "I have a dream that one day this nation will rise. I have a dream that one day on the hills of Georgia "
    "they will sit down together. I have a dream that my four children will live there. I have a dream today.",
    "opening hours": "\n".join(f"{day}: closed" for day in ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday")),
    "seats": "Row A: seat 1, seat 2, seat 3, seat 4, seat 5, seat 6, seat 7, seat 8",
    "dialogue": "Q: What is it?\nA: A cat.\nQ: What is it doing?\nA: It sleeps.\nQ: What is it?\nA: A dog.",
    "address": "https://example.com/aaaaaaaaaaaa",
    "Chinese": "红红的苹果，圆圆的脸，一只猫和一只狗。",
    "sign of a shop": "SALE SALE SALE",
}


@pytest.mark.parametrize("text", LOOPS.values(), ids=LOOPS.keys())
def test_endless_repetition_is_seen(text: str) -> None:
    assert find_repetition(text)


@pytest.mark.parametrize("text", DEBRIS.values(), ids=DEBRIS.keys())
def test_debris_is_seen(text: str) -> None:
    assert find_debris(text)


@pytest.mark.parametrize("text", SOUND.values(), ids=SOUND.keys())
def test_sound_texts_are_neither(text: str) -> None:
    assert find_debris(text) is None
    assert find_repetition(text) is None


QUESTION = "What is the man on the left holding?"


@pytest.mark.parametrize(
    ("request_text", "answer", "echo"),
    [
        (QUESTION, QUESTION, True),
        (QUESTION, QUESTION.upper().rstrip("?"), True),
        (QUESTION, f"{QUESTION} {QUESTION}", True),
        (QUESTION, f"Question: {QUESTION}", True),
        (QUESTION, f"{QUESTION} A phone.", False),
        (QUESTION, "The man on the left is holding a phone.", False),
        ("Describe the image above in as much detail as you can.", "Describe the image in as much detail as you can.", True),
        ("Is the woman on the left wearing a red hat?", "The woman on the left is wearing a red hat.", False),
        ("How many red circles are there?", "There are three red circles.", False),
        ("What is 2+2?", "What is 2+2? 4", False),
        ("Which is bigger, A or B?", "B", False),
        ("Say hello.", "Hello.", False),
        ("Repeat after me: a red cat.", "A red cat.", False),
        ("Correct this: he go to school every day.", "He goes to school every day.", False),
        ("图中有几只猫？", "图中有几只猫", True),
        ("图中有几只猫？", "问题：图中有几只猫？", True),
        ("图中有几只猫？", "图中有三只猫。", False),
        ("Cat", "Cat", False),
    ],
)  # fmt: skip
def test_an_echo_adds_nothing(request_text: str, answer: str, echo: bool) -> None:
    assert is_echo(answer, request_text, 0.9) is echo


WORDS = st.sampled_from(
    [
        "cat",
        "dog",
        "tree",
        "house",
        "red",
        "blue",
        "small",
        "old",
        "sits",
        "stands",
        "near",
        "under",
        "behind",
        "and",
        "with",
        "a",
        "the",
    ]
)


@given(st.lists(WORDS, min_size=1, max_size=8).filter(lambda words: len(set(words)) > 1 or len(words) == 1))
@settings(max_examples=60, deadline=None)
def test_any_phrase_is_a_loop_if_it_comes_often_enough(words: list[str]) -> None:
    assert find_repetition(" ".join(words * 14))


@given(
    st.permutations(
        [f"{a} {b}" for a in ["red", "blue", "green", "white", "black"] for b in ["cat", "dog", "tree", "car", "boat"]]
    )
)
@settings(max_examples=60, deadline=None)
def test_lists_of_different_things_are_no_loops(things: list[str]) -> None:
    for text in (", ".join(things), "\n".join(f"{n}. A {thing}." for n, thing in enumerate(things, 1))):
        assert find_repetition(text) is None
        assert find_debris(text) is None
        assert find_refusal(text) is None
        assert find_leak(text) is None


@given(st.text(max_size=300))
@settings(max_examples=200, deadline=None)
def test_filters_read_any_text(text: str) -> None:
    find_leak(text), find_refusal(text), find_repetition(text), find_debris(text), is_echo(text, text, 0.9)


@given(st.sampled_from(labelled("refusals")[:40]), st.lists(WORDS, min_size=6, max_size=20))
@settings(max_examples=60, deadline=None)
def test_a_refusal_counts_only_at_the_beginning(refusal: str, words: list[str]) -> None:
    assert find_refusal(f"The image shows {' '.join(words)}. {refusal}") is None


def test_reasons_quote_a_part(run_filter: Filter) -> None:
    kept, dropped = run_filter(
        "- no_leak: {reads: text}\n- refusal: {reads: text}\n- degenerate: {reads: text, echo_of: question}",
        {"id": "fine", "text": "A red cat.", "question": QUESTION},
        {"id": "leak", "text": "Based on the tags, it is a cat.", "question": QUESTION},
        {"id": "refusal", "text": "I'm sorry, but I can't assist with that. " + "Please ask something else. " * 9, "question": QUESTION},
        {"id": "loop", "text": "What a very long sentence this is that comes again and again and again. " * 20, "question": QUESTION},
        {"id": "echo", "text": QUESTION, "question": QUESTION},
        {"id": "debris", "text": "}}}}", "question": QUESTION},
        {"id": "none", "text": None, "question": QUESTION},
    )  # fmt: skip
    assert kept == ["fine"]
    assert dropped["leak"] == "text refers to its source: 'the tags'"
    assert dropped["refusal"] == "text refuses: \"I'm sorry, but I can't assist with that.\""
    assert dropped["loop"].startswith("text repeats 'what a very long sentence")
    assert dropped["echo"] == f"text repeats question: {QUESTION!r}"
    assert dropped["debris"] == "text has no words: '}}}}'"
    assert dropped["none"] == "text is empty"
    assert all(len(reason) < 100 for reason in dropped.values())


def test_partial_refusals_are_kept_unless_told(run_filter: Filter) -> None:
    row = {"id": "x", "text": "I can't identify the man, but he wears a red hat."}
    assert run_filter("- refusal: {reads: text}", row)[0] == ["x"]
    assert run_filter("- refusal: {reads: text, partial: drop}", row)[0] == []


def test_filters_work_on_items(run_filter: Filter, tmp_path: Path) -> None:
    steps = (
        "- refusal: {for_each: {field: turns, empty: keep}, reads: response}\n"
        "- degenerate: {for_each: {field: turns, dropped: bad}, reads: response, echo_of: instruction}"
    )
    turns = [
        {"instruction": "Who is it?", "response": "I cannot identify people."},
        {"instruction": "What is red?", "response": "What is red?"},
        {"instruction": "What is blue?", "response": "The sky."},
    ]
    kept, _ = run_filter(steps, {"id": "x", "turns": turns})
    (row,) = read_rows(tmp_path / "out" / "out.jsonl")
    assert kept == ["x"]
    assert row["turns"] == turns[2:]
    assert row["bad"] == [{**turns[1], "reason": "response repeats instruction: 'What is red?'"}]


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("You are a helpful assistant.", False),
        ("You are Qwen, created by Alibaba Cloud. You are a helpful assistant. What can you do?", False),
        ("You talk like a pirate.", False),
        ("Are you a helpful assistant?", True),
        ("What makes a helpful assistant?", True),
        ("You are a helpful assistant that writes poems. Write one about cats.", True),
    ],
)
def test_system_prompts_are_no_instructions(run_filter: Filter, text: str, kept: bool) -> None:
    steps = "- degenerate: {reads: text, system: [You talk like a pirate.]}"
    assert (run_filter(steps, {"id": "x", "text": text})[0] == ["x"]) is kept


def test_what_an_echo_is_compared_with_is_read() -> None:
    step = Degenerate(Degenerate.Config(reads=["a"], echo_of=["b"]), ())  # type: ignore[arg-type, call-arg]
    assert step.reads == {"a", "b"}


EN = "Describe everything that is in this picture."


@pytest.mark.parametrize(
    ("text", "other"),
    [
        ("一只红色的猫坐在沙发上，旁边有一个蓝色的球。", EN),
        ("A red cat sits on the sofa 旁边有一个蓝色的球，整体氛围温馨而宁静。", EN),
        ("Кошка сидит на диване рядом с мячом.", EN),
        ("ネコがソファに座っています。とても可愛いです。", EN),
        ("고양이가 소파에 앉아 있습니다 옆에 파란 공이 있어요", EN),
        ("A red cat sits next to a blue ball.", "一只猫和一个球"),
    ],
)
def test_another_script_is_found(text: str, other: str) -> None:
    assert "is in another script" in str(find_other_script(text, other))


@pytest.mark.parametrize(
    ("text", "other"),
    [
        ("A red cat sits on the sofa.", EN),
        ("Eine Katze sitzt auf dem Sofa, neben ihr ein Ball.", EN),
        ('The sign above the door of the shop says "北京饭店欢迎您来到这里，祝您用餐愉快".', EN),
        ("The temple of Heaven (天坛) stands in a park in the south of Beijing.", EN),
        ("北京饭店", EN),
        ("12 + 30 = 42", EN),
        ("你好，很高兴见到你，今天天气很好，我们去公园吧。", "Translate into Chinese: hello"),
        ("红楼梦是清代作家曹雪芹创作的章回体长篇小说，又名石头记。", "Who wrote 红楼梦?"),
        ("推荐的库有 NumPy、Pandas、Matplotlib 和 Seaborn，它们都很常用。", "推荐几个库"),
        (
            "```python\ndef add(first, second):\n    return first + second\n```\n这个函数返回两数之和。",
            "写一个求和函数",
        ),
        ("一只红色的猫坐在沙发上，旁边有一个蓝色的球。", "一只猫"),
        ("一只红色的猫坐在沙发上，旁边有一个蓝色的球。", ""),
        ("", EN),
    ],
)
def test_names_quotes_and_translations_may_have_another_script(text: str, other: str) -> None:
    assert find_other_script(text, other) is None


def test_texts_in_another_script_are_dropped(run_filter: Filter) -> None:
    steps = "- language: {reads: [caption, text], same_as: request}\n"
    row = {"caption": "A cat.", "request": EN}
    found = run_filter(
        steps,
        {"id": "good", "text": "A red cat sits on the sofa.", **row},
        {"id": "bad", "text": "一只红色的猫坐在沙发上，旁边有一个蓝色的球。", **row},
    )
    assert found == (
        ["good"],
        {"bad": "text is in another script (han) than the latin: '一只红色的猫坐在沙发上，旁边有一个蓝色的球。'"},
    )


SEED = "A brown dog runs on the beach."


@pytest.mark.parametrize(
    "text",
    [
        " ".join(f"A {word} brown dog runs on the beach." for word in ["big", "small", "wet", "happy", "young", "old"]),
        " ".join(
            f"{start} a brown dog runs on the beach." for start in ("Here", "There", "Now", "Again", "Also", "Then")
        ),
    ],
)
def test_a_text_that_only_says_its_seed_again_is_an_echo(text: str) -> None:
    assert is_rehash(text, SEED)


@pytest.mark.parametrize(
    ("text", "request_"),
    [
        ("A brown dog with a white chest runs along the wet sand of a beach. Its ears are folded back by the wind, and its "
         "tail is raised. Small waves break on the left, and a wooden pier leads into the water behind it.", SEED),
        ("The cup on the table is red.", "Is the cup on the table red?"),
        ("A brown dog runs. " * 3, SEED),
        ("The sum of the numbers one, two and three is six, because one and two are three, and three and three are six.",
         "What is the sum of the numbers one, two and three, and what is the sum of three and three?"),
        ("some words " * 30, ""),
    ],
)  # fmt: skip
def test_a_text_that_says_more_is_not(text: str, request_: str) -> None:
    assert not is_rehash(text, request_)
