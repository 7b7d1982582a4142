"""A Qwen2-VL with random weights, which ms-swift trains in seconds on a CPU.

The special tokens have the ids of the released models, because ms-swift's template has the id of the image token as a
constant. For this reason the model has 151,936 tokens. The tokenizer knows only the bytes and the special tokens.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from demo_architecture import CHAT, PATCH, SPECIAL, write_processor

FIRST_SPECIAL = 151_643
VOCABULARY = 151_936


def write_tiny_model(folder: Path) -> Path:
    """Writes weights, tokenizer and image processor to a folder."""
    tokenizer = make_tokenizer()
    make_model(tokenizer).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    write_processor(folder)
    return folder


def make_tokenizer() -> Any:
    """Returns a tokenizer of bytes with Qwen's special tokens at their ids."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    vocabulary = {token: number for number, token in enumerate(sorted(pre_tokenizers.ByteLevel.alphabet()))}
    vocabulary |= {token: number for number, token in enumerate(SPECIAL, FIRST_SPECIAL)}
    raw = Tokenizer(models.BPE(vocab=vocabulary, merges=[]))
    raw.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    raw.decoder = decoders.ByteLevel()
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=raw, model_max_length=8192)
    tokenizer.add_special_tokens({"additional_special_tokens": list(SPECIAL)})
    tokenizer.add_special_tokens({"eos_token": "<|im_end|>", "pad_token": "<|endoftext|>"})
    tokenizer.chat_template = CHAT
    assert tokenizer.convert_tokens_to_ids("<|image_pad|>") == 151_655
    return tokenizer


def make_model(tokenizer: Any) -> Any:
    """Returns the model with random weights."""
    import torch
    from transformers import Qwen2VLConfig, Qwen2VLForConditionalGeneration

    ids = {token: tokenizer.convert_tokens_to_ids(token) for token in SPECIAL}
    ends = {
        "bos_token_id": ids["<|endoftext|>"],
        "eos_token_id": ids["<|im_end|>"],
        "pad_token_id": ids["<|endoftext|>"],
    }
    config = Qwen2VLConfig(
        text_config={
            "vocab_size": VOCABULARY,
            "hidden_size": 32,
            "intermediate_size": 32,
            "num_hidden_layers": 1,
            "num_attention_heads": 2,
            "num_key_value_heads": 2,
            "tie_word_embeddings": True,
            "rope_parameters": {"rope_type": "default", "rope_theta": 1000.0, "mrope_section": [2, 3, 3]},
            **ends,
        },
        vision_config={
            "depth": 1,
            "embed_dim": 32,
            "hidden_size": 32,
            "num_heads": 2,
            "mlp_ratio": 1,
            "patch_size": PATCH,
        },
        image_token_id=ids["<|image_pad|>"],
        video_token_id=ids["<|video_pad|>"],
        vision_start_token_id=ids["<|vision_start|>"],
        vision_end_token_id=ids["<|vision_end|>"],
        tie_word_embeddings=True,
    )
    torch.manual_seed(0)
    model = Qwen2VLForConditionalGeneration(config)
    # Tokens without text have a logit of 0, so that the samples with the highest logits are bytes.
    model.get_input_embeddings().weight.data[256:FIRST_SPECIAL] = 0
    model.generation_config.eos_token_id = [ids["<|im_end|>"], ids["<|endoftext|>"]]
    model.generation_config.pad_token_id = ids["<|endoftext|>"]
    return model
