"""Converts configurations of MM-INF, the pipeline in which Oasis was published, to recipes.

A configuration names Python functions that make prompts and pass values from step to step. `convert_config` reads these
functions, too, and lists what a person has to decide.
"""

from mminf.convert.config import Converted, convert_config, load_config
from mminf.convert.functions import Code
from mminf.convert.write import write_converted

__all__ = ["Code", "Converted", "convert_config", "load_config", "write_converted"]
