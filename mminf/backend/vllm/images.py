"""Prepares images for vLLM's engine, in place of vLLM's renderer.

The renderer of vLLM 0.32 processes the images of all requests in one thread. On a fast GPU, this thread is the limit
(vLLM issues 49317 and 50111). An image in its final size (`ProcessorFit`) only has to be cut into patches, which takes
less time than the renderer's code for any model, and is done in several threads. The engine gets what the renderer
would return (`vllm/renderers/base.py`). Both results are compared when a model is loaded. If they differ, the renderer
is used.
"""

from __future__ import annotations

import asyncio
import dataclasses
import logging
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple

from mminf.backend.swift.fit import ProcessorFit
from mminf.image.store import default_threads

if TYPE_CHECKING:
    import torch
    from vllm.inputs import EngineInput
    from vllm.multimodal.inputs import MultiModalKwargsItem
    from vllm.v1.engine.async_llm import AsyncLLM

log = logging.getLogger("mminf")

_SMALL = 2**17
"""Images up to this number of pixels are cut in the event loop: handing them to a thread takes as long."""
_SIZES = 4096
"""Number of image sizes whose fields are cached."""


class Expanded(NamedTuple):
    """A prompt with as many image tokens as its images have.

    Attributes:
        ids: the prompt's token ids.
        places: where each image is (vLLM's `PlaceholderRange`).
    """

    ids: list[int]
    places: list[Any]


