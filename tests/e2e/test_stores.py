"""Inputs and outputs that are not files of this machine: images, tars and Parquet in stores, datasets sent there."""

from __future__ import annotations

import asyncio
import contextlib
import io
import itertools
import json
import os
import signal
import sqlite3
import subprocess
import sys
import tarfile
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

import mminf
import mminf.journal.mirror
from mminf import api
from mminf.engine.run import open_run
from mminf.errors import JournalError, LockedError, RecipeError, SourceError, UsageError
from mminf.image import ImagePolicy, check_allowed, read_image
from mminf.journal import remote_lock
from mminf.shard import Shard
from mminf.sharding.worker import find_phase, work_shard
from mminf.sink.shards import MANIFEST
from mminf.storage import to_path

from ..conftest import read_rows, subprocess_env

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


@pytest.fixture
def recipe(tmp_path: Path, write_recipe: Callable[..., Path]) -> Path:
    (tmp_path / "script.py").write_text(ANSWER)
    return write_recipe(RECIPE.format(script=tmp_path / "script.py"))


@pytest.fixture
def memory(cache: Path) -> Iterator[Any]:
    """An empty store in this process."""
    store = to_path("memory://bucket")
    if store.exists():
        store.fs.rm("/bucket", recursive=True)  # type: ignore[attr-defined]
    yield store


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


# S3, and any other store


@pytest.mark.parametrize("kind", ["memory", "s3"])
def test_images_come_from_a_store_and_datasets_go_there(
    kind: str, request: pytest.FixtureRequest, recipe: Path, images: Path, tmp_path: Path, calls_log: Path
) -> None:
    store = request.getfixturevalue(kind)
    put(store, {f"in/sub/{path.name}": path.read_bytes() for path in images.iterdir()})
    put(store, {"in/broken.png": b"no image", "in/empty.png": b"", "in/notes.txt": b"x", "in/.hidden.png": b"x"})
    local = mminf.run(recipe, input=images, output=tmp_path / "local")
    given, out = str(store / "in"), str(store / "out")
    result = mminf.run(recipe, input=given, output=out)
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
    # Run again, here and as on another machine: nothing is asked anew.
    calls_log.write_text("")
    assert mminf.run(recipe, input=given, output=out).counts == result.counts
    for path in (tmp_path / "cache").rglob("journal.*"):
        path.unlink()
    assert mminf.run(recipe, input=given, output=out).counts == result.counts
    assert calls_log.read_text() == ""
    assert api.status(out)["done"] == 12
    assert api.show(out, "sub/000.png")["calls"]
    assert api.retry(out) == 2
    assert not (store / "out" / "journal.lock").exists()


def test_an_image_that_changed_in_the_store_is_asked_about_again(memory: Any, recipe: Path, calls_log: Path) -> None:
    put(memory, {f"in/{n}.png": picture(n) for n in range(3)})
    mminf.run(recipe, input=f"{memory}/in", output=f"{memory}/out", overrides={"steps.generate.name": "a"})
    calls_log.write_text("")
    put(memory, {"in/1.png": picture(99)})
    mminf.run(recipe, input=f"{memory}/in", output=f"{memory}/out", overrides={"steps.generate.name": "b"})
    assert len(calls_log.read_text().splitlines()) == 3
    rows = [json.loads(line)["said"] for line in (memory / "out" / "rows.jsonl").read_text().splitlines()]
    assert len(set(rows)) == 3


def test_shards_meet_in_a_store(memory: Any, recipe: Path, images: Path, tmp_path: Path, calls_log: Path) -> None:
    mminf.run(recipe, input=images, output=tmp_path / "local")
    calls_log.write_text("")
    out = f"{memory}/out"
    for number in range(3):
        assert api.run(recipe, input=images, output=out, shard=f"{number}/3").state == "finished"
    assert api.status(out)["parts"].keys() == {f"{n:05}-of-00003" for n in range(3)}
    with pytest.raises(JournalError, match="contains shards of 3, not of 2"):
        api.run(recipe, input=images, output=out, shard="0/2")
    result = api.merge(api.prepare(api.load(recipe, input=images), output=out))
    assert result.counts.done == 12
    assert (memory / "out" / "rows.jsonl").read_bytes() == (tmp_path / "local" / "rows.jsonl").read_bytes()
    assert max(Counter(calls_log.read_text().splitlines()).values()) == 1
    calls_log.write_text("")
    assert mminf.run(recipe, input=images, output=out).counts.done == 12
    assert calls_log.read_text() == ""


