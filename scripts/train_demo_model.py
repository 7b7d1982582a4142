"""Trains the demo model (`builtin:demo`): a Qwen2-VL of 2.8 million parameters, from scratch, on drawn scenes.

python scripts/train_demo_model.py models/demo

The training takes about an hour on 2 CPU cores. The same seed gives the same model on the same machine and library
versions. The script writes the weights, the tokenizer and the processor into the folder, in the format of transformers,
and the log, `training.jsonl`.

Two measures keep the training short. First, many short tasks share one image: each task is a branch after the image and
can't attend to the other branches, so every task has the same context as in a sequence of its own. Second, each fixed
part of a prompt template is one token of the vocabulary.
"""

from __future__ import annotations

import argparse
import copy
import json
import random
import re
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from demo_architecture import (
    GRID,
    HELD_OUT,
    make_model,
    make_optimizers,
    make_tokenizer,
    prompt_parts,
    write_processor,
)
from demo_attention import BranchAttention
from demo_samples import sample_hooks, unrepairable
from demo_start import start_from
from demo_tasks import AXES, Batch, Row, Tasks
from demo_vision import Vision, render
from mminf_plugins.demo.world import THRESHOLDS, make_scene
from torch import Tensor, nn
from torch.nn import functional
from transformers import AutoImageProcessor, AutoTokenizer
from update_demo_prompts import write_prompts

CHECKPOINT, DRAWN = "checkpoint.pt", "drawn.pt"  # what `--resume` needs
GROUNDED = 0.22  # share of the steps with only tasks that ground vision
FIRST_SAMPLES = 0.4  # share of the steps after which the model's own samples are negatives of the score tasks
MOST_SAMPLED = 1500
SIGHT = 0.3  # weight of the loss that grounds visual tokens


