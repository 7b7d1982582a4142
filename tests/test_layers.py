"""Imports go one way, and importing mminf costs nothing."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
# Each layer may import itself and what stands above it here.
LAYERS = [
    {
        "errors",
        "config",
        "registry",
        "record",
        "image",
        "template",
        "request",
        "part",
        "storage",
        "world",
        "limits",
        "redact",
        "sandbox",
        "output_names",
        "terminal",
    }
    | {"media", "turns", "reasoning", "answer", "special_tokens"},
    {"plugin", "recipe"},
    {"journal", "backend", "step", "source", "sink", "demo_model", "content", "server"},
    {"engine"},
    {"executor", "report"},
    {"api"},
    {"evaluation"},
    {"cli"},
    {"__main__"},
]
LEVEL = {name: level for level, names in enumerate(LAYERS) for name in names}


def imported(path: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("mminf."):
            found.add(node.module.split(".")[1])
        elif isinstance(node, ast.Import):
            found |= {alias.name.split(".")[1] for alias in node.names if alias.name.startswith("mminf.")}
    return found


@pytest.mark.parametrize("path", sorted((ROOT / "mminf").rglob("*.py")), ids=lambda p: str(p.relative_to(ROOT)))
def test_imports_go_one_way(path: Path) -> None:
    parts = path.relative_to(ROOT / "mminf").parts
    name = parts[0].removesuffix(".py")
    if name == "__init__":
        return
    above = {other for other in imported(path) if LEVEL[other] > LEVEL[name]}
    assert not above, f"{path} imports {above}, which is built on it"


def test_the_engine_names_no_plugin() -> None:
    for path in (ROOT / "mminf").rglob("*.py"):
        tree = ast.parse(path.read_text())
        for node in ast.walk(tree):
            names = [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            names += [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            assert not any(name.startswith("mminf_plugins") for name in names), path


@pytest.mark.parametrize(
    "code",
    ["import mminf", "import mminf.cli.main", "import mminf.api", "import mminf; mminf.load('oasis', profile='demo')"],
)
def test_nothing_heavy_is_imported_before_it_is_needed(code: str) -> None:
    heavy = "torch transformers swift vllm datasets numpy PIL pyarrow rich"
    check = f"{code}\nimport sys\nprint([name for name in {heavy!r}.split() if name in sys.modules])"
    out = subprocess.run([sys.executable, "-c", check], capture_output=True, text=True, check=True, cwd="/")
    assert out.stdout.strip() == "[]"
