"""A gateway that answers the calls of steps from a list or a function."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

from mminf.errors import RecordError
from mminf.image import FULL, ImagePolicy, LoadedImage, decode_image, image_digest, read_image
from mminf.recipe.model import StepLike
from mminf.request import Generation, Request
from mminf.step.context import StepCall

if TYPE_CHECKING:
    from PIL.Image import Image

Answer = str | Generation | Exception
Answers = Sequence[Answer] | Mapping[str, Answer] | Callable[[Request], Answer]
_POLICY = ImagePolicy(roots=None, prefixes=(), hosts=frozenset())


class StubGateway:
    """Answers calls, and stores their requests.

    Args:
        answers: a list; a dict by a part of the prompt; or a function of the request. An exception is raised.
        seed: seed of the run.

    Attributes:
        requests: requests of all calls, in order.
    """

    def __init__(self, answers: Answers = (), seed: int = 0) -> None:
        self._answers = answers
        self._seed = seed
        self.requests: list[Request] = []

    @property
    def seed(self) -> int:
        return self._seed

    async def answer(self, call: StepCall) -> tuple[bytes, Generation]:
        """Returns the next answer. Raises RecordError if there is none."""
        self.requests.append(call.request)
        found = self._find(call.request)
        if isinstance(found, Exception):
            raise found
        answer = found if isinstance(found, Generation) else Generation(found, "stop", 0, 0)
        return len(self.requests).to_bytes(16, "big"), answer

    def _find(self, request: Request) -> Answer:
        if callable(self._answers):
            return self._answers(request)
        text = "\n".join(turn.text for turn in request.turns)
        if isinstance(self._answers, Mapping):
            for part, answer in self._answers.items():
                if part in text:
                    return answer
            raise RecordError(f"no answer for the prompt {text!r:.200}")
        if len(self.requests) > len(self._answers):
            raise RecordError(
                f"call {len(self.requests)}, but there are {len(self._answers)} answers; prompt: {text!r}"
            )
        return self._answers[len(self.requests) - 1]

    async def reference_image(self, uri: str) -> LoadedImage:
        """Returns a reference to an image, without reading the file."""
        return LoadedImage(uri, image_digest(uri.encode()))

    async def open_image(self, uri: str) -> LoadedImage:
        """Returns an image of a file or a `data:` URI, decoded."""
        image = LoadedImage(uri, image_digest(read_image(uri, _POLICY)))
        image.views[FULL] = self.read_image(uri)
        return image

    def read_image(self, uri: str) -> Image:
        """Returns an image of a file or a `data:` URI, decoded."""
        return decode_image(read_image(uri, _POLICY), uri, _POLICY.max_pixels)[0]

    def has_vector(self, key: str) -> bool:
        """Returns False: embeddings are in the answers."""
        return False

    def count_retry(self, step: StepLike) -> None:
        """Counts nothing: `requests` shows the calls of retries."""
