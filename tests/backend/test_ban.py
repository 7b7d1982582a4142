from __future__ import annotations

from typing import Any

import pytest

from mminf.backend.ban import banned_ids, begins_pictograph, holds_pictograph, is_pictograph


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


class Tokenizer:
    """A vocabulary of single bytes, some merges and some special tokens, in GPT-2's or SentencePiece's spelling."""

    all_special_ids = (0, 1)

    def __init__(self, vocabulary: dict[str, int]) -> None:
        self.vocabulary = vocabulary

    def get_vocab(self) -> dict[str, int]:
        return self.vocabulary

    @property
    def added_tokens_decoder(self) -> dict[int, Any]:
        from types import SimpleNamespace

        return {
            0: SimpleNamespace(content="<|end|>", special=True),
            1: SimpleNamespace(content="<|start|>", special=True),
        }


def byte_level() -> Tokenizer:
    from tokenizers import pre_tokenizers

    encode = pre_tokenizers.ByteLevel(add_prefix_space=False).pre_tokenize_str
    vocabulary = {"<|end|>": 0, "<|start|>": 1}
    for text in [" hello", "hello", "🙂", " 🙂", "中", "❤"]:
        vocabulary[encode(text)[0][0]] = len(vocabulary)
    for char in sorted(pre_tokenizers.ByteLevel.alphabet()):
        vocabulary.setdefault(char, len(vocabulary))
    return Tokenizer(vocabulary)


def test_no_emoji_can_be_spelled_from_what_is_left() -> None:
    tokenizer = byte_level()
    banned = set(banned_ids(tokenizer, ["emoji"], []))
    names = {token for token, i in tokenizer.vocabulary.items() if i in banned}
    assert {"ðŁĻĤ", "ĠðŁĻĤ", "ð"} <= names
    assert not names & {"Ġhello", "hello", "ä¸Ń", "Ł", "Ļ", "a"}


def test_special_tokens_but_those_that_end_a_turn() -> None:
    tokenizer = byte_level()
    assert banned_ids(tokenizer, ["special"], keep=[0]) == (1,)
    hello = tokenizer.vocabulary["hello"]
    assert banned_ids(tokenizer, ["token:hello"], []) == (hello,)
    with pytest.raises(ValueError, match="unknown ban 'emojis'"):
        banned_ids(tokenizer, ["emojis"], [])


def test_sentencepiece_bytes() -> None:
    words = ["<|end|>", "<|start|>", "▁hello", "<0xF0>", "<0x9F>", "▁🙂", "中"]
    tokenizer = Tokenizer({word: i for i, word in enumerate(words)})
    assert banned_ids(tokenizer, ["emoji"], []) == (3, 5)
