"""Runs commands in a terminal of a given size."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import struct
import subprocess
import sys
import termios

from mminf.layout import columns

ESCAPE = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


def run(*arguments: str, width: int = 80, height: int = 24, env: dict[str, str] | None = None) -> str:
    """Returns what a command prints to a terminal, with its escape sequences."""
    leader, follower = pty.openpty()
    fcntl.ioctl(follower, termios.TIOCSWINSZ, struct.pack("HHHH", height, width, 0, 0))
    command = [sys.executable, "-m", "mminf.cli.main", *arguments]
    variables = {name: value for name, value in os.environ.items() if name not in ("COLUMNS", "LINES")}
    process = subprocess.Popen(
        command, stdin=follower, stdout=follower, stderr=follower, env={**variables, "TERM": "xterm", **(env or {})}
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
    return said.decode("utf-8", "replace").replace("\r\n", "\n")


def lines(*arguments: str, width: int = 80) -> list[str]:
    """Returns the lines that a command prints to a terminal, without escape sequences; none may be too long.

    A longer word has a line of its own, also in a command that continues in the next line.
    """
    found = ESCAPE.sub("", run(*arguments, width=width)).splitlines()
    long = [line for line in found if columns(line) > width and " " in line.strip().removesuffix(" \\")]
    assert not long, long
    return found
