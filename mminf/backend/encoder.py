"""`encoder`: embeddings of texts and images, from CLIP-like models of transformers or from sentence-transformers."""

from __future__ import annotations

import asyncio
from abc import abstractmethod
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Literal, NamedTuple

from pydantic import Field

from mminf.backend.base import Backend, backend, shorten
from mminf.backend.devices import devices, free_memory, weights_share
from mminf.backend.model_files import import_quietly, resolve_local, resolve_model
from mminf.errors import EngineError, RequestError
from mminf.recipe.config import EngineConfig
from mminf.request import Generation, Rendered, Request
from mminf.turns import ImagePart

GATHER = 0.002
"""Seconds that an idle encoder waits for more calls before it runs a batch."""


class Encoded(NamedTuple):
    """Embeddings of a batch.

    Attributes:
        vectors: (rows, dimensions) float32.
        tokens: number of tokens of each text before truncation; 0 for an image.
        cut: whether each text was truncated.
    """

    vectors: Any
    tokens: list[int]
    cut: list[bool]


class EncoderConfig(EngineConfig):
    """The settings of an encoder in a recipe."""

    kind: Literal["auto", "clip", "sentence"] = Field(
        "auto", description="`clip`: a transformers model with text features; `sentence`: sentence-transformers."
    )
    revision: str | None = Field(None, description="Revision of the model on its hub.")
    max_batch_size: int = Field(64, ge=1, description="Maximum number of rows per batch.")
    replicas: int = Field(1, ge=1, description="Copies of the model, each on its own GPU.")
    max_length: int | None = Field(
        None, ge=1, description="Longer texts are truncated to this number of tokens; default: the model's maximum."
    )
    torch_dtype: Literal["float32", "bfloat16", "float16"] = Field("float32", description="Of weights and computation.")
    device_map: str | None = Field(None, description="`cpu` or `cuda:0`; default: the first GPU, if any.")


class BatchingEncoder(Backend):
    """Base of encoders: collects calls into batches, and runs them in a thread.

    A subclass implements `open_model` and `encode_texts` (docs/unicorn.md shows LLM2CLIP's).
    """

    Config = EncoderConfig
    local = True
    embeds = True

    def __init__(self, config: Any) -> None:
        super().__init__(config)
        self._waiting: list[tuple[Request, asyncio.Future[Generation]]] = []
        self._worker: asyncio.Task[None] | None = None
        self._thread: ThreadPoolExecutor | None = None

    @property
    def device(self) -> str:
        """The device of the model."""
        return self.config.device_map or devices(1, self.number)[0]

    @abstractmethod
    def open_model(self, folder: Path) -> None:
        """Loads the model from a local folder onto `device`."""

    @abstractmethod
    def encode_texts(self, texts: list[str]) -> Encoded:
        """Embeds texts."""

    def encode_images(self, images: list[Any]) -> Encoded:
        """Embeds PIL images. Raises RequestError if the model has no image encoder."""
        raise RequestError(f"model {self.config.model!r} can't embed images: it has no image encoder")

    def close_model(self) -> None:
        """Releases the model."""

    def load(self) -> None:
        try:
            import_quietly()
            self.open_model(Path(resolve_model(self.config.model, self.config.revision)))
        except EngineError:
            raise
        except Exception as error:  # torch, transformers or a hub may raise any exception
            raise EngineError(
                f"model {self.config.model!r} can't be loaded by backend {self.config.backend!r}: "
                f"{shorten(error, 600)}\ncheck the model's name, or set `model` to a local folder"
            ) from error

    def render(self, request: Request) -> Rendered:
        """Returns the text that is embedded; encoders have no chat template."""
        shown = (part if isinstance(part, str) else "<image>" for turn in request.turns for part in turn.parts)
        return Rendered("".join(shown), None)

    def capacity(self) -> int:
        return int(self.config.max_concurrency or 4 * self.config.max_batch_size)

    def memory(self) -> dict[str, float]:
        share = weights_share(Path(resolve_local(self.config.model)), self.device)
        return {} if share is None else {self.device: share}

    async def generate(self, request: Request) -> Generation:
        done: asyncio.Future[Generation] = asyncio.get_running_loop().create_future()
        self._waiting.append((request, done))
        if self._worker is None or self._worker.done():
            self._worker = asyncio.create_task(self._work())
        return await done

    async def close(self) -> None:
        if self._worker is not None:
            self._worker.cancel()
        if self._thread is not None:
            self._thread.shutdown(wait=True, cancel_futures=True)
            self._thread = None
        self.close_model()
        free_memory()

    async def _work(self) -> None:
        if self._thread is None:
            self._thread = ThreadPoolExecutor(1, "mminf-encoder")
        await asyncio.sleep(GATHER)
        while self._waiting:
            images = bool(self._waiting[0][0].images)
            size = self.config.max_batch_size
            batch = [item for item in self._waiting if bool(item[0].images) == images][:size]
            taken = {id(item) for item in batch}
            self._waiting = [item for item in self._waiting if id(item) not in taken]
            batch = [item for item in batch if not item[1].done()]
            try:
                await self._answer(batch)
            except Exception:
                for item in batch:  # a request that can't be embedded must not fail the others
                    await self._answer_alone(item)

    async def _answer(self, batch: Sequence[tuple[Request, asyncio.Future[Generation]]]) -> None:
        requests = [request for request, _ in batch]
        for (_, done), found in zip(batch, await self._encode(requests), strict=True):
            if not done.done():
                done.set_result(found)

    async def _answer_alone(self, item: tuple[Request, asyncio.Future[Generation]]) -> None:
        request, done = item
        try:
            (found,) = await self._encode([request])
        except Exception as error:
            if not done.done():
                known = isinstance(error, RequestError)
                done.set_exception(error if known else RequestError(f"{self.config.backend}: {shorten(error)}"))
        else:
            if not done.done():
                done.set_result(found)

    async def _encode(self, requests: list[Request]) -> list[Generation]:
        loop = asyncio.get_running_loop()
        encoded: Encoded = await loop.run_in_executor(self._thread, self._encode_now, requests)
        vectors = encoded.vectors.astype("<f4")
        return [
            Generation("", "length" if cut else "stop", tokens, 0, vector=row.tobytes())
            for row, tokens, cut in zip(vectors, encoded.tokens, encoded.cut, strict=True)
        ]

    def _encode_now(self, requests: list[Request]) -> Encoded:
        if requests[0].images:
            return self.encode_images([request.images[0].views[self.view] for request in requests])
        return self.encode_texts([_text(request) for request in requests])


