"""Finds the tokens that a ban forbids by their text, in any vocabulary.

Byte-level vocabularies can spell emoji from single bytes. Therefore a token is also banned if it ends with the start of
a UTF-8 sequence that can only (or, for a lone 0xF0, nearly only) become a pictograph.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

# Unicode blocks and single code points of pictographs (Unicode 16, emoji-data.txt, and the dingbats around them).
_RANGES = (
    (0x1F000, 0x1FFFF),  # from 0x1FC00 on unassigned
    (0x2600, 0x27BF),
    (0x2194, 0x2199),
    (0x23E9, 0x23F3),
    (0x23F8, 0x23FA),
    (0x25FB, 0x25FE),
    (0x2B05, 0x2B07),
    (0xFE0E, 0xFE0F),
)
_SINGLE = frozenset(
    {0xA9, 0xAE, 0x203C, 0x2049, 0x20E3, 0x2122, 0x2139, 0x21A9, 0x21AA, 0x231A, 0x231B, 0x2328, 0x23CF, 0x24C2}
    | {0x25AA, 0x25AB, 0x25B6, 0x25C0, 0x2934, 0x2935, 0x2B1B, 0x2B1C, 0x2B50, 0x2B55, 0x3030, 0x303D, 0x3297, 0x3299}
)
_BYTE_TOKEN = re.compile(r"^<0x([0-9A-F]{2})>$")


def is_pictograph(code: int) -> bool:
    """Returns whether a code point is an emoji, a dingbat or a modifier of one."""
    return code in _SINGLE or any(low <= code <= high for low, high in _RANGES)


def begins_pictograph(tail: bytes) -> bool:
    """Returns whether an incomplete UTF-8 sequence can only become a pictograph.

    A lone 0xF0 starts every code point above U+FFFF. It is included: the others (rare ideographs, ancient scripts)
    are not expected in instructions, and without it a model could still spell emoji.
    """
    if tail == b"\xf0":
        return True
    if not tail or len(tail) >= _length(tail[0]):
        return False
    low = tail + b"\x80" * (_length(tail[0]) - len(tail))
    high = tail + b"\xbf" * (_length(tail[0]) - len(tail))
    try:
        first, last = ord(low.decode()), ord(high.decode())
    except UnicodeDecodeError:
        return False
    return any(block[0] <= first and last <= block[1] for block in _RANGES)


def holds_pictograph(data: bytes) -> bool:
    """Returns whether a token's bytes contain a pictograph or end with the start of one."""
    index = 0
    while index < len(data):
        length = _length(data[index])
        piece = data[index : index + length]
        if len(piece) < length:
            return begins_pictograph(piece)
        try:
            if length > 1 and is_pictograph(ord(piece.decode())):
                return True
        except UnicodeDecodeError:
            length = 1
        index += length
    return False


def banned_ids(tokenizer: PreTrainedTokenizerBase, bans: Iterable[str], keep: Iterable[int]) -> tuple[int, ...]:
    """Returns the token ids that the bans forbid, sorted.

    Args:
        tokenizer: a transformers tokenizer.
        bans: `special`, `emoji`, `token:TEXT`; see `Sampling.ban`.
        keep: ids that end a turn, never banned.

    Raises:
        ValueError: for any other ban.
    """
    banned: set[int] = set()
    special = _special_ids(tokenizer)
    for ban in bans:
        if ban == "special":
            banned |= special
        elif ban == "emoji":
            banned |= {i for i, data in _token_bytes(tokenizer).items() if i not in special and holds_pictograph(data)}
        elif ban.startswith("token:"):
            text = ban.removeprefix("token:").encode()
            banned |= {i for i, data in _token_bytes(tokenizer).items() if data == text}
        else:
            raise ValueError(f"unknown ban {ban!r}; known: special, emoji, token:TEXT")
    return tuple(sorted(banned - set(keep)))


