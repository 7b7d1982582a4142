"""Recipes on real engines, and their datasets in the loaders that people train with."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import mminf
from mminf import api
from mminf.executor.local import LocalExecutor
from mminf.journal import Journal

from ..conftest import ROOT, read_rows
from ..recipes import (
    test_allava,
    test_chains,
    test_infinity_mm,
    test_magpie,
    test_mammoth_vl,
    test_mmevol,
    test_oasis_extras,
    test_preference,
    test_unicorn,
    test_verifiable,
)
from ..recipes.conftest import Play, pictures, play
from .conftest import Engine
from .test_oasis import run_on

pytestmark = pytest.mark.model
__all__ = ["pictures", "play"]


def test_the_likeliest_of_five_real_responses_is_chosen(engine: Engine, images: Path, tmp_path: Path) -> None:
    result = run_on(engine, images, tmp_path / "out", profile="demo,nll")
    assert result.counts.done
    assert result.counts.failed == 0
    with Journal(tmp_path / "out") as journal:
        rows = [row.fields for row in journal.outcomes.rows(0)]
    for fields in rows:
        assert len(fields["responses"]) == 5
        assert all(item["nll"] >= 0 for item in fields["responses"])
        assert fields["nll"] == min(item["nll"] for item in fields["responses"])
        assert {"response": fields["response"], "nll": fields["nll"]} in fields["responses"]
    assert len({item["nll"] for fields in rows for item in fields["responses"]}) > 1


def test_a_real_model_goes_on_with_a_conversation(engine: Engine, images: Path, tmp_path: Path) -> None:
    """The demo model knows no second turn; what it is sent is what counts here."""
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text(f"""
name: talk
engines: {{vlm: {{backend: transformers, model: "builtin:demo"}}}}
source: {{images: {images}}}
steps:
  - set: {{turns: "[{{'instruction': 'What is shown?', 'response': 'A circle.'}}]"}}
  - hook: {{engine: vlm, history: turns, writes: next, sampling: {{temperature: 1, max_tokens: 8}}}}
  - generate: {{engine: vlm, history: turns, reads: next, writes: answer, truncated: true, sampling: {{max_tokens: 8}}}}
""")
    prepared = api.prepare(mminf.load(recipe), output=tmp_path / "out")
    for named in prepared.session.engines.values():
        named.backend, named._loaded = engine.backend, True

        async def keep_open() -> None:
            return None

        named.close = keep_open  # type: ignore[method-assign]
    assert engine.run(LocalExecutor().work(prepared)).counts.done
    with Journal(tmp_path / "out") as journal:
        sent = {item["step"]: item["sent"] for item in journal.memo.prompts()}
    hooked = sent["hook"]
    assert hooked.endswith("What is shown?<|im_end|>\n<|im_start|>assistant\nA circle.<|im_end|>\n<|im_start|>user\n")
    assert hooked.count("<|vision_start|>") == sent["generate"].count("<|vision_start|>") == 1
    assert sent["generate"].startswith(hooked)
    assert sent["generate"].endswith("<|im_start|>assistant\n")


def outputs(play: Play, pictures: Callable[..., list[str]], tmp_path: Path) -> Iterator[tuple[str, Path]]:
    """Plays every recipe, and yields its datasets."""
    image = pictures("good", "red", "fine")
    rows: list[dict[str, Any]] = [{"id": name, "images": [f"{name}.png"]} for name in ("good", "red")]
    pairs = [{**row, "instruction": "q", "response": "r", "description": "All is red.", "answer": "x"} for row in rows]
    texts = tmp_path / "captions.txt"
    texts.write_text("one\ntwo\n")
    thought = [{"id": "fine", "images": image[2:], "instruction": "How many?", "answer": "gold kind-fine"}]
    known = [{**row, "instruction": "How many?", "solution": "3"} for row in rows]
    evolved = [{**row, "instruction": f"prompt ({row['id'][0]})"} for row in rows]
    plays: dict[str, tuple[Any, str]] = {
        "allava_laion": (rows, test_allava.LAION),
        "allava_session": (rows, test_allava.session()),
        "allava_text": (pairs, "return text"),
        "allava_vflan": (pairs, "return '<description>A</description><detailed answer>B</detailed answer>'"),
        "caption": (rows, "return 'A caption.'"),
        "caption_check": (rows, "return 'Yes' if 'one part of' in text else 'A caption.'"),
        "caption_qa": (rows, "return '1. Why is it red?' if text.endswith('Questions:') else 'A caption of red'"),
        "densefusion": (rows, "return 'A cat.'"),
        "detailed_instruction": (pairs, "return 'What is to be seen?'"),
        "infinity_mm": (rows, test_infinity_mm.MODEL),
        "magpie": (None, test_magpie.MAGPIE),
        "magpie_turns": (None, test_magpie.ONE_TURN),
        "mammoth_vl": (pairs, test_mammoth_vl.reply()),
        "match_score": (pairs, "return '[[7]]'"),
        "mmevol": ([{**row, "qa": [{"question": "q", "answer": "r"}]} for row in rows], test_mmevol.MMEVOL),
        "oasis": (rows, test_oasis_extras.OASIS),
        "oasis_recycling": (rows, test_oasis_extras.OASIS),
        "preference": (pairs, test_preference.reply_with(test_preference.GOOD, test_preference.RATINGS)),
        "prompt_evolve": (evolved, test_chains.EVOLVE),
        "thinking": (thought, test_chains.THINK),
        "unicorn": (texts, test_unicorn.UNICORN),
        "verifiable": (rows, test_verifiable.reply_with({}, {})),
        "verifiable_gold": (known, "return '<answer>3</answer>'"),
    }
    shipped = {path.stem for path in (ROOT / "recipes").glob("*.yaml")}
    assert set(plays) == shipped - {"unicorn_images"}, "every recipe that writes conversations is played"
    for name, (given, reply) in plays.items():
        settings: dict[str, Any] = {"source": {"blank": 20}} if given is None else {}
        if name == "thinking":  # half of what the play rewrites is to be asked for again
            settings["steps.rewrite.attempts"] = 40
        found = play(name, given, reply, **settings)
        for sink in api.load(ROOT / "recipes" / f"{name}.yaml").sinks:
            if sink.type in ("swift", "llava") and (name, sink.config.path.name) != (
                "oasis_recycling",
                "captions.jsonl",
            ):
                yield name, found.output / sink.config.path


def test_every_dataset_loads_with_ms_swift_and_datasets(
    play: Play, pictures: Callable[..., list[str]], tmp_path: Path
) -> None:
    from datasets import load_dataset as load_hf
    from swift.dataset import load_dataset

    for name, path in outputs(play, pictures, tmp_path):
        rows = read_rows(path) if path.suffix == ".jsonl" else json.loads(path.read_text())
        assert rows, (name, path.name)
        assert len(load_hf("json", data_files=str(path), split="train")) == len(rows), (name, path.name)
        train, _ = load_dataset(str(path), split_dataset_ratio=0.0)
        assert len(train) == len(rows), (name, path.name)
        for row, loaded in zip(rows, train, strict=True):
            turns = row.get("messages") or row["conversations"]
            roles = [message["role"] for message in loaded["messages"]]
            assert roles == [("user", "assistant")[n % 2] for n in range(len(turns))], (name, path.name)
            said = [message["content"] for message in loaded["messages"]]
            assert said == [turn.get("content", turn.get("value")) for turn in turns], (name, path.name)
