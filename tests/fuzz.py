"""How long fuzz tests run: seconds by default, `MMINF_FUZZ` times as long with `make fuzz`."""

from __future__ import annotations

import os

from hypothesis import HealthCheck, settings

TIMES = int(os.environ.get("MMINF_FUZZ", "1"))


def fuzz(examples: int) -> settings:
    """Returns Hypothesis' settings for a test with so many examples in an ordinary run."""
    return settings(max_examples=examples * TIMES, deadline=None, suppress_health_check=[HealthCheck.too_slow])
