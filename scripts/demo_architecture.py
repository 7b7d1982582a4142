"""The demo model before its training: tokenizer, image processor, and a Qwen2-VL with random weights.

`train_demo_model.py` trains it.
"""

from __future__ import annotations

import json
import random
import re
from pathlib import Path
from typing import Any

from mminf_plugins.demo.world import caption, make_hook, make_instruction, make_questions, make_scene
from mminf_plugins.demo.world.chinese import chinese_words
from mminf_plugins.demo.world.forms import vocabulary

from mminf.content import content_folder

# Qwen2-VL's special tokens, in its order.
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
CHAT = (
    "{% for message in messages %}{% if loop.first and message['role'] != 'system' %}<|im_start|>system\n"
    "You are a helpful assistant.<|im_end|>\n{% endif %}<|im_start|>{{ message['role'] }}\n"
    "{% if message['content'] is string %}{{ message['content'] }}{% else %}{% for part in message['content'] %}"
    "{% if part['type'] == 'text' %}{{ part['text'] }}{% else %}<|vision_start|><|image_pad|><|vision_end|>{% endif %}"
    "{% endfor %}{% endif %}<|im_end|>\n{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
SYSTEM = "system\nYou are a helpful assistant."
PIXELS = 112  # width and height of the image that the model sees
PATCH, MERGE = 14, 2
GRID = PIXELS // PATCH
VISUAL_TOKENS = (GRID // MERGE) ** 2
HELD_OUT = 1_000_000  # training uses scenes with this seed or a larger one; smaller seeds are for evaluation


def fixed_parts(source: str) -> list[str]:
    """Returns the fixed parts of a template: the text around its fields, turn by turn, without layout."""
    parts = []
    for turn in re.split(r"{{\s*role\(.*?\)\s*}}", source):
        pieces = re.split(r"({{.*?}}|{%.*?%}\n?)", turn.strip())
        parts += [piece for piece in pieces if len(piece) > 4 and not piece.startswith("{")]
    return parts


def prompt_parts() -> dict[str, list[str]]:
    """Returns the fixed parts of the prompts of the recipes that the demo model plays.

    The prompts of Oasis have the names of their files. Those of the other recipes have their folder before the name;
    `requests` are the requests of `caption` and `caption_qa`.
    """
    templates = content_folder("templates")
    names = {path.stem: path for path in sorted((templates / "oasis").glob("*.jinja"))}
    others = ["captions/caption", "captions/caption.zh", "chains/questions", "chains/questions.zh"]
    others += ["allava/describe", "allava/ask", "allava/answer"]
    names |= {name: templates / f"{name}.jinja" for name in others}
    parts = {name: fixed_parts(path.read_text(encoding="utf-8")) for name, path in names.items()}
    for name in ("requests", "requests.zh"):
        lines = (templates / "captions" / f"{name}.txt").read_text(encoding="utf-8").splitlines()
        parts[name] = [line.strip() for line in lines if line.strip() and not line.startswith("#")]
    return parts


def make_tokenizer() -> Any:
    """Returns a byte-level BPE with Qwen's special tokens. Each fixed part of a prompt is one token."""
    from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    chinese = sorted(chinese_words(), key=lambda word: (-len(word), word))
    lines = [f"{word} {word}" for word in sorted(vocabulary())] * 2
    lines += [mark.join(chinese) for mark in "。？、，"] * 2
    for seed in range(HELD_OUT, HELD_OUT + 400):
        scene, rng = make_scene(seed), random.Random(seed)
        lines += [make_hook(scene, rng), f"\n {caption(scene)}", f"x {make_instruction(scene, rng)}"]
        lines += ["\n".join(make_questions(scene, rng, chinese=seed % 4 == 0))]
    parts = prompt_parts()
    lines += [" [[1]] [[2]] system\nuser\nassistant\nInstruction: NO_INST"] * 20
    raw = Tokenizer(models.BPE())
    raw.pre_tokenizer = pre_tokenizers.Sequence(
        [
            # Chinese has no spaces between words: the words of the world are split, the longest first.
            pre_tokenizers.Split(Regex("|".join([*chinese, "[。？、，]"])), "isolated"),
            pre_tokenizers.Digits(individual_digits=True),
            pre_tokenizers.ByteLevel(add_prefix_space=False),
        ]
    )
    raw.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=2000, min_frequency=2, initial_alphabet=alphabet, show_progress=False)
    raw.train_from_iterator(lines, trainer)
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=raw, model_max_length=8192)
    tokenizer.add_special_tokens({"eos_token": SPECIAL[2], "pad_token": SPECIAL[0]})
    tokenizer.add_special_tokens({"additional_special_tokens": list(SPECIAL)})
    fixed = [SYSTEM, *(piece for pieces in parts.values() for piece in pieces)]
    tokenizer.add_tokens([AddedToken(piece, normalized=False) for piece in dict.fromkeys(fixed)])
    tokenizer.chat_template = CHAT
    return tokenizer


