"""`transformers`: Hugging Face transformers through ms-swift."""

from __future__ import annotations

import asyncio
import functools
import itertools
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from pydantic import Field

from mminf.backend.base import backend, shorten
from mminf.backend.devices import weights_share
from mminf.backend.model_files import resolve_local
from mminf.backend.swift import SwiftBackend, SwiftConfig
from mminf.backend.swift.answer import Answer, read_response
from mminf.backend.swift.hook import Arguments, Hook
from mminf.backend.swift.request import read_mark
from mminf.backend.transformers.gather import Gather
from mminf.errors import RequestError
from mminf.request import Request

if TYPE_CHECKING:
    from swift.infer_engine import RequestConfig, TransformersEngine
    from transformers import LogitsProcessor, LogitsProcessorList


ENCODERS = 4
"""Threads that encode prompts. They share the interpreter, so that more of them gain nothing."""


class TransformersConfig(SwiftConfig):
    max_batch_size: int = Field(16, ge=1, description="Maximum number of rows per batch.")
    device_map: str | None = Field(None, description="`auto`, `cpu` or `cuda:0`; default: ms-swift's choice.")
    attn_impl: str | None = Field(None, description="Attention: `sdpa`, `eager` or `flash_attention_2`.")


@backend("transformers")
class TransformersBackend(SwiftBackend):
    """Hugging Face transformers through ms-swift: runs everywhere, slower than vLLM."""

    config: TransformersConfig
    Config = TransformersConfig
    module = "transformers"
    install_hint = "install it with `pip install transformers`"
    constrains = True

    def __init__(self, config: TransformersConfig) -> None:
        super().__init__(config)
        self._solo = itertools.count(1)
        self._gather = Gather(config.max_batch_size)
        self._encoders: ThreadPoolExecutor | None = None
        self._threads: int | None = None

    def capacity(self) -> int:
        # A batch runs to its end, and contains calls of one step only. The next ones fill up in the meantime.
        return min(super().capacity(), 8 * int(self.config.max_batch_size))

    def memory(self) -> dict[str, float]:
        device = self.config.device_map
        device = device if device and device.startswith(("cuda:", "cpu")) else self._devices()[0]
        share = weights_share(Path(resolve_local(self.config.model)), device)
        return {} if share is None else {device: share}

    def _make_engine(self) -> TransformersEngine:
        import torch
        from swift.infer_engine import TransformersEngine

        from mminf.backend.transformers.stops import install_stops

        common = self._common()
        engine = TransformersEngine(
            self._folder,
            adapters=list(self.config.adapters),
            max_batch_size=self.config.max_batch_size,
            device_map=self._devices()[0] if self.config.replicas > 1 else self.config.device_map,
            attn_impl=self.config.attn_impl,
            **common,
            **self.config.options,
        )
        engine.template.set_mode("transformers")  # ms-swift sets it before its first batch
        install_stops(engine.template)
        self._encoders = ThreadPoolExecutor(ENCODERS, "mminf-encode")
        if torch.cuda.is_available() and self._threads is None:
            # On the CPU only small images and prompts are processed. With a thread per core for each of these
            # operations, the threads wait for each other.
            self._threads = torch.get_num_threads()
            torch.set_num_threads(1)
        return engine

    def _free(self, engine: TransformersEngine) -> None:
        # ms-swift's worker thread never ends and references the engine; make it exit when it fetches its next batch.
        def leave() -> NoReturn:
            raise SystemExit

        engine._fetch_infer_requests = leave
        if engine._task_thread is not None:
            engine._task_thread.join(timeout=10)
        engine.model = None
        super()._free(engine)

    async def close(self) -> None:
        if self._threads is not None:
            import torch

            torch.set_num_threads(self._threads)
            self._threads = None
        if self._encoders is not None:
            self._encoders.shutdown(wait=False, cancel_futures=True)
            self._encoders = None
        await super().close()

    async def _infer(self, request: Request, config: RequestConfig) -> Answer:
        """Encodes the prompt while earlier batches run; ms-swift would do it between two batches."""
        assert self._engine is not None
        wanted, template = self._infer_request(request), self._engine.template
        encode = functools.partial(template.encode, wanted, return_template_inputs=True)
        read_mark(wanted)["encoded"] = await asyncio.get_running_loop().run_in_executor(self._encoders, encode)
        await self._gather.wait()
        response = await self._engine.infer_async(wanted, config, pre_infer_hook=self._hook(request))
        return read_response(response)

    async def _ask(self, request: Request) -> Answer:
        try:
            return await super()._ask(request)
        except RequestError:
            # An error (a row that is too long, out of memory) fails the whole batch, so retry this row alone.
            return await self._ask_alone(request)

    async def _ask_alone(self, request: Request) -> Answer:
        config = self._request_config(request)
        config.seed = next(self._solo)  # this engine ignores it, but only equal configs share a batch
        try:
            return await self._infer(request, config)
        except asyncio.CancelledError:
            raise
        except Exception as error:  # as in _ask
            raise RequestError(f"{self.config.backend}: {shorten(error)}") from error

    def _request_config(self, request: Request) -> RequestConfig:
        """Returns a config without the seed, and with all settings of the hook: equal configs share a batch."""
        config = super()._request_config(request)
        config.seed = None
        config.structured_outputs_regex = None
        config.temperature = 0.0  # our own processor draws the tokens, row by row
        config.top_k, config.top_p, config.min_p = -1, 1.0, None
        config.frequency_penalty = config.presence_penalty = 0.0
        config.mminf = request.sampling.model_dump_json()
        return config

    def _hook(self, request: Request) -> Hook:
        sampling, decision = request.sampling, self._decision(request)

        def hook(kwargs: Arguments) -> Arguments:
            from mminf.backend.transformers.logits import processors

            seeds = [read_mark(row)["seed"] for row in kwargs["template_inputs"]]
            vocabulary = self._vocabulary
            ends = vocabulary.end_ids()
            if decision is not None:
                made = processors(sampling, seeds, (), [[token] for token in decision.tokens], ends)
            else:
                choices = [vocabulary.encode(choice) for choice in sampling.choices]
                made = processors(sampling, seeds, self._banned(sampling), choices, ends)
            if made:
                kwargs["inputs"]["logits_processor"] = _processor_list(made)
            config = kwargs["generation_config"]
            config.do_sample = False
            config.temperature = config.top_p = config.top_k = None
            if sampling.min_tokens and decision is None:
                config.min_new_tokens = min(sampling.min_tokens, config.max_new_tokens)
                config.eos_token_id = ends
            return kwargs

        return hook


def _processor_list(made: list[LogitsProcessor]) -> LogitsProcessorList:
    from transformers import LogitsProcessorList

    return LogitsProcessorList(made)