def test_a_killed_run_into_a_store_loses_nothing_on_its_machine(
    s3: Any, images: Path, recipe: Path, tmp_path: Path
) -> None:
    log = tmp_path / "calls.log"
    log.touch()
    command = [
        sys.executable,
        "-m",
        "mminf.cli.main",
        "run",
        str(recipe),
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


@pytest.fixture(autouse=True)
def quick_locks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remote_lock, "RENEW_SECONDS", 0.2)
    monkeypatch.setattr(remote_lock, "VOID_SECONDS", 3.0)
    monkeypatch.setattr(remote_lock, "SETTLE_SECONDS", 0.05)


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


@pytest.mark.parametrize("clock", [0, -1000, 1000])
def test_two_machines_do_not_write_one_output(memory: Any, recipe: Path, images: Path, clock: float) -> None:
    """Whatever their clocks say."""
    out = memory / "out"
    with (
        other_machine(out, clock),
        pytest.raises(JournalError, match="another run .process 1 on elsewhere. is writing to memory://bucket/out"),
    ):
        mminf.run(recipe, input=images, output=str(out))
    # It is dead now, and its lock is silent.
    assert mminf.run(recipe, input=images, output=str(out)).counts.done == 12


def test_a_run_that_lost_its_lock_writes_no_more(memory: Any) -> None:
    out = memory / "out"
    lock = remote_lock.RemoteLock(out)
    lock.take()
    lock.check()
    with other_machine(out):
        deadline = time.monotonic() + 10
        with pytest.raises(JournalError, match="process 1 on elsewhere has taken over memory://bucket/out"):
            while time.monotonic() < deadline:
                lock.check()
                time.sleep(0.02)
        lock.release()
        assert remote_lock.is_held(out), "only its own lock is removed"


@pytest.mark.parametrize("clock", [0, -1000, 1000])
def test_a_lock_is_held_while_its_heartbeat_changes(memory: Any, clock: float) -> None:
    out = memory / "out"
    assert not remote_lock.is_held(out)
    with other_machine(out, clock):
        assert remote_lock.is_held(out)
    time.sleep(0.5)
    assert not remote_lock.is_held(out)
    put(out, {"journal.lock": b"not a lock of ours"})
    assert not remote_lock.is_held(out)


def test_a_checkpoint_gets_through_while_the_journal_is_written(memory: Any, tmp_path: Path) -> None:
    """A backup in steps begins again at every commit, and never ends."""
    from mminf.journal.mirror import push_journal

    with sqlite3.connect(tmp_path / "journal.sqlite") as journal:
        journal.execute("PRAGMA journal_mode = WAL")
        journal.execute("CREATE TABLE memo (x BLOB)")
        journal.executemany("INSERT INTO memo VALUES (?)", [(b"x" * 1000,)] * 40_000)
    over = threading.Event()

    def write() -> None:
        with sqlite3.connect(tmp_path / "journal.sqlite", isolation_level=None) as writer:
            while not over.is_set():
                writer.execute("INSERT INTO memo VALUES (zeroblob(100))")

    writer = threading.Thread(target=write)
    writer.start()
    try:
        sender = threading.Thread(target=push_journal, args=(tmp_path, memory / "out"), daemon=True)
        sender.start()
        sender.join(60)
        assert not sender.is_alive()
    finally:
        over.set()
        writer.join()
    assert (memory / "out" / "journal.sqlite").stat().st_size > 40_000_000


