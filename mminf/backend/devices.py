"""What memory there is on this machine's devices, and how much of it a model takes."""

from __future__ import annotations

from functools import cache
from pathlib import Path

# Weights alone don't make an answer: activations and the KV cache of a batch, roughly.
HEADROOM = 1.3


@cache
def devices(count: int = 1) -> tuple[str, ...]:
    """Returns the names of the first devices that a model is put on: `cuda:0`, ...; `cpu` where there is no GPU."""
    import torch

    return tuple(f"cuda:{number}" for number in range(count)) if torch.cuda.is_available() else ("cpu",)


@cache
def device_memory(device: str) -> int:
    """Returns a device's memory in bytes."""
    if device == "cpu":
        import psutil

        return int(psutil.virtual_memory().total)
    import torch

    return int(torch.cuda.get_device_properties(torch.device(device)).total_memory)


def weights_share(folder: Path, device: str) -> float | None:
    """Returns the share of a device's memory that a model in a local folder takes; None if it isn't there yet."""
    sizes = [path.stat().st_size for path in folder.glob("*.safetensors")] if folder.is_dir() else []
    sizes = sizes or ([path.stat().st_size for path in folder.glob("*.bin")] if folder.is_dir() else [])
    return HEADROOM * sum(sizes) / device_memory(device) if sizes else None
