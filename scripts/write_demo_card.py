"""Writes the figures of the demo model's evaluation into its model card, models/demo/README.md.

python scripts/write_demo_card.py
"""

from __future__ import annotations

import json
from pathlib import Path

from mminf_plugins.demo.evaluate import COLUMNS

FOLDER = Path(__file__).parent.parent / "models" / "demo"
BEGIN, END = "<!-- figures -->", "<!-- end of figures -->"


def figures(found: dict[str, dict[str, dict[str, float]]]) -> str:
    """Returns the figures as a table, with columns for sampled texts and for drawn texts."""
    lines = [f"| figure | {' | '.join(COLUMNS)} |", "|---" * (len(COLUMNS) + 1) + "|"]
    for name in found["drawn"]:
        shares = [found[column][name] for column in COLUMNS]
        cells = ["-" if share["share"] is None else f"{share['share']:.1%} of {share['of']}" for share in shares]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines)


if __name__ == "__main__":
    table = figures(json.loads((FOLDER / "evaluation.json").read_text()))
    card = (FOLDER / "README.md").read_text()
    before, after = card.split(BEGIN)[0], card.split(END)[1]
    (FOLDER / "README.md").write_text(f"{before}{BEGIN}\n{table}\n{END}{after}")
