"""Converts mminf's requests to ms-swift's, and encodes their prompts."""

from __future__ import annotations

import copy
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, TypedDict

from mminf.backend.swift.adopt import open_view
from mminf.backend.swift.choice import WANTED, Decision
from mminf.backend.swift.config import SwiftConfig
from mminf.backend.swift.fit import KEEP_SIZE
from mminf.backend.swift.vocabulary import Vocabulary
from mminf.image import View
from mminf.request import Request, explicit_sampling

if TYPE_CHECKING:
    import torch
    from swift.infer_engine import InferRequest, RequestConfig
    from swift.template import Template

MARK = "mminf"
"""Key of `chat_template_kwargs` for values that ms-swift's requests have no field for."""


class Mark(TypedDict, total=False):
    """The value of `MARK`.

    Attributes:
        open_turn: the turn that the prompt leaves open.
        seed: the seed of the request.
        prefix: token ids that are appended to the prompt.
        encoded: the encoded prompt, if it has been encoded before; it is used once.
    """

    open_turn: str | None
    seed: int
    prefix: Sequence[int]
    encoded: dict[str, list[int] | torch.Tensor]


def make_request(
    request: Request, config: SwiftConfig, view: View, vocabulary: Vocabulary, decision: Decision | None
) -> InferRequest:
    """Returns an ms-swift request.

    Args:
        view: the form of the images.
        decision: how one token decides between the request's choices, if it does.
    """
    from swift.infer_engine import InferRequest

    messages = []
    for turn in request.turns:
        content = ""
        for part in turn.parts:
            if isinstance(part, str):
                content += vocabulary.escape(part)
            else:
                content += "<image>"
        messages.append({"role": turn.role, "content": content})
    mark: Mark = {"open_turn": request.open_turn, "seed": request.seed}
    if decision is not None:
        mark["prefix"] = decision.prefix
    kwargs: dict[str, object] = {MARK: mark}
    if request.open_turn == "user":
        kwargs["response_prefix"] = ""
    if config.reasoning == "off":
        kwargs["enable_thinking"] = False
    if view.fit is not None:
        kwargs |= KEEP_SIZE
    elif config.max_pixels is not None:
        kwargs["max_pixels"] = config.max_pixels
    images = [image.seen(view) for image in request.shown]
    return InferRequest(messages=messages, images=images, chat_template_kwargs=kwargs)


def make_config(request: Request, decision: Decision | None) -> RequestConfig:
    """Returns the settings of an ms-swift request."""
    from swift.infer_engine import RequestConfig

    sampling = request.sampling
    config = RequestConfig(
        max_tokens=sampling.max_tokens,
        temperature=sampling.temperature,
        **explicit_sampling(sampling),
        frequency_penalty=sampling.frequency_penalty,
        presence_penalty=sampling.presence_penalty,
        stop=request.stop,
        seed=request.seed if sampling.temperature > 0 else None,
        logprobs=sampling.logprobs,
    )
    if decision is not None:
        config.max_tokens = 1
        config.top_logprobs = WANTED if sampling.logprobs else None
    elif sampling.choices:
        config.structured_outputs_regex = "|".join(re.escape(choice) for choice in sampling.choices)
    return config


def read_mark(inputs: InferRequest) -> Mark:
    """Returns the mark of a request; empty if it is not a request of mminf."""
    mark: Mark | None = (getattr(inputs, "chat_template_kwargs", None) or {}).get(MARK)
    return mark or {}


def install_encode(template: Template) -> None:
    """Makes a template encode mminf's requests: open turns, and the common prefix of all choices."""

    def encode(inputs: InferRequest, *args: object, **kwargs: object) -> dict[str, list[int] | torch.Tensor]:
        mark = read_mark(inputs)
        if "encoded" in mark:
            return mark.pop("encoded")
        view = open_view(template) if mark.get("open_turn") == "user" else template
        encoded: dict[str, list[int] | torch.Tensor] = type(template).encode(view, inputs, *args, **kwargs)
        if prefix := mark.get("prefix"):
            _append(encoded, prefix)
        return encoded

    template.encode = encode


def encode_prompt(template: Template, inputs: InferRequest) -> list[int]:
    """Returns the token ids of a request's prompt, without loading the model."""
    mark = read_mark(inputs)
    shown = open_view(template) if mark.get("open_turn") == "user" else template
    view = copy.copy(shown)  # with its own mode, because other requests are encoded at the same time
    view.mode = "transformers"
    return [*type(view).encode(view, inputs)["input_ids"], *mark.get("prefix", ())]


def _append(encoded: dict[str, list[int] | torch.Tensor], prefix: Sequence[int]) -> None:
    """Appends text tokens to an encoded prompt."""
    from torch.nn import functional

    encoded["input_ids"] = [*encoded["input_ids"], *prefix]
    for key in ("mm_token_type_ids", "image_token_types", "token_type_ids"):  # 0 is text
        if encoded.get(key) is not None:
            encoded[key] = functional.pad(encoded[key], (0, len(prefix)), value=0)
