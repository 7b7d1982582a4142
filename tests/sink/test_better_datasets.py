"""Datasets that a smaller one does not replace, here and in stores."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

import mminf
from mminf import api
from mminf.cli.main import app
from mminf.journal import Journal
from mminf.run_folder import read_origin

from ..conftest import read_rows
from .runs import SCRIPT, Make, run


def test_a_limit_warns_before_it_shrinks_a_dataset(
    make: Make, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
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
    assert (output / f"new-{name}").exists(), "what is outdated is for the user to remove"
    assert f"new-{name}" not in [dataset["path"] for dataset in api.status(output)["datasets"]]


def test_records_that_failed_before_keep_no_dataset(
    make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A folder with one broken image would keep the rows of every looser threshold."""
    output, recipe = tmp_path / "out", make()
    monkeypatch.setenv("BROKEN", "q1")
    steps = "steps=[{generate: {engine: s, prompt: '{{ q }}', attempts: 1}}, {keep: \"q != 'q0'\"}]"
    assert run(recipe, output).written[0].rows == 4
    stricter = run(recipe, output, settings=[steps]).written[0]
    assert (stricter.path, stricter.rows, stricter.before, stricter.kept) == ("o.jsonl", 3, 4, None)
    monkeypatch.setenv("BROKEN", "q1 q2")
    (tmp_path / "s.py").write_text(SCRIPT + "# another model\n")
    other = run(recipe, output, settings=[steps]).written[0]
    assert (other.path, other.rows, other.kept) == ("new-o.jsonl", 2, "o.jsonl"), "q2 has failed since"
    assert run(recipe, output, settings=[steps]).written[0].kept == "o.jsonl", "also in the next run"
    monkeypatch.setenv("BROKEN", "")
    (tmp_path / "s.py").write_text(SCRIPT + "# yet another model\n")
    assert run(recipe, output).written[0].rows == 5
    monkeypatch.setenv("BROKEN", "q1")
    (tmp_path / "s.py").write_text(SCRIPT)
    assert run(recipe, output).written[0].kept == "o.jsonl", "q1 had not failed in the run before"


@pytest.mark.parametrize("other", ["sinks=[{jsonl: p.jsonl}]", "split={shares: {a: 0.5, b: 0.5}}"])
def test_failures_are_known_for_each_dataset(
    make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, other: str
) -> None:
    """A run that has not written a dataset says nothing about it."""
    output, recipe = tmp_path / "out", make()
    run(recipe, output)
    monkeypatch.setenv("BROKEN", "q1")
    (tmp_path / "s.py").write_text(SCRIPT + "# another model\n")
    run(recipe, output, settings=[other])
    found = run(recipe, output).written[0]
    assert (found.path, found.rows, found.kept) == ("new-o.jsonl", 4, "o.jsonl")


