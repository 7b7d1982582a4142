"""`extract: {plain_text: FIELD}`: an answer that consists of the requested text alone."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from mminf.errors import UnusableAnswer
from mminf.step.extract import Extraction
from mminf.step.parse import parse_plain_text, parse_regex, require_contents

from ..fuzz import fuzz

REGEX = r"\A(?!\s*(?i:here (?:are|is)|sure|certainly)\b[^\n]*:\s*\n)(?P<thought>(?:(?!</?think>).)+)\Z"
"""The pattern that recipes/thinking.yaml had in place of `plain_text`."""


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("The cup is red.", "The cup is red."),
        ("  The cup\n\nis red. \n", "The cup\n\nis red."),
        ("Wait: let me look again.\nIt is red.", "Wait: let me look again.\nIt is red."),
        ("Sure, the cup is red.\nSo:\n1. red", "Sure, the cup is red.\nSo:\n1. red"),
        ("Surely not:\nit is red", "Surely not:\nit is red"),
        ("Here is what I see: a cup.", "Here is what I see: a cup."),
        ("Here are the thoughts:", "Here are the thoughts:"),
        ("<think>So.</think>The cup is red.", "The cup is red."),
        ("The cup is red.<|im_end|>", "The cup is red."),
        ("I <b>think</b> so.", "I <b>think</b> so."),
        ("The sign says `<thinking>`.", "The sign says `<thinking>`."),
        ("这个杯子是红色的。", "这个杯子是红色的。"),
    ],
)
def test_the_text_alone_is_taken(text: str, found: str) -> None:
    assert parse_plain_text(text, "thought") == found
    assert Extraction(plain_text="thought").apply(text, "unused") == {"thought": found}


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("**Rewritten Thoughts:**\n\nThe cup is red.", "The cup is red."),
        ("**Rewritten Thoughts**:\nThe cup is red.", "The cup is red."),
        ("## Rewritten thoughts\nThe cup is red.", "The cup is red."),
        ("### **Final Answer**\r\n\r\nThe cup is red.", "The cup is red."),
        ("Changed thoughts:\nThe cup is red.", "The cup is red."),
        ("改写后的思考：\n杯子是红色的。", "杯子是红色的。"),
        ("[Begin of Thoughts]\nThe cup is red.\n[End of Thoughts]", "The cup is red."),
        ("Thoughts:\n[Begin of Thoughts]\nThe cup is red.\n[End of Thoughts]\n", "The cup is red."),
        ("[begin of thoughts]\n**Thoughts:**\nThe cup is red.\n[end of thoughts]", "The cup is red."),
        ("The cup is red.\n[End of Thoughts]", "The cup is red.\n[End of Thoughts]"),
        ("[Begin of Thoughts]\nThe cup is red.", "[Begin of Thoughts]\nThe cup is red."),
        ("[Begin of A]\nThe cup is red.\n[End of B]", "[Begin of A]\nThe cup is red.\n[End of B]"),
        ("**The Cup**\nIt is red.", "**The Cup**\nIt is red."),
        ("## Step 1\nI look at the cup.", "## Step 1\nI look at the cup."),
        ("So the answer:\nfour", "So the answer:\nfour"),
        ("Final answer: 4\nIt is red.", "Final answer: 4\nIt is red."),
        ("Answer Key\nThe cup is red.", "Answer Key\nThe cup is red."),
        ("The cup is red.\n**Thoughts:**\nIt is.", "The cup is red.\n**Thoughts:**\nIt is."),
    ],
)
def test_a_heading_that_only_names_the_text_is_removed(text: str, found: str) -> None:
    assert parse_plain_text(text, "thought") == found


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "thought is empty"),
        (" \n ", "thought is empty"),
        ("...", "only a placeholder"),
        ("**Thoughts:**", "thought is empty"),
        ("[Begin of Thoughts]\n[End of Thoughts]", "thought is empty"),
        ("## Thoughts\n...", "only a placeholder"),
        ("Here are the changed thoughts:\n\nThe cup is red.", "begins with an introduction: 'Here are the changed thoughts:'"),
        ("here is the text :  \nThe cup", "begins with an introduction"),
        ("SURE! The thoughts:\nThe cup", "begins with an introduction"),
        ("Certainly, as you wish:\r\nThe cup", "begins with an introduction"),
        ("The cup is red, <think> I said.", "cut off in its reasoning"),
        ("It says `<think>` on it.", "contains <think>"),
        ("It says `</think>` on it.", "contains </think>"),
        ("<think>The cup is red.", "cut off in its reasoning"),
    ],
)  # fmt: skip
def test_anything_else_is_retried(text: str, problem: str) -> None:
    with pytest.raises(UnusableAnswer, match=problem):
        parse_plain_text(text, "thought")


PIECES = ["here is", "Here are", "SURE", "certainly", "sure", "ly", " ", "\n", ":", ".", "`", "<think>", "</think>", "a cup", "…",
          "\u00a0", "\r\n", "<|im_end|>", "the prompt", "杯"]  # fmt: skip


@fuzz(500)
@given(st.lists(st.sampled_from(PIECES), max_size=8).map("".join))
def test_it_decides_as_the_pattern_did(text: str) -> None:
    try:
        expected = require_contents(parse_regex(text, REGEX), "thought")
    except UnusableAnswer:
        expected = None
    try:
        found = {"thought": parse_plain_text(text, "thought")}
    except UnusableAnswer:
        found = None
    assert found == expected


def test_it_is_one_of_the_ways_to_extract() -> None:
    assert Extraction(plain_text="x").fields("unused") == {"x"}
    with pytest.raises(ValidationError, match="exactly one of regex, tags, keys, lines, plain_text"):
        Extraction(plain_text="x", lines="y")


def dense(text: str) -> str:
    found = Extraction(plain_text="caption", words=(3, 6), paragraph=True).apply(text, "unused")["caption"]
    return str(found)


@pytest.mark.parametrize(
    "text", ["A red cup.", "A red cup on a table.", "一个红色杯子", "A cup -\u00a0red.", "It is red: 1. no"]
)
def test_one_paragraph_of_some_words_is_taken(text: str) -> None:
    assert dense(f" {text}\n") == text


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("A cup.", "caption has 2 words, not 3 to 6"),
        ("A red cup on a brown table.", "caption has 7 words, not 3 to 6"),
        ("一个红色杯子在桌上", "caption has 9 words"),
        ("A red cup.\n\nA table.", "caption has several paragraphs"),
        ("A red cup.\nA table.", "caption has several paragraphs"),
        ("- red cup\n- brown table", "caption is a list"),
        ("1. A red cup.", "caption is a list item or a heading"),
        ("# A red cup", "caption is a list item or a heading"),
        ("# Cup\nA red cup.", "caption is a list"),
    ],
)
def test_other_texts_are_refused(text: str, reason: str) -> None:
    with pytest.raises(UnusableAnswer, match=reason):
        dense(text)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"lines": "a", "words": (1, 2)}, "need `plain_text`"),
        ({"lines": "a", "paragraph": True}, "need `plain_text`"),
        ({"plain_text": "a", "spanning": True}, "needs `lines`"),
        ({"plain_text": "a", "words": (3, 2)}, r"words \[3, 2\] is not \[minimum, maximum\]"),
    ],
)
def test_settings_without_their_kind_of_extraction_are_refused(settings: dict[str, object], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        Extraction.model_validate(settings)