def make_model(tokenizer: Any) -> Any:
    """Returns the model with random weights."""
    from transformers import Qwen2VLConfig, Qwen2VLForConditionalGeneration

    ids = {token: tokenizer.convert_tokens_to_ids(token) for token in SPECIAL}
    config = Qwen2VLConfig(
        text_config={
            "vocab_size": -(-len(tokenizer) // 32) * 32,
            "hidden_size": 160,
            "intermediate_size": 448,
            "num_hidden_layers": 6,
            "num_attention_heads": 5,
            "num_key_value_heads": 5,
            "max_position_embeddings": 8192,
            "tie_word_embeddings": True,
            "rope_parameters": {"rope_type": "default", "rope_theta": 1000.0, "mrope_section": [4, 6, 6]},
            "bos_token_id": ids["<|endoftext|>"],
            "eos_token_id": ids["<|im_end|>"],
            "pad_token_id": ids["<|endoftext|>"],
        },
        vision_config={
            "depth": 2,
            "embed_dim": 128,
            "hidden_size": 160,
            "num_heads": 4,
            "patch_size": PATCH,
            "spatial_merge_size": MERGE,
            "mlp_ratio": 2,
        },
        image_token_id=ids["<|image_pad|>"],
        video_token_id=ids["<|video_pad|>"],
        vision_start_token_id=ids["<|vision_start|>"],
        vision_end_token_id=ids["<|vision_end|>"],
        tie_word_embeddings=True,
    )
    model = Qwen2VLForConditionalGeneration(config)
    model.generation_config.eos_token_id = [ids["<|im_end|>"], ids["<|endoftext|>"]]
    model.generation_config.pad_token_id = ids["<|endoftext|>"]
    return model


def make_optimizers(model: Any, muon: float, adamw: float) -> list[Any]:
    """Returns the optimizers: Muon for the matrices of the layers, AdamW for the other weights.

    AdamW alone needed several times more steps.
    """
    from torch import optim

    named = list(model.named_parameters())
    inner = {name for name, weight in named if weight.ndim == 2 and "embed" not in name and "lm_head" not in name}
    matrices = [weight for name, weight in named if name in inner]
    others = [weight for name, weight in named if name not in inner]
    return [
        optim.Muon(matrices, lr=muon, weight_decay=0.01, adjust_lr_fn="match_rms_adamw"),
        optim.AdamW(others, lr=adamw, betas=(0.9, 0.98), weight_decay=0.01),
    ]


def write_processor(folder: Path) -> None:
    """Writes the settings of the image processor next to a tokenizer: images are scaled to about 112x112 pixels."""
    processor = {
        "image_processor_type": "Qwen2VLImageProcessor",
        "processor_class": "Qwen2VLProcessor",
        "min_pixels": PIXELS * PIXELS,
        "max_pixels": PIXELS * PIXELS,
        "patch_size": PATCH,
        "temporal_patch_size": 2,
        "merge_size": MERGE,
        "image_mean": [0.5, 0.5, 0.5],
        "image_std": [0.5, 0.5, 0.5],
    }
    (folder / "preprocessor_config.json").write_text(json.dumps(processor, indent=2) + "\n")
    path = folder / "tokenizer_config.json"
    config = json.loads(path.read_text())
    config["processor_class"] = "Qwen2VLProcessor"
    path.write_text(json.dumps(config, indent=2, ensure_ascii=False) + "\n")
