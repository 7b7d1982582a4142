"""The fixed parts of prompts, which are tokens of the demo model, and their change without training."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from update_demo_prompts import Retrain, changes, update, write_prompts

OLD = {"clarity": ["Rate it.\n", "\nScore:"], "nonsense": ["Judge it.\n", "\nScore:"]}


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """A folder with a vocabulary, like that of a model."""
    tokens = [{"id": number, "content": text} for number, text in enumerate(["Rate it.\n", "\nScore:", "Judge it.\n"])]
    (tmp_path / "tokenizer.json").write_text(
        json.dumps({"added_tokens": tokens, "model": {"vocab": {"Rate it.\n": 7}}})
    )
    write_prompts(tmp_path, OLD)
    return tmp_path


def test_a_changed_prompt_keeps_its_token(model: Path) -> None:
    new = {"clarity": ["How clear is it?\n", "\n分数："], "nonsense": ["Judge it.\n", "\n分数："]}
    assert update(model, new) == 2
    vocabulary = json.loads((model / "tokenizer.json").read_text())
    assert [token["content"] for token in vocabulary["added_tokens"]] == [
        "How clear is it?\n",
        "\n分数：",
        "Judge it.\n",
    ]
    assert [token["id"] for token in vocabulary["added_tokens"]] == [0, 1, 2]
    assert vocabulary["model"] == {"vocab": {"Rate it.\n": 7}}, "nothing else changes"
    before = (model / "tokenizer.json").read_bytes()
    assert update(model, new) == 0
    assert (model / "tokenizer.json").read_bytes() == before


@pytest.mark.parametrize(
    ("new", "message"),
    [
        ({"clarity": OLD["clarity"]}, "added or removed"),
        ({**OLD, "nonsense": ["Judge it.\n"]}, "another number of parts"),
        ({**OLD, "nonsense": ["Judge it.\n", "\nGrade:"]}, "have become different"),
        ({**OLD, "nonsense": ["Rate it.\n", "\nScore:"]}, "have become equal"),
    ],
)
def test_other_changes_need_a_training(new: dict[str, list[str]], message: str, model: Path) -> None:
    with pytest.raises(Retrain, match=message):
        changes(OLD, new)
    before = (model / "tokenizer.json").read_bytes()
    with pytest.raises(Retrain):
        update(model, new)
    assert (model / "tokenizer.json").read_bytes() == before


def test_fixed_parts_of_templates() -> None:
    from demo_architecture import fixed_parts, prompt_parts

    assert fixed_parts("{{ images }}\nRate it.\n{{ text }}\nScore:\n") == ["\nRate it.\n", "\nScore:"]
    turns = "{{ images }}\nShow it.\n{{ role('assistant') }}\n{% for x in y %}\n{{ x }}\n{% endfor %}\n{{ role(\"user\") }}\nWhy?\n\n{{ a }}"
    assert fixed_parts(turns) == ["\nShow it.", "Why?\n\n"]
    assert len(prompt_parts()["requests"]) == 16
