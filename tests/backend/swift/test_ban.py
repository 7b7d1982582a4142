from __future__ import annotations

from functools import cache
from typing import Any

import pytest

from mminf.backend.swift.ban import (
    Spelling,
    banned_ids,
    begins_pictograph,
    find_spelling,
    holds_pictograph,
    is_pictograph,
)


@pytest.mark.parametrize("char", list("🙂🧑🏽🚀❤✅☀⭐©™ℹ⌛"))
def test_pictographs(char: str) -> None:
    assert is_pictograph(ord(char[0]))
    assert holds_pictograph(f" {char}".encode())


@pytest.mark.parametrize("text", ["a", " the", "é", "中", "の", "한", "→", "∑", "“", "—", "°", "½", "٣", "हि", "\n"])
def test_letters_and_signs_of_all_scripts_stay(text: str) -> None:
    assert not holds_pictograph(text.encode())


def test_beginnings_of_emoji_count_and_of_other_characters_do_not() -> None:
    smile = "🙂".encode()
    for length in (1, 2, 3):
        assert begins_pictograph(smile[:length])
        assert holds_pictograph(b" so" + smile[:length])
    assert not begins_pictograph("中".encode()[:2])
    assert not begins_pictograph("“".encode()[:2])
    assert not begins_pictograph("é".encode()[:1])
    assert not holds_pictograph("中".encode()[1:] + b" x"), "ends of characters begin nothing"


TEXTS = [
    "The quick brown fox jumps over the lazy dog, 0123456789 times.",
    "Où est la bibliothèque? Grüße aus Köln, señor.",
    "图中有一只猫坐在窗边。今天天气很好。",
    "どこに猫がいますか。",
    "What is at the top left 🙂? Great 🚀🚀 ❤ ✅ ☀ so nice 🧑🏽!",
    "日本 🙂 中文🚀 café ❤",
] * 3
SPECIAL = ["<|end|>", "<|start|>", "[UNK]"]
ALPHABET = sorted({char for text in TEXTS for char in text})


def byte_level() -> Any:
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    made = Tokenizer(models.BPE())
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=600, special_tokens=SPECIAL, initial_alphabet=pre_tokenizers.ByteLevel.alphabet()
    )
    made.train_from_iterator(TEXTS, trainer)
    return made


def byte_fallback() -> Any:
    """As Gemma's: SentencePiece's spelling, bytes for what it lacks, and a literal `Ġ` among its tokens."""
    from tokenizers import Tokenizer, decoders, models, normalizers

    pieces = [*SPECIAL, *(f"<0x{byte:02X}>" for byte in range(256)), "Ġ", "Ċ", "ð", "▁", "▁▁"]
    pieces += [piece for piece in ALPHABET if piece != " "] + ["▁🙂", "▁the", "▁❤", "猫坐", "🚀🚀"]
    made = Tokenizer(models.BPE({piece: i for i, piece in enumerate(dict.fromkeys(pieces))}, [], byte_fallback=True))
    made.normalizer = normalizers.Replace(" ", "▁")
    made.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()])
    made.add_special_tokens(SPECIAL)
    return made


def unigram() -> Any:
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    made = Tokenizer(models.Unigram())
    made.pre_tokenizer = pre_tokenizers.Metaspace()
    made.decoder = decoders.Metaspace()
    made.train_from_iterator(TEXTS, trainers.UnigramTrainer(vocab_size=200, special_tokens=SPECIAL, unk_token="[UNK]"))
    return made


def word_piece() -> Any:
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    made = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    made.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    made.decoder = decoders.WordPiece()
    made.train_from_iterator(TEXTS, trainers.WordPieceTrainer(vocab_size=300, special_tokens=SPECIAL))
    return made


def wrapped(made: Any) -> Any:
    from transformers import PreTrainedTokenizerFast

    return PreTrainedTokenizerFast(
        tokenizer_object=made, eos_token=SPECIAL[0], bos_token=SPECIAL[1], unk_token=SPECIAL[2]
    )


KINDS = {
    "byte_level": (byte_level, Spelling(byte_level=True)),
    "byte_fallback": (byte_fallback, Spelling(byte_fallback=True, metaspace=True)),
    "unigram": (unigram, Spelling(metaspace=True)),
    "word_piece": (word_piece, Spelling(continuation=True)),
}


