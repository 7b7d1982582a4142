from __future__ import annotations

from pathlib import Path

from mminf.template import find_template


def test_templates_outside_of_the_folders_are_not_found(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "secret.jinja").write_text("x")
    (tmp_path / "in" / "own.jinja").write_text("x")
    assert find_template("own.jinja", [tmp_path / "in"]) is not None
    assert find_template("../secret.jinja", [tmp_path / "in"]) is None
