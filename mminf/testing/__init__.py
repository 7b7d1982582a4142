"""Tests of plugins: run a step without a recipe, a model or a journal.

from mminf.testing import run_step

    assert run_step("shout", {"reads": "text"}, {"text": "hi"}) == {"shout": "HI"}
"""

from mminf.testing.steps import make_step, run_dataset_step, run_step
from mminf.testing.stub import StubGateway

__all__ = ["StubGateway", "make_step", "run_dataset_step", "run_step"]
