"""Checks that the prompts of the recipes are tokenized to what the demo model is trained on, id by id."""

from __future__ import annotations

import json
import random
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple
from unittest import mock

from demo_tasks import AXES, END, REPLY, Tasks
from mminf_plugins.demo.scenes import draw_scenes
from mminf_plugins.demo.world import make_scene
from mminf_plugins.demo.world.chinese import in_chinese

import mminf
from mminf import api
from mminf.backend.swift import base

SCENE = 3
EXAMPLES = 60
TEXTS = ("classify", "nonsense", "questions")


class Step(NamedTuple):
    """A step of a recipe, and the kind of task that trains it.

    Attributes:
        parts: the name of the fixed parts of its prompt, if the kind has prompts of several recipes.
    """

    recipe: str
    profile: str
    step: str
    kind: str
    parts: str = ""


STEPS = (
    Step("oasis", "demo", "hook", "hook"),
    Step("oasis", "demo", "respond", "answer"),
    *(Step("oasis", "demo", name, name) for name in ("classify", *AXES)),
    *(
        Step(recipe, f"{language}demo", "caption", "caption", f"captions/caption{'.zh' if language else ''}")
        for recipe in ("caption", "caption_qa")
        for language in ("", "zh,")
    ),
    Step("caption_qa", "demo", "ask", "questions"),
    Step("caption_qa", "zh,demo", "ask", "questions"),
    Step("caption_qa", "demo", "respond", "answer"),
    Step("allava_session", "demo", "describe", "caption", "allava/describe"),
    Step("allava_session", "demo", "ask", "ask"),
    Step("allava_session", "demo", "answer", "explain"),
)


def check_prompts(folder: Path, tasks: Tasks, only: str | None = None) -> list[str]:
    """Returns what differs between the prompts of the recipes and those of the training; nothing if all is well.

    Args:
        folder: the model with its tokenizer.
        only: name of a step; only its prompts are checked.
    """
    wrong = []
    with tempfile.TemporaryDirectory() as place:
        (image,) = draw_scenes(Path(place), [SCENE])
        for step in STEPS:
            if only not in (None, step.step):
                continue
            prompts = list(examples(step, tasks))
            if not prompts:
                wrong.append(f"{step}: no example")
            for prompt in prompts:
                source = Path(place) / "rows.jsonl"
                row = {"id": "x", "images": [str(image)], **fields_of(prompt, tasks, step)}
                source.write_text(json.dumps(row), encoding="utf-8")
                # A score's prompt ends with what all scores begin with.
                expected = tasks.encode(prompt + ("[[" if step.kind in AXES else ""))
                if (ids := render_ids(step, source, folder)) != expected:
                    wrong.append(f"{' '.join(step[:3])}: {show(tasks, ids)} != {show(tasks, expected)}")
    return wrong


def examples(step: Step, tasks: Tasks) -> Iterator[str]:
    """Yields one prompt in each language of a step, as the training makes them."""
    scene, done = make_scene(SCENE), set()
    for seed in range(EXAMPLES):
        rng = random.Random(seed)
        kind = step.kind
        row = tasks.text_row([scene], rng, kind) if kind in TEXTS else tasks.image_row(0, scene, rng, {kind: 1})
        prompt = row.head + row.tasks[0].prompt
        chinese = in_chinese(prompt)
        if chinese in done or (step.recipe != "oasis" and chinese != ("zh" in step.profile)):
            continue
        if not step.parts or any(prompt.endswith(part + REPLY) for part in tasks.parts[step.parts]):
            done.add(chinese)
            yield prompt


def fields_of(prompt: str, tasks: Tasks, step: Step) -> dict[str, Any]:
    """Returns the fields of a record before a step that sends this prompt."""
    if step.kind == "hook":
        return {}
    turns = prompt.removesuffix(REPLY).split("<|im_start|>")
    asked = turns[-1].removeprefix("user\n").split("<|vision_end|>")[-1]
    if step.kind == "caption":
        return {"instruction": asked.removesuffix(tasks.parts[step.parts][-1])}
    for part in sorted({part for pieces in tasks.parts.values() for part in pieces}, key=len, reverse=True):
        asked = asked.removeprefix(part).removesuffix(part)
    fields: dict[str, Any] = {"sampled_text": asked, "instruction": asked, "caption": asked}
    said = [turn.removeprefix("assistant\n").removesuffix(f"{END}\n") for turn in turns if turn.startswith("assistant")]
    if said:
        fields["caption"] = said[0]
    if len(said) > 1:
        fields["candidates"] = [line.partition(". ")[2] for line in said[1].split("\n")]
    return fields


def render_ids(step: Step, source: Path, folder: Path) -> list[int]:
    """Returns the ids of the prompt that a step would send for the record in `source`."""
    settings = []
    for engine in ("vlm", "llm") if step.recipe in ("oasis", "caption_qa") else ("vlm",):
        model = (f"model={folder}", "model_type=qwen2_vl", "template=qwen2_vl")
        settings += [f"engines.{engine}.{setting}" for setting in model]
    found: list[int] = []
    encode = base.encode_prompt

    def keep(*given: Any, **options: Any) -> list[int]:
        found[:] = encode(*given, **options)
        return found

    recipe = mminf.load(step.recipe, profile=step.profile, input=source, settings=settings)
    with mock.patch.object(base, "encode_prompt", keep):
        api.render(recipe, step.step)
    return list(found)


def show(tasks: Tasks, ids: list[int]) -> list[str]:
    """Returns the ends of tokens, for messages."""
    return [tasks.tokenizer.decode([token])[-40:] for token in ids if token != tasks.image_id]