def test_the_last_checkpoint_comes_last(memory: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import asyncio

    from mminf.journal import mirror

    order: list[str] = []

    def slow() -> None:
        order.append("begun")
        time.sleep(0.4)
        order.append("sent")

    monkeypatch.setattr(mirror, "SECONDS", 0.01)
    (tmp_path / "journal.sqlite").write_bytes(b"x")

    async def work() -> None:
        async with mirror.sending(tmp_path, slow):
            await asyncio.sleep(0.1)
        order.append("over")

    asyncio.run(work())
    assert order == ["begun", "sent", "over"]


def test_a_store_that_fails_for_a_while_costs_no_more_than_a_checkpoint(
    memory: Any, recipe: Path, images: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from mminf.journal import mirror

    class OutOfReach(Exception):
        """As botocore's, which is no OSError."""

    real, failed = mirror.send_file, []

    def sometimes(file: Path, path: Any) -> None:
        if threading.current_thread().name == "mminf-checkpoint" and len(failed) < 2:
            failed.append(path)
            raise OutOfReach
        real(file, path)

    monkeypatch.setattr(mirror, "SECONDS", 0.05)
    monkeypatch.setattr(mirror, "SHARE", 0)
    monkeypatch.setattr(mirror, "send_file", sometimes)
    result = mminf.run(
        recipe, input=images, output=str(memory / "out"), overrides={"engines.llm.latency": 0.1, "window": 2}
    )
    assert (result.counts.done, len(failed)) == (12, 2)
    assert api.status(str(memory / "out"))["done"] == 12


def test_shards_hold_their_place_in_a_store(memory: Any, recipe: Path, images: Path) -> None:
    out = memory / "out"
    with other_machine(out / "parts" / "00000-of-00002"):
        with pytest.raises(JournalError, match="another run .process 1 on elsewhere"):
            api.run(recipe, input=images, output=str(out), shard="0/2")
        assert api.run(recipe, input=images, output=str(out), shard="1/2").state == "finished"
    with other_machine(out), pytest.raises(JournalError, match="another run is writing"):
        api.run(recipe, input=images, output=str(memory / "out"), shard="1/2")


def test_a_merge_sees_what_a_shard_has_done_since(memory: Any, recipe: Path, images: Path) -> None:
    out = str(memory / "out")
    api.run(recipe, input=images, output=out, shard="0/2")
    api.run(recipe, input=images, output=out, shard="1/2", seed=9)
    with pytest.raises(JournalError, match="shard 1/2 was run with another recipe"):
        api.merge(api.prepare(api.load(recipe, input=images), output=out))
    api.run(recipe, input=images, output=out, shard="1/2")
    assert api.merge(api.prepare(api.load(recipe, input=images), output=out)).counts.done == 12
    api.run(recipe, input=images, output=out, shard="1/3", seed=3)
    assert mminf.run(recipe, input=images, output=out).counts.done == 12
    assert api.status(out)["parts"] == {}, "what a plain run has taken over is gone from the store"


def test_checkpoints_go_to_the_store_while_a_run_goes_on(
    memory: Any, recipe: Path, images: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent: list[int] = []
    monkeypatch.setattr("mminf.journal.mirror.SECONDS", 0.05)
    monkeypatch.setattr("mminf.journal.mirror.SHARE", 0)
    real = mminf.journal.mirror.send_file

    def count(file: Path, path: Any) -> None:
        with sqlite3.connect(file) as journal:
            sent.append(journal.execute("SELECT count(*) FROM memo").fetchone()[0])
        real(file, path)

    monkeypatch.setattr("mminf.journal.mirror.send_file", count)
    mminf.run(recipe, input=images, output=str(memory / "out"), overrides={"engines.llm.latency": 0.1, "window": 2})
    assert len(sent) > 3
    assert sent == sorted(sent)
    assert any(0 < calls < 12 for calls in sent)
    assert sent[-1] == 12


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
    s3: Any, recipe: Path, given: str, error: type[Exception], message: str, tmp_path: Path
) -> None:
    with pytest.raises(error, match=message):
        mminf.run(recipe, input=given, output=tmp_path / "out")
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


def test_a_store_that_can_not_be_reached_is_named(recipe: Path, tmp_path: Path, s3: Any, images: Path) -> None:
    command = [sys.executable, "-m", "mminf", "run", str(recipe), "--output", str(tmp_path / "out")]
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


def test_file_uris_are_paths(recipe: Path, images: Path, tmp_path: Path) -> None:
    assert mminf.run(recipe, input=images.as_uri(), output=(tmp_path / "out").as_uri()).counts.done == 12
    assert (tmp_path / "out" / "rows.jsonl").is_file()


def test_images_of_the_hugging_face_hub(recipe: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
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
    result = mminf.run(recipe, input=f"hf://{root}/pics", output=tmp_path / "out")
    assert result.counts.done == 3, result.failures
    rows = read_rows(tmp_path / "out" / "rows.jsonl")
    assert [row["id"] for row in rows] == ["0.png", "1.png", "2.png"]


# Tar shards


def write_tars(folder: Any, shards: int, samples: int) -> None:
    import webdataset

    for shard in range(shards):
        file = io.BytesIO()
        with webdataset.TarWriter(file) as writer:
            for number in range(samples):
                writer.write(
                    {
                        "__key__": f"dir/{shard}-{number}",
                        "png": picture(10 * shard + number),
                        "json": {"text": f"{shard} {number}", "id": "same", "images": ["/elsewhere.png"]},
                        "txt": "a caption",
                        "npy": b"numbers",
                    }
                )
        put(folder, {f"shard-{shard:03}.tar": file.getvalue()})


TARS = """
name: tars
source: {webdataset: tars}
steps: [{image_size: {}}]
sinks:
  - jsonl: out.jsonl
  - webdataset: {path: again, columns: [text, txt], rows_per_file: 7}
"""


@pytest.mark.parametrize("given", ["tars", "tars/shard-*.tar", "uri"])
def test_tar_shards_in_and_out(given: str, tmp_path: Path, memory: Any, write_recipe: Callable[..., Path]) -> None:
    write_tars(tmp_path / "tars", 3, 5)
    if given == "uri":
        write_tars(memory / "tars", 3, 5)
    recipe = write_recipe(TARS)
    name = f"{memory}/tars" if given == "uri" else str(tmp_path / given)
    result = mminf.run(recipe, input=name, output=tmp_path / "out")
    assert result.counts.done == 15
    rows = read_rows(tmp_path / "out" / "out.jsonl")
    assert [row["id"] for row in rows[:2]] == ["shard-000.tar/dir/0-0", "shard-000.tar/dir/0-1"]
    assert (rows[7]["text"], rows[7]["txt"], rows[7]["width"]) == ("1 2", "a caption", 16)
    assert Path(str(rows[7]["images"][0])).read_bytes() == picture(12)  # type: ignore[index]
    import webdataset

    found = list(
        webdataset.WebDataset(
            [str(path) for path in sorted((tmp_path / "out" / "again").glob("*.tar"))], shardshuffle=False
        )
    )
    assert len(found) == 15
    assert json.loads(found[7]["json"]) == {"text": "1 2", "txt": "a caption", "id": "shard-001.tar/dir/1-2"}
    assert found[7]["png"] == picture(12)
    manifest = json.loads((tmp_path / "out" / "again" / MANIFEST).read_text())
    assert [file["rows"] for file in manifest["files"]] == [7, 7, 1]


@pytest.mark.parametrize("of", [2, 9])
def test_parts_share_tar_shards(of: int, tmp_path: Path, write_recipe: Callable[..., Path]) -> None:
    """Whole shards where there are enough of them, samples where there aren't: the same dataset."""
    write_tars(tmp_path / "tars", 5, 3)
    recipe = write_recipe(TARS)
    mminf.run(recipe, output=tmp_path / "whole")
    for number in range(of):
        api.run(recipe, output=tmp_path / "cut", shard=f"{number}/{of}")
    assert api.merge(api.prepare(api.load(recipe), output=tmp_path / "cut")).counts.done == 15
    whole, cut = (read_rows(tmp_path / name / "out.jsonl") for name in ("whole", "cut"))
    assert [{**row, "images": 0} for row in whole] == [{**row, "images": 0} for row in cut]
    for number in range(of):
        api.run(recipe, output=tmp_path / "few", shard=f"{number}/{of}", limit=7)
    few = api.merge(api.prepare(api.load(recipe), output=tmp_path / "few", limit=7))
    assert few.counts.done == 7


def test_a_sample_in_two_places_is_told(tmp_path: Path, write_recipe: Callable[..., Path]) -> None:
    (tmp_path / "tars").mkdir()
    with tarfile.open(tmp_path / "tars" / "a.tar", "w") as tar:
        for name, data in (("a.png", picture()), ("b.png", picture()), ("a.json", b"{}")):
            member = tarfile.TarInfo(name)
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
    result = mminf.run(write_recipe(TARS), output=tmp_path / "out")
    assert (result.counts.done, result.counts.failed) == (2, 1)
    assert result.failures[0][0] == "a.tar/a~2"
    assert "must stand one after the other" in str(result.failures[0][2])


def test_broken_tars_and_samples_fail_alone(tmp_path: Path, write_recipe: Callable[..., Path]) -> None:
    write_tars(tmp_path / "tars", 2, 3)
    whole = (tmp_path / "tars" / "shard-000.tar").read_bytes()
    (tmp_path / "tars" / "shard-000.tar").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "tars" / "shard-002.tar").write_bytes(b"no tar at all")
    with tarfile.open(tmp_path / "tars" / "shard-003.tar", "w") as tar:
        for name, data in (("a.json", b"{no"), ("a.png", picture()), ("b.png", picture()), ("c.txt", b"\xff\xfe")):
            member = tarfile.TarInfo(name)
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
    result = mminf.run(write_recipe(TARS), output=tmp_path / "out", overrides={"steps.image_size.attempts": 1})
    failures = {record: reason for record, _, reason in result.failures}
    assert "shard-000.tar can't be read after" in str(next(r for i, r in failures.items() if i.startswith("shard-000")))
    assert "can't be read after 0 samples" in str(failures["shard-002.tar~end"])
    assert "can't be read" in str(failures["shard-003.tar/a"])
    assert "can't be read" in str(failures["shard-003.tar/c"])
    ids = [str(row["id"]) for row in read_rows(tmp_path / "out" / "out.jsonl")]
    assert "shard-003.tar/b" in ids
    assert sum(name.startswith("shard-001") for name in ids) == 3


# Parquet


PARQUET = """
name: parquet
source: {jsonl: rows.jsonl}
steps: [{keep: "true"}]
sinks: [{parquet: %s}]
"""


def test_parquet_out_is_what_datasets_reads(tmp_path: Path, images: Path, recipe: Path) -> None:
    import datasets

    mminf.run(recipe, input=images, output=tmp_path / "out")
    files = sorted(str(path) for path in (tmp_path / "out" / "table").glob("*.parquet"))
    assert len(files) == 3
    found = datasets.load_dataset("parquet", data_files=files, split="train", cache_dir=str(tmp_path / "hf"))
    assert found.num_rows == 12
    assert found[7]["images"][0].size == Image.open(images / "007.png").size
    assert found[7]["said"] == read_rows(tmp_path / "out" / "rows.jsonl")[7]["said"]
    # And in again: the images are those that went out.
    again = mminf.run(recipe, input=tmp_path / "out" / "table", output=tmp_path / "again")
    assert again.counts.done == 12
    said = [[row["said"] for row in read_rows(tmp_path / name / "rows.jsonl")] for name in ("out", "again")]
    assert said[0] == said[1]


def test_parquet_takes_whatever_fields_hold(
    tmp_path: Path, rows: Callable[..., Path], write_recipe: Callable[..., Path]
) -> None:
    import pyarrow.parquet

    mixed = [{"id": f"r{n}", "number": n, "mixed": [1, "a", {"x": 1}, None][n % 4], "late": None} for n in range(1200)]
    mixed[1100] |= {"late": 1.5, "new": [{"a": 1}], "empty": {}}
    mixed[3] |= {"deep": {"m": {"tags": {}}}, "many": [{}], "big": 2**60 + 1}
    mixed[1101] |= {"deep": {"m": 1}, "big": 0.5}
    rows(*mixed)
    recipe = write_recipe(PARQUET % "all.parquet")
    assert mminf.run(recipe, output=tmp_path / "out").counts.done == 1200
    table = pyarrow.parquet.read_table(tmp_path / "out" / "all.parquet").to_pylist()
    assert [row["id"] for row in table] == [f"r{n}" for n in range(1200)]
    assert (table[1100]["late"], table[1100]["new"], table[0]["late"]) == (1.5, [{"a": 1}], None)
    assert (table[3]["deep"], table[3]["many"], table[1101]["big"]) == ('{"m": {"tags": {}}}', "[{}]", 0.5)
    assert [row["mixed"] for row in table[:4]] == ["1", "a", '{"x": 1}', None]


def test_files_of_so_many_rows_and_their_manifest(
    tmp_path: Path, rows: Callable[..., Path], write_recipe: Callable[..., Path]
) -> None:
    import hashlib

    rows(*({"id": f"r{n}", "text": f"é {n}"} for n in range(7)))
    recipe = write_recipe(
        "name: many\nsource: {jsonl: rows.jsonl}\nsteps: [{keep: 'true'}]\nsinks: [{jsonl: {path: data, rows_per_file: 3}}]\n"
    )
    mminf.run(recipe, output=tmp_path / "out")
    folder = tmp_path / "out" / "data"
    manifest = json.loads((folder / MANIFEST).read_text())
    assert [(file["name"], file["rows"]) for file in manifest["files"]] == [
        ("00000.jsonl", 3),
        ("00001.jsonl", 3),
        ("00002.jsonl", 1),
    ]
    for file in manifest["files"]:
        data = (folder / file["name"]).read_bytes()
        assert (len(data), hashlib.sha256(data).hexdigest()) == (file["bytes"], file["sha256"])
    # Fewer files the next time: none of the old ones stays.
    mminf.run(recipe, output=tmp_path / "out", limit=2)
    assert sorted(path.name for path in folder.iterdir()) == ["00000.jsonl", MANIFEST]
    assert [path for path in (tmp_path / "out").iterdir() if path.name.startswith(".")] == []


def test_a_store_that_is_not_installed_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "gcsfs", None)
    with pytest.raises(UsageError, match="pip install 'gcsfs'"):
        to_path("gs://bucket/x")


def test_memory_does_not_grow_with_the_number_of_samples(tmp_path: Path) -> None:
    """A source yields as it reads: after the first of many samples, little of the tar was read."""
    from mminf.recipe.config import SourceConfig
    from mminf.source.tars import WebDataset

    write_tars(tmp_path / "tars", 1, 400)

    class Watched(io.FileIO):
        at = 0

        def read(self, size: int = -1) -> bytes:
            data = super().read(size) or b""
            Watched.at += len(data)
            return data

    source = WebDataset(SourceConfig(path=tmp_path / "tars" / "shard-000.tar"), tmp_path, tmp_path / "images")
    from mminf.source import tars

    original = tars.open_bytes
    tars.open_bytes = lambda path: Watched(path)  # type: ignore[assignment, return-value]
    try:
        rows = source.read()
        next(rows)
        assert 0 < Watched.at < os.path.getsize(tmp_path / "tars" / "shard-000.tar") / 4
        assert len(list(rows)) == 399
    finally:
        tars.open_bytes = original


def test_a_shard_that_can_not_be_sent_is_kept(
    memory: Any, recipe: Path, images: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out, real = memory / "out", mminf.journal.mirror.send_file

    def fail(file: Path, path: Any) -> None:
        raise PermissionError("the token has expired")

    monkeypatch.setattr("mminf.journal.mirror.send_file", fail)
    with pytest.raises(JournalError, match=r"to resume from it, copy \S+ there") as found:
        api.run(recipe, input=images, output=str(out), shard="0/2")
    monkeypatch.setattr("mminf.journal.mirror.send_file", real)
    kept = Path(str(found.value).partition(", copy ")[2].removesuffix(" there"))
    put(out / "parts" / "00000-of-00002", {"journal.sqlite": kept.read_bytes()})
    api.run(recipe, input=images, output=str(out), shard="1/2")
    assert api.merge(api.prepare(api.load(recipe, input=images), output=str(out))).counts.done == 12


def test_a_damaged_journal_in_a_store_is_repaired_there(memory: Any, recipe: Path, images: Path) -> None:
    out = memory / "out"
    mminf.run(recipe, input=images, output=str(out))
    rows = (out / "rows.jsonl").read_bytes()
    with tempfile.TemporaryDirectory() as name:
        local = Path(name) / "journal.sqlite"
        local.write_bytes((out / "journal.sqlite").read_bytes())
        with contextlib.closing(sqlite3.connect(local, isolation_level=None)) as journal:
            journal.execute("UPDATE rows SET checksum = checksum + 1 WHERE stage = 0")
        put(out, {"journal.sqlite": local.read_bytes(), "journal.sync": b"of another machine"})
    with pytest.raises(JournalError, match="mminf repair"):
        api.export(api.load(recipe, input=images), str(out), force=True)
    assert api.repair(str(out)).damaged
    assert mminf.run(recipe, input=images, output=str(out)).counts.done == 12
    assert (out / "rows.jsonl").read_bytes() == rows


def test_a_shard_in_a_store_belongs_to_one_worker(memory: Any, recipe: Path, images: Path) -> None:
    """Also those of ranks and of Ray, which find no lock of the output in their way."""
    out = memory / "out"
    run = open_run(api.load(recipe, input=images), out)
    phase = find_phase(run, 2)
    with (
        other_machine(out / "parts" / "00000-of-00002"),
        pytest.raises(LockedError, match="another run .process 1 on elsewhere"),
    ):
        asyncio.run(work_shard(run, Shard(0, 2), phase))
