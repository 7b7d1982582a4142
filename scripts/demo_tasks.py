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
from demo_attention import Layout, make_layout
from mminf_plugins.demo.world import (
    Scene,
    caption,
    explain,
    extract,
    judge,
    make_hook,
    make_instruction,
    make_questions,
    to_chinese,
)
from mminf_plugins.demo.world.chinese import VALUES, chinese_words, in_chinese
from mminf_plugins.demo.world.forms import vocabulary
from mminf_plugins.demo.world.language import split_words
from mminf_plugins.demo.world.scene import NUMBERS
from torch import Tensor

HEAD = f"<|im_start|>{SYSTEM}<|im_end|>\n<|im_start|>user\n"
REPLY = "<|im_end|>\n<|im_start|>assistant\n"
USER = "<|im_end|>\n<|im_start|>user\n"
END = "<|im_end|>"
AXES = ("solvability", "hallucination", "clarity", "nonsense")
CHINESE = 0.25  # share of the tasks in Chinese
SPOKEN = 0.45  # the same of captions and answers: to write Chinese takes longer to learn than to read it
# The tasks for scores have more instructions with hallucinations than hooks have: these are the hardest to recognise.
QUALITIES = {"sound": 0.33, "absent": 0.38, "unanswerable": 0.07, "vague": 0.05, "garbled": 0.07, "joined": 0.10}
# Clarity and nonsense don't depend on the image; what runs together is hardest to recognise.
WORDING = {"sound": 0.27, "absent": 0.12, "unanswerable": 0.07, "vague": 0.10, "garbled": 0.14, "joined": 0.30}
SAMPLED = {"wording": 0.15, "image": 0.07}  # share of the instructions to score that the model itself sampled
GARBLED = 0.2  # share of the texts to classify that the model sampled itself, and that can't be repaired
SCRAMBLED = 0.35  # share of the texts to classify with words in random order: they can only be copied, not guessed


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
    """Rows as tensors. Shapes: (rows, length), positions (3, rows, length)."""

    ids: Tensor
    positions: Tensor
    layout: Layout
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
        self.chinese = sorted(chinese_words())
        self.sampled: list[str] = []
        """Instructions that the model sampled and that can't be repaired; their scores don't depend on the image."""
        self.garbled: list[str] = []
        """Whole texts that the model sampled and that contain such an instruction."""
        self._cache: dict[str, list[int]] = {}

    def _quality(self, axis: str, rng: random.Random) -> str:
        weights = WORDING if axis in ("clarity", "nonsense") else QUALITIES
        return rng.choices(list(weights), list(weights.values()))[0]

    def _sampled(self, rng: random.Random, *, chinese: bool) -> str | None:
        """Returns one of the instructions that the model sampled, in a language, if there is one."""
        some = rng.sample(self.sampled, min(16, len(self.sampled)))
        return next((text for text in some if in_chinese(text) == chinese), None)

    def hook(self, scene: Scene, rng: random.Random) -> Task:
        return Task("hook", "", make_hook(scene, rng) + END, 0.6)

    def caption(self, scene: Scene, rng: random.Random) -> Task:
        """A caption in reading order, for one of the requests of the recipes."""
        chinese = rng.random() < SPOKEN
        language = ".zh" if chinese else ""
        if rng.random() < 0.3:
            request = "请描述这张图片。" if chinese else self.parts["allava/describe"][0]
        else:
            request = rng.choice(self.parts[f"requests{language}"]) + self.parts[f"captions/caption{language}"][0]
        said = say(caption(scene), chinese=chinese)
        return Task("caption", request + REPLY, said + END, 0.7)

    def answer(self, scene: Scene, rng: random.Random) -> Task:
        asked = make_instruction(scene, rng, "sound", chinese=rng.random() < SPOKEN)
        return Task("answer", asked + REPLY, f"{judge(asked, scene).answer}{END}")

    def ask(self, scene: Scene, rng: random.Random) -> Task:
        """The second turn of `allava_session`: five questions."""
        questions = "\n".join(make_questions(scene, rng, hard=True))
        return Task("ask", self._session(scene), questions + END, 0.15)

    def explain(self, scene: Scene, rng: random.Random) -> Task:
        """The third turn of `allava_session`: one of the questions, with the answer."""
        questions = make_questions(scene, rng, hard=True)
        asked = rng.choice(questions)
        listed = "\n".join(f"{number}. {question}" for number, question in enumerate(questions, start=1))
        begin, end = self.parts["allava/answer"][-2:]
        prompt = f"{self._session(scene)}{listed}{USER}{begin}{asked}{end}{REPLY}"
        return Task("explain", prompt, explain(asked, scene) + END)

    def _session(self, scene: Scene) -> str:
        shown, request = self.parts["allava/ask"]
        return f"{shown}{REPLY}{caption(scene)}{USER}{request}{REPLY}"

    def score(self, axis: str, scene: Scene, rng: random.Random, language: str | None = None) -> Task:
        """A score; in a row of texts, the head has the language and the first part of the prompt."""
        chinese = rng.random() < CHINESE if language is None else language == ".zh"
        begin, end = self.parts[f"{axis}.zh" if chinese else axis]
        share = SAMPLED["wording" if axis in ("clarity", "nonsense") else "image"]
        asked = self._sampled(rng, chinese=chinese) if rng.random() < share else None
        if asked is None:
            asked = make_instruction(scene, rng, self._quality(axis, rng), chinese=chinese)
        grade = getattr(judge(asked, scene), axis)
        prompt = f"{begin if language is None else ''}{asked}{end}{REPLY}"
        return Task(axis, prompt, f"[[{grade}]]{END}", 1.5 if axis == "hallucination" else 1.0)

    def classify(self, scene: Scene, rng: random.Random, language: str) -> Task:
        chinese = language == ".zh"
        some = rng.sample(self.garbled, min(16, len(self.garbled))) if rng.random() < GARBLED else []
        sampled = next((text for text in some if in_chinese(text) == chinese), None)
        if sampled is not None:
            text = sampled
        elif rng.random() < SCRAMBLED:
            text = self._scrambled(scene, rng, chinese=chinese)
        else:
            text = make_hook(scene, rng, chinese=chinese)
        asked = extract(text)
        target = "NO_INST" if asked is None else f"Instruction: {asked}"
        return Task("classify", f"{text}{self.parts[f'classify{language}'][1]}{REPLY}", target + END)

    def _scrambled(self, scene: Scene, rng: random.Random, *, chinese: bool) -> str:
        asked = make_instruction(scene, rng, self._quality("hallucination", rng), chinese=chinese)
        words, _, space = split_words(asked)
        for _ in range(rng.randint(1, 4)):
            known = self.chinese if chinese and rng.random() < 0.8 else self.words
            words[rng.randrange(len(words))] = rng.choice((rng.choice(words), rng.choice(known)))
        if rng.random() < 0.5:
            rng.shuffle(words)
        before = say(caption(scene, rng.randrange(2), rng), chinese=chinese) + space if rng.random() < 0.25 else ""
        return f"{before}{space.join(words)}{'？' if chinese else '?'}"

    def questions(self, scene: Scene, rng: random.Random, language: str) -> Task:
        """The questions of `caption_qa`, from a caption."""
        chinese = language == ".zh"
        shown = say(caption(scene), chinese=chinese)
        prompt = f"{shown}{self.parts[f'chains/questions{language}'][1]}{REPLY}"
        return Task("questions", prompt, "\n".join(make_questions(scene, rng, chinese=chinese)) + END, 0.3)

    def image_row(self, image: int, scene: Scene, rng: random.Random, counts: dict[str, int]) -> Row:
        names = [name for name, number in counts.items() for _ in range(number)]
        tasks = [self.score(name, scene, rng) if name in AXES else getattr(self, name)(scene, rng) for name in names]
        return Row(f"{HEAD}<|vision_start|>{'<|image_pad|>' * VISUAL_TOKENS}<|vision_end|>", tasks, image)

    def text_row(self, scenes: list[Scene], rng: random.Random, name: str, language: str | None = None) -> Row:
        """A row of tasks of one kind and one language, about several scenes."""
        if language is None:
            language = ".zh" if rng.random() < CHINESE else ""
        head = HEAD + self.parts[{"questions": "chains/questions"}.get(name, name) + language][0]
        if name == "nonsense":
            return Row(head, [self.score(name, scene, rng, language) for scene in scenes])
        return Row(head, [getattr(self, name)(scene, rng, language) for scene in scenes])

    def encode(self, text: str) -> list[int]:
        """Returns the tokens of a text. Results are cached."""
        known = self._cache.get(text)
        if known is None:
            known = self.tokenizer.encode(text, add_special_tokens=False)
            if len(self._cache) < 200_000:
                self._cache[text] = known
        return known

    def sights(self, scenes: Sequence[Scene]) -> Tensor:
        """Returns the token ids of `words_in_sight`: (scenes, visual tokens, 12), padded with -1."""
        ids = torch.full((len(scenes), VISUAL_TOKENS, 12), -1)
        for n, scene in enumerate(scenes):
            for place, words in enumerate(words_in_sight(scene)):
                known = [token for word in words for token in self.encode(word)]
                ids[n, place, : len(known)] = torch.tensor(known)
        return ids

    def batch(self, rows: list[Row]) -> Batch:
        """Makes one sequence of each row: the prefix, then the tasks, which can't attend to each other.

        All rows have prefixes of the same length.
        """
        laid, spans = [], []
        for n, row in enumerate(rows):
            head = self.encode(row.head)
            ids, targets, weights, branches = list(head), [-100] * len(head), [0.0] * len(head), [0] * len(head)
            where = _head_positions(head, self.image_id)
            after = max(max(where[axis]) for axis in range(3)) + 1
            for number, task in enumerate(row.tasks, start=1):
                asked, target = self.encode(task.prompt) if task.prompt else [], self.encode(task.target)
                # The last token of the prefix predicts the first token of a hook, and several tasks share the prefix.
                # So each branch repeats the last token of the prefix, at the same position.
                piece = [head[-1], *asked, *target]
                spans.append((n, len(ids), len(piece)))
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
        positions = torch.zeros((3, *shape), dtype=torch.long)
        for n, (row_ids, row_targets, row_weights, row_branches, where) in enumerate(laid):
            size = len(row_ids)
            ids[n, :size] = torch.tensor(row_ids)
            targets[n, :size] = torch.tensor(row_targets)
            weights[n, :size] = torch.tensor(row_weights)
            branches[n, :size] = torch.tensor(row_branches)
            positions[:, n, :size] = torch.tensor(where)
        (head_size,) = {len(self.encode(row.head)) for row in rows}
        layout = make_layout(head_size, spans, length)
        images = None if rows[0].image is None else torch.tensor([row.image for row in rows])
        names = [[task.name for task in row.tasks] for row in rows]
        return Batch(ids, positions, layout, targets, weights, branches, names, images)


