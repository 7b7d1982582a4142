"""Shared fixtures: drawn images, real images if there are any, recipes with a scripted engine."""

from __future__ import annotations

import json
import logging
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from mminf_plugins.demo.world import draw_scene, make_scene
from PIL import Image

from mminf import limits, redact
from mminf.journal import remote_lock
from mminf.plugin import discover, discovery
from mminf.registry import BACKENDS, SINKS, SOURCES, STEPS
from mminf.storage import to_path

from .engine.models import MODEL
from .stores import ANSWER, RECIPE
from .workers import LONG, Scheduling

ROOT = Path(__file__).parent.parent
SHARED = ROOT.parent / "shared" / "data"
sys.path.insert(0, str(ROOT / "scripts"))

# A scripted model for all steps of the Oasis recipe, VLM and LLM in one. It logs every call.
OASIS_SCRIPT = """
import os, hashlib

def answer(request):
    text = "\\n".join(turn.text for turn in request.turns)
    images = ",".join(image.digest[:8] for image in request.images)
    log = os.environ.get("CALLS_LOG")
    if log:
        key = hashlib.sha256(repr((text, images, request.open_turn, request.seed)).encode()).hexdigest()
        with open(log, "a") as file:
            file.write(key + "\\n")
    if request.open_turn == "user":
        number = request.seed % 4
        return "A picture of things." if number == 0 else f"What is shown in picture {images} ({number})?"
    if "[Begin of Text]" in text:
        sampled = text.rsplit("[Begin of Text]", 1)[1].split("[End of Text]")[0].strip()
        return "NO_INST" if sampled.startswith("A picture") else f"Instruction: {sampled}"
    if "as one of [[1]]" in text:
        return "[[3]]" if "You do not need the image" in text and "(3)" in text else "[[5]]"
    return f"An answer to {text[-40:]!r} {images}"
"""


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Scheduling:
    return Scheduling(config, log)


def pytest_make_parametrize_id(val: object, argname: str) -> str | None:
    """Names a parameter of bytes after its argument.

    Workers collect the tests each for itself and must find the same ids; compressed bytes may have the time in them.
    """
    return argname if isinstance(val, bytes) else None


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Puts what takes longest first, so that the workers end at the same time."""
    items.sort(key=lambda item: not item.nodeid.startswith(LONG))


@pytest.fixture(autouse=True)
def _limits() -> None:
    """Reads the limits from the environment again for each test; otherwise they are read once per process."""
    limits.read_again()


@pytest.fixture(autouse=True)
def _log(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Starts each test with the logger as a program that imports mminf has it: commands set their own up."""
    log = logging.getLogger("mminf")
    monkeypatch.setattr(log, "handlers", [])
    monkeypatch.setattr(log, "propagate", True)
    level = log.level
    log.setLevel(logging.NOTSET)
    yield
    log.setLevel(level)


@pytest.fixture(autouse=True)
def _secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    """Starts each test without the secrets that earlier ones have read: a drawn key may be a word of the next test."""
    monkeypatch.setattr(redact, "_kept", set())


@pytest.fixture
def images(tmp_path: Path) -> Path:
    """A folder with 12 drawn images, 000.png to 011.png: the scenes with the seeds 0 to 11."""
    folder = tmp_path / "images"
    folder.mkdir()
    for seed in range(12):
        draw_scene(make_scene(seed)).save(folder / f"{seed:03}.png")
    return folder


@pytest.fixture
def real_images() -> Path:
    """The folder of real images; skips the test if there is none."""
    if not (SHARED / "images").is_dir():
        pytest.skip("no ../shared/data: the real sample images are not part of the repository")
    return SHARED / "images"


@pytest.fixture
def script(tmp_path: Path) -> Path:
    path = tmp_path / "script.py"
    path.write_text(OASIS_SCRIPT)
    return path


@pytest.fixture
def scripted_oasis(script: Path) -> list[str]:
    """Settings that make the Oasis recipe use the scripted engine."""
    engine = f"{{backend: scripted, script: {script}}}"
    return [f"engines.vlm={engine}", f"engines.llm={engine}"]


