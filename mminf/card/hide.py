"""Removes what must not be published from the texts of a card: secrets, paths of this machine, private servers."""

from __future__ import annotations

import ipaddress
import os
import re
from collections.abc import Iterable, Mapping
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import urlsplit

from mminf.redact import redact

LOCAL = "<local>"
SERVER = "<server>"
_PATH = re.compile(r"(?:/|~/|~$|[A-Za-z]:[\\/]|\\\\|file://)[^\n]*")
_URL = re.compile(r"\bhttps?://(?:\[[^\]\s]*\][^\s\"'<>|)\]]*|[^\s\"'<>|)\]]+)")
_PRIVATE = (".local", ".internal", ".intranet", ".lan", ".corp", ".home", ".svc")
_SHORTEST = 3
"""Parts of a path that is replaced inside of texts: `/data` could be anything."""


def hide_values(value: Any) -> Any:
    """Returns JSON values in which each text that is an absolute path has only the path's last part."""
    if isinstance(value, Mapping):
        return {key: hide_values(item) for key, item in value.items()}
    if isinstance(value, list):
        return [hide_values(item) for item in value]
    return shorten_path(value) if isinstance(value, str) else value


def shorten_path(text: str) -> str:
    """Returns `<local>/name` for an absolute path of this machine, and any other text unchanged."""
    if not _PATH.fullmatch(text) or len(text) == 1:
        return text
    name = PurePosixPath(text.replace("\\", "/")).name
    return f"{LOCAL}/{name}" if name else LOCAL


def is_local_path(text: str) -> bool:
    """Returns whether a text is an absolute path of this machine."""
    return shorten_path(text) != text


def hide_text(text: str, folders: Iterable[str | Path | None]) -> str:
    """Returns a text without secrets, private servers, and the paths of folders of this machine.

    Args:
        folders: their paths are replaced; in addition the home folder and the working directory.
    """
    known = [*folders, Path.home(), Path.cwd()]
    for folder in sorted({str(folder) for folder in known if folder is not None}, key=len, reverse=True):
        absolute = os.path.abspath(folder)  # noqa: PTH100 (links are not resolved: texts have the path as it was given)
        if len(Path(absolute).parts) >= _SHORTEST or absolute == str(Path.home()):
            text = re.sub(rf"{re.escape(absolute)}(?![\w.-])", LOCAL, text)
    return redact(_URL.sub(lambda match: _hide_server(match[0]), text))


def _hide_server(url: str) -> str:
    """Returns a URL without the name of a server that only this network knows."""
    try:
        parts = urlsplit(url)
        host = parts.hostname or ""
        private = _is_private(host)
    except ValueError:
        return SERVER
    return f"{parts.scheme}://{SERVER}{parts.path}" if private else url


def _is_private(host: str) -> bool:
    try:
        return not ipaddress.ip_address(host).is_global
    except ValueError:
        return "." not in host or host.endswith(_PRIVATE)
