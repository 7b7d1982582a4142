"""Runs the installation commands of README.md as they are written, each in an environment of its own.

    python scripts/install_tier.py [PART ...] [--with uv] [--with pip]

`mminf` is replaced by a wheel of this checkout. Lines with `pip install` run with pip and with `uv pip`, lines with
`uv` only with uv. A PART selects the lines that contain it. Each takes minutes and gigabytes: `.ci/run` runs none.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).parent.parent
_LINE = re.compile(r"^(?:uv )?pip install .*mminf.*$", re.MULTILINE)
_NAME = re.compile(r"'?mminf(\[[a-z0-9,-]+\])?'?(?= |$)")


def documented() -> list[str]:
    """Returns the installation commands of the README."""
    blocks = re.findall(r"```console\n(.*?)```", (ROOT / "README.md").read_text(encoding="utf-8"), re.DOTALL)
    return [line.split("  #")[0].rstrip() for block in blocks for line in _LINE.findall(block)]


def build_wheel(folder: Path) -> Path:
    """Returns a wheel of this checkout."""
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", str(folder), str(ROOT)]
    subprocess.run(command, check=True)
    return next(folder.glob("mminf-*.whl"))


def try_line(line: str, tool: str, wheel: Path, folder: Path) -> str:
    """Runs a command in a new environment, then `mminf doctor`. Returns what happened."""
    environment = folder / "venv"
    shutil.rmtree(environment, ignore_errors=True)
    uv = shutil.which("uv") or str(Path(sys.executable).parent / "uv")
    make = [uv, "venv", "--quiet", "--python", sys.executable] if tool == "uv" else [sys.executable, "-m", "venv"]
    subprocess.run([*make, str(environment)], check=True)
    command = _NAME.sub(lambda found: f"'{wheel}{found[1] or ''}'", line.removeprefix("uv "))
    command = re.sub(r"^pip install", f"{uv} pip install --quiet" if tool == "uv" else "pip install --quiet", command)
    path = f"{environment / 'bin'}{os.pathsep}{os.environ['PATH']}"
    variables = {**os.environ, "PATH": path, "VIRTUAL_ENV": str(environment)}
    started = time.monotonic()
    ran = subprocess.run(["bash", "-c", command], env=variables, capture_output=True, text=True)
    seconds = time.monotonic() - started
    if ran.returncode:
        return f"FAILED after {seconds:.0f} s: {ran.stderr.strip()[-600:]}"
    doctor = subprocess.run(
        [str(environment / "bin" / "mminf"), "doctor"], env=variables, capture_output=True, text=True
    )
    if doctor.returncode:
        return f"FAILED: mminf doctor: {doctor.stderr.strip()[-600:]}"
    size = sum(file.stat().st_size for file in environment.rglob("*") if file.is_file() and not file.is_symlink())
    backends = re.findall(r"^backend (\w+): can run here", doctor.stdout, re.MULTILINE)
    return f"{seconds:.0f} s, {size / 2**30:.1f} GB, backends that can run: {', '.join(backends)}"


def main() -> None:
    """Runs the commands and prints a line for each; exits with 1 if one fails."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", help="only lines that contain one of these")
    parser.add_argument("--with", dest="tools", action="append", choices=["uv", "pip"], help="default: both")
    wanted = parser.parse_args()
    failed = False
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        wheel = build_wheel(folder)
        for line in documented():
            if wanted.parts and not any(part in line for part in wanted.parts):
                continue
            for tool in wanted.tools or ["uv", "pip"]:
                if tool == "pip" and line.startswith("uv "):
                    continue
                found = try_line(line, tool, wheel, folder)
                failed |= found.startswith("FAILED")
                print(f"{tool}: {line}\n  {found}", flush=True)
    sys.exit(failed)


if __name__ == "__main__":
    main()
