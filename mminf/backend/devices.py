"""Memory of this machine's devices, and the share that a model takes."""

from __future__ import annotations

import contextlib
import gc
import os
import sys
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path

from mminf.errors import EngineError

# Memory of a model relative to its weights: activations and the KV cache of a batch, approximately.
HEADROOM = 1.3
_DEVICE_FILES = (Path("/dev/kfd"), Path("/dev/dxg"))


@cache
def devices(count: int = 1, first: int = 0) -> tuple[str, ...]:
    """Returns the names of the devices of a model: `cuda:0`, ..., or `cpu` if there is no GPU.

    Raises:
        EngineError: if there are too few GPUs.
    """
    if not may_have_gpu():
        return ("cpu",)
    import torch

    if not torch.cuda.is_available():
        return ("cpu",)
    if (there := torch.cuda.device_count()) < first + count:
        raise EngineError(
            f"the recipe needs {first + count} GPUs (`replicas` times `tensor_parallel_size`), but there are {there}"
        )
    return tuple(f"cuda:{number}" for number in range(first, first + count))


def may_have_gpu() -> bool:
    """Returns whether it is worth importing torch, which takes two seconds, to look for a GPU.

    On Linux, drivers have a device file: NVIDIA's, AMD's, or that of the Windows subsystem.
    """
    if not sys.platform.startswith("linux"):
        return True
    return any(path.exists() for path in (*_DEVICE_FILES, *Path("/dev").glob("nvidia*")))


@contextlib.contextmanager
def only_devices(names: Sequence[str]) -> Iterator[None]:
    """Makes only these GPUs visible to processes started in the context; all GPUs if none is named."""
    numbers = [int(name.removeprefix("cuda:")) for name in names if name.startswith("cuda:")]
    before = os.environ.get("CUDA_VISIBLE_DEVICES")
    if numbers:
        seen = before.split(",") if before else None
        os.environ["CUDA_VISIBLE_DEVICES"] = ",".join(seen[n] if seen else str(n) for n in numbers)
    try:
        yield
    finally:
        if numbers:
            if before is None:
                del os.environ["CUDA_VISIBLE_DEVICES"]
            else:
                os.environ["CUDA_VISIBLE_DEVICES"] = before


@cache
def device_memory(device: str) -> int:
    """Returns a device's memory in bytes."""
    if device == "cpu":
        import psutil

        return int(psutil.virtual_memory().total)
    import torch

    return int(torch.cuda.get_device_properties(torch.device(device)).total_memory)


def settle_memory() -> None:
    """Leaves all objects that exist now out of garbage collections, until `free_memory`.

    A loaded engine and its libraries are a million objects. A full collection looks at all of them and takes half a
    second, in which no call starts. vLLM does the same in its own servers. Docs: Python, `gc.freeze`.
    """
    gc.collect()
    gc.freeze()


def free_memory() -> None:
    """Frees device memory that is no longer referenced."""
    import torch

    gc.unfreeze()
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def weights_share(folder: Path, device: str) -> float | None:
    """Returns the share of a device's memory that a model in a local folder takes; None if it is not downloaded yet."""
    sizes = [path.stat().st_size for path in folder.glob("*.safetensors")] if folder.is_dir() else []
    sizes = sizes or ([path.stat().st_size for path in folder.glob("*.bin")] if folder.is_dir() else [])
    return HEADROOM * sum(sizes) / device_memory(device) if sizes else None
