"""A real Ray cluster of several nodes on this machine: the same dataset, also when a node is lost."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import mminf
from mminf import api
from mminf.errors import EngineError, JournalError, UsageError
from mminf.executor.options import RayOptions

from ..conftest import ROOT, s3_variables, subprocess_env
from .conftest import ECHO

pytestmark = pytest.mark.ray


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory, s3_server: str) -> Iterator[Any]:
    """A head node without CPUs, on which nothing runs but the driver, and a worker node; tests add others."""
    import ray
    from ray.cluster_utils import Cluster

    log = tmp_path_factory.mktemp("ray") / "calls.log"
    log.touch()
    with pytest.MonkeyPatch.context() as patch:  # the nodes' processes get these from here
        for name, value in {"CALLS_LOG": str(log), **s3_variables(s3_server)}.items():
            patch.setenv(name, value)
        found = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False})
        found.add_node(num_cpus=1)
    ray.init(address=found.address, log_to_driver=False)
    found.calls_log = log
    yield found
    ray.shutdown()
    found.shutdown()


def same(one: Path, other: Path) -> None:
    assert (one / "out.jsonl").read_bytes() == (other / "out.jsonl").read_bytes() != b""


def test_the_dataset_is_that_of_one_process(cluster: Any, recipe: Path, tmp_path: Path, calls_log: Path) -> None:
    whole = mminf.run(recipe, output=tmp_path / "whole")
    asked = Counter(calls_log.read_text().splitlines())
    cluster.calls_log.write_text("")
    result = api.run(recipe, output=tmp_path / "cut", ray=RayOptions(shards=3))
    assert (result.state, result.counts) == ("finished", whole.counts)
    same(tmp_path / "whole", tmp_path / "cut")
    assert Counter(cluster.calls_log.read_text().splitlines()) == asked
    assert not (tmp_path / "cut" / "parts").exists()


def test_shards_use_up_the_whole_budget(cluster: Any, recipe: Path, tmp_path: Path, calls_log: Path) -> None:
    """A shard that has used its share does not stop the others, which have theirs."""
    mminf.run(recipe, output=tmp_path / "whole")
    asked = len(calls_log.read_text().splitlines())
    cluster.calls_log.write_text("")
    budget = {"budget": {"calls": asked - 1}}
    result = api.run(recipe, output=tmp_path / "cut", overrides=budget, ray=RayOptions(shards=3, workers=1))
    assert (result.state, result.exit_code) == ("interrupted", 3)
    assert "budget" in str(result.stopped)
    # A shard with fewer records than the others does not use up its share.
    assert len(cluster.calls_log.read_text().splitlines()) > 0.7 * asked
    assert api.run(recipe, output=tmp_path / "cut", ray=RayOptions(shards=3, workers=1)).state == "finished"
    same(tmp_path / "whole", tmp_path / "cut")
    assert len(cluster.calls_log.read_text().splitlines()) == asked


def test_a_node_is_lost_and_nothing_else(
    cluster: Any, tmp_path: Path, write_recipe: Callable[..., Path], rows: Callable[..., Path], calls_log: Path
) -> None:
    import threading

    (tmp_path / "echo.py").write_text(ECHO)
    rows(*({"id": f"r{n}", "text": f"say {n}"} for n in range(300)))
    recipe = write_recipe(
        f"name: slow\nengines: {{llm: {{backend: scripted, script: {tmp_path / 'echo.py'}, latency: 0.1}}}}\n"
        "source: {jsonl: rows.jsonl}\nwindow: 2\n"
        "steps: [{generate: {engine: llm, prompt: '{{ text }}', writes: said}}]\nsinks: [{jsonl: out.jsonl}]\n"
    )
    mminf.run(recipe, output=tmp_path / "whole", overrides={"engines.llm.latency": 0.0})
    asked = Counter(calls_log.read_text().splitlines())
    logs = [calls_log, cluster.calls_log]  # of the node that is lost, which gets its variables here, and of the other
    for log in logs:
        log.write_text("")
    doomed = cluster.add_node(num_cpus=1)

    def lose_it() -> None:
        deadline = time.monotonic() + 120
        while len(calls_log.read_text().splitlines()) < 60 and time.monotonic() < deadline:
            time.sleep(0.05)
        cluster.remove_node(doomed, allow_graceful=False)

    killer = threading.Thread(target=lose_it)
    killer.start()
    result = api.run(recipe, output=tmp_path / "cut", ray=RayOptions(workers=2, shards=4))
    killer.join()
    assert (result.state, result.counts.done) == ("finished", 300)
    same(tmp_path / "whole", tmp_path / "cut")
    there, here = (Counter(log.read_text().splitlines()) for log in logs)
    made = there + here
    assert there.total() >= 60 and here.total() > 60
    assert set(made) == set(asked)
    assert made.total() - asked.total() <= 2 * 4, "only what was in flight on the lost node is asked again"


def test_ctrl_c_drains_the_workers(
    cluster: Any, tmp_path: Path, write_recipe: Callable[..., Path], rows: Callable[..., Path]
) -> None:
    (tmp_path / "echo.py").write_text(ECHO)
    rows(*({"id": f"r{n}", "text": f"say {n}"} for n in range(2000)))
    recipe = write_recipe(
        f"name: slow\nengines: {{llm: {{backend: scripted, script: {tmp_path / 'echo.py'}, latency: 0.2}}}}\n"
        "source: {jsonl: rows.jsonl}\nwindow: 2\n"
        "steps: [{generate: {engine: llm, prompt: '{{ text }}', writes: said}}]\nsinks: [{jsonl: out.jsonl}]\n"
    )
    cluster.calls_log.write_text("")
    command = [sys.executable, "-m", "mminf", "run", str(recipe), "--output", str(tmp_path / "cut")]
    process = subprocess.Popen(
        [*command, "--executor", "ray", "--address", cluster.address, "--parts", "1"],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    deadline = time.monotonic() + 90
    while len(cluster.calls_log.read_text().splitlines()) < 20:
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    text, _ = process.communicate(timeout=45)
    assert process.returncode == 130, text
    kept = re.search(r"progress is saved .(\d+) model calls.", text)
    assert kept is not None and int(kept[1]) >= 20
    result = mminf.run(recipe, output=tmp_path / "cut", overrides={"engines.llm.latency": 0.0})
    assert result.counts.done == 2000
    assert max(Counter(cluster.calls_log.read_text().splitlines()).values()) == 1


def test_a_store_is_all_that_the_nodes_share(
    cluster: Any, s3: Any, images: Path, tmp_path: Path, write_recipe: Callable[..., Path], calls_log: Path
) -> None:
    """Images from S3, journals of the parts there, the dataset there."""
    for path in images.iterdir():
        (s3 / "in" / path.name).write_bytes(path.read_bytes())
    (tmp_path / "echo.py").write_text(ECHO)
    recipe = write_recipe(
        f"name: shared\nengines: {{llm: {{backend: scripted, script: {tmp_path / 'echo.py'}}}}}\n"
        "source: {images: images}\n"
        "steps: [{generate: {engine: llm, prompt: '{{ images }} what is it?', writes: said}}]\n"
        "sinks: [{jsonl: {path: out.jsonl, columns: [said]}}]\n"
    )
    mminf.run(recipe, input=images, output=tmp_path / "whole")
    cluster.calls_log.write_text("")
    result = api.run(recipe, input=str(s3 / "in"), output=str(s3 / "out"), ray=RayOptions(shards=2))
    assert result.counts.done == 12
    assert (s3 / "out" / "out.jsonl").read_bytes() == (tmp_path / "whole" / "out.jsonl").read_bytes()
    assert len(cluster.calls_log.read_text().splitlines()) == 12
    assert api.status(str(s3 / "out"))["parts"] == {}


def test_a_worker_that_cannot_work_says_so(cluster: Any, recipe: Path, tmp_path: Path) -> None:
    options = RayOptions(shards=2)
    with pytest.raises(EngineError, match=r"shard \d of 2: .*script '/none.py' does not exist"):
        api.run(
            recipe, output=tmp_path / "cut", ray=options, settings=["engines.llm={backend: scripted, script: /none.py}"]
        )
    assert mminf.run(recipe, output=tmp_path / "cut").counts.done == 30


def test_plugin_files_reach_the_workers(
    cluster: Any, tmp_path: Path, rows: Callable[..., Path], write_recipe: Callable[..., Path]
) -> None:
    (tmp_path / "cry.py").write_text(
        "from mminf.recipe.config import StepConfig\nfrom mminf.step import Step, step\n\n"
        "@step('cry')\nclass Cry(Step[StepConfig]):\n    '''Cries.'''\n    reads = frozenset({'text'})\n"
        "    writes = frozenset({'loud'})\n\n    async def run(self, record, ctx):\n"
        "        return {'loud': record['text'].upper()}\n"
    )
    rows({"id": "a", "text": "hello"}, {"id": "b", "text": "there"})
    recipe = write_recipe(
        "name: loud\nplugins: [cry.py]\nsource: {jsonl: rows.jsonl}\nsteps: [{cry: {}}]\nsinks: [{jsonl: out.jsonl}]\n"
    )
    assert api.run(recipe, output=tmp_path / "cut", ray=RayOptions(shards=2)).counts.done == 2
    assert '"loud": "THERE"' in (tmp_path / "cut" / "out.jsonl").read_text()


def test_too_few_gpus_and_a_held_output_are_said_before_anything_runs(
    cluster: Any, recipe: Path, tmp_path: Path
) -> None:
    from mminf.journal.lock import hold

    with hold(tmp_path / "cut"), pytest.raises(JournalError, match="another run"):
        api.run(recipe, output=tmp_path / "cut", ray=RayOptions())


@pytest.mark.parametrize(
    ("address", "message"),
    [
        ("127.0.0.1:9", "--address 127.0.0.1:9: no Ray cluster answers there"),
        ("nonsense", "give host:port of the cluster's head node"),
        ("ray://127.0.0.1:10001", "from outside, use `ray job submit`"),
    ],
    ids=["nobody there", "no address", "client"],
)
def test_a_bad_address_is_said_at_once(address: str, message: str) -> None:
    from mminf.executor.ray_data import _check_address

    with pytest.raises(UsageError, match=message):
        _check_address(address)


def test_the_launch_example(cluster: Any, recipe: Path, tmp_path: Path) -> None:
    whole = mminf.run(recipe, output=tmp_path / "whole")
    script = ROOT / "scripts" / "launch" / "ray.sh"
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    found = subprocess.run(
        [str(script), str(recipe), "--output", str(tmp_path / "cut"), "--parts", "2"],
        env=subprocess_env(PATH=path, RAY_ADDRESS=cluster.address),
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert found.returncode == 0, found.stderr
    assert f"finished: {whole.counts.done} rows done" in found.stdout
    same(tmp_path / "whole", tmp_path / "cut")


@pytest.mark.parametrize(("size", "given", "workers"), [(1, None, 8), (2, None, 4), (3, None, 2), (2, 3, 3)])
def test_workers_are_as_many_as_the_gpus_hold(
    monkeypatch: pytest.MonkeyPatch, size: int, given: int | None, workers: int, tmp_path: Path, images: Path
) -> None:
    import ray

    from mminf.engine.run import open_run
    from mminf.executor.ray_data import count_workers

    monkeypatch.setattr(ray, "cluster_resources", lambda: {"GPU": 8.0, "CPU": 64.0})
    settings = [f"engines.{name}.tensor_parallel_size={size}" for name in ("vlm", "llm")]
    run = open_run(mminf.load("oasis", input=images, settings=settings), tmp_path / "out")
    assert run.session.gpus() == size
    assert count_workers(run, RayOptions(workers=given)) == workers
    with pytest.raises(UsageError, match=f"9 workers with {size} GPUs each are more than the cluster's 8"):
        count_workers(run, RayOptions(workers=9))
    monkeypatch.setattr(ray, "cluster_resources", lambda: {"GPU": size - 0.5, "CPU": 64.0})
    if size > 1:
        with pytest.raises(UsageError, match=f"a worker needs {size} GPUs, and the cluster has {size - 1}"):
            count_workers(run, RayOptions())
