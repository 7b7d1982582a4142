"""Models that plugins bundle: registered by name, found as `builtin:NAME`."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from mminf.backend import BuiltinModel, EngineError, find_model, register_model
from mminf.backend.base import model_identity
from mminf.backend.model_files import resolve_local
from mminf.errors import PluginError
from mminf.plugin import discovery
from mminf.registry import MODELS


@pytest.fixture
def tiny(tmp_path: Path) -> Iterator[BuiltinModel]:
    """A registered model of two files, of which one decides about answers."""
    folder = tmp_path / "tiny"
    folder.mkdir()
    (folder / "model.safetensors").write_bytes(b"weights")
    (folder / "README.md").write_text("card")
    yield register_model(BuiltinModel("tiny", folder, "qwen2_vl", ("model.safetensors",)))
    del MODELS._items["tiny"]


def test_a_registered_model_is_found(tiny: BuiltinModel) -> None:
    assert find_model("builtin:tiny") == tiny
    assert resolve_local("builtin:tiny") == str(tiny.folder)


def test_its_identity_depends_on_the_listed_files_alone(tiny: BuiltinModel) -> None:
    before = model_identity("builtin:tiny")
    (tiny.folder / "README.md").write_text("another card")
    assert model_identity("builtin:tiny") == before
    (tiny.folder / "model.safetensors").write_bytes(b"other weights")
    assert model_identity("builtin:tiny") != before


def test_an_unknown_model_names_the_nearest() -> None:
    with pytest.raises(EngineError) as error:
        find_model("builtin:dmo")
    assert str(error.value) == "no built-in model 'builtin:dmo'; did you mean 'builtin:demo'?"


def test_an_unknown_model_may_be_that_of_a_broken_plugin(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(discovery._broken, "shiny", "ImportError: no shine")
    with pytest.raises(EngineError, match="plugin 'shiny' is broken: ImportError: no shine"):
        find_model("builtin:shiny")


def test_missing_files_are_named(tiny: BuiltinModel) -> None:
    (tiny.folder / "model.safetensors").unlink()
    with pytest.raises(
        EngineError, match=r"builtin:tiny: model.safetensors is missing in .*tiny; reinstall the package"
    ):
        find_model("builtin:tiny")


def test_two_models_of_one_name_are_an_error(tiny: BuiltinModel) -> None:
    with pytest.raises(PluginError, match="two built-in models have the name 'tiny'"):
        register_model(BuiltinModel("tiny", tiny.folder, "llava", ()))
    register_model(tiny)  # a plugin that is imported twice


@pytest.mark.parametrize("model", ["/no/such/model", "./no_model", "~/no_model"])
def test_a_missing_folder_is_told_before_anything_large_is_imported(model: str) -> None:
    code = (
        "import sys\nfrom mminf.backend.transformers.backend import TransformersBackend, TransformersConfig\n"
        f"backend = TransformersBackend(TransformersConfig(backend='transformers', model={model!r}))\n"
        "try:\n    backend.load()\nexcept Exception as error:\n    print(error)\n"
        "assert not {'swift', 'torch', 'transformers'} & set(sys.modules)"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert found.stdout == f"model {model!r} is a path, and there is no such folder\n", found.stderr
