"""Ends rows at stop words, as ms-swift's `StopWordsCriteria` does, with one copy from the device per token.

ms-swift asks the device for every row and token whether the row is done: on a GPU that takes longer than the model.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import torch
from swift.template.utils import StopWordsCriteria
from transformers import StoppingCriteria, StoppingCriteriaList

if TYPE_CHECKING:
    from swift.template import Template
    from transformers import PreTrainedTokenizerBase

_WINDOW = 20  # tokens; the end of a text in which a stop word is looked for, as in ms-swift


class StopTexts(StoppingCriteria):  # type: ignore[misc]
    """Ends a row when its text contains a stop word.

    Args:
        words: texts, or token ids.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerBase, words: Sequence[str | list[int]]) -> None:
        self._tokenizer = tokenizer
        self._texts = [word for word in words if isinstance(word, str)]
        self._ids = [word for word in words if isinstance(word, list)]
        self._start: int | None = None
        self._done: list[bool] = []

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor, **_: Any) -> torch.Tensor:
        if self._start is None:
            self._start = input_ids.shape[1] - 1
            self._done = [False] * len(input_ids)
        ends = input_ids[:, max(self._start, input_ids.shape[1] - _WINDOW) :].tolist()
        going = [row for row, done in enumerate(self._done) if not done]
        texts = [""] * len(going)
        if self._texts and going:
            texts = self._tokenizer.batch_decode([ends[row] for row in going])
        for row, text in zip(going, texts, strict=True):
            self._done[row] = any(word in text for word in self._texts) or any(
                ends[row][-len(word) :] == word for word in self._ids
            )
        return torch.tensor(self._done, device=input_ids.device)


def install_stops(template: Template) -> None:
    """Makes a template end its rows with `StopTexts`."""
    prepare: Callable[..., dict[str, Any]] = template.prepare_generate_kwargs

    def prepare_generate_kwargs(generate_kwargs: dict[str, Any], **more: Any) -> dict[str, Any]:
        made = prepare(generate_kwargs, **more)
        found = made.get("stopping_criteria") or ()
        made["stopping_criteria"] = StoppingCriteriaList(
            StopTexts(one.tokenizer, one.stop_words) if type(one) is StopWordsCriteria else one for one in found
        )
        return made

    template.prepare_generate_kwargs = prepare_generate_kwargs
