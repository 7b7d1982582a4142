from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mminf.reasoning import join_reasoning, split_reasoning

SPLIT = [
    ("A red ball.", "A red ball.", None),
    ("<think>\nWhat is red?\n</think>\n\nA ball.", "A ball.", "What is red?"),
    ("What is red?\n</think>\n\nA ball.", "A ball.", "What is red?"),  # the template has opened the tag
    ("<think>\n\n</think>\n\n4", "4", ""),
    ("</think>4", "4", ""),
    ("Let me see.<think>a</think>b", "b", "a"),
    ("<think>I write <think> here</think>b", "b", "I write <think> here"),
    ("<think>a</think>\n\n</think>\n\nb", "b", "a"),
    ("<think>a</think><answer>4</answer>", "4", "a"),
    ("<thinking>a</thinking>b", "b", "a"),
    ("<seed:think>a</seed:think>b", "b", "a"),
    ("<mm:think>a</mm:think>b", "b", "a"),
    ("[THINK]a[/THINK]b", "b", "a"),
    ("◁think▷a◁/think▷b", "b", "a"),
    ("<|START_THINKING|>a<|END_THINKING|><|START_RESPONSE|>b<|END_RESPONSE|>", "b", "a"),
    ("<|begin_of_thought|>a<|end_of_thought|><|begin_of_solution|>b<|end_of_solution|>", "b", "a"),
    ("<|channel>thought\na<channel|>b", "b", "a"),
    ("<|channel|>analysis<|message|>a<|end|><|start|>assistant<|channel|>final<|message|>b", "b", "a"),
    ("analysisThe user asks.assistantfinalb", "b", "The user asks."),
    ("Here is my thought process:\na\nHere is my response: b", "b", "a"),
    ("Okay, let me look at it. <think>a</think>b", "b", "a"),
    ("<unused94>thought\na<unused95>b", "b", "a"),
    ("<think>a</think><answer>4</answer> and more", "<answer>4</answer> and more", "a"),
    ("<think>a</think><answer>4</answer><answer>5</answer>", "<answer>4</answer><answer>5</answer>", "a"),
    ("The tag `</think>` closes a thought.", "The tag `</think>` closes a thought.", None),
    ("An <analysis> element of a report", "An <analysis> element of a report", None),
    ("<THINKING>a</THINKING>b", "b", "a"),
    ("<think>a</think>\n<think>\nc\n</think>b", "b", "a\n\nc"),
    ('<think>a</think>"A ball."', '"A ball."', "a"),
    ('<think>"A ball"? Yes.</think>b', "b", '"A ball"? Yes.'),
    ("I am sure now </think> A ball.", "A ball.", "I am sure now"),
    ("<think>a</think><answer>\n4 \n</answer>\n", "4", "a"),
    ("<think>a</think><ANSWER>4</ANSWER><|end|>", "4", "a"),
    ("<think>a</think>[BEGIN FINAL RESPONSE]4[END FINAL RESPONSE]", "4", "a"),
    ("<think>a</think><answer>4", "4", "a"),
    ("好的，<think>a</think>b", "b", "a"),
    ("<|im_start|>assistant\n<think>a</think>b", "b", "a"),
    ("A ball [THINKS] a cup < 3", "A ball [THINKS] a cup < 3", None),
    ("Here it is", "Here it is", None),
]


@pytest.mark.parametrize(("output", "text", "reasoning"), SPLIT, ids=range(len(SPLIT)))
def test_thought_and_answer_are_told_apart(output: str, text: str, reasoning: str | None) -> None:
    assert split_reasoning(output) == (text, reasoning, True)


@pytest.mark.parametrize(
    ("output", "reasoning"),
    [
        ("<think>and so on", "and so on"),
        ("[THINK]and so on", "and so on"),
        ("<|channel|>analysis<|message|>and so on", "and so on"),
        ("<think>a</think>\n<think>and so on", "a\n\nand so on"),
        ("The ball is red. <think>Or not?</think> It is blue.", None),
        ("a</think>b</think>c", None),
        ("Sure, the answer is 4. <think>Or not?</think> 5", None),
        ("The </think> tag closes a thought.", None),
    ],
)
def test_a_thought_that_is_not_closed_leaves_no_answer(output: str, reasoning: str | None) -> None:
    assert split_reasoning(output) == ("", output if reasoning is None else reasoning, False)


def test_tags_that_the_prompt_asks_for_are_content() -> None:
    output = "<reasoning>It is round.</reasoning> A ball."
    assert split_reasoning(output, lambda: "Write <reasoning>...</reasoning> first").text == output
    assert split_reasoning(output.upper(), lambda: "Write <reasoning>...</reasoning> first").text == output.upper()
    both = "<thinking>a</thinking><reasoning>It is round.</reasoning> A ball."
    parts = split_reasoning(both, lambda: "Write <reasoning>...</reasoning> first")
    assert parts == ("<reasoning>It is round.</reasoning> A ball.", "a", True)
    wrapped = "<think>a</think><answer>4</answer>"
    assert split_reasoning(wrapped, lambda: "Answer in <answer> tags").text == "<answer>4</answer>"
    assert split_reasoning("<think>a</think>b", lambda: "Use <think> tags").text == "b", "a thought is never the answer"


def test_the_prompt_is_only_rendered_for_outputs_with_tags() -> None:
    def prompt() -> str:
        raise AssertionError("not needed")

    assert split_reasoning("<think>a</think>b", prompt) == ("b", "a", True)
    assert split_reasoning("A ball.", prompt) == ("A ball.", None, True)


def test_an_answer_without_reasoning_is_joined_to_itself() -> None:
    assert join_reasoning("A ball.", None) == "A ball."
    assert join_reasoning("A ball.", "It is round.") == "<think>\nIt is round.\n</think>\n\nA ball."


PLAIN = st.text(st.characters(blacklist_characters="<>[]|`\"'◁▷", blacklist_categories=("Cs",)), max_size=80).filter(
    lambda text: not any(marker in text.lower() for marker in ("assistantfinal", "my response:", "my thought process:"))
)
"""Texts without a marker, also without one that consists of words."""


@given(PLAIN, PLAIN.filter(lambda text: text.strip()))
def test_what_is_joined_is_split_again(thought: str, answer: str) -> None:
    parts = split_reasoning(join_reasoning(answer.lstrip(), thought.strip()))
    assert (parts.text, parts.reasoning, parts.complete) == (answer.lstrip(), thought.strip(), True)


@given(st.text(max_size=200))
def test_any_output_is_split_without_an_error(output: str) -> None:
    parts = split_reasoning(output)
    assert parts.complete or not parts.text
    assert not parts.text or parts.text in output
