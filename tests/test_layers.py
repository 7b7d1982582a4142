"""Imports go one way, and importing mminf costs nothing."""

from __future__ import annotations

import ast
import subprocess
import sys
from graphlib import TopologicalSorter
from importlib import import_module
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
# The house from the ground up: what each part of `mminf` may import of the others. docs/architecture.md shows it.
VALUES = [
    "arguments",
    "errors",
    "limits",
    "record",
    "request",
    "registry",
    "states",
    "shard",
    "config",
    "media",
    "turns",
    "storage",
    "marks",
    "image",
    "recipe",
]
EDGES: dict[str, set[str]] = {
    # values and text
    "errors": set(),
    "arguments": {"errors"},
    "states": set(),
    "layout": {"lazy"},
    "lazy": set(),
    "bytecode": set(),
    "reasons": {"lazy", "states"},
    "builtin_model": set(),
    "output_names": set(),
    "config": set(),
    "special_tokens": set(),
    "limits": {"errors"},
    "record": {"errors"},
    "media": {"errors"},
    "turns": {"errors", "media"},
    "reasoning": {"errors", "lazy"},
    "answer": {"errors", "lazy", "reasoning"},
    "redact": {"errors"},
    "terminal": {"redact"},
    "sandbox": {"errors", "limits"},
    "cost": {"errors"},
    "language": {"lazy"},
    "template": {"errors", "language", "media", "record", "sandbox", "turns"},
    "storage": {"errors", "record"},
    "marks": {"errors", "record", "storage"},
    "image": {"errors", "limits", "storage"},
    "request": {"config", "image", "record", "turns"},
    "registry": {"builtin_model", "errors"},
    "shard": {"errors"},
    "content": {"errors"},
    # recipes
    "plugin": {"errors", "registry"},
    "recipe": {"content", "output_names", "plugin", "redact", "template", *VALUES},
    # the five families that plugins extend, and the journal
    "model_type": {"recipe"},
    "step": {"answer", "cost", "language", "lazy", "model_type", "template", *VALUES},
    "source": {"lazy", *VALUES},
    "sink": {"lazy", "special_tokens", "template", *VALUES},
    "server": {"backend"},
    "backend": {
        "builtin_model",
        "bytecode",
        "lazy",
        "model_type",
        "plugin",
        "reasoning",
        "redact",
        "special_tokens",
        "template",
        *VALUES,
    },
    "journal": {"redact", *VALUES},
    # a run in one process; in shards; in several processes
    "engine": {
        "backend",
        "cost",
        "journal",
        "layout",
        "output_names",
        "reasoning",
        "reasons",
        "sink",
        "source",
        "special_tokens",
        "step",
        "template",
        "terminal",
        *VALUES,
    },
    "sharding": {"engine", "journal", *VALUES},
    "display": {
        "bytecode",
        "cost",
        "engine",
        "layout",
        "plugin",
        "properties",
        "reasons",
        "server",
        "terminal",
        *VALUES,
    },
    "executor": {"backend", "cost", "engine", "journal", "plugin", "display", "sharding", *VALUES},
    # what users call
    "inspection": {"content", "cost", "engine", "journal", "plugin", "reasons", "sharding", *VALUES},
    "history": {"journal", "sharding", *VALUES},
    "shortcuts": {"api", "engine", "display", "sink", *VALUES},
    "input_summary": {"image", "plugin", "source", *VALUES},
    "starter_models": {"backend", "plugin", *VALUES},
    "starter": {"backend", "content", "input_summary", "plugin", "source", "starter_models", *VALUES},
    "convert": {"content", "plugin", *VALUES},
    "catalogue": {"content", "plugin", *VALUES},
    "listing": {"engine", "journal", "reasons", "sharding", "template", *VALUES},
    "run_folder": {"engine", "journal", "sharding", *VALUES},
    "properties": {"answer", "backend", "language", "run_folder", "source", *VALUES},
    "page": {"inspection", "listing", "plugin", "properties", "redact", "run_folder", *VALUES},
    "trial": {"engine", "executor", "display", *VALUES},
    "view": {
        "engine",
        "history",
        "inspection",
        "journal",
        "page",
        "plugin",
        "redact",
        "run_folder",
        "sharding",
        *VALUES,
    },
    "card": {
        "content",
        "engine",
        "inspection",
        "listing",
        "output_names",
        "page",
        "plugin",
        "properties",
        "redact",
        "run_folder",
        "sink",
        *VALUES,
    },
    "hub": {"card", "output_names", "plugin", "redact", "run_folder", "sink", *VALUES},
    "testing": {"backend", "step", "engine", "plugin", *VALUES},
    "api": {
        "lazy",
        "card",
        "catalogue",
        "content",
        "engine",
        "executor",
        "hub",
        "history",
        "inspection",
        "journal",
        "page",
        "listing",
        "plugin",
        "properties",
        "display",
        "run_folder",
        "sharding",
        "sink",
        "source",
        "trial",
    }
    | set(VALUES),
    "cli": {
        "api",
        "card",
        "catalogue",
        "content",
        "convert",
        "hub",
        "history",
        "inspection",
        "layout",
        "listing",
        "sink",
        "input_summary",
        "starter",
        "starter_models",
        "engine",
        "executor",
        "plugin",
        "reasons",
        "redact",
        "display",
        "run_folder",
        "terminal",
        "view",
        *VALUES,
    },
    "__main__": {"cli"},
}
EDGES = {part: others - {part} for part, others in EDGES.items()}
# What a plugin may import; tests/test_public.py lists their names.
PUBLIC = ("mminf", "mminf.backend", "mminf.sink", "mminf.source", "mminf.step", "mminf.testing")
MODULES = {
    ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): path
    for path in (ROOT / "mminf").rglob("*.py")
}