class Trainer:
    """Trains the model. All random numbers depend on the seed alone."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.options = options
        torch.manual_seed(options.seed)
        self.device = torch.device(options.device)
        self.checkpoint: dict[str, Any] = {}
        if options.resume:
            self.checkpoint = torch.load(options.folder / CHECKPOINT, weights_only=False)
        self.tokenizer = AutoTokenizer.from_pretrained(options.folder) if options.resume else make_tokenizer()
        self.model = make_model(self.tokenizer).to(self.device)
        # Templates may have changed since the training began.
        self.tasks = Tasks(self.tokenizer, self.checkpoint.get("parts") or prompt_parts())
        # A model that was trained before needs no phase for vision alone, and samples of it are of use at once.
        self.grounded, self.first_samples = (0.0, 0.1) if options.start else (GROUNDED, FIRST_SAMPLES)
        self.started = ""
        if options.start and not options.resume:
            self.started = start_from(options.start, self.model, self.tokenizer, self.tasks.parts)
        self.vision = Vision(self.model)
        self.attention = BranchAttention()
        with tempfile.TemporaryDirectory() as folder:
            self.tokenizer.save_pretrained(folder)
            write_processor(Path(folder))
            self.processor = AutoImageProcessor.from_pretrained(folder)

    def prepare(self) -> None:
        """Draws the images."""
        started = time.time()
        self.scenes = [make_scene(HELD_OUT + n) for n in range(self.options.images)]
        drawn = self.options.folder / DRAWN
        if self.options.resume and drawn.exists():
            self.patches = torch.load(drawn)
        else:
            self.patches = render(self.scenes, self.processor)
            torch.save(self.patches, drawn)
        self.sights = self.tasks.sights(self.scenes)
        self.test_scenes = [make_scene(HELD_OUT - 1 - n) for n in range(384)]
        self.test_patches = render(self.test_scenes, self.processor)
        self.check()
        if self.checkpoint:
            return
        size = sum(weight.numel() for weight in self.model.parameters())
        self.log(
            f"{size:,} parameters, {len(self.tokenizer)} tokens, {len(self.scenes)} images "
            f"in {time.time() - started:.0f} s" + (f"; {self.started}" if self.started else "")
        )

    def check(self) -> None:
        """Checks that the fast forward pass of this script gives the results of transformers' forward pass."""
        counts = {"caption": 1, "hallucination": 1, "explain": 1}
        row = self.tasks.image_row(0, self.scenes[0], random.Random(0), counts)
        quick, _ = self.forward(self.tasks.batch([row]), self.patches)
        frames = (self.patches[0].float() / 127.5 - 1).view(GRID * GRID, 3, 1, -1).expand(-1, -1, 2, -1)
        for number, task in enumerate(row.tasks, start=1):
            ids = torch.tensor([self.tasks.encode(row.head) + self.tasks.encode(task.prompt + task.target)])
            slow = self.model(
                input_ids=ids.to(self.device),
                pixel_values=frames.reshape(GRID * GRID, -1).to(self.device),
                image_grid_thw=torch.tensor([[1, GRID, GRID]], device=self.device),
                mm_token_type_ids=(ids == self.tasks.image_id).int().to(self.device),
            ).logits[0]
            ours = quick[0][self.tasks.batch([row]).branches[0] == number]
            torch.testing.assert_close(self.model.lm_head(ours), slow[-len(ours) :], atol=2e-3, rtol=2e-2)

    def forward(self, batch: Batch, patches: Tensor) -> tuple[Tensor, Tensor | None]:
        """Returns the last hidden states, (rows, length, hidden), and the features of the images, if any."""
        text = self.model.model.language_model
        embeds = text.embed_tokens(batch.ids.to(self.device))
        seen = None
        if batch.images is not None:
            seen = self.vision(patches[batch.images].to(self.device))
            there = (batch.ids == self.tasks.image_id)[..., None].to(self.device)
            embeds = embeds.masked_scatter(there, seen.to(embeds.dtype))
        self.attention.layout = batch.layout
        hidden = text(
            inputs_embeds=embeds,
            attention_mask={"full_attention": None},
            position_ids=batch.positions.to(self.device),
            use_cache=False,
        ).last_hidden_state
        self.attention.layout = None
        return hidden, seen

    def loss(self, batch: Batch, patches: Tensor) -> Tensor:
        """Returns the weighted mean of the cross entropies of the targets, plus the loss that grounds visual tokens.

        That loss moves visual tokens towards the embeddings of the words for their content, so that a word of a
        question attends to them. Without it, the model read scenes position by position and could not find a colour.
        """
        learn = batch.targets != -100
        states, seen = self.forward(batch, patches)
        hidden = states[learn.to(self.device)]
        weights = batch.weights[learn].to(self.device)
        losses = functional.cross_entropy(
            self.model.lm_head(hidden), batch.targets[learn].to(self.device), reduction="none"
        )
        loss = (losses * weights).sum() / weights.sum()
        if seen is None or batch.images is None:
            return loss
        words = self.sights[batch.images].to(self.device)
        chances = functional.log_softmax(self.model.lm_head(seen).float(), -1)
        named = chances.gather(-1, words.clamp(min=0))[words >= 0]
        return loss - SIGHT * named.mean()

    def counts(self, step: int, progress: float) -> dict[str, int]:
        """Returns the number of tasks of each kind per image: at first only tasks that ground vision, later all."""
        if progress < self.grounded:
            return {"caption": 1, "answer": 6, "hook": 3}
        counts = {"caption": 2, "answer": 3, "hallucination": 4, "solvability": 2, "clarity": 2}
        counts["hook"] = 1 if progress < 0.6 else 2
        # The tasks with long prompts are in the steps without rows of texts.
        if step % 2:
            counts["ask" if step % 8 == 1 else "explain"] = 1
        return counts

    def batches(self, step: int, progress: float) -> Iterator[Batch]:
        """Yields the batches of a step. Text tasks are added later, in every second step."""
        rng = random.Random(f"{self.options.seed}/{step}")
        rows = self.options.rows
        picked = rng.sample(range(len(self.scenes)), rows)
        counts = self.counts(step, progress)
        yield self.tasks.batch([self.tasks.image_row(n, self.scenes[n], rng, counts) for n in picked])
        if progress < self.grounded:
            return
        names = ("classify", "nonsense") if step % 2 == 0 else ("questions",) if step % 4 == 3 else ()
        for name in names:
            size, number = (6, rows // 2) if name != "questions" else (4, max(1, rows // 4))
            yield self.tasks.batch(
                [self.tasks.text_row(rng.sample(self.scenes, size), rng, name) for _ in range(number)]
            )

    def train(self) -> None:
        """Runs all steps, or those after the checkpoint."""
        optimizers = make_optimizers(self.model, self.options.muon, self.options.adamw)
        groups = [group for optimizer in optimizers for group in optimizer.param_groups]
        base = [group["lr"] for group in groups]
        first = self.restore(optimizers)
        started, steps = time.time() - self.checkpoint.get("seconds", 0), self.options.steps
        total, seen = 0.0, 0
        for step in range(first, steps):
            progress = step / steps
            rate = min(1.0, (step + 1) / 150) * min(1.0, (1 - progress) / 0.6)
            for group, full in zip(groups, base, strict=True):
                group["lr"] = full * rate
            for batch in self.batches(step, progress):
                with torch.autocast(self.device.type, torch.bfloat16, enabled=self.options.precision == "bfloat16"):
                    loss = self.loss(batch, self.patches)
                loss.backward()
                if batch.images is not None:
                    total, seen = total + loss.item(), seen + 1
            nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
            for optimizer in optimizers:
                optimizer.step()
                optimizer.zero_grad(set_to_none=True)
            if (step + 1) % self.options.every == 0 or step + 1 == steps:
                entry = {"step": step + 1, "loss": round(total / seen, 4), "seconds": round(time.time() - started)}
                if progress >= self.first_samples and step + 1 < steps:
                    entry["sampled"] = self.sample(step)
                self.log(entry | self.evaluate(96 if step + 1 < steps else 384))
                total, seen = 0.0, 0
                self.save()
            if (step + 1) % 50 == 0:
                self.keep(optimizers, step + 1, time.time() - started)
        for name in (CHECKPOINT, DRAWN):
            (self.options.folder / name).unlink(missing_ok=True)

    def keep(self, optimizers: list[torch.optim.Optimizer], step: int, seconds: float) -> None:
        """Writes what `--resume` needs."""
        state = {
            "step": step,
            "seconds": seconds,
            "model": self.model.state_dict(),
            "optimizers": [optimizer.state_dict() for optimizer in optimizers],
            "parts": self.tasks.parts,
            "sampled": self.tasks.sampled,
            "garbled": self.tasks.garbled,
        }
        path = self.options.folder / CHECKPOINT
        torch.save(state, path.with_suffix(".new"))
        path.with_suffix(".new").replace(path)

    def restore(self, optimizers: list[torch.optim.Optimizer]) -> int:
        """Continues from the checkpoint, if there is one. Returns the first step."""
        if not self.checkpoint:
            return 0
        self.model.load_state_dict(self.checkpoint["model"])
        for optimizer, state in zip(optimizers, self.checkpoint["optimizers"], strict=True):
            optimizer.load_state_dict(state)
        self.tasks.sampled, self.tasks.garbled = self.checkpoint["sampled"], self.checkpoint["garbled"]
        return int(self.checkpoint["step"])

    @torch.no_grad()
    def sample(self, step: int) -> int:
        """Adds negatives to the score tasks: the model's own samples that can't be repaired. Returns their number."""
        number = min(self.options.samples, len(self.scenes))
        picked = random.Random(f"sample/{step}").sample(range(len(self.scenes)), number)
        found = []
        for some in torch.tensor(picked).split(400):
            seen = self.vision(self.patches[some].to(self.device))
            found += sample_hooks(self.model, self.tasks, self.scenes[0], seen, seed=step)
        self.tasks.sampled = [*self.tasks.sampled, *unrepairable(found)][-MOST_SAMPLED:]
        garbled = [text for text in found if unrepairable([text])]
        self.tasks.garbled = [*self.tasks.garbled, *garbled][-MOST_SAMPLED:]
        return len(self.tasks.sampled)

    @torch.no_grad()
    def evaluate(self, number: int) -> dict[str, float]:
        """Returns the share of tasks on unseen scenes in which every token is right, with teacher forcing.

        A greedy answer is right in the same cases. A score is right if it is on the correct side of its threshold.
        """
        rng = random.Random(0)
        sampled, garbled = self.tasks.sampled, self.tasks.garbled
        self.tasks.sampled, self.tasks.garbled = [], []  # the tasks are the same at every step
        right: dict[str, list[bool]] = {}
        counts = {"caption": 1, "answer": 4, "explain": 1, "solvability": 2, "hallucination": 3, "clarity": 2}
        jobs: list[list[Row]] = []
        for start in range(0, number, 32):
            picked = range(start, min(start + 32, number))
            jobs.append([self.tasks.image_row(n, self.test_scenes[n], rng, counts) for n in picked])
        parts = [self.test_scenes[n : n + 6] for n in range(0, number, 6)]
        jobs += [[self.tasks.text_row(part, rng, name) for part in parts] for name in ("classify", "nonsense")]
        self.tasks.sampled, self.tasks.garbled = sampled, garbled
        for rows in jobs:
            batch = self.tasks.batch(rows)
            learn = batch.targets != -100
            said = torch.full_like(batch.targets, -100)
            said[learn] = (
                self.model.lm_head(self.forward(batch, self.test_patches)[0][learn.to(self.device)]).argmax(-1).cpu()
            )
            wrong = said != batch.targets
            for n, row in enumerate(rows):
                for branch, task in enumerate(row.tasks, start=1):
                    here = batch.branches[n] == branch
                    fine = not bool(wrong[n][here].any())
                    if task.name in AXES:
                        edge = THRESHOLDS[task.name]
                        text = self.tokenizer.decode(said[n][here & learn[n]])
                        found = re.match(r"\[\[(\d)\]\]", text)
                        fine = found is not None and (int(found[1]) >= edge) == (int(task.target[2]) >= edge)
                    right.setdefault(task.name, []).append(fine)
        return {name: round(sum(values) / len(values), 3) for name, values in right.items()}

    def log(self, entry: Any) -> None:
        """Prints an entry and adds it to the log."""
        entry = entry if isinstance(entry, dict) else {"note": entry}
        print(json.dumps(entry), flush=True)
        with (self.options.folder / "training.jsonl").open("a") as file:
            file.write(json.dumps(entry) + "\n")

    def save(self) -> None:
        """Writes the model, in bfloat16, with tokenizer and processor."""
        self.tokenizer.save_pretrained(self.options.folder)
        write_processor(self.options.folder)
        write_prompts(self.options.folder, self.tasks.parts)
        copy.deepcopy(self.model).to(torch.bfloat16).save_pretrained(self.options.folder)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--steps", type=int, default=4200)
    parser.add_argument("--rows", type=int, default=16, help="images per step")
    parser.add_argument("--images", type=int, default=24000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--muon", type=float, default=4e-3, help="learning rate of the matrices of the layers")
    parser.add_argument("--adamw", type=float, default=2e-3, help="learning rate of the other weights")
    parser.add_argument("--precision", choices=("bfloat16", "float32"), default="bfloat16", help="of matrix products")
    parser.add_argument("--every", type=int, default=400, help="steps between two evaluations")
    parser.add_argument("--samples", type=int, default=2000, help="samples per evaluation, for negatives")
    parser.add_argument("--start", type=Path, help="folder of an earlier model to start from")
    parser.add_argument("--resume", action="store_true", help="continue from the checkpoint in the folder")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    if not options.resume:
        (options.folder / "training.jsonl").unlink(missing_ok=True)
    trainer = Trainer(options)
    trainer.prepare()
    trainer.train()


if __name__ == "__main__":
    main()
