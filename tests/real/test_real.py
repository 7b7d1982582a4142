"""Recipes on weak real models: every answer is read as it was meant, or refused with a reason.

SmolLM2-135M often follows a prompt only in part, so its judgement is not tested: what becomes of it is.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import mminf

from .conftest import Played
from .labelled import CAPTIONS, INSTRUCTIONS, TEXTS

pytestmark = pytest.mark.real

# Never a part of a text that a person writes or reads: markers of turns, and parts of our own prompts.
_FOREIGN = re.compile(
    r"<\|?(?:im_start|im_end|endoftext|user|assistant)\|?>|\[(?:Begin|End) of Text\]|\bNO_INST\b|^(?:user|assistant|system)\n",
    re.IGNORECASE | re.MULTILINE,
)
_NONE = re.compile(r"no[_\s-]?inst|\bnone\b|no instruction|nothing", re.IGNORECASE)


def plain(text: str) -> str:
    return " ".join(text.split()).casefold()


def write_rows(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def outcome(played: Played, name: str) -> dict[str, Any]:
    (found,) = played.record(name)["outcomes"]
    if found["state"] != "done":
        assert found["reason"], f"{name} ended without a reason"
    return dict(found)


def test_classify(llm: dict[str, Any], play: Callable[..., Played], tmp_path: Path) -> None:
    recipe = tmp_path / "classify.yaml"
    recipe.write_text(
        "name: classify\nengines: {llm: {backend: transformers, model: x}}\nsource: {jsonl: {path: rows.jsonl}}\n"
        "steps:\n  - classify: {engine: llm, attempts: 3, sampling: {max_tokens: 96}}\n"
    )
    rows = [{"id": name, "sampled_text": text} for name, (text, _) in TEXTS.items()]
    played = play(recipe, {"engines.llm": llm}, source=write_rows(tmp_path / "rows.jsonl", rows))
    wrong, misjudged = [], []
    for name, (text, label) in TEXTS.items():
        found = outcome(played, name)
        raw = [call["text"] for call in played.record(name)["calls"]]
        reading = found["fields"].get("instruction")
        print(f"\n== {name}\n   text    {text!r}\n   label   {label!r}")
        print(f"   read    {found['state']}: {reading!r} {found['reason'] or ''}")
        print("".join(f"   answer  {answer!r}\n" for answer in raw), end="")
        if found["state"] == "done":
            # Taken out of the text, word by word, and named by the model's answer.
            if plain(reading) not in plain(text) or plain(reading) not in plain(raw[-1]) or _FOREIGN.search(reading):
                wrong.append(name)
            elif label is None or plain(label) not in plain(reading):
                misjudged.append(name)
        elif found["state"] == "dropped":
            if not _NONE.search(raw[-1]):
                wrong.append(name)
            elif label is not None:
                misjudged.append(name)
    print(f"\nread otherwise than answered: {wrong}\nthe model's own misjudgements: {misjudged}")
    assert not wrong


def test_magpie(llm: dict[str, Any], play: Callable[..., Played]) -> None:
    played = play(
        "magpie",
        {
            "engines.llm": llm,
            "source": {"blank": 8},
            "steps.hook.sampling.max_tokens": 64,
            "steps.respond.sampling.max_tokens": 128,
        },
    )
    (tag,) = [step for step in mminf.load("magpie").steps if step.name == "tag"]
    qualities = tag.config.extract.values["quality"]  # type: ignore[attr-defined]
    for number in range(8):
        for found in played.record(_name(played, number))["outcomes"]:
            fields = found["fields"]
            print(f"\n== {found['id']}: {found['state']} {found['step']} {found['reason'] or ''}\n   {fields}")
            assert found["state"] == "done" or found["reason"]
            if "instruction" in fields:
                assert fields["instruction"].strip()
                assert not _FOREIGN.search(fields["instruction"])
            if "quality" in fields:
                assert fields["quality"] in qualities
            if found["state"] == "done":
                assert fields["response"].strip() and not _FOREIGN.search(fields["response"])
    _check_tags(played, qualities)


def _name(played: Played, number: int) -> str:
    from mminf.journal import Journal

    with Journal(played.output) as journal:
        ids = sorted({row.id for row in journal.outcomes.rows(0, states=("done", "dropped", "failed"))})
    return ids[number]


def _check_tags(played: Played, qualities: dict[str, list[str]]) -> None:
    """A quality that was read is named by the answer that it was read from, perhaps by a synonym."""
    for call in played.answers("tag"):
        print(f"\n== tag of {call['record']}: {call['text']!r}")
        found = [item["fields"] for item in played.record(call["record"])["outcomes"]]
        for fields in found:
            if "quality" in fields:
                said = [item["text"] for item in played.record(call["record"])["calls"] if item["step"] == "tag"]
                spelled = [fields["quality"], *qualities[fields["quality"]]]
                assert any(word in text.casefold() for text in said for word in spelled), (fields, said)


def test_allava_text(llm: dict[str, Any], play: Callable[..., Played], tmp_path: Path) -> None:
    rows = [{"id": name, "instruction": text} for name, text in INSTRUCTIONS.items()]
    played = play(
        "allava_text",
        {"engines.llm": llm, "steps.respond.sampling.max_tokens": 160},
        source=write_rows(tmp_path / "rows.jsonl", rows),
    )
    for row in rows:
        found = outcome(played, row["id"])
        raw = [call["text"] for call in played.record(row["id"])["calls"]]
        print(f"\n== {row['id']}: {found['state']} {found['reason'] or ''}\n   {raw}")
        if found["state"] == "done":
            response = found["fields"]["response"]
            assert response.strip() and plain(response) in plain(raw[-1])
            assert not _FOREIGN.search(response)


def test_unicorn(llm: dict[str, Any], minilm: Path, play: Callable[..., Played], tmp_path: Path) -> None:
    captions = tmp_path / "captions.txt"
    captions.write_text("\n".join(CAPTIONS[:6]) + "\n")
    short = {
        f"steps.{step}.sampling.max_tokens": tokens
        for step, tokens in {"densify": 160, "choices": 400, "questions": 400, "reasoning": 300}.items()
    }
    encoder = {"backend": "encoder", "model": str(minilm), "kind": "sentence"}
    played = play("unicorn", {"engines.llm": llm, "engines.encoder": encoder, **short}, source=captions)
    for step in ("densify", "choices", "questions", "reasoning"):
        for call in played.answers(step):
            print(f"\n== {step} of {call['record']}, attempt {call['attempt']}: {call['text']!r}")
    for number in range(6):
        for found in played.record(_name(played, number))["outcomes"]:
            fields = found["fields"]
            print(f"\n== {found['id']}: {found['state']} {found['step']} {found['reason'] or ''}\n   {fields}")
            assert found["state"] == "done" or found["reason"]
            said = " ".join(call["text"] for call in played.record(found["id"])["calls"])
            if "caption" in fields:
                assert fields["caption"].strip() and not _FOREIGN.search(fields["caption"])
            for turn in fields.get("turns") or ():
                for text in (turn["instruction"].splitlines()[0], turn["response"]):
                    assert text.strip() and not _FOREIGN.search(text)
                    assert text in said or json.dumps(text, ensure_ascii=False)[1:-1] in said


def test_embed(minilm: Path, play: Callable[..., Played], tmp_path: Path) -> None:
    recipe = tmp_path / "embed.yaml"
    recipe.write_text(
        f"name: embed\nengines: {{encoder: {{backend: encoder, model: '{minilm}', kind: sentence}}}}\n"
        "source: {jsonl: {path: rows.jsonl}}\n"
        "steps:\n  - embed: {engine: encoder, reads: caption, writes: embedding, truncated: true}\n"
        "sinks:\n  - embeddings: {path: embeddings, reads: embedding, center: false}\n"
    )
    texts = {
        "beach": "Two children play with a red ball on a beach.",
        "sand": "Kids are throwing a ball in the sand by the sea.",
        "chart": "The chart shows exports by year.",
    }
    rows = [{"id": name, "caption": text} for name, text in texts.items()]
    played = play(recipe, {}, source=write_rows(tmp_path / "rows.jsonl", rows))
    assert played.result.counts.done == 3
    import numpy
    from safetensors.numpy import load_file

    vectors = load_file(played.output / "embeddings" / "vectors-00000.safetensors")["vectors"]
    assert vectors.shape == (3, 384)
    assert numpy.allclose(numpy.linalg.norm(vectors, axis=1), 1, atol=1e-3)
    near, far = vectors[0] @ vectors[1], vectors[0] @ vectors[2]
    print(f"\nnear {near:.3f}, far {far:.3f}")
    assert near > far + 0.3
