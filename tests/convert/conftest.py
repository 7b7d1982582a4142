"""An MM-INF project in a folder."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from .project import CONFIG, FUNCTIONS, PROMPTS


@pytest.fixture
def project(tmp_path: Path) -> Path:
    for name, text in {
        "config/mine.yaml": CONFIG,
        "pp_func/mine.py": FUNCTIONS,
        "prompt_func/mine.py": PROMPTS,
        "input.jsonl": json.dumps({"image": "a.png", "topic": "colours"}) + "\n",
    }.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    return tmp_path
