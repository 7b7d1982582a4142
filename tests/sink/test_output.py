"""The output folder: names that belong to the run, files that are not mminf's, better datasets, full disks."""

from __future__ import annotations

import errno
import json
import os
import resource
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

import mminf
from mminf import api
from mminf.errors import OutputError, RecipeError
from mminf.executor.marker import NONCE
from mminf.journal import lock, schema
from mminf.output_names import check_dataset_path, conflicts

from ..conftest import read_rows
from ..fuzz import fuzz

RECIPE = """
name: {name}
engines: {{s: {{backend: scripted, script: s.py}}}}
source: {{jsonl: rows.jsonl}}
max_same_failures: null
steps: [generate: {{engine: s, prompt: '{{{{ q }}}}', attempts: 1}}]
sinks: [{sink}]
"""
SCRIPT = """
import os
def answer(request):
    if request.turns[0].text in os.environ.get("BROKEN", "").split():
        raise ValueError("broken")
    return "hi"
"""
Make = Callable[..., Path]


@pytest.fixture
def make(write_recipe: Callable[[str], Path], rows: Callable[..., Path], tmp_path: Path) -> Make:
    """Writes a recipe over five rows with one sink."""
    (tmp_path / "s.py").write_text(SCRIPT)
    rows(*({"id": f"r{n}", "q": f"q{n}"} for n in range(5)))

    def write(sink: str = "{jsonl: o.jsonl}", name: str = "r") -> Path:
        return write_recipe(RECIPE.format(sink=sink, name=name).replace("s.py", str(tmp_path / "s.py")))

    return write


def run(recipe: Path, output: Path, **options: Any) -> Any:
    return api.run(recipe, output=output, **options)


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("", "output folder itself"), (".", "output folder itself"), ("./", "output folder itself"), ("..", "not below"),
        ("/tmp/x", "not below"), ("a/../../b", "not below"), ("~/x", "not below"), ("s3://b/x", "is a URI"),
        ("journal.sqlite", "reserved for the run"), ("JOURNAL.SQLITE-wal", "is reserved for the run"), ("images", "reserved"),
        ("Parts/x.jsonl", "reserved for the run"), ("a\0b", "control"), ("a\nb", "control"), ("x" * 300, "too long"),
        ("/".join(["x" * 100] * 20), "too long"), (".hidden", "begins with a dot"), ("a/.b", "begins with a dot"),
        ("é" * 120, "too long"), ("\x1b[2J", "control"), ("\ud800", "control"),
    ],
)  # fmt: skip
def test_names_that_no_dataset_can_have(path: str, message: str) -> None:
    with pytest.raises(ValueError, match=message) as told:
        check_dataset_path(path)
    assert len(str(told.value)) < 300


def test_a_recipe_with_such_a_name_is_refused_before_anything_runs(make: Make) -> None:
    for path in (
        "''",
        "'.'",
        "photos/..",
        "journal.sqlite",
        "s3://b/x",
        '"a\\0b"',
        "x" * 300,
        "[a]",
        "5.5.5/..//..",
        "null",
    ):
        with pytest.raises(RecipeError, match="path"):
            mminf.load(make(f"{{jsonl: {{path: {path}}}}}"))
    for sinks in (
        "{jsonl: a}, {jsonl: a/b}",
        "{jsonl: a/b}, {swift: ./a//b}",
        "{jsonl: a/b/c}, {jsonl: x}, {jsonl: a}",
    ):
        with pytest.raises(RecipeError, match=r"two sinks write|can't both be written"):
            mminf.load(make(sinks))
    for fine in ("a.jsonl", "a b/ü.json", "datasets/journal.jsonl", "x/images"):
        mminf.load(make(f"{{jsonl: {fine}}}"))


