"""The training tasks of the demo model: tasks about scenes, as batches.

The tasks of an image row share one image. Each task is a branch after the image and can't attend to the other
branches. So every task has the same context as in a sequence of its own.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from demo_architecture import GRID, MERGE, SYSTEM, VISUAL_TOKENS
from mminf_plugins.demo.world import Scene, caption, extract, judge, make_hook, make_instruction
from mminf_plugins.demo.world.forms import vocabulary
from mminf_plugins.demo.world.scene import NUMBERS
from torch import Tensor

HEAD = f"<|im_start|>{SYSTEM}<|im_end|>\n<|im_start|>user\n"
REPLY = "<|im_end|>\n<|im_start|>assistant\n"
AXES = ("solvability", "hallucination", "clarity", "nonsense")
# The tasks for scores have more instructions with hallucinations than hooks have: these are the hardest to recognise.
QUALITIES = {"sound": 0.34, "absent": 0.42, "unanswerable": 0.08, "vague": 0.05, "garbled": 0.11}
SCRAMBLED = 0.4  # share of the texts to classify with words in random order: they can only be copied, not guessed


@dataclass
class Task:
    """A prompt after the shared prefix of its row, and the target that the model learns to write."""

    name: str
    prompt: str
    target: str
    weight: float = 1.0


@dataclass
class Row:
    """Tasks that share a prefix: the image, or the fixed part of a text prompt."""

    head: str
    tasks: list[Task]
    image: int | None = None


@dataclass
class Batch:
    """Rows as tensors. Shapes: (rows, length), positions (3, rows, length), mask (rows, 1, length, length)."""

    ids: Tensor
    positions: Tensor
    mask: Tensor
    targets: Tensor  # -100 at positions without a target
    weights: Tensor
    branches: Tensor
    names: list[list[str]]
    images: Tensor | None


class Tasks:
    """Makes rows of tasks from scenes."""

    def __init__(self, tokenizer: Any, parts: dict[str, list[str]]) -> None:
        self.tokenizer = tokenizer
        self.parts = parts
        self.image_id = tokenizer.convert_tokens_to_ids("<|image_pad|>")
        self.words = sorted(word for word in vocabulary() if word.isalpha())
        self._cache: dict[str, list[int]] = {}

    def _quality(self, rng: random.Random) -> str:
        return rng.choices(list(QUALITIES), list(QUALITIES.values()))[0]

    def hook(self, scene: Scene, rng: random.Random) -> Task:
        return Task("hook", "", make_hook(scene, rng) + "<|im_end|>", 0.4)

    def caption(self, scene: Scene, rng: random.Random) -> Task:
        return Task("caption", f"Describe the image.{REPLY}", f"{caption(scene)}<|im_end|>", 0.7)

    def answer(self, scene: Scene, rng: random.Random) -> Task:
        asked = make_instruction(scene, rng, "sound")
        return Task("answer", asked + REPLY, f"{judge(asked, scene).answer}<|im_end|>")

    def score(self, axis: str, scene: Scene, rng: random.Random) -> Task:
        asked = make_instruction(scene, rng, self._quality(rng))
        grade = getattr(judge(asked, scene), axis)
        rubric = self.parts[axis][-1] if axis != "nonsense" else ""
        return Task(axis, f"{rubric}{asked}{REPLY}", f"[[{grade}]]<|im_end|>", 1.5 if axis == "hallucination" else 1.0)

    def classify(self, scene: Scene, rng: random.Random) -> Task:
        text = self._scrambled(scene, rng) if rng.random() < SCRAMBLED else make_hook(scene, rng)
        asked = extract(text)
        target = "NO_INST" if asked is None else f"Instruction: {asked}"
        return Task("classify", f"{text}{self.parts['classify'][1]}{REPLY}", f"{target}<|im_end|>")

    def _scrambled(self, scene: Scene, rng: random.Random) -> str:
        words = make_instruction(scene, rng, self._quality(rng)).rstrip(".?").split()
        for _ in range(rng.randint(1, 4)):
            words[rng.randrange(len(words))] = rng.choice((rng.choice(words), rng.choice(self.words)))
        if rng.random() < 0.5:
            rng.shuffle(words)
        before = f"{caption(scene, rng.randrange(2), rng)} " if rng.random() < 0.25 else ""
        return f"{before}{' '.join(words)}?"

    def image_row(self, image: int, scene: Scene, rng: random.Random, counts: dict[str, int]) -> Row:
        tasks = []
        for name, number in counts.items():
            for _ in range(number):
                make = getattr(self, name, None)
                tasks.append(make(scene, rng) if make else self.score(name, scene, rng))
        return Row(f"{HEAD}<|vision_start|>{'<|image_pad|>' * VISUAL_TOKENS}<|vision_end|>", tasks, image)

    def text_row(self, scenes: list[Scene], rng: random.Random, name: str) -> Row:
        if name == "classify":
            return Row(HEAD + self.parts["classify"][0], [self.classify(scene, rng) for scene in scenes])
        return Row(HEAD + self.parts[name][0], [self.score(name, scene, rng) for scene in scenes])

    def encode(self, text: str) -> list[int]:
        """Returns the tokens of a text. Results are cached."""
        known = self._cache.get(text)
        if known is None:
            known = self.tokenizer.encode(text, add_special_tokens=False)
            if len(self._cache) < 200_000:
                self._cache[text] = known
        return known

    def sights(self, scenes: Sequence[Scene]) -> Tensor:
        """Returns the token ids of `words_in_sight`: (scenes, visual tokens, 8), padded with -1."""
        ids = torch.full((len(scenes), VISUAL_TOKENS, 8), -1)
        for n, scene in enumerate(scenes):
            for place, words in enumerate(words_in_sight(scene)):
                known = [token for word in words for token in self.encode(word)]
                ids[n, place, : len(known)] = torch.tensor(known)
        return ids

    def batch(self, rows: list[Row]) -> Batch:
        """Makes one sequence of each row: the prefix, then the tasks, which can't attend to each other."""
        laid = []
        for row in rows:
            head = self.encode(row.head)
            ids, targets, weights, branches = list(head), [-100] * len(head), [0.0] * len(head), [0] * len(head)
            where = _head_positions(head, self.image_id)
            after = max(max(where[axis]) for axis in range(3)) + 1
            for number, task in enumerate(row.tasks, start=1):
                asked, target = self.encode(task.prompt) if task.prompt else [], self.encode(task.target)
                # The last token of the prefix predicts the first token of a hook, and several tasks share the prefix.
                # So each branch repeats the last token of the prefix, at the same position.
                piece = [head[-1], *asked, *target]
                ids += piece
                learn = [-100] * len(asked) + target + [-100]
                targets += learn
                weights += [task.weight if token != -100 else 0.0 for token in learn]
                branches += [number] * len(piece)
                for axis in range(3):
                    where[axis] += list(range(after - 1, after - 1 + len(piece)))
            laid.append((ids, targets, weights, branches, where))
        length = max(len(item[0]) for item in laid)
        shape = (len(rows), length)
        ids, targets = torch.zeros(shape, dtype=torch.long), torch.full(shape, -100)
        weights, branches = torch.zeros(shape), torch.full(shape, -1)
        positions, cut = torch.zeros((3, *shape), dtype=torch.long), torch.zeros(shape, dtype=torch.long)
        for n, (row_ids, row_targets, row_weights, row_branches, where) in enumerate(laid):
            size = len(row_ids)
            ids[n, :size] = torch.tensor(row_ids)
            targets[n, :size] = torch.tensor(row_targets)
            weights[n, :size] = torch.tensor(row_weights)
            branches[n, :size] = torch.tensor(row_branches)
            positions[:, n, :size] = torch.tensor(where)
            cut[n] = len(self.encode(rows[n].head)) - 1
        order = torch.arange(length)
        same = branches[:, :, None] == branches[:, None, :]
        # A branch attends to the prefix without its last token, because the branch repeats that token.
        shared = (branches[:, None, :] == 0) & ((branches[:, :, None] == 0) | (order[None, None, :] < cut[:, :1, None]))
        mask = (same | shared) & (order[None, :, None] >= order[None, None, :])
        images = None if rows[0].image is None else torch.tensor([row.image for row in rows])
        names = [[task.name for task in row.tasks] for row in rows]
        return Batch(ids, positions, mask[:, None], targets, weights, branches, names, images)


