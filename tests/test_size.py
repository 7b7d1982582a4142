"""Files and functions are small enough to be read in one sitting."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
LINES, BRANCHES = 350, 14
FILES = sorted(path for folder in ("mminf", "plugins") for path in (ROOT / folder).rglob("*.py"))
_BRANCHES = (ast.If, ast.IfExp, ast.For, ast.AsyncFor, ast.While, ast.ExceptHandler, ast.match_case)


def count_branches(function: ast.AST) -> int:
    """Returns the number of branches in a function, those of functions in it included."""
    count = 0
    for node in ast.walk(function):
        if isinstance(node, _BRANCHES):
            count += 1
        elif isinstance(node, ast.BoolOp):
            count += len(node.values) - 1
        elif isinstance(node, ast.comprehension):
            count += 1 + len(node.ifs)
    return count


def find_large(path: Path, text: str) -> list[str]:
    """Returns the file if it is too long, and its functions that have too many branches."""
    found = [str(path)] if len(text.splitlines()) > LINES else []
    functions = (n for n in ast.walk(ast.parse(text)) if isinstance(n, ast.FunctionDef | ast.AsyncFunctionDef))
    return [*found, *(f"{path}:{node.name}" for node in functions if count_branches(node) > BRANCHES)]


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_files_and_functions_are_small(path: Path) -> None:
    large = find_large(path.relative_to(ROOT), path.read_text(encoding="utf-8"))
    assert not large, f"split these: {large}"


@pytest.mark.parametrize(
    ("text", "branches"),
    [
        ("if a and b or c: x", 3),
        ("x = [i if i else 0 for i in a if i if not i]", 4),
        ("try: x\nexcept A: y\nexcept B: z", 2),
        ("match a:\n    case 1: x\n    case _: y", 2),
        ("for i in a:\n    while i: x\nassert i and i", 3),
    ],
)
def test_branches_are_counted(text: str, branches: int) -> None:
    assert count_branches(ast.parse(text)) == branches