def imported(path: Path) -> set[str]:
    """Returns the modules of mminf that a file imports, wherever in it; not the package itself, which is lazy."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "mminf":
            names = [f"{node.module}.{alias.name}" for alias in node.names]
            found |= {name if name in MODULES else str(node.module) for name in names}
        elif isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names if alias.name.startswith("mminf.")}
    return found - {"mminf"}


@pytest.mark.parametrize("module", sorted(MODULES.keys() - {"mminf"}))
def test_only_allowed_edges(module: str) -> None:
    part = module.split(".")[1]
    others = {name.split(".")[1] for name in imported(MODULES[module])} - {part}
    assert part in EDGES, f"add {part} to EDGES"
    assert not others - EDGES[part], f"{module} imports {others - EDGES[part]}, which {part} may not"


def test_the_parts_have_an_order() -> None:
    TopologicalSorter(EDGES).prepare()  # raises CycleError


def test_there_is_no_import_cycle() -> None:
    graph = {name: imported(path) & MODULES.keys() for name, path in MODULES.items() if name != "mminf"}
    # A package imports its modules only to export them.
    packages = {name for name, path in MODULES.items() if path.name == "__init__.py"}
    for package in packages & graph.keys():
        graph[package] = {name for name in graph[package] if not name.startswith(f"{package}.")}
    TopologicalSorter(graph).prepare()


def test_the_engine_names_no_plugin() -> None:
    for path in (ROOT / "mminf").rglob("*.py"):
        tree = ast.parse(path.read_text())
        for node in ast.walk(tree):
            names = [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            names += [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            assert not any(name.startswith("mminf_plugins") for name in names), path


@pytest.mark.parametrize("path", sorted((ROOT / "plugins").rglob("*.py")), ids=lambda p: str(p.relative_to(ROOT)))
def test_plugins_import_public_names_only(path: Path) -> None:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            modules = {alias.name: set() for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            modules = {node.module or "": {alias.name for alias in node.names}}
        else:
            continue
        for module, names in modules.items():
            if module == "mminf" or module.startswith("mminf."):
                assert module in PUBLIC, f"{path}:{node.lineno} imports {module}, which is internal"
                hidden = names - set(import_module(module).__all__)
                assert not hidden, f"{path}:{node.lineno} imports {hidden} from {module}, which does not export it"


@pytest.mark.parametrize(
    "code",
    ["import mminf", "import mminf.cli.main", "import mminf.api", "import mminf; mminf.load('oasis', profile='demo')"],
)
def test_nothing_heavy_is_imported_before_it_is_needed(code: str) -> None:
    heavy = "torch transformers swift vllm datasets numpy PIL pyarrow rich"
    check = f"{code}\nimport sys\nprint([name for name in {heavy!r}.split() if name in sys.modules])"
    out = subprocess.run([sys.executable, "-c", check], capture_output=True, text=True, check=True, cwd="/")
    assert out.stdout.strip() == "[]"


def test_help_needs_neither_recipes_nor_steps() -> None:
    """`mminf --help` starts in the time that typer takes; the rest is imported by the command that is run."""
    check = "import mminf.cli.main, sys\nprint([name for name in sys.modules if name.startswith('mminf.')])"
    out = subprocess.run([sys.executable, "-c", check], capture_output=True, text=True, check=True, cwd="/")
    heavy = ("api", "engine", "image", "inspection", "journal", "recipe", "step", "template")
    assert [name for name in ast.literal_eval(out.stdout) if name.split(".")[1] in heavy] == []
