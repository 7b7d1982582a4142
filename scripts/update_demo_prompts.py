"""Fits the vocabulary of the demo model to changed prompt templates, without training.

python scripts/update_demo_prompts.py models/demo

Each fixed part of a prompt is one token, and the model never sees its letters. After a change of the wording, the token
therefore only needs the new text. A template that gets another number of parts needs a new training.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

PROMPTS = "prompts.json"  # the fixed parts whose tokens the vocabulary has


class Retrain(Exception):
    """The change is more than one of words."""


def changes(old: dict[str, list[str]], new: dict[str, list[str]]) -> dict[str, str]:
    """Returns the new text of each changed part.

    Raises:
        Retrain: if the parts are not the same in number and sharing.
    """
    if old.keys() != new.keys() or any(len(old[name]) != len(new[name]) for name in old):
        raise Retrain("prompts were added or removed, or have another number of parts: run `make model`")
    pairs = {pair for name in old for pair in zip(old[name], new[name], strict=True)}
    found = dict(pairs)
    if len(found) < len(pairs):
        raise Retrain("parts that were equal in several prompts have become different: run `make model`")
    if len(set(found.values())) < len(found):
        raise Retrain("different parts have become equal: run `make model`")
    return {before: after for before, after in found.items() if before != after}


def update(folder: Path, new: dict[str, list[str]]) -> int:
    """Replaces the texts of tokens in a model's vocabulary. Returns the number of changed tokens."""
    changed = changes(json.loads((folder / PROMPTS).read_text(encoding="utf-8")), new)
    path = folder / "tokenizer.json"
    tokenizer: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    for token in tokenizer["added_tokens"]:
        token["content"] = changed.get(token["content"], token["content"])
    if changed:
        path.write_text(json.dumps(tokenizer, indent=2, ensure_ascii=False), encoding="utf-8")
        write_prompts(folder, new)
    return len(changed)


def write_prompts(folder: Path, parts: dict[str, list[str]]) -> None:
    """Writes the fixed parts next to the vocabulary that has them."""
    (folder / PROMPTS).write_text(json.dumps(parts, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


if __name__ == "__main__":
    from demo_architecture import prompt_parts

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    print(f"{update(parser.parse_args().folder, prompt_parts())} tokens have a new text")
