"""Counts the mutants that tests killed, per file, and checks the share of each group.

mutmut results --all true | python scripts/count_mutants.py      # exits 1 if a group is below 80 %
mutmut results --all true | python scripts/count_mutants.py 85
"""

from __future__ import annotations

import re
import sys
from collections import Counter
from collections.abc import Iterable

GROUPS = {
    "answer parsers": ("mminf.answer.", "mminf.step.parse.", "mminf.reasoning."),
    "record state": ("mminf.engine.record_state.",),
}
MINIMUM = 80.0
# A mutant that never ends, or crashes the interpreter, is noticed as well.
KILLED = frozenset({"killed", "timeout", "segfault"})
# "mminf.answer.clean.x_unwrap__mutmut_5: survived"
_RESULT = re.compile(r"\s*(?P<module>\S+)\.x[_ǁ]\S*__mutmut_\d+: (?P<status>.+?)\s*")


def read_results(lines: Iterable[str]) -> tuple[Counter[str], Counter[str]]:
    """Returns the number of killed mutants and of all mutants, by module."""
    killed: Counter[str] = Counter()
    total: Counter[str] = Counter()
    for line in lines:
        if (found := _RESULT.fullmatch(line)) is not None:
            total[found["module"]] += 1
            killed[found["module"]] += found["status"] in KILLED
    return killed, total


def report(lines: Iterable[str], minimum: float = MINIMUM) -> bool:
    """Prints killed and all mutants per file and group; tells whether each group reaches the minimum, in percent."""
    killed, total = read_results(lines)
    passed = True
    for group, prefixes in GROUPS.items():
        modules = sorted(module for module in total if f"{module}.".startswith(prefixes))
        for module in modules:
            print(_line(f"{module.replace('.', '/')}.py", killed[module], total[module]))
        of_group = sum(killed[module] for module in modules), sum(total[module] for module in modules)
        reached = of_group[1] > 0 and 100 * of_group[0] >= minimum * of_group[1]
        print(_line(group, *of_group) + ("" if reached else f": below {minimum:g} %") + "\n")
        passed = passed and reached
    return passed


def _line(name: str, killed: int, total: int) -> str:
    return f"{name:32} {killed:4} of {total:4} killed, {total - killed:3} left, {100 * killed / max(1, total):5.1f} %"


if __name__ == "__main__":
    sys.exit(0 if report(sys.stdin, float(sys.argv[1]) if len(sys.argv) > 1 else MINIMUM) else 1)