def say(english: str, *, chinese: bool) -> str:
    """Returns a sentence in English, or its translation."""
    return (to_chinese(english) or english) if chinese else english


def words_in_sight(scene: Scene) -> list[list[str]]:
    """Returns words, in both languages, for the content and the position of each visual token, row by row."""
    side = GRID // MERGE
    words = []
    for number in range(VISUAL_TOKENS):
        row, column = divmod(number, side)
        half = (row * 2 // side, column * 2 // side)
        place = f"{('top', 'bottom')[half[0]]} {('left', 'right')[half[1]]}"
        shown = [" zero"]
        for figure in scene.figures:
            if (figure.row, figure.column) == half:
                shown = [f" {figure.size}", *_both("colour", figure.colour), *_both("shape", figure.shape)]
        if column < len(scene.bars):
            bar = scene.bars[column]
            shown = [*_both("colour", bar.colour), *_both("value", NUMBERS[bar.value])]
        if scene.text and 0 < row < side - 1:
            text = scene.text[half[1]] if scene.is_number else f" {scene.text}"
            shown = [text, *_both("colour", scene.colour)]
        words.append([*shown, f" {place.split()[0]}", f" {place.split()[1]}", VALUES["place"][place]])
    return words


def _both(slot: str, value: str) -> list[str]:
    return [f" {value}", VALUES[slot][value]]


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
