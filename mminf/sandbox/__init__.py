"""The Jinja environment of templates and expressions: sandboxed, and limited in the work that one evaluation may do.

Jinja's sandbox keeps templates from attributes and methods that are not meant for them. It does not keep them from
`9 ** 9 ** 9`, `'x' * 10 ** 12` or `{{ text | center(10 ** 12) }}`, which hang the process and can't be interrupted.
Therefore the size of a result is estimated before an operator, filter or method makes it, loops count their
iterations, and an evaluation has a limit for the sum (`expression_work`) and for its time (`expression_seconds`).

Docs: Jinja, "Sandbox", "Sandbox > Operator Intercepting".
"""

from mminf.sandbox.environment import BoundedEnvironment
from mminf.sandbox.work import begin, end, spend, weigh

__all__ = ["BoundedEnvironment", "begin", "end", "spend", "weigh"]