def _text(request: Request) -> str:
    return "".join(part for turn in request.turns for part in turn.parts if not isinstance(part, ImagePart))


@backend("encoder")
class EncoderBackend(BatchingEncoder):
    """Text and image encoders of CLIP-like models (CLIP, SigLIP) from transformers, and sentence-transformers."""

    def open_model(self, folder: Path) -> None:
        kind = self.config.kind
        if kind == "auto":
            kind = "sentence" if (folder / "modules.json").is_file() else "clip"
        self._sentence = kind == "sentence"
        self._open_sentence(folder) if self._sentence else self._open_clip(folder)

    def _open_sentence(self, folder: Path) -> None:
        try:
            from sentence_transformers import SentenceTransformer
        except ImportError as error:
            raise EngineError(
                f"model {self.config.model!r} needs sentence-transformers; install it with "
                "`pip install mminf[sentence]`"
            ) from error
        import torch

        options = {"torch_dtype": getattr(torch, self.config.torch_dtype)}
        self._model: Any = SentenceTransformer(str(folder), device=self.device, model_kwargs=options)
        self._tokenizer: Any = self._model.tokenizer
        if self.config.max_length is not None:
            self._model.max_seq_length = self.config.max_length
        self._length = int(self._model.max_seq_length or 10**9)

    def _open_clip(self, folder: Path) -> None:
        import torch
        from transformers import AutoModel, AutoTokenizer

        self._tokenizer = AutoTokenizer.from_pretrained(folder)
        self._model = AutoModel.from_pretrained(folder, dtype=getattr(torch, self.config.torch_dtype))
        if not hasattr(self._model, "get_text_features"):
            raise EngineError(
                f"model {self.config.model!r} ({type(self._model).__name__}) has no text features; use a CLIP-like "
                "model, a model of sentence-transformers, or a plugin"
            )
        self._model.to(self.device).eval()
        self._folder = folder
        self._processor: Any = None
        text = getattr(self._model.config, "text_config", self._model.config)
        self._length = int(self.config.max_length or getattr(text, "max_position_embeddings", 77))

    def encode_texts(self, texts: list[str]) -> Encoded:
        import torch

        tokens = [len(ids) for ids in self._tokenizer(texts, truncation=False, verbose=False)["input_ids"]]
        cut = [count > self._length for count in tokens]
        with torch.inference_mode():
            if self._sentence:
                found = self._model.encode(texts, convert_to_numpy=True, show_progress_bar=False, batch_size=len(texts))
                return Encoded(found, tokens, cut)
            batch = self._tokenizer(
                texts, padding="max_length", truncation=True, max_length=self._length, return_tensors="pt"
            ).to(self.device)
            return Encoded(_features(self._model.get_text_features(**batch)), tokens, cut)

    def encode_images(self, images: list[Any]) -> Encoded:
        if self._sentence or not hasattr(self._model, "get_image_features"):
            return super().encode_images(images)
        import torch
        from transformers import AutoImageProcessor

        if self._processor is None:
            self._processor = AutoImageProcessor.from_pretrained(self._folder)
        with torch.inference_mode():
            pixels = self._processor(images=images, return_tensors="pt").to(self.device)
            pixels["pixel_values"] = pixels["pixel_values"].to(self._model.dtype)
            vectors = _features(self._model.get_image_features(**pixels))
        return Encoded(vectors, [0] * len(images), [False] * len(images))

    def close_model(self) -> None:
        self._model = self._tokenizer = self._processor = None


def _features(found: Any) -> Any:
    """Returns projected embeddings as float32; transformers 5 returns an object with them, 4 the tensor."""
    return getattr(found, "pooler_output", found).float().cpu().numpy()