def test_all_of_the_runs_own_names_are_reserved() -> None:
    own = [
        schema.FILE,
        f"{schema.FILE}-wal",
        f"{schema.FILE}-shm",
        lock.LOCK_FILE,
        schema.SHARDS,
        NONCE,
        "images",
    ]
    for name in own:
        with pytest.raises(ValueError, match="reserved for the run|begins with a dot"):
            check_dataset_path(name)


@fuzz(500)
@given(st.text(max_size=60))
def test_what_is_accepted_lies_in_the_output_folder(text: str) -> None:
    try:
        path = check_dataset_path(text)
    except ValueError as error:
        assert len(str(error)) < 300
        return
    real = Path(os.path.normpath(f"/out/{path}"))
    assert real.is_relative_to("/out") and real != Path("/out")
    assert check_dataset_path(path) == path


@given(st.lists(st.lists(st.sampled_from("ab"), min_size=1, max_size=3), max_size=5))
def test_datasets_do_not_lie_in_each_other(paths: list[list[str]]) -> None:
    named = [Path(*parts) for parts in paths]
    clash = any(
        one == other or one in other.parents or other in one.parents
        for number, one in enumerate(named)
        for other in named[:number]
    )
    assert bool(list(conflicts(named))) == clash


# What is there already


def test_files_and_folders_that_no_run_has_written_are_not_replaced(make: Make, tmp_path: Path) -> None:
    output = tmp_path / "out"
    run(make(), output)
    (output / "photos").mkdir()
    (output / "photos" / "holiday.jpg").write_text("precious")
    (output / "notes.jsonl").write_text("notes")
    (output / "link.jsonl").symlink_to(output / "notes.jsonl")
    before = sorted(path.name for path in output.rglob("*"))
    for sink, message in (
        ("{jsonl: {path: photos, rows_per_file: 2}}", "no run into .* has written it"),
        ("{jsonl: photos}", "no run into .* has written it"),
        ("{jsonl: notes.jsonl}", "no run into .* has written it"),
        ("{parquet: notes.jsonl}", "no run into .* has written it"),
        ("{jsonl: {path: notes.jsonl, rows_per_file: 2}}", "no run into .* has written it"),
        ("{jsonl: link.jsonl}", "no run into .* has written it"),
        ("{jsonl: notes.jsonl/x}", "notes.jsonl is a file"),
    ):
        with pytest.raises(OutputError, match=message):
            run(make(sink), output)
        with pytest.raises(OutputError, match=message):
            api.export(mminf.load(make(sink)), output)
    assert sorted(path.name for path in output.rglob("*")) == before
    assert (output / "photos" / "holiday.jpg").read_text() == "precious"
    assert (output / "notes.jsonl").read_text() == "notes"
    run(make("{jsonl: notes.jsonl}"), output, force=True)
    assert len(read_rows(output / "notes.jsonl")) == 5


def test_in_a_folder_without_a_run_nothing_is_ours(make: Make, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "o.jsonl").write_text("mine")
    with pytest.raises(OutputError, match="use --force"):
        run(make(), tmp_path / "out")
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["o.jsonl"], "no journal either"


def test_a_run_replaces_what_runs_have_written_whatever_its_kind(make: Make, tmp_path: Path) -> None:
    output = tmp_path / "out"
    kinds = (
        "{jsonl: o}",
        "{jsonl: {path: o, rows_per_file: 2}}",
        "{parquet: o}",
        "{webdataset: o}",
        "{swift: {path: o, user: q}}",
    )
    for sink in (*kinds, *reversed(kinds)):
        assert run(make(sink), output).written[0].rows == 5
    assert sorted(path.name for path in output.iterdir()) == ["journal.lock", "journal.sqlite", "o"]