def words_in_sight(scene: Scene) -> list[list[str]]:
    """Returns words for the content and the position of each visual token, row by row."""
    side = GRID // MERGE
    words = []
    for number in range(VISUAL_TOKENS):
        row, column = divmod(number, side)
        half = (row * 2 // side, column * 2 // side)
        shown = [" zero"]
        for figure in scene.figures:
            if (figure.row, figure.column) == half:
                shown = [f" {figure.size}", f" {figure.colour}", f" {figure.shape}"]
        if column < len(scene.bars):
            shown = [f" {scene.bars[column].colour}", f" {NUMBERS[scene.bars[column].value]}"]
        if scene.text and 0 < row < side - 1:
            shown = [scene.text[half[1]] if scene.is_number else f" {scene.text}", f" {scene.colour}"]
        words.append([*shown, (" top", " bottom")[half[0]], (" left", " right")[half[1]]])
    return words


def _head_positions(head: list[int], image_id: int) -> list[list[int]]:
    """Positions along time, height and width, as Qwen2-VL counts them (arXiv 2409.12191, section 2.1)."""
    side = GRID // MERGE
    where: list[list[int]] = [[], [], []]
    place = seen = 0
    for token in head:
        if token == image_id:
            row, column = divmod(seen, side)
            for axis, value in enumerate((place, place + row, place + column)):
                where[axis].append(value)
            seen += 1
            if seen == VISUAL_TOKENS:
                place += side
        else:
            for axis in where:
                axis.append(place)
            place += 1
    return where
