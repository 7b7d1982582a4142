"""A marker file, by which processes on several machines check that they have the same output folder."""

from __future__ import annotations

import asyncio
import secrets
from pathlib import Path

from mminf.errors import JournalError

NONCE = ".mminf-run"
POLL_SECONDS = 0.1


def place_marker(output: Path) -> str:
    """Writes a marker with random content into the output folder of the leading process. Returns the content."""
    nonce = secrets.token_hex(8)
    (output / NONCE).write_text(nonce)
    return nonce


def remove_marker(output: Path) -> None:
    """Removes the marker, after the last worker has read it."""
    (output / NONCE).unlink(missing_ok=True)


async def check_shared(output: Path, nonce: str, who: str, seconds: float = 30.0) -> None:
    """Raises JournalError if the marker is not there; a network file system may need a moment.

    Args:
        nonce: the required content of the marker.
        who: name of this process in the message.
    """
    path = output / NONCE
    for _ in range(int(seconds / POLL_SECONDS)):
        if await asyncio.to_thread(_says, path, nonce):
            return
        await asyncio.sleep(POLL_SECONDS)
    raise JournalError(
        f"{who} does not see the output folder {output} of the process that leads the run; "
        "use an --output on a file system, or in a store, that all machines can access"
    )


def _says(path: Path, nonce: str) -> bool:
    try:
        return path.read_text() == nonce
    except FileNotFoundError:
        return False
