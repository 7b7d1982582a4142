"""Steps: the base to write one, and the generic ones."""

from mminf.step.base import Children, Context, DatasetStep, Drop, Outcome, Step, step

__all__ = ["Children", "Context", "DatasetStep", "Drop", "Outcome", "Step", "step"]