class ImageInputs:
    """Makes vLLM's inputs of prompts with images.

    Args:
        engine: a loaded engine.
        fit: scales the images.
    """

    def __init__(self, engine: AsyncLLM, fit: ProcessorFit) -> None:
        images, processor = fit.processor, engine.renderer.get_mm_processor()
        self.token = int(engine.model_config.hf_config.image_token_id)
        self._factor = fit.factor
        self._patch, self._merge, self._frames = images.patch_size, images.merge_size, images.temporal_patch_size
        self._fields_of = processor._get_mm_fields_config
        self._check_number = processor.info.validate_num_items
        self._cache = engine.renderer.mm_processor_cache
        self._fields = lru_cache(_SIZES)(self._make_fields)
        self._cutting: dict[str, asyncio.Future[MultiModalKwargsItem]] = {}
        self._pool = ThreadPoolExecutor(default_threads(), "mminf-patches")

    def close(self) -> None:
        self._pool.shutdown(wait=False)

    def allows(self, number: int) -> bool:
        """Returns whether a prompt may have this many images."""
        try:
            self._check_number("image", number)
        except Exception:  # vLLM's VLLMValidationError; in other versions, a ValueError
            return False
        return True

    def expand(self, ids: Sequence[int], sizes: Sequence[tuple[int, int]]) -> Expanded | None:
        """Returns a prompt with all its image tokens, or None if it does not have one token per image.

        Args:
            sizes: width and height of each image in pixels.
        """
        from vllm.multimodal.inputs import PlaceholderRange

        made: list[int] = []
        places: list[PlaceholderRange] = []
        for token in ids:
            if token != self.token:
                made.append(token)
                continue
            if len(places) == len(sizes):
                return None
            width, height = sizes[len(places)]
            length = (width // self._factor) * (height // self._factor)
            places.append(PlaceholderRange(offset=len(made), length=length))
            made += [token] * length
        return Expanded(made, places) if len(places) == len(sizes) else None

    async def make(self, prompt: Expanded, pixels: Sequence[torch.Tensor], names: Sequence[str]) -> EngineInput:
        """Returns the input of a prompt. Images that are in the engine's cache are sent by name only.

        The caller sends the input before another task runs: this process mirrors the engine's cache, and both are
        updated in the order of the requests.

        Args:
            pixels: the prompt's images, each (3, height, width), 8 bit, in a size that the model takes.
            names: one per image; images with the same name have the same pixels.

        Raises:
            VLLMValidationError: if a prompt may not have that many images.
        """
        self._check_number("image", len(pixels))
        items: list[Any] = [None] * len(names)
        if self._cache is None or not all(map(self._cache.is_cached_item, names)):
            items = [await self._cut(name, image) for name, image in zip(names, pixels, strict=True)]
        return {
            "type": "multimodal",
            "prompt_token_ids": prompt.ids,
            "mm_kwargs": {"image": self._update_cache(items, names)},
            "mm_hashes": {"image": list(names)},
            "mm_placeholders": {"image": prompt.places},
        }

    def forget(self, names: Sequence[str]) -> None:
        """Removes images from the mirrored cache, because the engine may not have received them."""
        if self._cache is not None:
            for name in names:
                self._cache.invalidate(name)

    def item(self, pixels: torch.Tensor) -> MultiModalKwargsItem:
        """Returns the form of an image that the engine receives."""
        from vllm.multimodal.inputs import MultiModalKwargsItem

        fields = self._fields(int(pixels.shape[1]), int(pixels.shape[2]))
        patches = cut_patches(pixels, self._patch, self._merge, self._frames)
        return MultiModalKwargsItem(
            {**fields, "pixel_values": dataclasses.replace(fields["pixel_values"], data=patches)}
        )

    def _make_fields(self, height: int, width: int) -> dict[str, Any]:
        """Returns the fields of an image that depend on its size only. The patches are empty."""
        import torch
        from vllm.multimodal.inputs import MultiModalKwargsItems

        rows, columns = height // self._patch, width // self._patch
        made = {"pixel_values": torch.empty(rows * columns, 0), "image_grid_thw": torch.tensor([[1, rows, columns]])}
        return dict(MultiModalKwargsItems.from_hf_inputs(made, self._fields_of(made, {}))["image"][0])

    async def _cut(self, name: str, pixels: torch.Tensor) -> MultiModalKwargsItem:
        if pixels.shape[1] * pixels.shape[2] <= _SMALL:
            return self.item(pixels)
        cutting = self._cutting.get(name)
        if cutting is None:
            cutting = asyncio.get_running_loop().run_in_executor(self._pool, self.item, pixels)
            self._cutting[name] = cutting
            cutting.add_done_callback(lambda _: self._cutting.pop(name))
        return await asyncio.shield(cutting)  # other calls may wait for the same image

    def _update_cache(self, items: Sequence[Any], names: Sequence[str]) -> list[Any]:
        """Updates the mirrored cache. Returns the items to send, and None for those that the engine has."""
        if self._cache is None:
            return list(items)
        for name in names:  # so that adding one does not evict another
            self._cache.touch_sender_cache_item(name)
        return [
            self._cache.get_and_update_item(None if item is None else (item, ()), name)[0]
            for item, name in zip(items, names, strict=True)
        ]


def cut_patches(pixels: torch.Tensor, patch: int, merge: int, frames: int) -> torch.Tensor:
    """Returns the patches of an image in the order of Qwen-VL's image processors, which keep merged ones together.

    Args:
        pixels: (channels, height, width).
        patch: width and height of a patch in pixels.
        merge: width and height of merged patches, in patches.
        frames: number of copies of the image: the models expect several frames per patch, as of a video.

    Returns:
        (patches, channels * frames * patch * patch).
    """
    import torch

    channels, height, width = pixels.shape
    rows, columns = height // patch // merge, width // patch // merge
    grid = pixels.numpy().reshape(channels, rows, merge, patch, columns, merge, patch).transpose(1, 4, 2, 5, 0, 3, 6)
    # In torch's memory: NumPy would request huge pages, which can take several times as long as cutting.
    made = torch.empty(rows * columns * merge**2, channels * frames * patch**2, dtype=pixels.dtype)
    cut = made.numpy().reshape(-1, frames, patch**2)
    cut.reshape(*grid.shape[:5], frames, patch, patch)[..., 0, :, :] = grid
    cut[:, 1:] = cut[:, :1]
    return made


def find_image_inputs(engine: AsyncLLM, fit: object) -> ImageInputs | None:
    """Returns the inputs for an engine, or None if its images must go through vLLM's renderer.

    Args:
        fit: scales the images; None if the model's processor does.
    """
    if not isinstance(fit, ProcessorFit):
        return None
    made = None
    try:
        from vllm.multimodal.cache import LruKeyReplicatedSenderCache, MultiModalProcessorOnlyCache

        made = ImageInputs(engine, fit)
        known = isinstance(
            engine.renderer.mm_processor_cache, (LruKeyReplicatedSenderCache, MultiModalProcessorOnlyCache, type(None))
        )
        if known and _agrees(made, engine, fit.factor):
            return made
        log.debug("images go through vLLM's renderer: its results differ")
    except Exception:  # another version of vLLM, with other names or arguments
        log.debug("images go through vLLM's renderer", exc_info=True)
    if made is not None:
        made.close()
    return None


def _agrees(inputs: ImageInputs, engine: AsyncLLM, factor: int) -> bool:
    """Returns whether two images, alone and together, give the same inputs as vLLM's renderer."""
    import torch

    sizes = [(3 * factor, 2 * factor), (4 * factor, 5 * factor)]
    pixels = [torch.arange(3 * w * h).mul(37).to(torch.uint8).view(3, h, w) for w, h in sizes]
    token = inputs.token
    cases = [([0], [0, token, 0]), ([1], [token])]
    if inputs.allows(2):
        cases.append(([0, 1], [token, 0, 0, token, 0]))
    for shown, ids in cases:
        wanted = _render(engine, ids, [pixels[n] for n in shown])
        made = inputs.expand(ids, [sizes[n] for n in shown])
        if made is None or wanted["prompt_token_ids"] != made.ids or wanted["mm_placeholders"]["image"] != made.places:
            return False
        # Items of several images also contain their places in the batch, which are not used later.
        if len(shown) == 1 and not _same(inputs.item(pixels[shown[0]]), wanted["mm_kwargs"]["image"][0]):
            return False
    return True


def _render(engine: AsyncLLM, ids: list[int], pixels: list[torch.Tensor]) -> Any:
    """Returns the input that vLLM's renderer makes of a prompt, without using the mirrored cache."""
    from vllm.renderers.inputs.preprocess import parse_model_prompt

    prompt = {
        "prompt_token_ids": ids,
        "multi_modal_data": {"image": pixels},
        "mm_processor_kwargs": {"do_resize": False},
    }
    return engine.renderer.render_cmpl([parse_model_prompt(engine.model_config, prompt)], skip_mm_cache=True)[0]


def _same(one: MultiModalKwargsItem, other: MultiModalKwargsItem) -> bool:
    import torch

    return set(one) == set(other) and all(
        value.data.dtype == other[key].data.dtype
        and torch.equal(value.data, other[key].data)
        and value.field == other[key].field
        for key, value in one.items()
    )
