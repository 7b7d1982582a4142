"""`drawn`: drawn scenes as input, with fields whose values are true of them."""

from __future__ import annotations

import io
import os
import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import Field

from mminf.source import BadRow, Numbered, Record, Source, SourceConfig, source

from ..demo.scenes import scene_name

if TYPE_CHECKING:
    from ..demo.world import Scene

SEEDS = range(1000)
"""Seeds of the scenes that the source draws, and that the demo script knows."""
Truth = Literal[
    "caption", "instruction", "answer", "response", "qa", "tags", "objects", "ocr", "solution", "seed", "description"
]


class DrawnConfig(SourceConfig):
    shorthand: ClassVar[str | None] = "count"
    path: Path = Field(Path(), description="Not used.")
    count: int = Field(24, ge=1, le=len(SEEDS), description="Number of scenes.")
    size: int = Field(336, ge=28, le=2048, description="Width and height of the images in pixels.")
    images: bool = Field(True, description="`false`: texts about the scenes, without images.")
    truth: list[Truth] = Field(
        default_factory=list,
        description="Fields that a record gets in addition to its image: a caption, a question (`instruction`) with a "
        "short answer, a detailed one (`response`) or one to verify (`solution`), a set of questions (`qa`), what "
        "vision experts would find (`tags`, `objects`, `ocr`).",
    )


@source("drawn")
class Drawn(Source):
    """Scenes with known truth, drawn into the output folder: the input of the profile `demo`."""

    config: DrawnConfig
    Config: ClassVar[type[SourceConfig]] = DrawnConfig
    cuts = True

    def check(self) -> None:
        return None

    def read(self, shard: Any = None) -> Iterator[Record | BadRow]:
        from ..demo.world import make_scene

        numbered = Numbered("id", shard)
        for seed in SEEDS[: self.config.count]:
            if (name := numbered.name({"id": scene_name(seed)})) is None:
                continue
            scene = make_scene(seed)
            fields: dict[str, Any] = {"id": name}
            if self.config.images:
                fields["images"] = [self._draw(scene, name)]
            yield numbered.record(name, fields | {truth: _TRUTHS[truth](scene) for truth in self.config.truth})

    def count(self) -> int:
        return self.config.count

    def fingerprint(self) -> str:
        return f"{self.config.count} {self.config.size} {self.config.images} {self.config.truth}"

    def _draw(self, scene: Scene, name: str) -> str:
        """Draws a scene into a file, unless it is there, and returns its path."""
        from ..demo.world import draw_scene

        path = self.scratch / f"{self.config.size}" / name
        if not path.exists():
            image, data = draw_scene(scene), io.BytesIO()
            if image.width != self.config.size:
                image = image.resize((self.config.size, self.config.size))
            image.save(data, "PNG")
            _write_whole(path, data.getvalue())
        return str(path)


def _write_whole(path: Path, data: bytes) -> None:
    """Writes a file that is never seen in part. Several ranks may write the same one."""
    if "://" in str(path):  # a store; its objects are written whole
        path.write_bytes(data)
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f"{path.name}.{os.getpid()}.part")
    part.write_bytes(data)
    part.replace(path)


def question(scene: Scene) -> str:
    """Returns a question about a scene whose answer is a number, a word or a letter; always the same."""
    from ..demo.world.questions import list_questions

    asked = [text for _, text in list_questions(scene, closed=False)]
    random.Random(scene.seed).shuffle(asked)
    return next(text for text in asked if solution(text, scene))


def solution(instruction: str, scene: Scene) -> str:
    """Returns the number, word or letter that answers a question about a scene; empty if the answer is another."""
    from ..demo.world import judge
    from ..demo.world.scene import NUMBERS

    words = (judge(instruction, scene).answer or "").rstrip(".").split()
    numbers = [str(NUMBERS.index(word)) for word in words if word in NUMBERS]
    named = [word for word in words if word.isdigit() or (word.isupper() and word != "I")]
    return next(iter([*numbers, *named]), "")


def _answer(scene: Scene) -> str:
    from ..demo.world import judge

    return judge(question(scene), scene).answer or ""


def _response(scene: Scene) -> str:
    from ..demo.world import explain

    return explain(question(scene), scene)


def _caption(scene: Scene) -> str:
    from ..demo.world import caption

    return caption(scene)


def _pairs(scene: Scene) -> Any:
    from ..demo.world import judge, make_questions

    asked = make_questions(scene, random.Random(scene.seed))
    return [{"question": text, "answer": judge(text, scene).answer or ""} for text in asked[:3]]


def tags(scene: Scene) -> list[str]:
    """Returns tags of a scene."""
    if scene.kind == "figures":
        return list(dict.fromkeys(["drawing", *(figure.shape for figure in scene.figures)]))
    return (
        ["drawing", "chart", "bar"]
        if scene.kind == "chart"
        else ["drawing", "sign", "number" if scene.is_number else "word"]
    )


def _objects(scene: Scene) -> list[str]:
    return [f"{figure.colour} {figure.shape} at the {figure.place}" for figure in scene.figures]


_TRUTHS: dict[str, Callable[[Scene], Any]] = {
    "caption": _caption,
    "description": _caption,
    "seed": _caption,
    "instruction": question,
    "answer": _answer,
    "solution": lambda scene: solution(question(scene), scene),
    "response": _response,
    "qa": _pairs,
    "tags": tags,
    "objects": _objects,
    "ocr": lambda scene: scene.text,
}