def test_what_a_user_has_put_into_a_datasets_folder_stays_there(make: Make, tmp_path: Path) -> None:
    output = tmp_path / "out"
    recipe = make("{jsonl: {path: o, rows_per_file: 2}}")
    run(recipe, output)
    (output / "o" / "README.md").write_text("mine")
    (output / "o" / "sub").mkdir()
    (output / "o" / "sub" / "00000.jsonl").write_text("mine")
    old = output / ".o.old"
    old.mkdir()
    (old / "found.txt").write_text("left by a killed run")
    (old / "00000.jsonl").write_text("ours")
    (old / "manifest.json").write_text('{"rows": 1, "files": [{"name": "00000.jsonl"}]}')
    for name in ("index.jsonl", "00077.parquet", "99999.jsonl", "20240101.jsonl"):
        (output / "o" / name).write_text("mine")
    for _ in range(2):
        run(recipe, output, limit=3)
    names = sorted(str(path.relative_to(output / "o")) for path in (output / "o").rglob("*") if path.is_file())
    ours = ["00000.jsonl", "00001.jsonl", "manifest.json"]
    mine = [
        "00077.parquet",
        "20240101.jsonl",
        "99999.jsonl",
        "README.md",
        "found.txt",
        "index.jsonl",
        "sub/00000.jsonl",
    ]
    assert names == sorted([*ours, *mine])
    assert not old.exists()


def test_another_recipes_run_is_not_replaced(make: Make, tmp_path: Path) -> None:
    run(make(name="one"), tmp_path / "out")
    before = (tmp_path / "out" / "o.jsonl").read_bytes()
    with pytest.raises(OutputError, match="contains a run of recipe 'one', not of 'two'"):
        run(make(name="two"), tmp_path / "out", limit=1)
    assert (tmp_path / "out" / "o.jsonl").read_bytes() == before
    assert api.status(tmp_path / "out")["recipe"] == "one"
    assert api.status(tmp_path / "out")["state"] == "finished"
    assert run(make(name="two"), tmp_path / "out", force=True, limit=1).written[0].rows == 1


