"""Files of sources."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from mminf.source.guess import guess_source

ROWS = [{"id": "a", "q": "what?"}, {"id": "b", "q": "which, then?"}]
LINES = "".join(json.dumps(row) + "\n" for row in ROWS)
TABLE = 'id,q\na,what?\nb,"which, then?"\n'


def kind(path: Path) -> str:
    return next(iter(guess_source(str(path))))


def parquet(path: Path, *rows: dict[str, Any]) -> None:
    import pyarrow
    import pyarrow.parquet

    path.parent.mkdir(parents=True, exist_ok=True)
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(list(rows)), path)
