from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]


def test_the_reference_is_what_the_code_says() -> None:
    command = [sys.executable, str(ROOT / "scripts" / "write_reference.py"), "--check"]
    found = subprocess.run(command, capture_output=True, text=True)
    assert found.returncode == 0, found.stderr


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\((?!https?:|#)([^)#]+)", page.read_text()):
        assert (page.parent / target).exists(), f"{page.name} links {target}"


def test_the_plugin_of_the_docs_works(tmp_path: Path) -> None:
    text = (ROOT / "docs" / "plugins.md").read_text()
    code = re.search(r'```python\n("""A step that changes a field.*?)```', text, re.DOTALL)
    assert code is not None
    (tmp_path / "shout.py").write_text(code[1])
    (tmp_path / "rows.jsonl").write_text('{"response": "hi"}\n')
    recipe = "plugins: shout.py\nsource: {jsonl: rows.jsonl}\nsteps:\n  - shout: {reads: response, writes: loud}\nsinks: [{jsonl: o.jsonl}]\n"
    (tmp_path / "r.yaml").write_text(recipe)
    command = [sys.executable, "-m", "mminf.cli.main", "run", "r.yaml", "-o", "out"]
    found = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
    assert found.returncode == 0, found.stderr
    assert '"loud": "HI"' in (tmp_path / "out" / "o.jsonl").read_text()


def test_the_recipe_of_the_readme_is_valid(tmp_path: Path) -> None:
    import mminf

    code = re.search(r"```yaml\n(name: oasis.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    assert code is not None
    (tmp_path / "oasis.yaml").write_text(code[1])
    assert len(mminf.load(tmp_path / "oasis.yaml").steps) == 8
