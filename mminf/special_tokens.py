"""Escapes special tokens in texts, which tokenizers of trainers and servers would otherwise parse as tokens.

The forms and words are those of ms-swift's templates and of their models' tokenizers. Further tokens of the models
of a run are passed by name.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from functools import lru_cache

_BRACKETED = (
    r"\[(?:/?INST|/?(?:IMG|IMG_BREAK|IMG_END|AUDIO|SYSTEM_PROMPT|AVAILABLE_TOOLS|TOOL_CALLS|TOOL_RESULTS)"
    r"|(?:g|s)?MASK"  # GLM
    r"|UNUSED_TOKEN_\d+)\]"  # InternLM
)
_FORMS = (
    r"<\|[^<>|\s](?:[^<>|\n]{0,58}[^<>|\s])?\|?>",  # <|im_end|>, <|tool_response>, <|image start|>
    r"<[^<>|\s]{1,60}\|>",  # <turn|>
    r"<｜[^<>｜]{1,60}｜>",  # DeepSeek's full-width bars
    r"</?seed:\w+>",
    r"</?longcat_\w+>",
    _BRACKETED,
    r"<(?:extra|reserved|unused|reserved_special_token)_?\d+>",
    r"<[CB]_(?:Q|A|SYS|USYS)>",  # Baichuan, BlueLM
    r"<</?SYS>>",
    r"\]<\]\w+\[>\[",  # MiniMax
)
_WORDS = (
    "<s>", "</s>", "<unk>", "<bos>", "<eos>", "<pad>", "<mask>", "<BOS_TOKEN>", "<EOS_TOKEN>", "<start_of_turn>",
    "<end_of_turn>", "<start_of_image>", "<end_of_image>", "<image_soft_token>", "<start_of_audio>", "<end_of_audio>",
    "<audio_soft_token>", "<IMG_CONTEXT>", "<img>", "</img>", "<imgpad>", "<im_start>", "<im_end>", "<im_patch>",
    "<image_placeholder>", "<patch_placeholder>", "<audio_patch>", "</image>", "<slice>", "</slice>", "<image_id>",
    "</image_id>", "<frame_start>", "<frame_end>", "<fake_token_around_image>", "<global-img>", "<end_of_utterance>",
    "<end_of_sentence>", "<begin_of_document>", "<image_start>", "<image_end>", "<vision_start>", "<vision_end>",
    "<_system>", "<_user>", "<_bot>", "<_end>", "<image_newline>", "<image_sep>", "<sop>", "<eop>", "<eoa>", "<EOI>",
    "<beginning_of_sentence>", "<human>", "<bot>", "<begin_of_image>", "<audio_start>", "<audio_end>", "<ImageHere>",
    "<image_atom>", "<ovis_visual_atom>",
)  # fmt: skip
_WITHOUT_ANGLE = re.compile(_BRACKETED)
"""The forms that can be in a text without `<`; all other forms and words have one."""
_NEVER = frozenset({"<image>", "<think>", "</think>", "<video>", "<audio>"})
"""Special tokens of some vocabularies that have a meaning in rows and are not escaped."""
_NAMES = frozenset({"images", "image", "rejected_images", "id"})
"""Columns whose values are file names or ids, not text."""


@lru_cache(maxsize=32)
def _pattern(tokens: frozenset[str]) -> re.Pattern[str]:
    words = sorted({*_WORDS, *tokens}, key=len, reverse=True)
    return re.compile("|".join([*_FORMS, *(re.escape(word) for word in words)]))


def own_tokens(tokens: Iterable[str]) -> frozenset[str]:
    """Returns the special tokens of a tokenizer that are not words and that the built-in list does not cover."""
    known = _pattern(frozenset())
    return frozenset(
        token
        for token in tokens
        if len(token) > 2 and token not in _NEVER and not token.isalnum() and not token.isspace()
        if known.fullmatch(token) is None
    )


def break_token(match: re.Match[str]) -> str:
    """Returns a matched special token or tag with a space after its first character, so that it is text."""
    return f"{match[0][0]} {match[0][1:]}"


def escape_tokens(text: str, tokens: frozenset[str] = frozenset()) -> str:
    """Returns a text with a space after the first character of each special token.

    Args:
        tokens: further special tokens, those of the run's models.
    """
    if not tokens and "<" not in text:  # most prompts and answers
        if "[" not in text:
            return text
        pattern = _WITHOUT_ANGLE
    else:
        pattern = _pattern(tokens)
    # Escaping can create a new token from the text around it: "[[INST]INST]".
    while (escaped := pattern.sub(break_token, text)) != text:
        text = escaped
    return text


def escape_row(row: Mapping[str, object], tokens: frozenset[str] = frozenset()) -> dict[str, object]:
    """Returns a row of a dataset with special tokens escaped in all texts and keys, except images and id."""
    return {
        escape_tokens(key, tokens): value if key in _NAMES else _escape(value, tokens) for key, value in row.items()
    }


def _escape(value: object, tokens: frozenset[str]) -> object:
    if isinstance(value, str):
        return escape_tokens(value, tokens)
    if isinstance(value, list):
        return [_escape(item, tokens) for item in value]
    if isinstance(value, dict):
        return {escape_tokens(key, tokens): _escape(item, tokens) for key, item in value.items()}
    return value
