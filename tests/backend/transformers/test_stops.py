"""Stop words of the transformers backend end the rows that ms-swift's criteria would end."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from swift.template.utils import StopWordsCriteria
from transformers import AutoTokenizer

from mminf.backend.builtin import find_model
from mminf.backend.transformers.stops import StopTexts

WORDS: list[list[str | list[int]]] = [["<|im_end|>", "the"], [[40, 41], "e."], ["a red"], []]


@pytest.fixture(scope="module")
def tokenizer() -> Any:
    return AutoTokenizer.from_pretrained(find_model("builtin:demo").folder)


@settings(max_examples=60, deadline=None)
@given(st.data(), st.sampled_from(WORDS))
def test_rows_end_where_ms_swift_ends_them(tokenizer: Any, data: Any, words: list[str | list[int]]) -> None:
    rows, prompt, length = data.draw(st.integers(1, 5)), data.draw(st.integers(1, 4)), data.draw(st.integers(1, 30))
    texts = ["the cup is red.", "a red ball. the end", "<|im_end|>", "one two the three", "x"]
    ids = []
    for _ in range(rows):
        words_of_row = tokenizer.encode(data.draw(st.sampled_from(texts)) + " and a red the e. <|im_end|>" * 3)
        noise = data.draw(st.lists(st.integers(0, 980), min_size=prompt + length, max_size=prompt + length))
        ids.append((noise[: prompt + data.draw(st.integers(0, 5))] + words_of_row + noise)[: prompt + length])
    whole = torch.tensor(ids)
    ours, theirs = StopTexts(tokenizer, words), StopWordsCriteria(tokenizer, words)
    for end in range(prompt + 1, prompt + length + 1):
        found = ours(whole[:, :end], torch.empty(0))
        assert found.tolist() == theirs(whole[:, :end], torch.empty(0)).tolist()
