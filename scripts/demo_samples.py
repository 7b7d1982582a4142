"""Samples of the demo model during its training: instructions that it gets wrong are negatives of the scores."""

from __future__ import annotations

import random
from collections.abc import Iterable
from typing import Any

import torch
from demo_tasks import Tasks
from mminf_plugins.demo.world import Scene, extract
from mminf_plugins.demo.world.oracle import repair
from torch import Tensor
from transformers import DynamicCache

LENGTH = 26  # tokens; an instruction has fewer
TOP = 20  # as in the recipe


def sample_hooks(model: Any, tasks: Tasks, scene: Scene, seen: Tensor, seed: int) -> list[str]:
    """Samples the open user turn for several images, as the recipe does; longer samples are cut off.

    Args:
        scene: any scene; all prompts are the same.
        seen: visual tokens of the images, (images, 16, hidden).
    """
    row = tasks.image_row(0, scene, random.Random(0), {"hook": 1})
    head, positions = tasks.encode(row.head), tasks.batch([row]).positions
    text, count, device = model.model.language_model, len(seen), seen.device
    random_numbers = torch.Generator().manual_seed(seed)
    embeds = text.embed_tokens(torch.tensor([head] * count, device=device))
    there = torch.tensor(head, device=device) == tasks.image_id
    embeds = embeds.masked_scatter(there[None, :, None].expand_as(embeds), seen.to(embeds.dtype))
    where = positions[:, :, : len(head)].expand(-1, count, -1).to(device)
    cache, said = DynamicCache(), []
    for _ in range(LENGTH):
        states = text(inputs_embeds=embeds, position_ids=where, past_key_values=cache, use_cache=True)
        logits, ids = model.lm_head(states.last_hidden_state[:, -1]).float().topk(TOP)
        drawn = torch.multinomial(logits.softmax(-1).cpu(), 1, generator=random_numbers)
        said.append(ids.gather(1, drawn.to(device)))
        embeds, where = text.embed_tokens(said[-1]), where[:, :, -1:] + 1
    texts: list[str] = tasks.tokenizer.batch_decode(torch.cat(said, 1).cpu())
    return [text.split(tasks.tokenizer.eos_token)[0] for text in texts]


def unrepairable(texts: Iterable[str]) -> list[str]:
    """Returns the instructions in texts that can't be repaired: they score 1 on every axis, for any image."""
    asked = (extract(text) for text in texts)
    return [text for text in asked if text is not None and text[-1] in ".?。？" and repair(text) is None]