def test_a_limit_warns_before_it_shrinks_a_dataset(
    make: Make, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    import logging

    logging.getLogger("mminf").propagate = True
    run(make(), tmp_path / "out", limit=3)
    run(make(), tmp_path / "out")
    assert "will shrink" not in caplog.text
    run(make(), tmp_path / "out", limit=2)
    assert "the limit of 2 takes fewer records than the last run" in caplog.text
    assert "which had 5: its datasets will shrink" in caplog.text


@pytest.mark.parametrize(
    ("sink", "name"),
    [
        ("{jsonl: o.jsonl}", "o.jsonl"),
        ("{jsonl: o.json}", "o.json"),
        ("{jsonl: {path: o, rows_per_file: 2}}", "o"),
        ("{parquet: o.parquet}", "o.parquet"),
        ("{webdataset: o}", "o"),
    ],
)
def test_a_run_with_failures_keeps_the_better_dataset(
    make: Make, tmp_path: Path, sink: str, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    output, recipe = tmp_path / "out", make(sink)
    assert run(recipe, output).written[0].rows == 5
    before = _content(output / name)
    monkeypatch.setenv("BROKEN", "q1 q2 q3")
    (tmp_path / "s.py").write_text(SCRIPT + "# another model\n")
    written = run(recipe, output).written[0]
    assert (written.kept, written.path, written.rows, written.before) == (name, f"new-{name}", 2, 5)
    assert _content(output / name) == before
    assert (output / f"new-{name}").exists()
    assert api.export(mminf.load(recipe), output)[0].kept == name
    assert api.export(mminf.load(recipe), output, force=True)[0].rows == 2
    monkeypatch.delenv("BROKEN")
    assert run(recipe, output).written[0].kept is None


def _content(path: Path) -> list[bytes]:
    return [path.read_bytes()] if path.is_file() else [file.read_bytes() for file in sorted(path.iterdir())]


def test_an_interrupted_run_exports_beside_a_better_dataset(make: Make, tmp_path: Path) -> None:
    output, recipe = tmp_path / "out", make()
    run(recipe, output)
    (tmp_path / "s.py").write_text(SCRIPT + "# another model\n")
    stopped = mminf.load(recipe, settings=["budget={calls: 7}"])
    assert api.run(stopped, output=output).state == "interrupted"
    assert len(read_rows(output / "o.jsonl")) == 5
    assert api.export(stopped, output)[0].kept == "o.jsonl"
    assert len(read_rows(output / "new-o.jsonl")) < len(read_rows(output / "o.jsonl")) == 5


# A full disk

LIMITED = """
import resource, sys
from mminf.cli.main import main
resource.setrlimit(resource.RLIMIT_FSIZE, (@, @))
sys.argv = ["mminf", *sys.argv[1:]]
main()
"""


@pytest.mark.parametrize("sink", ["webdataset: o", "parquet: {path: o.parquet, embed_images: true}"])
def test_a_disk_that_is_full_while_datasets_are_written(tmp_path: Path, sink: str) -> None:
    """With a limit for the size of files, which is what a test can have of a full disk."""
    (tmp_path / "images").mkdir()
    for number in range(8):
        Image.frombytes("RGB", (300, 300), os.urandom(270_000)).save(tmp_path / "images" / f"{number}.png")
    recipe = tmp_path / "r.yaml"
    recipe.write_text(
        "name: r\nengines: {s: {backend: scripted, answer: hi}}\nsource: {images: images}\n"
        f"steps: [generate: {{engine: s, prompt: 'x'}}]\nsinks: [{{{sink}}}]\n"
    )
    output = tmp_path / "out"
    command = [sys.executable, "-c", LIMITED.replace("@", "1000000"), "run", str(recipe), "--output", str(output)]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert ran.returncode == 2, ran.stdout + ran.stderr
    assert "Traceback" not in ran.stderr
    assert f"error: {output / 'o'}" in ran.stderr
    assert "File too large" in ran.stderr
    assert "it writes the datasets and calls no model" in ran.stderr
    assert api.status(output)["state"] == "failed"
    assert not list(output.glob("o*"))
    again = api.run(recipe, output=output)
    assert (again.state, again.written[0].rows, again.calls) == ("finished", 8, 8)


def test_the_state_is_finished_only_when_the_datasets_are_written(
    make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from mminf.sink.rows import JsonLinesSink

    seen: list[Any] = []
    write = JsonLinesSink.write

    def look(self: Any, records: Any) -> Any:
        seen.append(api.status(tmp_path / "out")["state"])
        if len(seen) == 1:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return write(self, records)

    monkeypatch.setattr(JsonLinesSink, "write", look)
    with pytest.raises(OutputError, match=r"o.jsonl can't be written: No space left on device"):
        run(make(), tmp_path / "out")
    assert api.status(tmp_path / "out")["state"] == "failed"
    assert run(make(), tmp_path / "out").state == "finished"
    assert api.status(tmp_path / "out")["state"] == "finished"
    assert seen == ["writing", "writing"]
    assert resource.getrlimit(resource.RLIMIT_FSIZE)[0] != 0
    assert json.loads((tmp_path / "out" / "o.jsonl").read_text().splitlines()[0])["response"] == "hi"


# What a stranger found


def test_a_file_does_not_replace_a_folder_that_has_other_files(make: Make, tmp_path: Path) -> None:
    output = tmp_path / "out"
    run(make("{jsonl: {path: data, rows_per_file: 2}}"), output)
    (output / "data" / "README.md").write_text("mine")
    before = sorted(path.name for path in (output / "data").iterdir())
    with pytest.raises(OutputError, match=r"files that mminf did not write, such as README.md"):
        run(make("{jsonl: data}"), output)
    assert sorted(path.name for path in (output / "data").iterdir()) == before
    (output / "data" / "README.md").unlink()
    assert run(make("{jsonl: data}"), output).written[0].rows == 5
    assert (output / "data").is_file()


def test_what_does_not_replace_takes_a_free_name(make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    output = tmp_path / "out"
    run(make(), output)
    (output / "new-o.jsonl").write_text("precious")
    monkeypatch.setenv("BROKEN", "q1 q2 q3")
    (tmp_path / "s.py").write_text(SCRIPT + "# another model\n")
    for _ in range(2):
        assert run(make(), output).written[0].path == "new-2-o.jsonl"
    assert (output / "new-o.jsonl").read_text() == "precious"


def test_another_runs_dataset_folder_is_not_replaced(make: Make, tmp_path: Path) -> None:
    recipe = make("{jsonl: {path: d, rows_per_file: 2}}")
    run(recipe, tmp_path / "one")
    (tmp_path / "two").mkdir()
    (tmp_path / "one" / "d").rename(tmp_path / "two" / "d")
    with pytest.raises(OutputError, match="no run into .* has written it"):
        run(recipe, tmp_path / "two", limit=2)


@pytest.mark.parametrize("fails", [True, False])
def test_a_dataset_that_a_killed_run_was_about_to_replace(
    make: Make, tmp_path: Path, fails: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    output, recipe = tmp_path / "out", make("{jsonl: {path: d, rows_per_file: 2}}")
    run(recipe, output)
    (output / "d").rename(output / ".d.old")
    if fails:
        monkeypatch.setenv("BROKEN", "q1 q2 q3")
        (tmp_path / "s.py").write_text(SCRIPT + "# another model\n")
        written = run(recipe, output).written[0]
        assert (written.kept, written.rows) == ("d", 2)
    else:
        assert run(recipe, output).written[0].rows == 5
    assert json.loads((output / "d" / "manifest.json").read_text())["rows"] == 5


def test_exports_into_a_folder_can_be_repeated(make: Make, tmp_path: Path) -> None:
    recipe = make("{jsonl: o.jsonl}, {jsonl: {path: d, rows_per_file: 2}}")
    run(recipe, tmp_path / "out")
    for _ in range(2):
        assert [item.rows for item in api.export(mminf.load(recipe), tmp_path / "out", to=tmp_path / "to")] == [5, 5]
    (tmp_path / "to" / "mine.jsonl").write_text("mine")
    other = mminf.load(recipe, settings=["sinks=[{jsonl: mine.jsonl}]"])
    with pytest.raises(OutputError, match="no run into .* has written it"):
        api.export(other, tmp_path / "out", to=tmp_path / "to")


def test_links_in_the_output_folder(make: Make, tmp_path: Path) -> None:
    output = tmp_path / "out"
    (output / "a").mkdir(parents=True)
    (output / "b").symlink_to(output / "a")
    (output / "away").symlink_to(tmp_path)
    with pytest.raises(OutputError, match="are one file"):
        run(make("{jsonl: a/y.jsonl}, {jsonl: b/y.jsonl}"), output)
    with pytest.raises(OutputError, match="is not below the output folder"):
        run(make("{jsonl: away/y.jsonl}"), output)
    victim = tmp_path / "victim.txt"
    victim.write_text("precious")
    (output / ".o.jsonl.part").symlink_to(victim)
    (output / ".d.part").mkdir()
    (output / ".d.part" / "mine.txt").write_text("mine")
    assert run(make(), output).written[0].rows == 5
    assert victim.read_text() == "precious"
    with pytest.raises(OutputError, match=r"files that mminf did not write, such as mine.txt"):
        run(make("{jsonl: {path: d, rows_per_file: 2}}"), output)
    assert (output / ".d.part" / "mine.txt").read_text() == "mine"


def test_names_beside_a_dataset_are_taken(make: Make) -> None:
    for sinks in (
        "{jsonl: a.jsonl}, {jsonl: new-a.jsonl}",
        "{jsonl: b/a.images}, {jsonl: b/a}",
        "{jsonl: a.images/x}, {jsonl: a}",
    ):
        with pytest.raises(RecipeError, match="one needs the other's path"):
            mminf.load(make(sinks))


@pytest.mark.parametrize(
    "sink",
    [
        "{jsonl: o.jsonl}",
        "{jsonl: {path: o, rows_per_file: 2}}",
        "{parquet: {path: o, rows_per_file: 2}}",
        "{webdataset: o}",
    ],
)
def test_a_better_dataset_in_a_store_is_kept_too(
    make: Make, tmp_path: Path, sink: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    import hashlib

    import fsspec

    store = fsspec.filesystem("memory")
    output = f"memory://kept-{hashlib.sha256(sink.encode()).hexdigest()[:8]}/out"
    assert api.run(make(sink), output=output).written[0].rows == 5

    def content() -> dict[str, bytes]:
        found = {path: store.cat_file(path) for path in store.find(output.removeprefix("memory:/"))}
        return {path: data for path, data in found.items() if "/out/o" in path}

    before = content()
    assert before
    monkeypatch.setenv("BROKEN", "q1 q2 q3")
    (tmp_path / "s.py").write_text(SCRIPT + "# another model\n")
    written = api.run(make(sink), output=output).written[0]
    name = "o.jsonl" if "o.jsonl" in sink else "o"
    assert (written.path, written.rows, written.before, written.kept) == (f"new-{name}", 2, 5, name)
    assert content() == before
    assert any("/out/new-o" in path for path in store.find(output.removeprefix("memory:/")))
    monkeypatch.delenv("BROKEN")
    assert api.run(make(sink), output=output).written[0].kept is None


def vectors(folder: str, rows: int, failed: bool, before: int | None) -> Any:
    """Writes a dataset of vectors into a store, over one of `before` rows."""
    import numpy

    from mminf.record import Record
    from mminf.sink.embeddings import Embeddings, EmbeddingsConfig
    from mminf.sink.placing import Guard
    from mminf.storage import to_path

    class Assets:
        def vector(self, key: str) -> bytes:
            return bytes(numpy.eye(4, dtype="<f4")[int(key) % 4].tobytes())

        def image(self, uri: str) -> bytes:
            raise AssertionError(uri)

    sink = Embeddings(EmbeddingsConfig(path=Path("v"), center=False), to_path(folder))
    sink.attach(Assets())
    sink.protect(Guard(failed=failed, rows={"v": before}))
    return sink.write([Record(str(number), {"embedding": str(number)}) for number in range(rows)])


def test_better_vectors_in_a_store_are_kept_too() -> None:
    import fsspec

    store = fsspec.filesystem("memory")
    assert vectors("memory://vectors/out", 5, failed=False, before=None).rows == 5
    before = {path: store.cat_file(path) for path in store.find("/vectors/out/v")}
    written = vectors("memory://vectors/out", 2, failed=True, before=5)
    assert (written.path, written.rows, written.before, written.kept) == ("new-v", 2, 5, "v")
    assert {path: store.cat_file(path) for path in store.find("/vectors/out/v")} == before
    assert store.cat_file("/vectors/out/new-v/index.jsonl").count(b"\n") == 2


@pytest.mark.parametrize("moment", ["the old one is away", "the new one is there"])
def test_a_file_that_a_killed_run_was_about_to_replace_by_a_folder(
    make: Make, tmp_path: Path, moment: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a kill between the two renames leaves it."""
    output = tmp_path / "out"
    run(make("{jsonl: d}"), output)
    (output / "d").rename(output / ".d.old")
    if moment == "the new one is there":
        run(make("{jsonl: {path: d, rows_per_file: 2}}"), output)
        assert not (output / ".d.old").exists()
        return
    monkeypatch.setenv("BROKEN", "q1 q2 q3")
    (tmp_path / "s.py").write_text(SCRIPT + "# another model\n")
    written = run(make("{jsonl: {path: d, rows_per_file: 2}}"), output).written[0]
    assert (written.kept, written.before) == ("d", 5)
    assert len(read_rows(output / "d")) == 5
