"""The context length that vLLM gets if a recipe sets none."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from mminf.backend.vllm.backend import CONTEXT, usual_context


@pytest.mark.parametrize(
    ("config", "wanted"),
    [
        ({"max_position_embeddings": 128000}, CONTEXT),
        ({"max_position_embeddings": 32768}, None),
        ({"max_position_embeddings": 4096}, None),
        ({"text_config": {"max_position_embeddings": 262144}}, CONTEXT),
        ({"llm_config": {"max_position_embeddings": 40960}, "max_position_embeddings": 512}, CONTEXT),
        ({"max_position_embeddings": None, "text_config": "x"}, None),
        ({}, None),
    ],
)
def test_a_long_context_is_shortened(config: dict[str, Any], wanted: int | None, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps(config))
    assert usual_context(tmp_path) == wanted


def test_an_unreadable_config_is_left_to_vllm(tmp_path: Path) -> None:
    assert usual_context(tmp_path) is None
    (tmp_path / "config.json").write_text("{")
    assert usual_context(tmp_path) is None
