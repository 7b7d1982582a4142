"""Attention within the branches of a row: each branch attends to the row's prefix and to itself.

With a mask over whole rows, most of the products of the attention are of tokens that can't attend to each other, and
took almost half of the training time.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

_PLAIN = ALL_ATTENTION_FUNCTIONS["sdpa"]
_EDGES = (12, 18, 24, 32, 48, 80, 160)  # lengths to which branches are padded


@dataclass
class Group:
    """Branches of similar length.

    Attributes:
        rows: row of each branch.
        tokens: number of each token, counted over all rows: (branches, length); padded with the branch's last token.
        valid: False for padding.
    """

    rows: Tensor
    tokens: Tensor
    valid: Tensor


@dataclass
class Layout:
    """The prefix and the branches of a batch of rows, which all have a prefix of the same length."""

    head: int
    groups: list[Group]


def make_layout(head: int, spans: list[tuple[int, int, int]], length: int) -> Layout:
    """Returns the layout of a batch.

    Args:
        head: number of tokens of the prefix.
        spans: row, first token and number of tokens of each branch.
        length: number of tokens of a row, with padding.
    """
    longest = max(size for _, _, size in spans)
    groups = []
    edges = [edge for edge in _EDGES if edge < longest] + [longest]
    for low, high in zip([0, *edges], edges, strict=False):
        inside = [span for span in spans if low < span[2] <= high]
        if not inside:
            continue
        rows, starts, sizes = (torch.tensor(values) for values in zip(*inside, strict=True))
        order = torch.arange(high)[None]
        tokens = rows[:, None] * length + starts[:, None] + torch.minimum(order, sizes[:, None] - 1)
        groups.append(Group(rows, tokens, order < sizes[:, None]))
    return Layout(head, groups)


def _attend(query: Tensor, key: Tensor, value: Tensor, mask: Tensor) -> Tensor:
    """Attention written out: of short sequences, the gradient of torch's own takes several times as long on a CPU."""
    scores = (query * query.shape[-1] ** -0.5) @ key.transpose(2, 3)
    return scores.masked_fill(~mask, -1e4).softmax(-1).to(value.dtype) @ value


class BranchAttention:
    """Replaces the attention of transformers while `layout` is set."""

    def __init__(self) -> None:
        self.layout: Layout | None = None
        ALL_ATTENTION_FUNCTIONS["sdpa"] = self

    def __call__(
        self, module: Any, query: Tensor, key: Tensor, value: Tensor, attention_mask: Tensor | None, **options: Any
    ) -> tuple[Tensor, None]:
        if self.layout is None:
            found: tuple[Tensor, None] = _PLAIN(module, query, key, value, attention_mask, **options)
            return found
        head = self.layout.head
        shape = query.transpose(1, 2).shape  # rows, length, heads, width
        flat = [states.transpose(1, 2).flatten(0, 1) for states in (query, key, value)]
        parts = [states[:, :, :head] for states in (query, key, value)]
        out = torch.zeros_like(flat[0])
        first = _attend(*parts, torch.ones(head, head, dtype=torch.bool).tril()).transpose(1, 2).flatten(0, 1)
        where = torch.arange(shape[0])[:, None] * shape[1] + torch.arange(head)
        pieces, places = [first], [where.flatten()]
        for group in self.layout.groups:
            own = [
                states.index_select(0, group.tokens.flatten()).view(*group.tokens.shape, *shape[2:]).transpose(1, 2)
                for states in flat
            ]
            # The branch repeats the last token of the prefix.
            shared = [states[:, :, : head - 1].index_select(0, group.rows) for states in (key, value)]
            size = group.tokens.shape[1]
            mask = torch.ones(size, head - 1 + size, dtype=torch.bool).tril(head - 1)
            keys, values = (torch.cat(pair, 2) for pair in zip(shared, own[1:], strict=True))
            said = _attend(own[0], keys, values, mask)
            pieces.append(said.transpose(1, 2)[group.valid])
            places.append(group.tokens[group.valid])
        out = out.index_copy(0, torch.cat(places), torch.cat(pieces).to(out.dtype))
        return out.view(shape), None
