"""What a run costs: the calls that a recipe's steps declare, figures of records that were run, and estimates from both.

The modules are pure: they read no journal, call no model and know no recipe.
"""

from mminf.cost.amount import NONE, ONE, UNKNOWN, Amount, Range

__all__ = ["NONE", "ONE", "UNKNOWN", "Amount", "Range"]
