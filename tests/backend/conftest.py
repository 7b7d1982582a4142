"""Fixtures of tests with servers."""

from __future__ import annotations

import pytest


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Health checks and back-off of milliseconds."""
    monkeypatch.setattr("mminf.backend.endpoints.FIRST_CHECK", 0.01)
    monkeypatch.setattr("mminf.backend.endpoints.LAST_CHECK", 0.02)
    monkeypatch.setattr("mminf.backend.client.backoff", lambda attempt: 0.001)
