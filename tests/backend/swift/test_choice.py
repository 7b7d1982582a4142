from __future__ import annotations

import math

import pytest
from transformers import AutoTokenizer

from mminf.backend import find_model
from mminf.backend.swift.choice import find_decision

TOKENIZER = AutoTokenizer.from_pretrained(find_model("builtin:demo").folder)


def test_scores_hang_on_the_token_of_their_number() -> None:
    choices = [f"[[{n}]]" for n in range(1, 6)]
    found = find_decision(TOKENIZER, choices)
    assert found is not None
    assert TOKENIZER.decode(found.prefix) == "[["
    assert [TOKENIZER.decode(token) for token in found.tokens] == list("12345")
    assert [found.read(text) for text in ("1", " 5", "6", "[[1]]")] == ["[[1]]", "[[5]]", None, None]


@pytest.mark.parametrize(
    "choices",
    [
        ["[[1]]", "[[2]]", "[[10]]"],  # two of them go on with the token 1
        ["yes", "yes, but"],  # one begins with the other
        ["same", "same"],
        ["only"],
        [],
    ],
)
def test_what_one_token_does_not_tell_apart(choices: list[str]) -> None:
    assert find_decision(TOKENIZER, choices) is None


def test_chances_are_those_among_the_choices() -> None:
    found = find_decision(TOKENIZER, ["[[1]]", "[[2]]", "[[3]]"])
    assert found is not None
    likely = [{"token": "1", "logprob": math.log(0.1)}, {"token": "3", "logprob": math.log(0.3)}]
    noise = {"token": "the", "logprob": math.log(0.6)}
    drawn = {"token": "3", "logprob": math.log(0.3), "top_logprobs": [noise, *likely]}
    chances = found.chances([drawn])
    assert chances is not None
    assert [math.exp(chance) for chance in chances] == pytest.approx([0.25, 0, 0.75])
    assert found.chances([{"token": "the", "logprob": -0.1}]) is None
    assert found.chances([]) is None
