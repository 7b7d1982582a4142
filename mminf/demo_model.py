"""`builtin:demo`: a Qwen2-VL of a few megabytes, made on the spot.

Its weights are random, so what it writes is noise: it shows that a recipe runs, not what a method is worth.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import tempfile
from pathlib import Path
from typing import Any

from mminf.errors import EngineError

NAMES = ("builtin:demo",)
TEMPLATE = "qwen2_vl"
VERSION = 1
IDENTITY = f"builtin:demo@{VERSION}"
SPECIAL = (
    "<|endoftext|>",
    "<|im_start|>",
    "<|im_end|>",
    "<|object_ref_start|>",
    "<|object_ref_end|>",
    "<|box_start|>",
    "<|box_end|>",
    "<|quad_start|>",
    "<|quad_end|>",
    "<|vision_start|>",
    "<|vision_end|>",
    "<|vision_pad|>",
    "<|image_pad|>",
    "<|video_pad|>",
)
_CHAT = (
    "{% for message in messages %}{% if loop.first and message['role'] != 'system' %}<|im_start|>system\n"
    "You are a helpful assistant.<|im_end|>\n{% endif %}<|im_start|>{{ message['role'] }}\n"
    "{% if message['content'] is string %}{{ message['content'] }}{% else %}{% for part in message['content'] %}"
    "{% if part['type'] == 'text' %}{{ part['text'] }}{% else %}<|vision_start|><|image_pad|><|vision_end|>{% endif %}"
    "{% endfor %}{% endif %}<|im_end|>\n{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


def demo_model(name: str = "builtin:demo") -> Path:
    """Returns the folder of a built-in model, making it in the user's cache the first time.

    Raises:
        EngineError: if there is no built-in model of that name.
    """
    if name not in NAMES:
        raise EngineError(f"no built-in model {name!r}; there is {', '.join(NAMES)}")
    root = Path(os.environ.get("MMINF_CACHE") or Path.home() / ".cache" / "mminf")
    folder = root / f"demo-{VERSION}"
    if (folder / "model.safetensors").is_file():
        return folder
    root.mkdir(parents=True, exist_ok=True)
    made = Path(tempfile.mkdtemp(prefix="demo-", dir=root))
    try:
        make_model(made)
        with contextlib.suppress(OSError):  # another process was quicker
            made.rename(folder)
    finally:
        shutil.rmtree(made, ignore_errors=True)
    return folder


def make_model(folder: Path, *, seed: int = 0) -> None:
    """Writes a tiny random Qwen2-VL with its tokenizer and processor into a folder."""
    import torch
    from transformers import Qwen2VLConfig, Qwen2VLForConditionalGeneration

    tokenizer = _make_tokenizer()
    ids = {token: tokenizer.convert_tokens_to_ids(token) for token in SPECIAL}
    tokenizer.save_pretrained(folder)
    config = Qwen2VLConfig(
        text_config={
            "vocab_size": len(tokenizer),
            "hidden_size": 64,
            "intermediate_size": 128,
            "num_hidden_layers": 2,
            "num_attention_heads": 2,
            "num_key_value_heads": 1,
            "max_position_embeddings": 8192,
            "tie_word_embeddings": True,
            "rope_parameters": {"rope_type": "default", "rope_theta": 10000.0, "mrope_section": [4, 6, 6]},
            "bos_token_id": ids["<|endoftext|>"],
            "eos_token_id": ids["<|im_end|>"],
            "pad_token_id": ids["<|endoftext|>"],
        },
        vision_config={
            "depth": 2,
            "embed_dim": 64,
            "hidden_size": 64,
            "num_heads": 2,
            "patch_size": 14,
            "mlp_ratio": 2,
        },
        image_token_id=ids["<|image_pad|>"],
        video_token_id=ids["<|video_pad|>"],
        vision_start_token_id=ids["<|vision_start|>"],
        vision_end_token_id=ids["<|vision_end|>"],
        tie_word_embeddings=True,
    )
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = Qwen2VLForConditionalGeneration(config)
    model.generation_config.eos_token_id = [ids["<|im_end|>"], ids["<|endoftext|>"]]
    model.generation_config.pad_token_id = ids["<|endoftext|>"]
    model.to(torch.bfloat16).save_pretrained(folder)
    _write_processor(folder)


def _make_tokenizer() -> Any:
    """A byte-level BPE with Qwen's special tokens, trained on a few lines of ours."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    lines = [
        "What is shown in the picture? Which colour is the large square to the left of the red circle?",
        "How many people are standing in front of the building, and what are they wearing?",
        "Describe the image in detail. Read the text on the sign and explain what it means.",
        "The picture shows a table with three columns. The second row holds the highest value.",
        "Instruction: Answer the question about the image. Score: 1 2 3 4 5 6 7 8 9 0",
    ]
    raw = Tokenizer(models.BPE())
    raw.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    raw.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=600, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False
    )
    raw.train_from_iterator(lines, trainer)
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=raw, model_max_length=8192)
    tokenizer.add_special_tokens({"eos_token": SPECIAL[2], "pad_token": SPECIAL[0]})
    tokenizer.add_special_tokens({"additional_special_tokens": list(SPECIAL)})
    tokenizer.chat_template = _CHAT
    return tokenizer


def _write_processor(folder: Path) -> None:
    processor = {
        "image_processor_type": "Qwen2VLImageProcessor",
        "processor_class": "Qwen2VLProcessor",
        "min_pixels": 56 * 56,
        "max_pixels": 112 * 112,
        "patch_size": 14,
        "temporal_patch_size": 2,
        "merge_size": 2,
        "image_mean": [0.5, 0.5, 0.5],
        "image_std": [0.5, 0.5, 0.5],
    }
    (folder / "preprocessor_config.json").write_text(json.dumps(processor, indent=2))
    path = folder / "tokenizer_config.json"
    config = json.loads(path.read_text())
    config["processor_class"] = "Qwen2VLProcessor"
    path.write_text(json.dumps(config, indent=2, ensure_ascii=False))
