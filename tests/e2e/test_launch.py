"""The launch examples: each parses, starts what it says, and runs here where no GPU is needed."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

import mminf

from ..conftest import ROOT, subprocess_env

LAUNCH = ROOT / "scripts" / "launch"
SCRIPTS = sorted(path.name for path in LAUNCH.glob("*.sh"))


def launch(name: str, *options: str, **env: str) -> subprocess.Popen[str]:
    path = os.pathsep.join(
        [*([env.pop("FIRST")] if "FIRST" in env else []), str(Path(sys.executable).parent), os.environ["PATH"]]
    )
    return subprocess.Popen(
        [str(LAUNCH / name), *options],
        env=subprocess_env(PATH=path, **env),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def finish(process: subprocess.Popen[str]) -> str:
    text, _ = process.communicate(timeout=180)
    assert process.returncode == 0, text
    return text


@pytest.fixture
def options(images: Path, scripted_oasis: list[str]) -> list[str]:
    return ["oasis", "--input", str(images), *(part for setting in scripted_oasis for part in ("--set", setting))]


@pytest.fixture
def whole(images: Path, tmp_path: Path, scripted_oasis: list[str]) -> Path:
    mminf.run("oasis", input=images, output=tmp_path / "whole", settings=scripted_oasis)
    return tmp_path / "whole" / "oasis.jsonl"


@pytest.fixture
def echo(tmp_path: Path) -> str:
    """A folder with an `mminf` that says what it was asked for."""
    folder = tmp_path / "bin"
    folder.mkdir()
    (folder / "mminf").write_text('#!/bin/sh\necho "ranks=$NPROC_PER_NODE nodes=$NNODES"\nprintf "%s\\n" "$@"\n')
    (folder / "mminf").chmod(0o755)
    return str(folder)


def test_there_is_one_for_each_way() -> None:
    assert SCRIPTS == [
        "data_and_tensor_parallel.sh",
        "one_node.sh",
        "ray.sh",
        "slurm_array.sh",
        "swift_deploy.sh",
        "tensor_parallel.sh",
        "two_nodes.sh",
    ]


@pytest.mark.parametrize("name", SCRIPTS)
def test_it_parses_and_can_be_run(name: str) -> None:
    assert os.access(LAUNCH / name, os.X_OK)
    checked = subprocess.run(["bash", "-n", str(LAUNCH / name)], capture_output=True, text=True)
    assert (checked.returncode, checked.stderr) == (0, "")
    shown = [line for line in (LAUNCH / name).read_text().splitlines() if line.startswith("#  ")]
    assert any(name in line for line in shown), "it begins with how it is used"


@pytest.mark.parametrize(
    ("name", "env", "ranks", "size"),
    [
        ("tensor_parallel.sh", {"TP": "4"}, "ranks= ", 4),
        ("data_and_tensor_parallel.sh", {"GPUS": "8", "TP": "2"}, "ranks=4 ", 2),
    ],
    ids=["tp", "dp x tp"],
)
def test_tensor_parallel_settings_are_the_recipes(
    name: str, env: dict[str, str], ranks: str, size: int, echo: str
) -> None:
    said, *arguments = finish(launch(name, "oasis", "--limit", "3", FIRST=echo, **env)).splitlines()
    assert said.startswith(ranks)
    assert arguments[:4] == ["run", "oasis", "--limit", "3"]
    recipe = mminf.load("oasis", settings=[arguments[5]])
    assert recipe.engines["vlm"].tensor_parallel_size == size  # type: ignore[attr-defined]


def test_one_node(options: list[str], whole: Path, tmp_path: Path) -> None:
    text = finish(launch("one_node.sh", *options, "--output", str(tmp_path / "out"), GPUS="2"))
    assert "finished" in text
    assert (tmp_path / "out" / "oasis.jsonl").read_bytes() == whole.read_bytes()


def test_two_nodes(options: list[str], whole: Path, tmp_path: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        env = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free.getsockname()[1]), "GPUS": "1"}
    nodes = [
        launch("two_nodes.sh", *options, "--output", str(tmp_path / "out"), NODE_RANK=str(node), **env)
        for node in range(2)
    ]
    for node in nodes:
        finish(node)
    assert (tmp_path / "out" / "oasis.jsonl").read_bytes() == whole.read_bytes()


def test_slurm_array(options: list[str], whole: Path, tmp_path: Path) -> None:
    for task in range(2):
        env = {"SLURM_ARRAY_TASK_ID": str(task), "SLURM_ARRAY_TASK_COUNT": "2"}
        text = finish(launch("slurm_array.sh", *options, "--output", str(tmp_path / "out"), **env))
        assert f"shard {task}/2 finished" in text
    command = [sys.executable, "-m", "mminf.cli.main", "merge", *options, "--output", str(tmp_path / "out")]
    merged = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "finished" in merged.stdout
    assert (tmp_path / "out" / "oasis.jsonl").read_bytes() == whole.read_bytes()


def test_swift_deploy(images: Path, tmp_path: Path) -> None:
    """The script's own part: servers on their ports, one address each; a mock stands for `swift`."""
    folder = tmp_path / "bin"
    folder.mkdir()
    (folder / "swift").write_text(
        f"#!{sys.executable}\nimport asyncio, sys\nsys.path.insert(0, {str(ROOT / 'scripts' / 'bench')!r})\n"
        "from aiohttp import web\nfrom mock_server import make_app\n"
        "assert sys.argv[1] == 'deploy' and sys.argv[sys.argv.index('--external_plugins') + 1].endswith('.py')\n"
        "web.run_app(make_app(0.0, None, model=sys.argv[sys.argv.index('--served_model_name') + 1]), host='127.0.0.1', "
        "port=int(sys.argv[sys.argv.index('--port') + 1]), print=None)\n"
    )
    (folder / "swift").chmod(0o755)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    options = [
        "oasis",
        "--input",
        str(images),
        "--output",
        str(tmp_path / "out"),
        "--set",
        "engines.llm={backend: scripted, answer: '[[5]]'}",
    ]
    env = {"FIRST": str(folder), "MODEL": "some/model", "GPUS": "2", "FIRST_PORT": port}
    text = finish(launch("swift_deploy.sh", *options, "--set", "steps.classify.engine=vlm", **env))
    assert "finished" in text
    for number in range(2):
        with pytest.raises(ConnectionRefusedError):  # the servers have ended with the run
            socket.create_connection(("127.0.0.1", int(port) + number), timeout=5)