def test_an_export_that_replaces_a_dataset_has_other_failures(
    make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    output, recipe = tmp_path / "out", make()
    monkeypatch.setenv("BROKEN", "q1")
    assert run(recipe, output).written[0].rows == 4
    monkeypatch.setenv("BROKEN", "")
    api.preview(api.prepare(mminf.load(recipe), output=output), records=3)  # q1 has an answer now
    assert api.export(mminf.load(recipe), output)[0].rows == 5
    monkeypatch.setenv("BROKEN", "q1")
    (tmp_path / "s.py").write_text(SCRIPT + "# another model\n")
    assert run(recipe, output).written[0].kept == "o.jsonl", "the export had the row"
    assert api.export(mminf.load(recipe), output, force=True)[0].rows == 4
    steps = "steps=[{generate: {engine: s, prompt: '{{ q }}', attempts: 1}}, {keep: \"q != 'q0'\"}]"
    stricter = run(recipe, output, settings=[steps]).written[0]
    assert (stricter.path, stricter.rows) == ("o.jsonl", 3), "the smaller one was accepted with --force"


def test_rows_of_an_export_are_told_until_a_run_writes_again(
    make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    output, recipe = tmp_path / "out", make()
    run(recipe, output)
    monkeypatch.setenv("BROKEN", "q1 q2")
    (tmp_path / "s.py").write_text(SCRIPT + "# another model\n")
    run(recipe, output)
    api.export(mminf.load(recipe), output, force=True)
    api.preview(api.prepare(mminf.load(recipe), output=output), records=1)
    status = api.status(output)["datasets"][0]
    assert (status["rows"], status["instead"]) == (3, None)


def test_journals_of_earlier_versions_keep_the_larger_dataset(
    make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    output = tmp_path / "out"
    monkeypatch.setenv("BROKEN", "q1")
    run(make(), output)
    with Journal(output, write=True) as journal:
        journal.database.execute("DELETE FROM meta WHERE key = 'failed'")
    assert run(make(), output, limit=3).written[0].kept == "o.jsonl"


def test_a_dataset_that_was_kept_is_told(make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    output, recipe = tmp_path / "out", make()
    run(recipe, output)
    monkeypatch.setenv("BROKEN", "q1 q2 q3")
    (tmp_path / "s.py").write_text(SCRIPT + "# another model\n")
    quiet = CliRunner().invoke(app, ["run", str(recipe), "-o", str(output), "--quiet"])
    assert "o.jsonl was kept: it has more rows" in " ".join(quiet.stderr.split()) and not quiet.stdout
    (kept, _) = api.status(output)["datasets"]
    assert (kept["path"], kept["rows"], kept["instead"]) == ("o.jsonl", 5, "new-o.jsonl")
    told = " ".join(CliRunner().invoke(app, ["status", str(output)]).output.split())
    assert "o.jsonl: 5 rows; of an earlier run, because it is larger than new-o.jsonl of the last one" in told
    api.export(mminf.load(recipe), output, force=True)
    (replaced, _) = api.status(output)["datasets"]
    assert (replaced["rows"], replaced["instead"]) == (2, None), "of the export"
    run(recipe, output, force=True)
    assert api.status(output)["datasets"][0]["rows"] == 2


def test_a_dataset_that_a_recipe_no_longer_writes_is_still_of_an_earlier_run(
    make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    output = tmp_path / "out"
    run(make("{jsonl: o.jsonl}"), output)
    monkeypatch.setenv("BROKEN", "q1 q2 q3")
    (tmp_path / "s.py").write_text(SCRIPT + "# another model\n")
    assert run(make("{jsonl: o.jsonl}"), output).written[0].kept == "o.jsonl"
    monkeypatch.delenv("BROKEN")
    run(make("{jsonl: p.jsonl}"), output)
    assert read_origin(output)["kept"] == {"o.jsonl": "new-o.jsonl"}
    assert "new-o.jsonl" in [dataset["path"] for dataset in api.status(output)["datasets"]]
    run(make("{jsonl: o.jsonl}"), output)
    assert read_origin(output)["kept"] == {}


def test_an_outdated_name_that_a_recipe_takes_is_a_dataset_again(
    make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    output = tmp_path / "out"
    run(make("{jsonl: o.jsonl}"), output)
    (output / "new-o.jsonl").write_text("of a person")
    monkeypatch.setenv("BROKEN", "q1 q2 q3")
    (tmp_path / "s.py").write_text(SCRIPT + "# another model\n")
    assert run(make("{jsonl: o.jsonl}"), output).written[0].path == "new-2-o.jsonl"
    monkeypatch.delenv("BROKEN")
    settings = ["sinks=[{jsonl: o.jsonl}, {jsonl: new-2-o.jsonl}]"]
    result = api.run(make("{jsonl: o.jsonl}"), output=output, settings=settings)
    assert [(written.path, written.rows) for written in result.written] == [("o.jsonl", 5), ("new-2-o.jsonl", 5)]
    listed = [dataset["path"] for dataset in api.status(output)["datasets"] if dataset["exists"]]
    assert sorted(listed) == ["new-2-o.jsonl", "o.jsonl"]


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


def test_what_does_not_replace_takes_a_free_name(make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    output = tmp_path / "out"
    run(make(), output)
    (output / "new-o.jsonl").write_text("precious")
    monkeypatch.setenv("BROKEN", "q1 q2 q3")
    (tmp_path / "s.py").write_text(SCRIPT + "# another model\n")
    for _ in range(2):
        assert run(make(), output).written[0].path == "new-2-o.jsonl"
    assert (output / "new-o.jsonl").read_text() == "precious"


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


def test_records_without_a_row_are_in_the_log(make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The end of a run names the first."""
    monkeypatch.setattr("mminf.sink.base._MOST_LOGGED", 3)
    recipe = make("{jsonl: all.jsonl}, {swift: {path: o.jsonl, user: q, assistant: gone}}")
    text = recipe.read_text().replace("steps: [", "steps: [{set: {gone: \"'' if q != 'q3' else 'an answer'\"}}, ")
    recipe.write_text(text)
    assert [(item.rows, item.left_out) for item in run(recipe, tmp_path / "out").written] == [(5, 0), (1, 4)]
    log = (tmp_path / "out" / "run.log").read_text()
    for name in ("r0", "r1", "r2"):
        assert f"left out of o.jsonl: record {name}: " in log
    assert "record r4" not in log and "left out of o.jsonl: more than 3 records" in log
