"""Fixtures of tests that read sources."""

from __future__ import annotations

import pytest

from mminf.plugin import discover


@pytest.fixture(autouse=True)
def _members() -> None:
    discover()
