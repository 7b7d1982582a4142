"""Scaffolding of tests with stores: a recipe, files in a store, and the lock of another machine."""

from __future__ import annotations

import contextlib
import io
import itertools
import json
import threading
import time
from collections.abc import Iterator
from typing import Any

from PIL import Image

RECIPE = """
name: stores
engines: {{llm: {{backend: scripted, script: {script}}}}}
source: {{images: images}}
steps:
  - generate: {{engine: llm, prompt: "{{{{ images }}}} what?", writes: said}}
sinks:
  - jsonl: {{path: rows.jsonl, columns: [said]}}
  - parquet: {{path: table, rows_per_file: 5, embed_images: true}}
  - webdataset: {{path: tars, rows_per_file: 4}}
"""
ANSWER = """
import os

def answer(request):
    if os.environ.get("CALLS_LOG"):
        with open(os.environ["CALLS_LOG"], "a") as file:
            file.write(f"{request.seed}\\n")
    return "it has digest " + request.images[0].digest[:8]
"""


def put(store: Any, files: dict[str, bytes]) -> None:
    for name, data in files.items():
        path = store / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)


def files_of(folder: Any) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir(), key=lambda p: p.name) if path.is_file()}


def picture(colour: int = 0, kind: str = "PNG") -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (16, 16), (colour % 256, 40, 90)).save(file, kind)
    return file.getvalue()


def heartbeat(clock: float, beat: int = 0) -> bytes:
    """Returns the lock of a machine whose clock is this much ahead of ours, in seconds."""
    held = {"host": "elsewhere", "process": 1, "at": time.time() + clock, "token": "x", "beat": beat}
    return json.dumps(held).encode()


@contextlib.contextmanager
def other_machine(folder: Any, clock: float = 0.0) -> Iterator[None]:
    """Holds the lock of a folder as another machine does that is alive."""
    over = threading.Event()
    put(folder, {"journal.lock": heartbeat(clock)})

    def renew() -> None:
        for beat in itertools.count(1):
            if over.wait(0.2):
                return
            put(folder, {"journal.lock": heartbeat(clock, beat)})

    thread = threading.Thread(target=renew)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
