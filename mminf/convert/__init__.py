"""Converts configurations of MM-INF, the pipeline in which Oasis was published, to recipes.

A configuration names Python functions that make prompts and pass values from step to step. `convert_file` reads these
functions, too, and lists what a person has to decide.
"""

from mminf.convert.config import convert_config, load_config
from mminf.convert.converted import Converted
from mminf.convert.functions import Code
from mminf.convert.write import convert_file

__all__ = ["Code", "Converted", "convert_config", "convert_file", "load_config"]
