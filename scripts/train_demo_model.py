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
    MERGE,
    PATCH,
    VISUAL_TOKENS,
    make_model,
    make_tokenizer,
    prompt_parts,
    write_processor,
)
from demo_tasks import AXES, Batch, Row, Tasks
from mminf_plugins.demo.world import THRESHOLDS, Scene, draw_scene, make_scene
from torch import Tensor, nn
from torch.nn import functional

SIGHT = 0.3  # weight of the loss that grounds visual tokens


def render(scenes: list[Scene], processor: Any) -> Tensor:
    """Returns the patches of the scenes' images: (scenes, 64, 588) bytes, as the model's own processor cuts them."""
    pixels = []
    for start in range(0, len(scenes), 256):
        images = [draw_scene(scene) for scene in scenes[start : start + 256]]
        made = processor(images=images, return_tensors="pt")["pixel_values"]
        frames = made.view(len(images), GRID * GRID, 3, 2, PATCH * PATCH)
        pixels.append(((frames[:, :, :, 0] + 1) * 127.5).round().to(torch.uint8).flatten(2))
    return torch.cat(pixels)


class Vision:
    """The vision tower of the model, for a batch of images of one size; that of transformers works image by image."""

    def __init__(self, model: Any) -> None:
        from transformers.models.qwen2_vl.modeling_qwen2_vl import get_vision_position_ids

        self.tower = model.model.visual
        grid = torch.tensor([[1, GRID, GRID]])
        places = get_vision_position_ids(grid, MERGE).to(model.device)
        self.cos, self.sin = self.tower.rotary_pos_emb(torch.zeros(1, device=model.device), places)

    def __call__(self, patches: Tensor) -> Tensor:
        """Returns features, (images, 16, hidden), of patches, (images, 64, 588) bytes."""
        from transformers.models.qwen2_vl.modeling_qwen2_vl import rotate_half

        tower, count = self.tower, len(patches)
        x = patches.float() / 127.5 - 1
        x = functional.linear(x, tower.patch_embed.proj.weight.sum(2).flatten(1))  # both frames are the same
        for block in tower.blocks:
            heads = block.attn.num_heads
            mixed = block.attn.qkv(block.norm1(x)).view(count, GRID * GRID, 3, heads, -1).permute(2, 0, 3, 1, 4)
            query, key = (part * self.cos + rotate_half(part) * self.sin for part in mixed[:2].unbind())
            seen = functional.scaled_dot_product_attention(query, key, mixed[2])
            x = x + block.attn.proj(seen.transpose(1, 2).flatten(2))
            x = x + block.mlp(block.norm2(x))
        return tower.merger(x.flatten(0, 1)).view(count, VISUAL_TOKENS, -1)