def _special_ids(tokenizer: PreTrainedTokenizerBase) -> set[int]:
    added = {i for i, token in tokenizer.added_tokens_decoder.items() if token.special}
    return added | set(tokenizer.all_special_ids)


@dataclass(frozen=True, slots=True)
class Spelling:
    """How a vocabulary writes the text of its tokens.

    Attributes:
        byte_level: every character represents a byte (GPT-2, Qwen, Llama 3).
        byte_fallback: `<0xF0>` represents that byte (Llama 2, Gemma).
        metaspace: `▁` represents a space.
        continuation: `##` in front of a token means that no space is before it (WordPiece).
    """

    byte_level: bool = False
    byte_fallback: bool = False
    metaspace: bool = False
    continuation: bool = False

    def read(self, token: str | bytes) -> bytes:
        """Returns the bytes that a token adds to a text."""
        if isinstance(token, bytes):  # tiktoken-style vocabularies
            return token
        if self.byte_level:
            table = _byte_alphabet()
            if all(char in table for char in token):
                return bytes(table[char] for char in token)
        if self.byte_fallback and (match := _BYTE_TOKEN.match(token)):
            return bytes([int(match[1], 16)])
        if self.continuation:
            token = token.removeprefix("##")
        if self.metaspace:
            token = token.replace("▁", " ")
        return token.encode("utf-8", "replace")


def find_spelling(tokenizer: PreTrainedTokenizerBase) -> Spelling:
    """Returns how a tokenizer's vocabulary is written, found by decoding a few tokens.

    The vocabulary alone is ambiguous: SentencePiece vocabularies such as Gemma's contain a literal `Ġ`.
    """
    return Spelling(
        byte_level=_spells(tokenizer, ["ðŁĻĤ"], "🙂") or _declares_byte_level(tokenizer),
        byte_fallback=_spells(tokenizer, ["<0xF0>", "<0x9F>", "<0x99>", "<0x82>"], "🙂"),
        metaspace=_spells(tokenizer, ["a", "▁b"], "a b"),
        continuation=_spells(tokenizer, ["a", "##b"], "ab"),
    )


def _spells(tokenizer: PreTrainedTokenizerBase, tokens: list[str], text: str) -> bool:
    try:
        return str(tokenizer.convert_tokens_to_string(tokens)).strip() == text
    except Exception:  # a tokenizer's remote code may raise any exception
        return False


def _declares_byte_level(tokenizer: PreTrainedTokenizerBase) -> bool:
    """Returns whether the `tokenizers` pipeline has a ByteLevel component."""
    backend = getattr(tokenizer, "backend_tokenizer", None)
    parts = (getattr(backend, name, None) for name in ("decoder", "pre_tokenizer", "normalizer"))
    return any(part is not None and b'"ByteLevel"' in part.__getstate__() for part in parts)


def _token_bytes(tokenizer: PreTrainedTokenizerBase) -> dict[int, bytes]:
    cached = getattr(tokenizer, "_mminf_token_bytes", None)
    if cached is None:
        spelling = find_spelling(tokenizer)
        added = {i: token.content for i, token in tokenizer.added_tokens_decoder.items()}
        cached = {
            i: added[i].encode() if i in added else spelling.read(token) for token, i in tokenizer.get_vocab().items()
        }
        tokenizer._mminf_token_bytes = cached
    return dict(cached)


@cache
def _byte_alphabet() -> dict[str, int]:
    """Returns the alphabet of byte-level BPE: printable Latin-1 bytes are unchanged, others start at U+0100."""
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    hidden = [byte for byte in range(256) if byte not in set(printable)]
    return {chr(byte): byte for byte in printable} | {chr(0x100 + n): byte for n, byte in enumerate(hidden)}


def _length(lead: int) -> int:
    """Returns the length of the UTF-8 sequence that a byte starts; 1 for ASCII and for invalid bytes."""
    if lead >= 0xF0:
        return 4
    if lead >= 0xE0:
        return 3
    return 2 if lead >= 0xC2 else 1
