"""The pages of the reference can be named without their folder."""

from __future__ import annotations

import pytest

from .typed import error_of, output_of


@pytest.mark.parametrize("topic", ["cli", "python"])
def test_a_reference_page_has_a_short_name(topic: str) -> None:
    assert output_of("help", topic) == output_of("help", f"reference/{topic}")


def test_an_unknown_page_is_told() -> None:
    assert "no page 'clu'" in error_of("help", "clu")