class Trainer:
    """Trains the model. All random numbers depend on the seed alone."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.options = options
        torch.manual_seed(options.seed)
        self.device = torch.device(options.device)
        self.tokenizer = make_tokenizer()
        self.model = make_model(self.tokenizer).to(self.device)
        self.tasks = Tasks(self.tokenizer, prompt_parts())
        self.vision = Vision(self.model)
        with tempfile.TemporaryDirectory() as folder:
            self.tokenizer.save_pretrained(folder)
            write_processor(Path(folder))
            from transformers import AutoImageProcessor

            self.processor = AutoImageProcessor.from_pretrained(folder)

    def prepare(self) -> None:
        """Draws the images."""
        started = time.time()
        self.scenes = [make_scene(HELD_OUT + n) for n in range(self.options.images)]
        self.patches = render(self.scenes, self.processor)
        self.sights = self.tasks.sights(self.scenes)
        self.test_scenes = [make_scene(HELD_OUT - 1 - n) for n in range(384)]
        self.test_patches = render(self.test_scenes, self.processor)
        self.check()
        size = sum(weight.numel() for weight in self.model.parameters())
        self.log(
            f"{size:,} parameters, {len(self.tokenizer)} tokens, {len(self.scenes)} images "
            f"in {time.time() - started:.0f} s"
        )

    def check(self) -> None:
        """Checks that the fast forward pass of this script gives the results of transformers' forward pass."""
        row = self.tasks.image_row(0, self.scenes[0], random.Random(0), {"caption": 1, "hallucination": 1})
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
        hidden = text(
            inputs_embeds=embeds,
            attention_mask=batch.mask.to(self.device),
            position_ids=batch.positions.to(self.device),
            use_cache=False,
        ).last_hidden_state
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

    def counts(self, progress: float) -> dict[str, int]:
        """Returns the number of tasks of each kind per image: at first only tasks that ground vision, later all."""
        if progress < 0.25:
            return {"caption": 1, "answer": 6, "hook": 3}
        return {"caption": 1, "answer": 2, "hallucination": 6, "solvability": 3, "clarity": 1, "hook": 1}

    def batches(self, step: int, progress: float) -> Iterator[Batch]:
        """Yields the batches of a step. Text tasks are added later, in every second step."""
        rng = random.Random(f"{self.options.seed}/{step}")
        picked = rng.sample(range(len(self.scenes)), self.options.rows)
        yield self.tasks.batch([self.tasks.image_row(n, self.scenes[n], rng, self.counts(progress)) for n in picked])
        if progress > 0.25 and step % 2 == 0:
            for name in ("classify", "nonsense"):
                yield self.tasks.batch(
                    [self.tasks.text_row(rng.sample(self.scenes, 6), rng, name) for _ in range(self.options.rows // 2)]
                )

    def train(self) -> None:
        """Runs all steps."""
        # Muon trains the matrices of the layers, AdamW the other weights; AdamW alone needed several times more steps.
        inner = {
            name
            for name, weight in self.model.named_parameters()
            if weight.ndim == 2 and "embed" not in name and "lm_head" not in name
        }
        weights = dict(self.model.named_parameters())
        optimizers: list[torch.optim.Optimizer] = [
            torch.optim.Muon(
                [weights[name] for name in weights if name in inner],
                lr=self.options.muon,
                weight_decay=0.01,
                adjust_lr_fn="match_rms_adamw",
            ),
            torch.optim.AdamW(
                [weights[name] for name in weights if name not in inner],
                lr=self.options.adamw,
                betas=(0.9, 0.98),
                weight_decay=0.01,
            ),
        ]
        groups = [group for optimizer in optimizers for group in optimizer.param_groups]
        base = [group["lr"] for group in groups]
        started, steps = time.time(), self.options.steps
        total, seen = 0.0, 0
        for step in range(steps):
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
                self.log(
                    {"step": step + 1, "loss": round(total / seen, 4), "seconds": round(time.time() - started)}
                    | self.evaluate(96 if step + 1 < steps else 384)
                )
                total, seen = 0.0, 0
                self.save()

    @torch.no_grad()
    def evaluate(self, number: int) -> dict[str, float]:
        """Returns the share of tasks on unseen scenes in which every token is right, with teacher forcing.

        A greedy answer is right in the same cases. A score is right if it is on the correct side of its threshold.
        """
        rng = random.Random(0)
        right: dict[str, list[bool]] = {}
        counts = {"caption": 1, "answer": 4, "solvability": 2, "hallucination": 3, "clarity": 1}
        jobs: list[list[Row]] = []
        for start in range(0, number, 32):
            picked = range(start, min(start + 32, number))
            jobs.append([self.tasks.image_row(n, self.test_scenes[n], rng, counts) for n in picked])
        parts = [self.test_scenes[n : n + 6] for n in range(0, number, 6)]
        jobs += [[self.tasks.text_row(part, rng, name) for part in parts] for name in ("classify", "nonsense")]
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
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    (options.folder / "training.jsonl").unlink(missing_ok=True)
    trainer = Trainer(options)
    trainer.prepare()
    trainer.train()


if __name__ == "__main__":
    main()