@pytest.fixture
def calls_log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The file in which the scripted engine logs every call."""
    path = tmp_path / "calls.log"
    path.touch()
    monkeypatch.setenv("CALLS_LOG", str(path))
    return path


@pytest.fixture
def write_recipe(tmp_path: Path) -> Callable[[str], Path]:
    """A function that writes a recipe file."""

    def write(text: str, name: str = "recipe.yaml") -> Path:
        path = tmp_path / name
        path.write_text(text)
        return path

    return write


@pytest.fixture
def rows(tmp_path: Path) -> Callable[..., Path]:
    """A function that writes rows to a JSONL file."""

    def write(*items: dict[str, object], name: str = "rows.jsonl") -> Path:
        path = tmp_path / name
        path.write_text("".join(json.dumps(item) + "\n" for item in items))
        return path

    return write


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder with the local journals of runs whose output is in a store."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "mminf" / "runs"


@pytest.fixture
def models(tmp_path: Path, calls_log: Path) -> str:
    """The engines a, b and c of a recipe."""
    lines = []
    for name in "abc":
        (tmp_path / f"{name}.py").write_text(MODEL.replace("NAME", name))
        lines.append(f"  {name}: {{backend: scripted, model: model-{name}, script: {tmp_path / name}.py}}\n")
    return "engines:\n" + "".join(lines)


@pytest.fixture
def store_recipe(tmp_path: Path, write_recipe: Callable[..., Path]) -> Path:
    """A recipe with one call per image, and datasets of one file and of several files."""
    (tmp_path / "script.py").write_text(ANSWER)
    return write_recipe(RECIPE.format(script=tmp_path / "script.py"))


@pytest.fixture
def quick_locks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Heartbeats of locks in stores every 0.2 s."""
    monkeypatch.setattr(remote_lock, "RENEW_SECONDS", 0.2)
    monkeypatch.setattr(remote_lock, "VOID_SECONDS", 3.0)
    monkeypatch.setattr(remote_lock, "SETTLE_SECONDS", 0.05)


@pytest.fixture
def memory(cache: Path, quick_locks: None) -> Iterator[Any]:
    """An empty store in this process."""
    store = to_path("memory://bucket")
    if store.exists():
        store.fs.rm("/bucket", recursive=True)  # type: ignore[attr-defined]
    yield store


@pytest.fixture(scope="session")
def s3_server() -> Iterator[str]:
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture
def s3(s3_server: str, monkeypatch: pytest.MonkeyPatch, cache: Path, quick_locks: None) -> Iterator[Any]:
    """An empty bucket of a mock S3 server."""
    import requests
    import s3fs

    for name, value in s3_variables(s3_server).items():
        monkeypatch.setenv(name, value)
    requests.post(f"{s3_server}/moto-api/reset", timeout=10)
    s3fs.S3FileSystem.clear_instance_cache()
    s3fs.S3FileSystem().mkdir("bucket")
    yield to_path("s3://bucket")
    s3fs.S3FileSystem.clear_instance_cache()


def s3_variables(server: str) -> dict[str, str]:
    return {
        "AWS_ENDPOINT_URL": server,
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_DEFAULT_REGION": "us-east-1",
    }


def read_rows(path: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def tiny_image(path: Path, colour: str = "red", size: tuple[int, int] = (32, 32)) -> Path:
    Image.new("RGB", size, colour).save(path)
    return path


def subprocess_env(**more: str) -> dict[str, str]:
    return {**os.environ, **more}


@pytest.fixture
def own_plugins(monkeypatch: pytest.MonkeyPatch) -> None:
    """Forgets the plugins of a test: other tests look at all members."""
    discover()
    for registry in (STEPS, BACKENDS, SOURCES, SINKS):
        monkeypatch.setattr(registry, "_items", dict(registry._items))
    monkeypatch.setattr(discovery, "_files", dict(discovery._files))  # else a Ray worker of a later test loads them
