"""The processes of an engine end if the run that started them is killed."""

from __future__ import annotations

import importlib.util
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from mminf.backend.vllm.orphans import adopted, watch_parent

CHILD = """
import signal, sys, time
from mminf.backend.vllm.orphans import watch_parent
if len(sys.argv) > 1:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # an engine that hangs
watch_parent()
print("up", flush=True)
time.sleep(60)
"""
PARENT = """
import subprocess, sys, time
from mminf.backend.vllm.orphans import adopted
with adopted():
    adoptee = subprocess.Popen([sys.executable, sys.argv[1], *sys.argv[2:]], stdout=subprocess.PIPE, text=True)
other = subprocess.Popen([sys.executable, sys.argv[1]], stdout=subprocess.PIPE, text=True)
assert adoptee.stdout.readline() == other.stdout.readline() == "up\\n"
print(adoptee.pid, other.pid, flush=True)
time.sleep(60)
"""


@pytest.mark.parametrize("hangs", [False, True])
def test_a_child_ends_when_its_run_is_killed(tmp_path: Path, hangs: bool) -> None:
    for name, text in (("child.py", CHILD), ("parent.py", PARENT)):
        (tmp_path / name).write_text(text)
    command = [sys.executable, str(tmp_path / "parent.py"), str(tmp_path / "child.py"), *(["hangs"] if hangs else [])]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as run:
        assert run.stdout is not None
        adoptee, other = (psutil.Process(int(pid)) for pid in run.stdout.readline().split())
        time.sleep(2)
        assert _alive(adoptee), "while the run is there"
        os.kill(run.pid, signal.SIGKILL)
        end = time.monotonic() + 20
        while _alive(adoptee) and time.monotonic() < end:
            time.sleep(0.1)
        try:
            assert not _alive(adoptee)
            assert _alive(other), "processes that are not an engine's are left alone"
        finally:
            other.kill()


def _alive(process: psutil.Process) -> bool:
    try:
        return process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def test_the_environment_is_restored() -> None:
    before = dict(os.environ)
    with adopted(), adopted():
        assert os.environ != before
    assert os.environ == before


def test_vllm_loads_it_in_its_processes() -> None:
    if importlib.util.find_spec("vllm") is None:
        pytest.skip("vllm is not installed, which loads the plugin")
    from vllm.plugins import load_plugins_by_group

    assert load_plugins_by_group("vllm.general_plugins")["mminf"] is watch_parent
