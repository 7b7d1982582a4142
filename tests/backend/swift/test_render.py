"""`render` of a model that is not on this machine says what to do, as loading it does."""

from __future__ import annotations

import pytest

from mminf.backend.transformers.backend import TransformersBackend, TransformersConfig
from mminf.errors import EngineError
from mminf.request import Request, Sampling
from mminf.turns import Turn


def test_a_model_that_can_not_be_fetched_has_advice(monkeypatch: pytest.MonkeyPatch) -> None:
    backend = TransformersBackend(TransformersConfig(backend="transformers", model="nobody/nothing"))

    def fail() -> None:
        raise OSError("the hub is not reachable")

    monkeypatch.setattr(backend, "_prepare_model", fail)
    with pytest.raises(EngineError, match=r"(?s)can't be fetched: OSError: the hub is not reachable\n.*`USE_HF=1`"):
        backend.render(Request((Turn("user", ("hi",)),), (), Sampling(), None, 0))
