"""Ranks under torchrun: one dataset, also when one of them is killed, and with another number of them afterwards."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import psutil
import pytest

import mminf
from mminf.errors import UsageError
from mminf.executor.torchrun import Launch, Rank, choose_devices, find_launch, find_rank, forget_rank

from ..conftest import subprocess_env


@pytest.fixture
def command(images: Path, script: Path) -> list[str]:
    slow = f"{{backend: scripted, script: {script}, latency: 0.03}}"
    settings = [f"engines.vlm={slow}", f"engines.llm={slow}", "steps.hook.n=8", "window=2"]
    options = [option for setting in settings for option in ("--set", setting)]
    return [sys.executable, "-m", "mminf.cli.main", "run", "oasis", "--input", str(images), *options]


def start(command: list[str], output: Path, **env: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [*command, "--output", str(output)],
        env=subprocess_env(**env),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def run(command: list[str], output: Path, **env: str) -> tuple[int, str]:
    process = start(command, output, **env)
    text, _ = process.communicate(timeout=180)
    return process.returncode, text


def wait_for_calls(process: subprocess.Popen[str], log: Path, until: int) -> None:
    deadline = time.monotonic() + 120
    while len(log.read_text().splitlines()) < until:
        assert process.poll() is None, process.stdout.read() if process.stdout else ""
        assert time.monotonic() < deadline
        time.sleep(0.01)


def ranks_of(process: subprocess.Popen[str]) -> dict[int, psutil.Process]:
    found = {}
    for child in psutil.Process(process.pid).children(recursive=True):
        if "mminf.cli.main" in child.cmdline():
            found[int(child.environ()["RANK"])] = child
    return found


def free_port() -> str:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return str(free.getsockname()[1])


def same_datasets(one: Path, other: Path) -> None:
    for name in ("oasis.jsonl", "captions.jsonl"):
        assert (one / name).read_bytes() == (other / name).read_bytes() != b""


def test_one_rank_is_killed_and_another_number_goes_on(command: list[str], tmp_path: Path) -> None:
    whole_log, log = tmp_path / "whole.log", tmp_path / "calls.log"
    whole_log.touch()
    log.touch()
    assert run(command, tmp_path / "whole", CALLS_LOG=str(whole_log))[0] == 0
    asked = Counter(whole_log.read_text().splitlines())
    process = start(command, tmp_path / "cut", NPROC_PER_NODE="2", CALLS_LOG=str(log))
    wait_for_calls(process, log, len(asked) // 2)
    ranks_of(process)[1].send_signal(signal.SIGKILL)
    text, _ = process.communicate(timeout=60)
    assert process.returncode == 128 + signal.SIGKILL, text
    assert re.search(
        r"rank 1 \(process \d+\) was killed by SIGKILL, and the others were stopped; progress is saved", text
    )
    assert "Traceback" not in text
    assert not (tmp_path / "cut" / "oasis.jsonl").exists()
    made = len(log.read_text().splitlines())
    assert made < asked.total()
    code, text = run(command, tmp_path / "cut", NPROC_PER_NODE="3", CALLS_LOG=str(log))
    assert code == 0, text
    same_datasets(tmp_path / "whole", tmp_path / "cut")
    counts = Counter(log.read_text().splitlines())
    assert set(counts) == set(asked)
    assert counts.total() - asked.total() <= 2 * 8 * 4, "only what was in flight in the killed rank is asked again"
    assert not (tmp_path / "cut" / "parts").exists()
    done = re.search(r"finished: (\d+) rows? done", text)
    assert done is not None
    assert text.count("finished:") == 1, "rank 0 alone says what the run came to"


def test_ctrl_c_drains_all_ranks(command: list[str], tmp_path: Path) -> None:
    log = tmp_path / "calls.log"
    log.touch()
    process = start(command, tmp_path / "cut", NPROC_PER_NODE="2", CALLS_LOG=str(log))
    wait_for_calls(process, log, 40)
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does
    text, _ = process.communicate(timeout=60)
    assert process.returncode == 130, text
    assert "Traceback" not in text
    kept = re.search(r"progress is saved .(\d+) model calls.; run the same command to resume", text)
    assert kept is not None and int(kept[1]) >= 40, text
    assert text.count("interrupted:") == 1
    code, text = run(command, tmp_path / "cut", CALLS_LOG=str(log))  # and one process takes it over
    assert code == 0, text
    assert max(Counter(log.read_text().splitlines()).values()) == 1, "what was in flight was waited for"


def test_ranks_with_a_mistake_say_it_once(command: list[str], tmp_path: Path) -> None:
    mminf.load("oasis")
    code, text = run([*command, "--set", "engines.vlm.script=/none.py"], tmp_path / "cut", NPROC_PER_NODE="2")
    assert code == 2
    assert "script '/none.py' does not exist" in text
    assert "Traceback" not in text
    from mminf.journal.lock import hold

    with hold(tmp_path / "cut"):
        code, text = run(command, tmp_path / "cut", NPROC_PER_NODE="2")
    assert code == 2
    assert text.count("another run (process") == 1


@pytest.mark.parametrize(
    ("env", "message"),
    [
        ({"NPROC_PER_NODE": "two"}, "NPROC_PER_NODE='two' is not a number"),
        ({"NPROC_PER_NODE": "0"}, "NPROC_PER_NODE='0' is not a number"),
        ({"NNODES": "2", "NODE_RANK": "0"}, "NNODES=2, but MASTER_ADDR are not set"),
        ({"NNODES": "2", "MASTER_ADDR": "127.0.0.1"}, "NODE_RANK are not set"),
        ({"NNODES": "2", "NODE_RANK": "2", "MASTER_ADDR": "127.0.0.1"}, "NODE_RANK=2, but there are NNODES=2 nodes"),
        ({"NNODES": "2", "NODE_RANK": "0", "MASTER_ADDR": "no.such.host.invalid"}, "can't be resolved"),
    ],
    ids=["no number", "none", "no address", "no node", "node too high", "bad address"],
)
def test_what_does_not_go_together_is_said_before_anything_starts(env: dict[str, str], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        find_launch(env)


def test_what_is_launched_is_what_swift_would_launch() -> None:
    assert find_launch({}) is None
    assert find_launch({"NPROC_PER_NODE": "8", "RANK": "3"}) is None, "a rank does not launch again"
    single = find_launch({"NPROC_PER_NODE": "8"})
    assert single == Launch(8)
    assert single.arguments() == ["--nproc_per_node=8", "--nnodes=1", "--standalone"]
    env = {"NPROC_PER_NODE": "4", "NNODES": "2", "NODE_RANK": "1", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "1234"}
    double = find_launch(env)
    assert double is not None
    assert double.arguments()[:5] == [
        "--nproc_per_node=4",
        "--nnodes=2",
        "--node_rank=1",
        "--master_addr=127.0.0.1",
        "--master_port=1234",
    ]
    with pytest.raises(UsageError, match="--shard splits the run, and so do NPROC_PER_NODE"):
        find_launch({"NPROC_PER_NODE": "8"}, option="--shard")


def test_a_rank_is_known_by_what_torchrun_sets() -> None:
    env = {"RANK": "5", "WORLD_SIZE": "8", "LOCAL_RANK": "1", "LOCAL_WORLD_SIZE": "4", "TORCHELASTIC_RUN_ID": "x"}
    assert find_rank(env) == Rank(5, 8, 1, 4)
    assert find_rank({}) is None
    assert find_rank({"RANK": "0", "WORLD_SIZE": "1"}) is None
    with pytest.raises(UsageError, match="rank mismatch: RANK=8 of WORLD_SIZE=8"):
        find_rank({**env, "RANK": "8"})
    with pytest.raises(UsageError, match="must be numbers"):
        find_rank({**env, "LOCAL_RANK": "x"})
    forget_rank(env)
    assert env == {}, "engines must not take themselves for ranks of a model"


@pytest.mark.parametrize(
    ("seen", "needed", "chosen"),
    [(None, 1, "3"), (None, 2, "6,7"), ("4,5,6,7", 1, "7"), ("a,b,c,d,e,f,g,h", 2, "g,h")],
    ids=["one", "tensor parallel", "of those visible", "of those visible, two"],
)
def test_every_rank_sees_its_own_gpus(
    monkeypatch: pytest.MonkeyPatch, seen: str | None, needed: int, chosen: str
) -> None:
    import torch

    monkeypatch.setattr(torch.cuda, "device_count", lambda: len(seen.split(",")) if seen else 8)
    env = {"CUDA_VISIBLE_DEVICES": seen} if seen else {}
    choose_devices(Rank(3, 4, 3, 4), needed, env)
    assert env["CUDA_VISIBLE_DEVICES"] == chosen
    with pytest.raises(UsageError, match="4 processes with 4 GPUs each .* need 16, and"):
        choose_devices(Rank(3, 4, 3, 4), 4, env)


def test_nodes_with_other_options_are_a_mismatch(command: list[str], tmp_path: Path) -> None:
    """Two nodes on one machine; the second has another seed."""
    env = {"NNODES": "2", "NPROC_PER_NODE": "1", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": free_port()}
    first = start(command, tmp_path / "cut", NODE_RANK="0", **env)
    second = start([*command, "--seed", "7"], tmp_path / "cut", NODE_RANK="1", **env)
    text, _ = second.communicate(timeout=120)
    assert second.returncode == 2, text
    assert "rank mismatch: rank 1 has another recipe, input or options than rank 0" in text
    other, _ = first.communicate(timeout=120)
    assert first.returncode != 0, other
    assert not (tmp_path / "cut" / "oasis.jsonl").exists()


def test_two_nodes_make_one_dataset(command: list[str], tmp_path: Path) -> None:
    env = {"NNODES": "2", "NPROC_PER_NODE": "1", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": free_port()}
    nodes = [start(command, tmp_path / "cut", NODE_RANK=str(node), **env) for node in range(2)]
    texts = [node.communicate(timeout=120)[0] for node in nodes]
    assert [node.returncode for node in nodes] == [0, 0], texts
    assert run(command, tmp_path / "whole")[0] == 0
    same_datasets(tmp_path / "whole", tmp_path / "cut")


def test_a_rank_that_dies_on_another_node_is_told(command: list[str], tmp_path: Path) -> None:
    log = tmp_path / "calls.log"
    log.touch()
    env = {
        "NNODES": "2",
        "NPROC_PER_NODE": "1",
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": free_port(),
        "CALLS_LOG": str(log),
    }
    first, second = (start(command, tmp_path / "cut", NODE_RANK=str(node), **env) for node in range(2))
    wait_for_calls(second, log, 30)
    ranks_of(second)[1].send_signal(signal.SIGKILL)
    text, _ = second.communicate(timeout=60)
    assert "rank 1 (process" in text
    other, _ = first.communicate(timeout=60)
    assert first.returncode == 2, other
    assert "rank 1 on node 1 ended with exit code -9" in other
    assert not (tmp_path / "cut" / "oasis.jsonl").exists()


def test_ranks_end_with_their_launcher(command: list[str], tmp_path: Path) -> None:
    log = tmp_path / "calls.log"
    log.touch()
    process = start(command, tmp_path / "cut", NPROC_PER_NODE="2", CALLS_LOG=str(log))
    wait_for_calls(process, log, 40)
    ranks = list(ranks_of(process).values())
    assert len(ranks) == 2
    process.send_signal(signal.SIGKILL)
    _, alive = psutil.wait_procs(ranks, timeout=30)
    assert not alive
    text, _ = process.communicate(timeout=30)
    assert "Traceback" not in text
    assert run(command, tmp_path / "cut", CALLS_LOG=str(log))[0] == 0


@pytest.mark.parametrize("moment", ["when a rank is there", "when both are there", "later"])
def test_ranks_end_with_a_launcher_that_dies_before_they_meet(moment: str, command: list[str], tmp_path: Path) -> None:
    process = start(command, tmp_path / "cut", NPROC_PER_NODE="2")
    wanted = 1 if moment == "when a rank is there" else 2
    deadline = time.monotonic() + 120
    while len(group := psutil.Process(process.pid).children(recursive=True)) < wanted:
        assert time.monotonic() < deadline and process.poll() is None
        time.sleep(0.005)
    if moment == "later":
        time.sleep(1.0)
        group = psutil.Process(process.pid).children(recursive=True)
    process.send_signal(signal.SIGKILL)
    process.wait()
    _, alive = psutil.wait_procs(group, timeout=30)
    assert not alive, [rank.cmdline() for rank in alive]


def test_ray_and_ranks_do_not_go_together(command: list[str], tmp_path: Path) -> None:
    code, text = run([*command, "--executor", "ray"], tmp_path / "cut", NPROC_PER_NODE="2")
    assert code == 2
    assert "--executor ray splits the run, and so do NPROC_PER_NODE and NNODES" in text
