"""Secrets: found however they are spelled, and nothing else is hidden."""

from __future__ import annotations

import json
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mminf.redact import _guessed, hide_secrets, is_secret_name, keep_secret, read_secret, redact

from .fuzz import fuzz

SECRETS = st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=8, max_size=60)


@fuzz(200)
@given(SECRETS, st.text(max_size=20), st.text(max_size=20))
def test_a_kept_secret_is_found_however_it_is_spelled(secret: str, before: str, after: str) -> None:
    keep_secret(secret)
    for spelled in (secret, json.dumps(secret), quote(secret, safe=""), f"Bearer {secret}"):
        assert secret not in hide_secrets(before + spelled + after)
        assert secret not in redact(before + spelled + after)


def test_short_and_plain_values_are_no_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MY_API_KEY", "EMPTY")
    assert read_secret("MY_API_KEY") == "EMPTY"
    monkeypatch.setenv("SORT_KEY", "instruction")
    monkeypatch.setenv("TLS_KEY", "/etc/ssl/private.key")
    _guessed.cache_clear()
    text = "EMPTY instruction in /etc/ssl/private.key"
    assert hide_secrets(text) == redact(text) == text
    monkeypatch.setenv("UNSET_KEY", "")
    assert read_secret("UNSET_KEY") is None


def test_variables_that_are_named_like_keys_are_hidden_where_things_are_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_abcdefghijk123")
    _guessed.cache_clear()
    assert redact("401 for hf_abcdefghijk123") == "401 for ***"
    assert hide_secrets("hf_abcdefghijk123") == "hf_abcdefghijk123", "a guess does not change what models answer"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("s3://key:pass@bucket/x", "s3://***@bucket/x"),
        ("at http://me:a%40b@host:80/v1?x=1#y", "at http://***@host:80/v1?x=1#y"),
        ("http://h/x.png?X-Amz-Signature=abc&w=3", "http://h/x.png?X-Amz-Signature=***&w=3"),
        ("http://h/x?sig=abc%2B&sv=1", "http://h/x?sig=***&sv=1"),
        ("http://h/x?api_key=abc", "http://h/x?api_key=***"),
        ("http://h/x?token=abc&keyword=dog", "http://h/x?token=***&keyword=dog"),
        ("mail me@host.example about http://h/x", "mail me@host.example about http://h/x"),
        ("http://h/@me/x", "http://h/@me/x"),
    ],
)
def test_passwords_and_signatures_in_addresses_are_hidden(text: str, shown: str) -> None:
    assert redact(text) == shown


def test_names_of_secrets() -> None:
    for name in ("Authorization", "api-key", "X-Api-Key", "apikey", "HF_TOKEN", "Cookie", "x-goog-api-key", "sig"):
        assert is_secret_name(name), name
    for name in ("X-Title", "HTTP-Referer", "api-version", "User-Agent", "keyword", "monkey", "tokens"):
        assert not is_secret_name(name), name
