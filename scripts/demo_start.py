"""Starts the training of the demo model from an earlier model of the same size, whose vocabulary may be another.

The layers are copied. A token keeps its embedding if the earlier vocabulary has it. A Chinese word starts at the
embedding of its English word, and a fixed part of a prompt at that of the most similar fixed part.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import torch
from mminf_plugins.demo.world.chinese import VALUES


def start_from(folder: Path, model: Any, tokenizer: Any, parts: dict[str, list[str]]) -> str:
    """Copies the weights of an earlier model. Returns a summary for the log."""
    from transformers import AutoTokenizer, Qwen2VLForConditionalGeneration

    earlier = AutoTokenizer.from_pretrained(folder)
    weights = Qwen2VLForConditionalGeneration.from_pretrained(folder, dtype=torch.float32).state_dict()
    target = model.state_dict()
    same = {name: value for name, value in weights.items() if target[name].shape == value.shape}
    embedding = model.get_input_embeddings().weight
    known = earlier.get_vocab()
    rows = weights[next(name for name in weights if name.endswith("embed_tokens.weight"))]
    model.load_state_dict({name: value for name, value in same.items() if "embed_tokens" not in name}, strict=False)
    fixed = {token.content: number for number, token in earlier.added_tokens_decoder.items() if not token.special}
    found = {token: number for token, number in known.items() if token in tokenizer.get_vocab()}
    copied = {tokenizer.get_vocab()[token]: rows[number] for token, number in found.items()}
    for slot in VALUES.values():
        for english, chinese in slot.items():
            ids, words = tokenizer.encode(chinese), earlier.encode(f" {english}")
            if len(ids) == 1 and ids[0] not in copied:
                copied[ids[0]] = rows[words].mean(0)
    request = rows[earlier.encode("Describe the image.")].mean(0)
    for name, pieces in parts.items():
        english = parts.get(name.removesuffix(".zh"), pieces)
        for number, piece in enumerate(pieces):
            (token,) = tokenizer.encode(piece)
            if token in copied:
                continue
            like = english[number] if len(english) == len(pieces) else piece
            near = max(fixed, key=lambda text, like=like: _similarity(text, like))
            whole = "/" not in name and "caption" not in name and "requests" not in name
            copied[token] = rows[fixed[near]] if whole else request
    with torch.no_grad():
        for token, row in copied.items():
            embedding[token] = row
    model.tie_weights()
    return f"starts from {len(same)} weights and {len(copied)} embeddings of an earlier model"


def _similarity(one: str, other: str) -> float:
    words, others = (set(re.findall(r"\w+", text.lower())) for text in (one, other))
    return len(words & others) / len(words | others)
