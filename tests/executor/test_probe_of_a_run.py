"""Probes and previews into the output of a run."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

import mminf
from mminf import api
from mminf.cli.main import app
from mminf.states import RunState

from .probing import made, probe


def test_a_probe_after_a_run_makes_no_call_and_keeps_its_records(
    probed: Callable[..., Path], tmp_path: Path, calls_log: Path
) -> None:
    path = probed()
    mminf.run(path, output=tmp_path / "out")
    written = (tmp_path / "out" / "out.jsonl").read_text()
    made(calls_log)
    found = probe(path, tmp_path / "out")
    assert found.estimate is not None and found.estimate.probed == 10
    assert api.status(tmp_path / "out")["done"] == 50, "the records of the finished run still count"
    mminf.run(path, output=tmp_path / "out")
    assert not made(calls_log)
    assert (tmp_path / "out" / "out.jsonl").read_text() == written


@pytest.mark.parametrize("try_out", ["probe", "preview"])
def test_a_finished_run_stays_finished(probed: Callable[..., Path], tmp_path: Path, try_out: str) -> None:
    path, out = probed(), tmp_path / "out"
    mminf.run(path, output=out)
    before = (out / "out.jsonl").read_text()
    rows = list(api.list_records(out, fields=True))
    if try_out == "probe":
        probe(path, out)
    else:
        api.preview(api.prepare(api.load(path), output=out), records=3)
    status = api.status(out)
    assert (status["state"], status["done"], status["pending"]) == (RunState.FINISHED, 50, 0)
    assert list(api.list_records(out, fields=True)) == rows
    api.export(api.load(path), out, to=tmp_path / "to")
    assert (tmp_path / "to" / "out.jsonl").read_text() == before
    source = tmp_path / "rows.jsonl"
    source.write_text("".join(source.read_text().splitlines(keepends=True)[:20]))
    result = mminf.run(path, output=out, force=True)
    assert result.counts.done == 10, "rows of records that are gone don't count"
    assert len((out / "out.jsonl").read_text().splitlines()) == 10


@pytest.mark.parametrize("try_out", ["probe", "preview"])
def test_other_settings_than_those_of_the_run_are_told(
    probed: Callable[..., Path], tmp_path: Path, try_out: str, caplog: pytest.LogCaptureFixture
) -> None:
    path, out = probed(), tmp_path / "out"

    def run(**options: Any) -> None:
        prepared = api.prepare(api.load(path, **options), output=out)
        api.probe(prepared, records=3) if try_out == "probe" else api.preview(prepared)

    run(settings=["steps.ask.prompt=Other {{ n }}"])
    mminf.run(path, output=out)
    before = (out / "out.jsonl").read_text()
    run()
    assert "other settings" not in caplog.text
    run(settings=["steps.ask.prompt=Other {{ n }}"])
    assert f"`status`, `list` and `view` show the records of this {try_out}; its datasets stay" in caplog.text
    assert (out / "out.jsonl").read_text() == before


def test_what_is_left_of_a_finished_run_is_told(probed: Callable[..., Path], tmp_path: Path) -> None:
    path, out = probed(), tmp_path / "out"
    arguments = ["plan", str(path), "--probe", "3", "-o", str(out)]
    assert "of the calls are made; `mminf run`" in CliRunner().invoke(app, arguments).output
    mminf.run(path, output=out)
    told = " ".join(CliRunner().invoke(app, arguments).output.split())
    wanted = f"the run in {out} was finished with these options: only records that were added, or have failed, are left"
    assert told.endswith(wanted)
