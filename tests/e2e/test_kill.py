"""A run that is killed, or asked to stop, loses the calls in flight and nothing else."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest

from ..conftest import subprocess_env


@pytest.fixture
def command(images: Path, script: Path, tmp_path: Path) -> list[str]:
    slow = f"{{backend: scripted, script: {script}, latency: 0.03}}"
    settings = [f"engines.vlm={slow}", f"engines.llm={slow}", "steps.hook.n=4", "window=4"]
    options = [option for setting in settings for option in ("--set", setting)]
    return [sys.executable, "-m", "mminf.cli.main", "run", "oasis", "--input", str(images), *options]


def run(command: list[str], output: Path, log: Path) -> subprocess.CompletedProcess[str]:
    env = subprocess_env(CALLS_LOG=str(log))
    return subprocess.run([*command, "--output", str(output)], env=env, capture_output=True, text=True, timeout=120)


def start(command: list[str], output: Path, log: Path, until: int) -> subprocess.Popen[str]:
    """Starts a run and returns it once it has made some calls."""
    env = subprocess_env(CALLS_LOG=str(log))
    process = subprocess.Popen(
        [*command, "--output", str(output)],
        env=env,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        # The tests themselves may run under `nohup`.
        preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_DFL),
    )
    deadline = time.monotonic() + 60
    while len(calls(log)) < until:
        assert process.poll() is None, process.stdout.read() if process.stdout else ""
        assert time.monotonic() < deadline
        time.sleep(0.01)
    return process


def calls(log: Path) -> list[str]:
    return log.read_text().splitlines()


def memoised(output: Path) -> int:
    with sqlite3.connect(output / "journal.sqlite") as journal:
        return int(journal.execute("SELECT count(*) FROM memo").fetchone()[0])


def same_datasets(one: Path, other: Path) -> None:
    for name in ("oasis.jsonl", "captions.jsonl"):
        assert (one / name).read_bytes() == (other / name).read_bytes() != b""


def test_kill_9_and_again(command: list[str], tmp_path: Path) -> None:
    whole_log, log = tmp_path / "whole.log", tmp_path / "killed.log"
    whole_log.touch()
    log.touch()
    assert run(command, tmp_path / "whole", whole_log).returncode == 0
    process = start(command, tmp_path / "killed", log, until=len(calls(whole_log)) // 2)
    process.send_signal(signal.SIGKILL)
    process.wait()
    kept, made = memoised(tmp_path / "killed"), len(calls(log))
    assert 0 < kept <= made
    assert not (tmp_path / "killed" / "oasis.jsonl").exists(), "no half dataset"
    again = run(command, tmp_path / "killed", log)
    assert again.returncode == 0, again.stderr
    same_datasets(tmp_path / "whole", tmp_path / "killed")
    times = Counter(calls(log))
    assert set(times) == set(calls(whole_log))
    twice = sum(count - 1 for count in times.values())
    assert twice == made - kept, "only the calls that were in flight are made twice"
    assert twice <= 4 * 4 * 4  # window x samples x scores


def test_ctrl_c_drains_and_the_next_run_goes_on(command: list[str], tmp_path: Path) -> None:
    whole_log, log = tmp_path / "whole.log", tmp_path / "stopped.log"
    whole_log.touch()
    log.touch()
    run(command, tmp_path / "whole", whole_log)
    process = start(command, tmp_path / "stopped", log, until=20)
    process.send_signal(signal.SIGINT)
    output, _ = process.communicate(timeout=20)
    assert process.returncode == 130, output
    assert "finishing the calls in flight" in output
    assert "interrupted" in output
    assert "model calls); run the same command to resume" in output
    assert memoised(tmp_path / "stopped") == len(calls(log)), "what was in flight was waited for"
    assert not (tmp_path / "stopped" / "oasis.jsonl").exists()
    assert run(command, tmp_path / "stopped", log).returncode == 0
    assert max(Counter(calls(log)).values()) == 1, "no call was made twice"
    same_datasets(tmp_path / "whole", tmp_path / "stopped")


def test_a_second_ctrl_c_stops_at_once(command: list[str], tmp_path: Path) -> None:
    log = tmp_path / "stopped.log"
    log.touch()
    slow = [part.replace("latency: 0.03", "latency: 60") for part in command]
    process = start(slow, tmp_path / "stopped", log, until=0)
    deadline = time.monotonic() + 30
    while not (tmp_path / "stopped" / "journal.sqlite").exists():
        assert time.monotonic() < deadline
        time.sleep(0.05)
    time.sleep(1)
    process.send_signal(signal.SIGINT)
    time.sleep(0.3)
    process.send_signal(signal.SIGINT)
    output, _ = process.communicate(timeout=8)
    assert process.returncode == 130, output
    assert "stopping now" in output


def test_a_stopped_run_leaves_no_process_behind(images: Path, tmp_path: Path) -> None:
    script = tmp_path / "spawns.py"
    script.write_text(
        "import subprocess, time\nchild = subprocess.Popen(['sleep', '300'])\n"
        f"open({str(tmp_path / 'child')!r}, 'w').write(str(child.pid))\ntime.sleep(300)\n"
        "def answer(request):\n    return ''\n"
    )
    engine = f"{{backend: scripted, script: {script}}}"
    command = [
        sys.executable,
        "-m",
        "mminf.cli.main",
        "run",
        "oasis",
        "--input",
        str(images),
        "--output",
        str(tmp_path / "out"),
    ]
    for name in ("vlm", "llm"):
        command += ["--set", f"engines.{name}={engine}"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    deadline = time.monotonic() + 30
    while not (tmp_path / "child").exists() or not (tmp_path / "child").read_text():
        assert time.monotonic() < deadline
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    output, _ = process.communicate(timeout=10)
    assert process.returncode == 130, output
    with pytest.raises(ProcessLookupError):
        os.kill(int((tmp_path / "child").read_text()), 0)


def test_a_terminal_that_is_closed_drains(command: list[str], tmp_path: Path) -> None:
    log = tmp_path / "stopped.log"
    log.touch()
    process = start(command, tmp_path / "stopped", log, until=20)
    process.send_signal(signal.SIGHUP)
    output, _ = process.communicate(timeout=20)
    assert process.returncode == 130, output
    assert memoised(tmp_path / "stopped") == len(calls(log)), "what was in flight was waited for"


def test_a_run_under_nohup_goes_on(command: list[str], tmp_path: Path) -> None:
    log = tmp_path / "kept.log"
    log.touch()
    process = start(["nohup", *command], tmp_path / "kept", log, until=20)
    process.send_signal(signal.SIGHUP)
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 0, output
