"""`mminf push` as a user runs it, with the real library, against a server with the endpoints of Hugging Face's hub."""

from __future__ import annotations

import base64
import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import urlsplit

import pytest

from ..card.conftest import Run
from ..conftest import subprocess_env

NAME = "me/drawings"


class Handler(BaseHTTPRequestHandler):
    """Keeps the files of one repository in memory. Small files are part of the commit, so there is no LFS."""

    repository: ClassVar[dict[str, bytes]]
    requests: ClassVar[list[str]]
    exists: ClassVar[bool]
    address: ClassVar[str]

    def log_message(self, *_: Any) -> None:
        pass

    def reply(self, body: object, status: int = 200, **headers: str) -> None:
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.send_response(status)
        for name, value in {"Content-Length": str(len(data)), **headers}.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)

    def read(self) -> bytes:
        return self.rfile.read(int(self.headers.get("Content-Length", 0)))

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        cls, path = type(self), urlsplit(self.path).path
        cls.requests.append(f"{self.command} {path}")
        if not cls.exists:
            self.reply({"error": "Repository not found"}, 404, X_Error_Code="RepoNotFound")
        elif path.startswith(f"/datasets/{NAME}/resolve/main/"):
            content = cls.repository.get(path.rpartition("/")[2])
            if content is None:
                self.reply({"error": "no"}, 404, X_Error_Code="EntryNotFound")
            else:
                self.reply(content, ETag='"1"', X_Repo_Commit="0" * 40, Content_Type="text/plain")
        elif path.startswith(f"/api/datasets/{NAME}/tree/"):
            files = [
                {"type": "file", "path": name, "size": len(data), "oid": "0"} for name, data in cls.repository.items()
            ]
            self.reply(files)
        else:
            self.reply({"id": NAME, "private": True, "sha": "0" * 40, "siblings": []})

    def do_POST(self) -> None:
        cls, path, body = type(self), urlsplit(self.path).path, self.read()
        cls.requests.append(f"POST {path}")
        if self.headers.get("Authorization") != "Bearer hf_test":
            self.reply({"error": "no token"}, 401)
        elif path == "/api/repos/create":
            created, cls.exists = not cls.exists, True
            self.reply({"url": f"{cls.address}/datasets/{NAME}", "id": NAME}, 200 if created else 409)
        elif path == "/api/validate-yaml":
            self.reply({"errors": [], "warnings": []})
        elif path.endswith("/preupload/main"):
            names = [file["path"] for file in json.loads(body)["files"]]
            self.reply({"files": [{"path": name, "uploadMode": "regular", "shouldIgnore": False} for name in names]})
        elif path.endswith("/commit/main"):
            for line in map(json.loads, body.splitlines()):
                if line["key"] == "file":
                    cls.repository[line["value"]["path"]] = base64.b64decode(line["value"]["content"])
                elif line["key"] == "deletedFile":
                    cls.repository.pop(line["value"]["path"])
            url = f"{cls.address}/datasets/{NAME}/commit/{'0' * 40}"
            self.reply({"success": True, "commitOid": "0" * 40, "commitUrl": url, "hookOutput": ""})
        else:
            self.reply({"error": path}, 404)


@pytest.fixture
def server() -> Iterator[type[Handler]]:
    class Own(Handler):
        repository: ClassVar[dict[str, bytes]] = {}
        requests: ClassVar[list[str]] = []
        exists = False
        address = ""

    with ThreadingHTTPServer(("127.0.0.1", 0), Own) as found:
        Own.address = f"http://127.0.0.1:{found.server_port}"
        threading.Thread(target=found.serve_forever, daemon=True).start()
        yield Own
        found.shutdown()


def push(output: Path, server: Any, token: str, *options: str) -> subprocess.CompletedProcess[str]:
    settings = {"HF_ENDPOINT": server.address, "HF_TOKEN": token, "HF_HOME": str(output.parent / "hf")}
    env = subprocess_env(**settings, HF_HUB_DISABLE_PROGRESS_BARS="1", NO_PROXY="*", no_proxy="*")
    command = [sys.executable, "-m", "mminf", "push", str(output), f"hub:{NAME}", *options]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, env=env)


def test_the_real_library_uploads(run: Run, server: Any) -> None:
    output = run(sinks="  - jsonl: {path: a, rows_per_file: 5}")
    first = push(output, server, "hf_test", "--private")
    assert first.returncode == 0, first.stdout + first.stderr
    assert first.stdout.splitlines()[-1] == f"{server.address}/datasets/{NAME}"
    assert set(server.repository) == {
        "README.md",
        "recipe.resolved.yaml",
        "a/00000.jsonl",
        "a/00001.jsonl",
        "a/00002.jsonl",
        "a/manifest.json",
    }
    for name in ("a/00000.jsonl", "a/manifest.json"):
        assert server.repository[name] == (output / name).read_bytes()
    assert "POST /api/validate-yaml" in server.requests, "the hub checks the header of the card"
    # A shard of an older dataset, and a file of somebody else.
    server.repository |= {"a/00003.jsonl": b"{}", "b.txt": b"kept"}
    again = push(output, server, "hf_test", "--include-images")
    assert again.returncode == 0, again.stdout + again.stderr
    assert {name for name in server.repository if name.startswith("a/")} == {"a/00000.parquet", "a/manifest.json"}
    assert server.repository["b.txt"] == b"kept"


def test_a_wrong_token(run: Run, server: Any) -> None:
    found = push(run(), server, "hf_wrong")
    assert found.returncode == 2 and "Traceback" not in found.stderr
    assert f"error: Hugging Face, {NAME}: " in found.stderr and "401" in found.stderr
    assert server.repository == {}


def test_a_server_that_is_not_there(run: Run, server: Any) -> None:
    server.address = "http://127.0.0.1:9"
    found = push(run(), server, "hf_test")
    assert found.returncode == 2 and "Traceback" not in found.stderr
    assert f"error: Hugging Face, {NAME}: " in found.stderr
