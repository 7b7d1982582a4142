"""Several processes of one run, started by torchrun as in `swift`.

`NPROC_PER_NODE=8 mminf run ...` launches itself again, eight times (and NNODES, NODE_RANK, MASTER_ADDR, MASTER_PORT
have the same meaning as for `swift`). `torchrun ... -m mminf run ...` works as well.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import logging
import os
import signal
import socket
from collections.abc import Mapping, MutableMapping, Sequence
from dataclasses import dataclass

from mminf.errors import UsageError

JOIN_SECONDS = 300
_PR_SET_PDEATHSIG = 1
LAUNCHER = "MMINF_LAUNCHER"
"""Variable with the process id of `mminf`'s own launcher, set for the ranks."""
PREFIX, FAILED = "mminf", "failed"  # in the key-value store of the ranks
_NAMES = ("NPROC_PER_NODE", "NNODES", "NODE_RANK", "MASTER_PORT")
_RANK = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE", "GROUP_RANK")
_OF_TORCHRUN = (LAUNCHER, *_RANK, "ROLE_RANK", "ROLE_WORLD_SIZE", "GROUP_WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")


@dataclass(frozen=True, slots=True)
class Launch:
    """The processes to launch on this node.

    Attributes:
        processes: number of processes on this node.
        nodes, node: number of nodes, and index of this node.
        address, port: where node 0 listens; None on a single node, which finds a free port itself.
    """

    processes: int
    nodes: int = 1
    node: int = 0
    address: str | None = None
    port: int | None = None

    def arguments(self) -> list[str]:
        """Returns the arguments of torchrun."""
        found = [f"--nproc_per_node={self.processes}", f"--nnodes={self.nodes}"]
        if self.nodes == 1 and self.port is None:
            return [*found, "--standalone"]
        address = self.address or "127.0.0.1"
        where = [f"--master_addr={address}", f"--master_port={self.port or 29500}"]
        return [*found, f"--node_rank={self.node}", *where, f"--rdzv_conf=timeout={JOIN_SECONDS}"]

    def start(self, arguments: Sequence[str]) -> int:
        """Runs `mminf` with these arguments in every process, until all have ended.

        Returns:
            0, or the exit code of the first process that failed.
        """
        # Otherwise torch's store warns about every rank that ends. Read when torch is imported, here and in the ranks.
        os.environ.setdefault("TORCH_CPP_LOG_LEVEL", "ERROR")
        from torch.distributed.elastic.multiprocessing.api import SignalException
        from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
        from torch.distributed.run import parse_args
        from torch.distributed.run import run as run_torchrun

        # torchrun logs a page of its own stack for a failed process; the reason is logged below, or by the process.
        for name in logging.root.manager.loggerDict:
            if name.startswith("torch.distributed"):
                logging.getLogger(name).setLevel(logging.CRITICAL)
        threads = max(1, (os.cpu_count() or 1) // self.processes)
        os.environ.setdefault("OMP_NUM_THREADS", str(threads))
        os.environ[LAUNCHER] = str(os.getpid())
        try:
            run_torchrun(parse_args([*self.arguments(), "--module", "mminf.cli.main", *arguments]))
        except ChildFailedError as error:
            rank, failure = error.get_first_failure()
            if self.nodes > 1:
                self._tell_others(rank, failure.exitcode)
            return _tell(rank, failure.exitcode, failure.pid)
        except SignalException:
            return 130
        except Exception as error:  # any error of a rendezvous
            where = f"{self.address or '127.0.0.1'}:{self.port or 29500}"
            raise UsageError(
                f"the processes of {self.nodes} nodes did not connect at {where} ({type(error).__name__}: {error}); "
                f"start all nodes within {JOIN_SECONDS} s, with the same NNODES, MASTER_ADDR and MASTER_PORT"
            ) from error
        return 0

    def _tell_others(self, rank: int, code: int) -> None:
        """Reports a failed rank to the ranks of other nodes, if it could not do so itself."""
        from datetime import timedelta

        import torch.distributed as dist

        with contextlib.suppress(RuntimeError):  # the store was on this node and is gone, which the others notice
            store = dist.TCPStore(
                self.address or "127.0.0.1", self.port or 29500, is_master=False, timeout=timedelta(seconds=10)
            )
            notes = dist.PrefixStore(PREFIX, store)
            if not notes.check([FAILED]):
                notes.set(
                    FAILED, json.dumps([self.node, f"rank {rank} on node {self.node} ended with exit code {code}"])
                )


def _tell(rank: int, code: int, pid: int) -> int:
    """Logs how a process ended, if it could not log that itself. Returns the exit code."""
    log = logging.getLogger("mminf")
    if code < 0:
        name = signal.Signals(-code).name
        log.error(
            "rank %d (process %d) was killed by %s, and the others were stopped; progress is saved: "
            "run the same command to resume, with any number of ranks",
            rank,
            pid,
            name,
        )
        return 128 - code
    if code not in (2, 130):
        log.error("rank %d (process %d) ended with exit code %d, and the others were stopped", rank, pid, code)
    return code


@dataclass(frozen=True, slots=True)
class Rank:
    """The position of this process among the processes of a run.

    Attributes:
        rank, world_size: over all nodes.
        local_rank, local_world_size: on this node.
        node: index of this node.
    """

    rank: int
    world_size: int
    local_rank: int
    local_world_size: int
    node: int = 0


def find_launch(environment: Mapping[str, str], *, option: str | None = None) -> Launch | None:
    """Returns the launch that the environment requests, or None if this process does the work itself.

    Args:
        option: a command-line option that splits the run in another way, if one was given.

    Raises:
        UsageError: if the variables contradict each other.
    """
    if "RANK" in environment or not {"NPROC_PER_NODE", "NNODES"} & environment.keys():
        return None
    if option is not None:
        raise UsageError(
            f"{option} splits the run, and so do NPROC_PER_NODE and NNODES; unset them, or leave {option} out"
        )
    number = {name: _number(environment, name) for name in _NAMES}
    nodes, node = number["NNODES"] or 1, number["NODE_RANK"] or 0
    address = environment.get("MASTER_ADDR")
    if nodes > 1:
        if missing := [name for name in ("NODE_RANK", "MASTER_ADDR") if not environment.get(name)]:
            raise UsageError(f"NNODES={nodes}, but {' and '.join(missing)} are not set; every node needs them")
        _check_address(str(address))
    if node >= nodes:
        raise UsageError(f"NODE_RANK={node}, but there are NNODES={nodes} nodes, counted from 0")
    return Launch(number["NPROC_PER_NODE"] or 1, nodes, node, address, number["MASTER_PORT"])


def _number(environment: Mapping[str, str], name: str) -> int | None:
    text = environment.get(name)
    if text is None:
        return None
    if not text.isdecimal() or (name in ("NPROC_PER_NODE", "NNODES") and int(text) == 0):
        raise UsageError(f"{name}={text!r} is not a number of processes, nodes or a port")
    return int(text)


def _check_address(address: str) -> None:
    try:
        socket.getaddrinfo(address, None)
    except OSError as error:
        raise UsageError(f"MASTER_ADDR={address!r} can't be resolved: {error}") from error


def find_rank(environment: Mapping[str, str]) -> Rank | None:
    """Returns the rank of this process, from the variables that torchrun sets; None if it is the only process.

    Raises:
        UsageError: if the variables contradict each other.
    """
    if "RANK" not in environment or "WORLD_SIZE" not in environment:
        return None
    try:
        rank = Rank(*(int(environment.get(name, default)) for name, default in zip(_RANK, "01010", strict=True)))
    except ValueError as error:
        raise UsageError(f"RANK, WORLD_SIZE, LOCAL_RANK and LOCAL_WORLD_SIZE must be numbers: {error}") from error
    if not (0 <= rank.rank < rank.world_size and 0 <= rank.local_rank < rank.local_world_size <= rank.world_size):
        raise UsageError(
            f"rank mismatch: RANK={rank.rank} of WORLD_SIZE={rank.world_size}, LOCAL_RANK={rank.local_rank} of "
            f"LOCAL_WORLD_SIZE={rank.local_world_size}; start the run with NPROC_PER_NODE, or with torchrun"
        )
    return rank if rank.world_size > 1 else None


def end_with_parent() -> None:
    """Makes the kernel end this process when its parent ends; otherwise it would continue alone.

    Called as early as possible. A parent that ended before the call sends no signal, so its id is compared, too.
    """
    parent = os.getppid()
    with contextlib.suppress(OSError, AttributeError):  # available on Linux only
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    launcher = os.environ.get(LAUNCHER)
    if os.getppid() != parent or (launcher is not None and launcher != str(parent)):
        raise SystemExit(143)


def forget_rank(environment: MutableMapping[str, str]) -> None:
    """Removes torchrun's variables: an engine that finds them would wait for the other ranks to load its model."""
    for name in [name for name in environment if name in _OF_TORCHRUN or name.startswith("TORCHELASTIC_")]:
        del environment[name]


def choose_devices(rank: Rank, needed: int, environment: MutableMapping[str, str]) -> None:
    """Lets this process see its own GPUs only.

    Args:
        needed: number of GPUs per process.

    Raises:
        UsageError: if there are too few.
    """
    import torch

    count = torch.cuda.device_count()  # asks the driver; does not initialise CUDA
    if not count or not needed:
        return
    if rank.local_world_size * needed > count:
        raise UsageError(
            f"{rank.local_world_size} processes with {needed} GPUs each (`replicas` times `tensor_parallel_size` times "
            f"`pipeline_parallel_size`) need {rank.local_world_size * needed}, and there are {count}; lower "
            "NPROC_PER_NODE"
        )
    seen = environment.get("CUDA_VISIBLE_DEVICES")
    names = seen.split(",") if seen else [str(number) for number in range(count)]
    first = rank.local_rank * needed
    environment["CUDA_VISIBLE_DEVICES"] = ",".join(names[first : first + needed])
