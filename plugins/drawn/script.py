"""`demo_script` and `demo_encoder`: prepared answers in place of models, for the profile `demo` of most recipes."""

from __future__ import annotations

import asyncio
import hashlib
import re
from functools import cache
from pathlib import Path
from typing import Any, ClassVar

from pydantic import Field

from mminf.backend import (
    Backend,
    BatchingEncoder,
    Encoded,
    EncoderConfig,
    EngineConfig,
    Generation,
    Rendered,
    Request,
    RequestError,
    backend,
)

NO_MODEL = "no model, a script"
DIMENSIONS = 32


class ScriptConfig(EngineConfig):
    model: str = Field(NO_MODEL, description="Shown in place of a model's name.")


@backend("demo_script")
class DemoScript(Backend):
    """Answers the prompts of the bundled recipes about the scenes of the source `drawn`. No model is involved.

    The answers are true of the scenes, apart from a few that are wrong on purpose, so that filters have something to
    drop. A request about another image fails.
    """

    Config: ClassVar[type[EngineConfig]] = ScriptConfig
    constrains = True
    local = True

    def identity(self) -> dict[str, Any]:
        return {**super().identity(), "script": _digest_of_code()}

    def gpus(self) -> int:
        return 0

    async def generate(self, request: Request) -> Generation:
        from .replies import reply

        await asyncio.sleep(0)
        text = reply(request)
        thought, closed, rest = text.partition("</think>")
        prompt = sum(turn.text.count(" ") + 1 for turn in request.turns)  # about one token per word
        used = len(text.split())
        if not closed:
            return Generation(text, "stop", prompt, used)
        return Generation(rest.strip(), "stop", prompt, used, reasoning=thought.removeprefix("<think>").strip())

    def render(self, request: Request) -> Rendered:
        return Rendered("\n".join(f"[{turn.role}] {turn.text}" for turn in request.turns), None)


@cache
def _digest_of_code() -> str:
    """Returns a digest of everything that the answers depend on."""
    here = Path(__file__).parent
    files = [*here.glob("*.py"), *(here.parent / "demo" / "world").glob("*.py")]
    return hashlib.sha256(b"".join(path.read_bytes() for path in sorted(files))).hexdigest()


class DemoEncoderConfig(EncoderConfig):
    model: str = Field(NO_MODEL, description="Shown in place of a model's name.")


@backend("demo_encoder")
class DemoEncoder(BatchingEncoder):
    """Vectors that count the words of a text or the colours of an image. No model is involved."""

    Config = DemoEncoderConfig

    def load(self) -> None:
        """Loads nothing."""

    def open_model(self, folder: Path) -> None:
        raise RequestError(f"{self.config.backend} opens no model")

    def gpus(self) -> int:
        return 0

    def encode_texts(self, texts: list[str]) -> Encoded:
        import numpy as np

        vectors: Any = np.zeros((len(texts), DIMENSIONS), np.float32)
        for row, text in zip(vectors, texts, strict=True):
            for word in re.findall(r"\w+", text.lower()):
                row[hashlib.blake2b(word.encode(), digest_size=1).digest()[0] % DIMENSIONS] += 1
        return Encoded(vectors, [len(text.split()) for text in texts], [False] * len(texts))

    def encode_images(self, images: list[Any]) -> Encoded:
        import numpy as np

        rows = [np.histogram(np.asarray(image), DIMENSIONS, (0, 256))[0] for image in images]
        return Encoded(np.stack(rows).astype(np.float32), [0] * len(images), [False] * len(images))
