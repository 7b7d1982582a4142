"""Inputs and outputs that are not files of this machine: images, tars and Parquet in stores, datasets sent there."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import mminf
import mminf.journal.mirror
from mminf import api
from mminf.errors import JournalError, RecipeError, SourceError, UsageError
from mminf.image import ImagePolicy, check_allowed, read_image
from mminf.sink.shards import MANIFEST
from mminf.storage import to_path

from ..conftest import read_rows, subprocess_env
from ..stores import files_of, picture, put

# S3, and any other store


@pytest.mark.parametrize("kind", ["memory", "s3"])
def test_images_come_from_a_store_and_datasets_go_there(
    kind: str, request: pytest.FixtureRequest, store_recipe: Path, images: Path, tmp_path: Path, calls_log: Path
) -> None:
    store = request.getfixturevalue(kind)
    put(store, {f"in/sub/{path.name}": path.read_bytes() for path in images.iterdir()})
    put(store, {"in/broken.png": b"no image", "in/empty.png": b"", "in/notes.txt": b"x", "in/.hidden.png": b"x"})
    local = mminf.run(store_recipe, input=images, output=tmp_path / "local")
    given, out = str(store / "in"), str(store / "out")
    result = mminf.run(store_recipe, input=given, output=out)
    assert (result.state, result.counts.done, result.counts.failed) == ("finished", 12, 2)
    assert "is empty" in str(next(reason for record, _, reason in result.failures if record == "empty.png"))
    rows = [json.loads(line) for line in (store / "out" / "rows.jsonl").read_text().splitlines()]
    assert [row["id"] for row in rows] == [f"sub/{n:03}.png" for n in range(12)]
    assert [row["said"] for row in rows] == [row["said"] for row in read_rows(tmp_path / "local" / "rows.jsonl")]
    assert local.counts.done == 12
    for name in ("table", "tars"):
        manifest = json.loads((store / "out" / name / MANIFEST).read_text())
        assert sorted([*(file["name"] for file in manifest["files"]), MANIFEST]) == list(files_of(store / "out" / name))
        assert manifest["rows"] == 12
    assert files_of(store / "out" / "tars").keys() == files_of(tmp_path / "local" / "tars").keys()
    # A second run on this machine, and a run on another one, repeat no call.
    calls_log.write_text("")
    assert mminf.run(store_recipe, input=given, output=out).counts == result.counts
    for path in (tmp_path / "cache").rglob("journal.*"):
        path.unlink()
    assert mminf.run(store_recipe, input=given, output=out).counts == result.counts
    assert calls_log.read_text() == ""
    assert api.status(out)["done"] == 12
    assert api.show(out, "sub/000.png")["calls"]
    assert api.retry(out) == 2
    assert not (store / "out" / "journal.lock").exists()


def test_an_image_that_changed_in_the_store_is_asked_about_again(
    memory: Any, store_recipe: Path, calls_log: Path
) -> None:
    put(memory, {f"in/{n}.png": picture(n) for n in range(3)})
    mminf.run(store_recipe, input=f"{memory}/in", output=f"{memory}/out", overrides={"steps.generate.name": "a"})
    calls_log.write_text("")
    put(memory, {"in/1.png": picture(99)})
    mminf.run(store_recipe, input=f"{memory}/in", output=f"{memory}/out", overrides={"steps.generate.name": "b"})
    assert len(calls_log.read_text().splitlines()) == 3
    rows = [json.loads(line)["said"] for line in (memory / "out" / "rows.jsonl").read_text().splitlines()]
    assert len(set(rows)) == 3


def test_shards_meet_in_a_store(memory: Any, store_recipe: Path, images: Path, tmp_path: Path, calls_log: Path) -> None:
    mminf.run(store_recipe, input=images, output=tmp_path / "local")
    calls_log.write_text("")
    out = f"{memory}/out"
    for number in range(3):
        assert api.run(store_recipe, input=images, output=out, shard=f"{number}/3").state == "finished"
    assert api.status(out)["parts"].keys() == {f"{n:05}-of-00003" for n in range(3)}
    with pytest.raises(JournalError, match="contains a run in 3 shards, not in 2"):
        api.run(store_recipe, input=images, output=out, shard="0/2")
    result = api.merge(api.prepare(api.load(store_recipe, input=images), output=out))
    assert result.counts.done == 12
    assert (memory / "out" / "rows.jsonl").read_bytes() == (tmp_path / "local" / "rows.jsonl").read_bytes()
    assert max(Counter(calls_log.read_text().splitlines()).values()) == 1
    calls_log.write_text("")
    assert mminf.run(store_recipe, input=images, output=out).counts.done == 12
    assert calls_log.read_text() == ""


def test_a_killed_run_into_a_store_loses_nothing_on_its_machine(
    s3: Any, images: Path, store_recipe: Path, tmp_path: Path
) -> None:
    log = tmp_path / "calls.log"
    log.touch()
    command = [
        sys.executable,
        "-m",
        "mminf.cli.main",
        "run",
        str(store_recipe),
        "--input",
        str(images),
        "--output",
        "s3://bucket/out",
    ]
    slow = [*command, "--set", "engines.llm.latency=1.0", "--set", "window=1"]
    process = subprocess.Popen(slow, env=subprocess_env(CALLS_LOG=str(log)), stderr=subprocess.PIPE)
    deadline = time.monotonic() + 60
    while len(log.read_text().splitlines()) < 5:
        assert process.poll() is None and time.monotonic() < deadline, process.stderr and process.stderr.read()
        time.sleep(0.02)
    second = subprocess.run(command, env=subprocess_env(), capture_output=True, text=True, timeout=60)
    assert second.returncode == 2
    assert "another run" in second.stderr and "is writing to s3://bucket/out" in second.stderr
    status = subprocess.run(
        [*command[:3], "status", "s3://bucket/out"], env=subprocess_env(), capture_output=True, text=True
    )
    assert "stores: running" in status.stdout, status.stderr
    process.send_signal(signal.SIGKILL)
    process.wait()
    again = subprocess.run(command, env=subprocess_env(CALLS_LOG=str(log)), capture_output=True, text=True, timeout=60)
    assert again.returncode == 0, again.stderr
    assert "s3://bucket/out/rows.jsonl: 12 rows" in again.stdout
    assert len(log.read_text().splitlines()) <= 13, "only the call in flight was made twice"


@pytest.mark.parametrize(
    ("given", "error", "message"),
    [
        ("s4://bucket/in", UsageError, "scheme 's4' is not one of s3"),
        ("memory://bucket/none", SourceError, "no such file or folder"),
        ("tar://x::file:///etc", UsageError, "scheme 'tar' is not one of"),
        ("https://user:secret@host/x.jsonl", UsageError, "an address must not contain a password or a query"),
        ("s3://nobucket/in", SourceError, "no such file or folder|can't be reached"),
    ],
    ids=["scheme", "nothing", "chain", "password", "bucket"],
)
def test_a_bad_address_is_said_before_anything_runs(
    s3: Any, store_recipe: Path, given: str, error: type[Exception], message: str, tmp_path: Path
) -> None:
    with pytest.raises(error, match=message):
        mminf.run(store_recipe, input=given, output=tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_recipe_names_stores_by_uri(
    memory: Any, write_recipe: Callable[..., Path], rows: Callable[..., Path], tmp_path: Path
) -> None:
    put(
        memory,
        {"rows/a.jsonl": b'{"id": "a", "images": ["pics/1.png"]}\n{"id": "b", "images": ["memory://other/2.png"]}\n'},
    )
    put(memory, {"rows/pics/1.png": picture(1)})
    put(to_path("memory://other"), {"2.png": picture(2)})
    recipe = write_recipe(
        "name: named\nsource: {jsonl: 'memory://bucket/rows/a.jsonl'}\nsteps: [{image_size: {}}]\nsinks: [{jsonl: out.jsonl}]\n"
    )
    result = mminf.run(recipe, output=tmp_path / "out")
    assert (result.counts.done, result.counts.failed) == (1, 1)
    assert "is outside the source; add its location to the source's `allow_paths`" in str(result.failures[0][2])
    allowed = mminf.run(recipe, output=tmp_path / "out", overrides={"source.jsonl.allow_paths": ["memory://other"]})
    assert allowed.counts.done == 2
    assert read_rows(tmp_path / "out" / "out.jsonl")[0]["images"] == ["memory://bucket/rows/pics/1.png"]
    with pytest.raises(RecipeError, match="scheme 's9' is not one of"):
        mminf.load(recipe, overrides={"source.jsonl.path": "s9://x/y"})


@pytest.mark.parametrize(
    "uri", ["memory://in/../secret/a.png", "memory://in/a.png::file:///etc/passwd", "sftp://in/a.png"]
)
def test_rows_do_not_lead_out_of_a_store(uri: str) -> None:
    from mminf.errors import ImageError

    with pytest.raises(ImageError):
        read_image(uri, ImagePolicy(prefixes=("memory://in/", "sftp://in/")))
    check_allowed("memory://in/a.png", ImagePolicy(prefixes=("memory://in/",)))


def test_a_store_that_can_not_be_reached_is_named(store_recipe: Path, tmp_path: Path, s3: Any, images: Path) -> None:
    command = [sys.executable, "-m", "mminf", "run", str(store_recipe), "--output", str(tmp_path / "out")]
    env = subprocess_env(AWS_ENDPOINT_URL="http://127.0.0.1:9", AWS_MAX_ATTEMPTS="1")
    found = subprocess.run(
        [*command, "--input", "s3://bucket/in"], env=env, capture_output=True, text=True, timeout=120
    )
    assert found.returncode == 2
    assert "s3://bucket/in can't be reached" in found.stderr
    command[-1] = "s3://bucket/out"
    found = subprocess.run([*command, "--input", str(images)], env=env, capture_output=True, text=True, timeout=120)
    assert found.returncode == 2
    assert "output s3://bucket/out can't be used" in found.stderr
    assert "Traceback" not in found.stderr


def test_file_uris_are_paths(store_recipe: Path, images: Path, tmp_path: Path) -> None:
    assert mminf.run(store_recipe, input=images.as_uri(), output=(tmp_path / "out").as_uri()).counts.done == 12
    assert (tmp_path / "out" / "rows.jsonl").is_file()


def test_images_of_the_hugging_face_hub(store_recipe: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The hub's own file system, whose requests are answered from a table: there is no hub here."""
    from huggingface_hub import HfFileSystem

    root = "datasets/user/name"
    files = {f"{root}/pics/{n}.png": picture(n) for n in range(3)}

    def info(self: Any, path: str, **_: Any) -> dict[str, Any]:
        path = path.removeprefix("hf://").rstrip("/")
        if path in files:
            return {"name": path, "size": len(files[path]), "type": "file", "blob_id": path}
        if any(name.startswith(f"{path}/") for name in files):
            return {"name": path, "size": 0, "type": "directory"}
        raise FileNotFoundError(path)

    def ls(self: Any, path: str, detail: bool = True, **_: Any) -> list[Any]:
        path = path.removeprefix("hf://").rstrip("/")
        names = sorted(
            {"/".join(name.split("/")[: path.count("/") + 2]) for name in files if name.startswith(f"{path}/")}
        )
        return [info(self, name) for name in names] if detail else names

    monkeypatch.setattr(HfFileSystem, "info", info)
    monkeypatch.setattr(HfFileSystem, "ls", ls)
    monkeypatch.setattr(HfFileSystem, "invalidate_cache", lambda self, path=None: None)
    monkeypatch.setattr(HfFileSystem, "cat_file", lambda self, path, **_: files[path.removeprefix("hf://")])
    result = mminf.run(store_recipe, input=f"hf://{root}/pics", output=tmp_path / "out")
    assert result.counts.done == 3, result.failures
    rows = read_rows(tmp_path / "out" / "rows.jsonl")
    assert [row["id"] for row in rows] == ["0.png", "1.png", "2.png"]


def test_a_store_that_is_not_installed_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "gcsfs", None)
    with pytest.raises(UsageError, match="pip install 'gcsfs'"):
        to_path("gs://bucket/x")
