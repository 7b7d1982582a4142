"""The notebook of the docs runs, with the demo model."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbclient import NotebookClient

ROOT = Path(__file__).parent.parent.parent
NOTEBOOK = ROOT / "docs" / "notebook.ipynb"


@pytest.fixture(scope="module")
def outputs(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    """The outputs of each cell with code: text by the type of output."""
    folder = tmp_path_factory.mktemp("notebook")
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("JUPYTER_PLATFORM_DIRS", "1")
        where = {"metadata": {"path": folder}}
        NotebookClient(notebook, timeout=600, kernel_name="python3", resources=where).execute()
    found = []
    for cell in notebook.cells:
        if cell.cell_type == "code":
            found.append({})
            for output in cell.outputs:
                data = output.get("data") or {output.get("name", "text"): output.get("text", "")}
                for kind, text in data.items():
                    found[-1][kind] = found[-1].get(kind, "") + str(text)
    return found


def test_it_is_committed_without_outputs() -> None:
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    nbformat.validate(notebook)
    assert all(not cell.outputs and cell.execution_count is None for cell in notebook.cells if cell.cell_type == "code")


def test_it_shows_what_it_says(outputs: list[dict[str, Any]]) -> None:
    run, rows, picture, dropped, history, looser, report = outputs
    assert "Counts(done=" in run["text/plain"] and "12/12 source records" in str(run)
    assert "oasis.jsonl" in rows["stdout"] and "'role': 'user'" in rows["text/plain"]
    assert picture["image/png"]
    assert "scene-" in dropped["stdout"]
    assert "calls" in history["text/plain"]
    numbers = [int(number) for number in re.findall(r"\d+", looser["stdout"])]
    assert numbers[1] >= numbers[0] and numbers[2] < 12, "a looser threshold makes only the calls that were skipped"
    assert "wrote report.html: oasis finished" in report["stdout"]
    assert not any("Traceback" in text or "Warning" in text for output in outputs for text in output.values())
