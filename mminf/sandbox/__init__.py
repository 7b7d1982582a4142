"""The Jinja environment of templates and expressions: sandboxed, with a limit on the work of one evaluation.

Jinja's sandbox blocks access to unsafe attributes and methods. It does not block `9 ** 9 ** 9`, `'x' * 10 ** 12` or
`{{ text | center(10 ** 12) }}`, which hang the process and can't be interrupted. Therefore the size of a result is
estimated before an operator, filter or method computes it, and loops count their iterations. An evaluation has a limit
for the sum of these (`expression_work`) and for its time (`expression_seconds`).

Docs: Jinja, "Sandbox", "Sandbox > Operator Intercepting".
"""

from mminf.sandbox.environment import BoundedEnvironment
from mminf.sandbox.work import begin, end, spend, weigh

__all__ = ["BoundedEnvironment", "begin", "end", "spend", "weigh"]
