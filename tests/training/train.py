"""Trains a model with ms-swift on several datasets, one after the other, in one process.

Reads a JSON list of `{name, main, arguments}` from the file that its first argument names, and writes what happened to
the file that the second one names: `{name: {log, prompts, answers, images, rewarded, error}}`. Importing ms-swift takes
longer than the training.
"""

from __future__ import annotations

import gc
import json
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any


class Watch:
    """Notes the chats in all batches, their parts that get a loss, and the number of images."""

    def __init__(self) -> None:
        self.clear()

    def clear(self) -> None:
        self.prompts: list[str] = []
        self.answers: list[str] = []
        self.images = 0
        self.rewarded: list[dict[str, Any]] = []

    def attach(self) -> None:
        from swift.rewards import ORM, orms
        from swift.template import Template

        collate: Callable[..., dict[str, Any]] = Template.data_collator

        def observed(template: Any, batch: Any, **options: Any) -> dict[str, Any]:
            made = collate(template, batch, **options)
            if made.get("image_grid_thw") is not None:
                self.images += len(made["image_grid_thw"])
            for name, texts in (("input_ids", self.prompts), ("labels", self.answers)):
                rows = made[name].tolist() if made.get(name) is not None else []
                texts += [template.tokenizer.decode([token for token in row if token >= 0]) for row in rows]
            return made

        Template.data_collator = observed
        watch = self

        class Alternating(ORM):  # type: ignore[misc]
            """Notes what reward functions get; unequal rewards, without which there is nothing to learn."""

            def __call__(self, completions: list[str], **columns: Any) -> list[float]:
                kept = {key: value for key, value in columns.items() if key in ("solution", "kind", "messages")}
                watch.rewarded.append({"completions": completions, **kept})
                return [float(number % 2) for number in range(len(completions))]

        orms["alternating"] = Alternating


def main(plan: Path, results: Path) -> None:
    from swift.pipelines import pretrain_main, rlhf_main, sft_main

    gc.freeze()  # each training collects garbage several times, which would go through all imported modules
    mains = {"sft": sft_main, "pt": pretrain_main, "rlhf": rlhf_main}
    watch = Watch()
    watch.attach()
    found: dict[str, Any] = {}
    for case in json.loads(plan.read_text()):
        watch.clear()
        said: dict[str, Any] = {}
        try:
            said["log"] = mains[case["main"]](case["arguments"])["log_history"]
        except BaseException as error:  # also SystemExit, of a wrong argument
            said["error"] = f"{type(error).__name__}: {error}"
            traceback.print_exc()
        found[case["name"]] = {**said, **vars(watch)}
        results.write_text(json.dumps(found, default=str))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
