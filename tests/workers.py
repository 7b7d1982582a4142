"""How the tests are divided among pytest-xdist's workers."""

from __future__ import annotations

from xdist.scheduler import LoadFileScheduling

LONG = ("tests/model/", "tests/cost/test_accuracy.py", "tests/executor/test_ranks.py", "tests/executor/test_ray.py")
"""What takes longest, and begins first. The tests of a folder are one unit: they share loaded models."""


class Scheduling(LoadFileScheduling):
    """A worker gets the tests of one file, or of a folder of `LONG`, at a time.

    https://pytest-xdist.readthedocs.io/en/stable/distribution.html
    """

    def _split_scope(self, nodeid: str) -> str:
        return next((unit for unit in LONG if nodeid.startswith(unit)), super()._split_scope(nodeid))
