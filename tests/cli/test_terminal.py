"""What commands print: no escape steers the terminal, no secret is shown, and all failures can be listed."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mminf.terminal import printable

from ..fuzz import fuzz

EVIL = "\x1b]0;OWNED\x07\x1b[2J\x9b31m\x08‮txt\r"


def in_terminal(*arguments: str, env: dict[str, str] | None = None) -> str:
    """What a command prints to a terminal."""
    leader, follower = pty.openpty()
    command = [sys.executable, "-m", "mminf.cli.main", *arguments]
    process = subprocess.Popen(
        command, stdin=follower, stdout=follower, stderr=follower, env={**os.environ, **(env or {})}
    )
    os.close(follower)
    said = b""
    while True:
        try:
            chunk = os.read(leader, 1 << 16)
        except OSError:
            break
        if not chunk:
            break
        said += chunk
    process.wait(60)
    os.close(leader)
    return said.decode("utf-8", "replace")


@fuzz(300)
@given(st.text())
def test_nothing_that_is_printed_steers_a_terminal(text: str) -> None:
    shown = printable(text)
    assert not any((ord(c) < 32 and c not in "\n\t") or 0x7F <= ord(c) < 0xA0 or c == "\u202e" for c in shown)
    shown.encode()
    assert printable(shown) == shown
    plain = json.dumps(text, ensure_ascii=False)
    assert json.loads(printable(plain)) == text, "what is JSON stays JSON"


@pytest.fixture
def output(write_recipe: Callable[[str], Path], rows: Callable[..., Path], tmp_path: Path) -> Path:
    (tmp_path / "s.py").write_text(f"def answer(r): raise ValueError({EVIL!r} + ' key sk-abcdef0123456789')")
    rows(*({"id": f"r{number}{EVIL}", "q": EVIL} for number in range(30)))
    write_recipe(
        f"""
engines: {{s: {{backend: scripted, script: {tmp_path}/s.py}}}}
source: {{jsonl: rows.jsonl}}
max_same_failures: null
steps: [generate: {{engine: s, prompt: '{{{{ q }}}}'}}]
sinks: [{{jsonl: o.jsonl}}]
"""
    )
    return tmp_path / "out"


def test_commands_print_neither_escapes_nor_secrets(output: Path) -> None:
    recipe = str(output.parent / "recipe.yaml")
    key = {"OPENAI_API_KEY": "sk-abcdef0123456789"}
    ran = in_terminal("run", recipe, "--output", str(output), env=key)
    assert "30 failed" in ran
    first = f"r0{EVIL}"
    commands = (
        ["status", str(output)],
        ["status", str(output), "--json"],
        ["status", str(output), "--failures"],
        ["show", str(output), first],
        ["show", str(output), first, "--json"],
        ["show", str(output), f"no{EVIL}"],
        ["retry", str(output), "--id", f"no{EVIL}"],
        ["render", recipe, "generate"],
        ["run", f"no{EVIL}"],
    )
    for text in (ran, *(in_terminal(*command, env=key) for command in commands)):
        for escape in ("\x1b]0", "\x1b[2J", "\x9b", "\x07", "\u202e"):
            assert escape not in text, text[:500]
        assert "abcdef0123456789" not in text


def test_the_journal_has_no_secret_either(output: Path) -> None:
    recipe = str(output.parent / "recipe.yaml")
    in_terminal("run", recipe, "--output", str(output), env={"OPENAI_API_KEY": "sk-abcdef0123456789"})
    for file in output.iterdir():
        assert b"abcdef0123456789" not in file.read_bytes(), file


def test_all_failures_are_listed(output: Path) -> None:
    recipe = str(output.parent / "recipe.yaml")
    assert f"mminf status {output} --failures" in in_terminal("run", recipe, "--output", str(output)).replace(
        "\r\n", ""
    )
    status = in_terminal("status", str(output)).replace("\r\n", "\n")
    assert status.count("failed at generate") == 20
    assert "and 10 more" in status
    command = [sys.executable, "-m", "mminf.cli.main", "status", str(output), "--failures", "--json"]
    lines = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
    assert [json.loads(line)["id"] for line in lines] == [f"r{number}{EVIL}" for number in range(30)]
