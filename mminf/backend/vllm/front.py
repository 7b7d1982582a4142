"""Sends requests to vLLM's AsyncLLM, with prompts that ms-swift's template encodes and settings that ms-swift makes.

ms-swift's `infer_async` encodes a prompt anew for each call, reads an output per token, and lets vLLM copy and hash the
pixels of each image again. Here equal prompts are encoded once, an answer is read once, and an image is named by its
digest (vLLM docs, "Multimodal Inputs", cached inputs), so that it is neither hashed nor processed a second time.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections import OrderedDict
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from mminf.backend.swift.answer import FAILED, Answer
from mminf.backend.swift.fitted import unwrap
from mminf.backend.swift.request import read_mark
from mminf.backend.vllm.images import Expanded, find_image_inputs
from mminf.image import LoadedImage, View

if TYPE_CHECKING:
    from PIL import Image
    from swift.infer_engine import InferRequest, RequestConfig, VllmEngine
    from swift.template import StdTemplateInputs
    from vllm.outputs import RequestOutput
    from vllm.sampling_params import SamplingParams

_PROMPTS = 256
"""Number of encoded prompts that are kept. Those of a hook are equal for all images of one size."""


_SHORT = 8_000
"""Characters of a prompt without images that is encoded in the event loop."""


@dataclass(frozen=True, slots=True)
class Prompt:
    """An encoded prompt.

    Attributes:
        inputs: what ms-swift's template returned; `length` is its number of tokens.
        images: the images that the template returned.
        untouched: they are the images that it was given.
        expanded: the prompt with all its image tokens; None if its images must go through vLLM's renderer.
    """

    inputs: Mapping[str, Any]
    images: Sequence[Image.Image]
    untouched: bool
    expanded: Expanded | None = None

    @property
    def template_inputs(self) -> StdTemplateInputs:
        return self.inputs["template_inputs"]


class Front:
    """Asks a loaded vLLM engine of ms-swift.

    Args:
        engine: asynchronous, with the template that encodes mminf's requests.
        view: the form of the images in requests.
    """

    def __init__(self, engine: VllmEngine, view: View) -> None:
        self._engine = engine
        self._view = view
        self._prompts: OrderedDict[Hashable, Prompt] = OrderedDict()
        self._count = 0
        self._images = find_image_inputs(engine.engine, view.fit)
        engine.template.set_mode("vllm")
        adapter = engine.default_adapter_request
        self._more = {} if adapter is None else {"lora_request": engine._add_adapter(adapter)}

    def close(self) -> None:
        if self._images is not None:
            self._images.close()

    async def encode(self, wanted: InferRequest) -> Prompt:
        """Returns an encoded prompt. Raises what ms-swift's template raises."""
        mark = read_mark(wanted)
        key = (
            tuple((message["role"], message["content"]) for message in wanted.messages),
            tuple(image.size for image in wanted.images),
            mark.get("open_turn"),
            mark.get("prefix"),
        )
        known = self._prompts.get(key)
        if known is not None:
            self._prompts.move_to_end(key)
            return replace(known, images=wanted.images)
        inputs = await self._encode(wanted)
        images = inputs.get("images") or []
        untouched = len(images) == len(wanted.images) and all(map(_same, images, wanted.images))
        expanded = None
        if untouched and images and self._images is not None:
            expanded = self._images.expand(inputs["input_ids"], [image.size for image in images])
        made = Prompt(inputs, images, untouched, expanded)
        if untouched:
            self._keep(key, made)
        return made

    async def _encode(self, wanted: InferRequest) -> dict[str, Any]:
        encode = self._engine.template.encode
        short = not wanted.images and sum(len(str(message["content"])) for message in wanted.messages) < _SHORT
        # Most of it is Python, which runs no faster in a thread; a change of threads takes a quarter as long.
        inputs: dict[str, Any] = encode(wanted, True) if short else await asyncio.to_thread(encode, wanted, True)
        return inputs

    def _keep(self, key: Hashable, prompt: Prompt) -> None:
        """Keeps an encoded prompt without its images."""
        inputs = dict(prompt.inputs)
        inputs.pop("images", None)
        inputs["template_inputs"].images = []
        self._prompts[key] = Prompt(inputs, (), untouched=True, expanded=prompt.expanded)
        if len(self._prompts) > _PROMPTS:
            self._prompts.popitem(last=False)

    async def ask(
        self, prompt: Prompt, images: Sequence[LoadedImage], params: SamplingParams, config: RequestConfig
    ) -> Answer:
        """Returns the answer to a prompt. Raises what vLLM raises.

        Args:
            images: the images in the order in which the prompt shows them.
            params: vLLM's settings.
            config: the settings that ms-swift knows.
        """
        names = [name_image(image, self._view) for image in images]
        result = await self._generate(await self._vllm_prompt(prompt, names), params, names)
        output = result.outputs[0]
        ids = list(output.token_ids)
        text = self._engine.template.decode_generate_ids(ids, template_inputs=prompt.template_inputs)
        found = self._engine._get_logprobs(output.logprobs, ids, config.top_logprobs)
        return Answer(
            text,
            output.finish_reason or "stop",
            len(result.prompt_token_ids),
            len(ids),
            None if found is None else found["content"],
        )

    async def _generate(self, made: Any, params: SamplingParams, names: Sequence[str]) -> RequestOutput:
        self._count += 1
        answers: list[RequestOutput] = []
        try:
            results = self._engine.engine.generate(made, params, f"mminf-{self._count}", **self._more)
            answers = [result async for result in results]  # one, because of the settings' output kind
        finally:
            if self._images is not None and (not answers or answers[-1].outputs[0].finish_reason in FAILED):
                self._images.forget(names)
        if not answers:
            raise RuntimeError("vLLM ended the request without an answer")
        return answers[-1]

    async def _vllm_prompt(self, prompt: Prompt, names: Sequence[str]) -> Any:
        """Returns an input for vLLM's engine, or a prompt that its renderer processes."""
        ids = list(prompt.inputs["input_ids"])
        if not prompt.images:
            return {"type": "token", "prompt_token_ids": ids}
        pixels = [unwrap(image) for image in prompt.images]
        if self._images is not None and prompt.expanded is not None:
            await self._engine.engine.get_supported_tasks()  # cached, so that `generate` sends the input at once
            return await self._images.make(prompt.expanded, pixels, names)
        made: dict[str, Any] = {"prompt_token_ids": ids}
        if kwargs := prompt.inputs.get("mm_processor_kwargs"):
            made["mm_processor_kwargs"] = dict(kwargs)
        made["multi_modal_data"] = {"image": pixels}  # a list, because vLLM takes a single tensor for an embedding
        if prompt.untouched:
            made["multi_modal_uuids"] = {"image": list(names)}
        return made


def name_image(image: LoadedImage, view: View) -> str:
    """Returns a name for the pixels of an image in a view; equal pixels may have several names."""
    return hashlib.blake2b(f"{image.digest} {view}".encode(), digest_size=16).hexdigest()


def _same(one: object, other: object) -> bool:
    return one is other
