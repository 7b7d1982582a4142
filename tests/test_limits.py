"""The table of limits: named in errors, changed by the environment, described on a page."""

from __future__ import annotations

from pathlib import Path

import pytest

from mminf import limits
from mminf.errors import UsageError
from mminf.limits import LIMITS, Limit

PAGE = (Path(__file__).parents[1] / "docs" / "limits.md").read_text()


def test_the_page_has_every_limit_with_its_default() -> None:
    rows = [f"| `{limit.name}` | {limit.default:,} {limit.unit} | {limit.about} |" for limit in LIMITS]
    assert "\n".join(rows) in PAGE


def test_every_limit_is_in_the_table_and_used() -> None:
    named = {name: value for name, value in vars(limits).items() if isinstance(value, Limit)}
    assert set(named.values()) == set(LIMITS)
    assert all(name == limit.name.upper() for name, limit in named.items())
    source = "".join(
        path.read_text() for path in Path(limits.__file__).parent.rglob("*.py") if path.name != "limits.py"
    )
    assert [name for name in named if name not in source] == []


@pytest.mark.parametrize("wrong", ["", "0", "-1", "1.5", "1e6", "many", "9" * 30, "٣"])
def test_the_environment_changes_a_limit(wrong: str, monkeypatch: pytest.MonkeyPatch) -> None:
    limit = Limit("test_bytes", 1000, "bytes", "a test")
    assert (limit.value, str(limit)) == (1000, "at most 1,000 bytes (limit test_bytes; MMINF_TEST_BYTES changes it)")
    monkeypatch.setenv("MMINF_TEST_BYTES", "2000000")
    limits.read_again()
    assert (limit.value, str(limit).partition(" (")[0]) == (2_000_000, "at most 2,000,000 bytes")
    monkeypatch.setenv("MMINF_TEST_BYTES", wrong)
    limits.read_again()
    with pytest.raises(UsageError, match="MMINF_TEST_BYTES must be a positive integer"):
        _ = limit.value


def test_exit_codes_of_the_page(tmp_path: Path) -> None:
    from mminf.engine.counts import Counts
    from mminf.engine.result import RunResult

    def code(state: str, done: int = 0, stopped: str | None = None) -> int:
        return RunResult(state, tmp_path, Counts(done), [], stopped=stopped).exit_code

    assert (code("finished", 1), code("finished"), code("interrupted"), code("interrupted", 1, "budget")) == (
        0,
        1,
        130,
        3,
    )
    assert all(f"| {number} |" in PAGE for number in (0, 1, 2, 3, 130, 141))
