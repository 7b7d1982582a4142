"""`mminf view` on the command line."""

from __future__ import annotations

import importlib.util
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import requests

from mminf.cli.main import app
from mminf.errors import UsageError
from mminf.view.serve import listen, open_runs

from .conftest import Make, items


def invoke(*arguments: str) -> Any:
    from typer.testing import CliRunner

    return CliRunner().invoke(app, ["view", *arguments])


def test_it_prints_its_address_and_ends_with_ctrl_c(make_run: Make) -> None:
    out = make_run(*items(3))
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "PYTHONUNBUFFERED": "1"}
    started = subprocess.Popen(
        [sys.executable, "-m", "mminf.cli.main", "view", str(out)],
        env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        assert started.stdout is not None
        assert started.stdout.readline() == "Open this address; Ctrl-C ends the app:\n"
        url = started.stdout.readline().strip()
        assert url.startswith("http://127.0.0.1:") and len(url.partition("?token=")[2]) >= 40
        session = requests.Session()
        assert session.get(url, timeout=20).status_code == 200
        summary = session.get(f"{url.partition('?')[0]}api/runs/0/summary", timeout=20)
        assert summary.json()["done"] + summary.json()["dropped"] == 3
        assert requests.get(url.partition("?")[0], timeout=20).status_code == 403
        started.send_signal(signal.SIGINT)
        rest, errors = started.communicate(timeout=20)
    finally:
        started.kill()
    assert started.returncode == 0 and rest == "" and "Traceback" not in errors
    assert url.partition("token=")[2] not in errors


def test_no_run(tmp_path: Path) -> None:
    found = invoke(str(tmp_path))
    assert isinstance(found.exception, UsageError) and "start one with `mminf run`" in str(found.exception)
    assert "shows runs in local folders" in str(invoke("s3://bucket/run").exception)


def test_the_second_run_is_checked_as_well(make_run: Make, tmp_path: Path) -> None:
    assert "no run in" in str(invoke(str(make_run(*items(1))), str(tmp_path / "no")).exception)


def test_what_is_missing_is_named(make_run: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    real = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if name in ("fastapi", "uvicorn") else real(name)
    )
    found = invoke(str(make_run(*items(1))))
    assert "needs fastapi and uvicorn; install it with `pip install 'mminf[view]'`" in str(found.exception)


def test_a_port_that_is_taken(make_run: Make) -> None:
    with listen(0) as taken:
        port = str(taken.getsockname()[1])
        assert "choose another --port" in str(invoke(str(make_run(*items(1))), "--port", port).exception)


def test_runs_with_the_same_name_are_told_apart(make_run: Make, tmp_path: Path) -> None:
    out = make_run(*items(1))
    (tmp_path / "other").mkdir()
    copy = tmp_path / "other" / "one"
    copy.symlink_to(out)
    assert [run.label for run in open_runs([str(out)])] == ["one"]
    assert [run.label for run in open_runs([str(out), str(copy)])] == [str(out), str(copy)]
