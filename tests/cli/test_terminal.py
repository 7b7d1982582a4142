"""What commands print: no escape steers the terminal, no secret is shown, and all failures can be listed."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mminf.terminal import printable

from ..fuzz import fuzz
from .in_terminal import run as in_terminal

EVIL = "\x1b]0;OWNED\x07\x1b[2J\x9b31m\x08‮txt\r"


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
        ["list", str(output)],
        ["list", str(output), "--failed", "--json"],
        ["list", str(output), "--where", f"no{EVIL}"],
        ["show", str(output), first],
        ["show", str(output), first, "--full"],
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
    ran = " ".join(in_terminal("run", recipe, "--output", str(output)).split())
    assert f"mminf list {output} --failed" in ran
    assert "30 rows: " in in_terminal("status", str(output)), "they have the same reason"
    command = [sys.executable, "-m", "mminf.cli.main"]
    for arguments in (["status", str(output), "--failures", "--json"], ["list", str(output), "--failed", "--json"]):
        lines = subprocess.run([*command, *arguments], capture_output=True, text=True, check=True).stdout.splitlines()
        assert [json.loads(line)["id"] for line in lines] == [f"r{number}{EVIL}" for number in range(30)]
