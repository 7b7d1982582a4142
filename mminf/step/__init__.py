"""Steps: everything that a plugin needs to write one.

from mminf.step import Context, Outcome, Record, Step, StepConfig, step
"""

from mminf.errors import AskAgain, RecordError
from mminf.recipe.config import StepConfig
from mminf.record import Record
from mminf.request import Sampling
from mminf.step.base import Children, Context, DatasetStep, Drop, Outcome, Step, step

__all__ = [
    "AskAgain",
    "Children",
    "Context",
    "DatasetStep",
    "Drop",
    "Outcome",
    "Record",
    "RecordError",
    "Sampling",
    "Step",
    "StepConfig",
    "step",
]
