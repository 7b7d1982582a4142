from __future__ import annotations

import pytest

from mminf.answer.placeholder import is_placeholder, require_content
from mminf.errors import UnusableAnswer
from mminf.step.parse import parse_lines, parse_tag


@pytest.mark.parametrize(
    "text",
    [
        "...", "…", "[...]", "___", "xxx", "[your answer here]", "<the new response>", "(insert answer)", "the new prompt", "the description",
        "the five questions, one a line", "the question that you took", "your question here", "an instruction", "N/A", "TBD", "null", "Question 1",
        "option B", "在此填写问题", "你的回答", "无", "问题", "$QUESTION", "%s", "{0}", "a plausible wrong option", "distractor 2", "A/B/C/D", "[question]",
        "lorem ipsum dolor", "write your answer here", "to be determined", "a question about the image", "`<answer>`", "Sample question",
        "TBD.", "n/a!", "the new prompt goes here in the same format", "Option 3", "q 2", "Write the question here", "\"question\"",
    ],
)  # fmt: skip
def test_the_words_of_a_form_are_placeholders(text: str) -> None:
    assert is_placeholder(text)
    with pytest.raises(UnusableAnswer, match="placeholder"):
        require_content(text, "it")


@pytest.mark.parametrize(
    "text",
    [
        "What is this?", "Yes", "4", "A dog.", "The red one", "two lines", "Describe the image.", "Which word is in the image?", "The first option",
        "(A)", "$5", "Answer the question.", "Answer in one word.", "In response to the request", "X", "No", "text", "Write a caption", "What is the title?", "图中有几只猫？", "The answer to the riddle is time.", "[1] What is red?",
        "Is the answer correct?", "The answer is ten to 4", "The answer is ’é’", "answer", "Caption", '"title"', "[+/-]", "new", "In the box",
        "The question is the same as the one that you took", "Choose the answer", "a", "(B)", "[1]",
    ],
)  # fmt: skip
def test_contents_are_not(text: str) -> None:
    assert not is_placeholder(text)


def test_an_empty_text_is_no_content() -> None:
    for text in ("", " \n"):
        with pytest.raises(UnusableAnswer, match=r"\Athe caption is empty\Z"):
            require_content(text, "the caption")
    with pytest.raises(UnusableAnswer, match=r"\Athe caption is only a placeholder: '\[your caption\]'\Z"):
        require_content("[your caption]", "the caption")
    assert require_content(" A dog. ", "the caption") == " A dog. "


def test_tags_and_lists_refuse_them() -> None:
    with pytest.raises(UnusableAnswer, match="placeholder"):
        parse_tag("<prompt>the new prompt</prompt>", "prompt")
    with pytest.raises(UnusableAnswer, match="placeholder"):
        parse_lines("1. What is red?\n2. ...\n3. Why?")
    assert parse_tag("<think>a <prompt>draft</prompt></think><prompt>What is red?</prompt>", "prompt") == "What is red?"