@pytest.fixture(params=list(KINDS))
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@cache
def tokenizer(kind: str) -> Any:
    return wrapped(KINDS[kind][0]())


def test_the_spelling_is_told_from_the_tokenizer(kind: str) -> None:
    assert find_spelling(tokenizer(kind)) == KINDS[kind][1]


def test_byte_level_is_told_without_a_decoder() -> None:
    made = byte_level()
    made.decoder = None
    assert find_spelling(wrapped(made)).byte_level


def test_tokens_with_emoji_are_banned_and_plain_text_is_not(kind: str) -> None:
    found = tokenizer(kind)
    banned = set(banned_ids(found, ["emoji"], []))
    assert banned
    byte_tokens = 0
    for token, i in found.get_vocab().items():
        if token in SPECIAL:
            assert i not in banned
            continue
        text = found.decode([i])
        if any(is_pictograph(ord(char)) for char in text):
            assert i in banned, token
        elif "\ufffd" not in text:
            assert i not in banned, token
        else:
            byte_tokens += 1
    begins = {"byte_level": "ð", "byte_fallback": "<0xF0>"}.get(kind)
    assert (byte_tokens > 0) == (begins is not None)
    if begins is not None:
        assert found.get_vocab()[begins] in banned, "the byte that emoji begin with"


def test_no_emoji_can_be_written_with_the_tokens_that_are_left(kind: str) -> None:
    found = tokenizer(kind)
    banned = set(banned_ids(found, ["emoji"], []))
    for text in ["🙂", "so 🚀🚀", "🧑🏽", "🫠", "a🙂b"]:
        ids = found.encode(text, add_special_tokens=False)
        assert banned & set(ids) or found.unk_token_id in ids, text


def test_text_of_all_scripts_can_be_written(kind: str) -> None:
    found = tokenizer(kind)
    banned = set(banned_ids(found, ["emoji"], []))
    for text in ["The fox jumps 12 times.", "Où est la bibliothèque?", "图中有一只猫。", "どこに猫がいますか。"]:
        assert not banned & set(found.encode(text, add_special_tokens=False)), text


def test_a_literal_stand_in_of_a_byte_stays_text() -> None:
    """Gemma's vocabulary holds `Ġ`; taken for byte-level, its emoji would not be known as such."""
    found = tokenizer("byte_fallback")
    banned = {found.convert_ids_to_tokens(i) for i in banned_ids(found, ["emoji"], [])}
    assert {"▁🙂", "🙂", "🚀🚀", "▁❤", "<0xF0>"} <= banned
    assert not banned & {"Ġ", "Ċ", "ð", "▁the", "<0x9F>", "<0xE2>", "猫坐"}


def test_special_tokens_but_those_that_end_a_turn(kind: str) -> None:
    found = tokenizer(kind)
    end, start, unknown = (found.convert_tokens_to_ids(token) for token in SPECIAL)
    assert banned_ids(found, ["special"], keep=[end]) == tuple(sorted({start, unknown}))
    with pytest.raises(ValueError, match="unknown ban 'emojis'"):
        banned_ids(found, ["emojis"], [])


@pytest.mark.parametrize(
    ("name", "text", "tokens"),
    [
        ("byte_level", " the", {"Ġthe"}),
        ("byte_fallback", " the", {"▁the"}),
        ("byte_fallback", "Ġ", {"Ġ"}),
        ("unigram", "。", {"。"}),
        ("word_piece", "e", {"e", "##e"}),
    ],
)
def test_a_token_is_named_by_its_text(name: str, text: str, tokens: set[str]) -> None:
    found = tokenizer(name)
    assert {found.convert_ids_to_tokens(i) for i in banned_ids(found, [f"token:{text}"], [])} == tokens


class Bytes:
    """A tiktoken-style vocabulary, as the code of some models brings."""

    all_special_ids: tuple[int, ...] = ()
    added_tokens_decoder: dict[int, Any] = {}

    def get_vocab(self) -> dict[bytes, int]:
        return {b" the": 0, "🙂".encode(): 1, b"\xf0\x9f": 2, b"\xe4\xb8": 3, b"<0xF0>": 4}


def test_vocabularies_of_bytes() -> None:
    assert banned_ids(Bytes(), ["emoji"], []) == (1, 2)
    assert banned_ids(Bytes(), ["token: the"], []) == (0,)
