"""Base of the backends that run an engine of ms-swift."""

from __future__ import annotations

import asyncio
import importlib.util
import logging
from abc import abstractmethod
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from mminf.backend.base import Backend, ModelCheck, shorten
from mminf.backend.builtin import find_model, is_builtin
from mminf.backend.devices import devices, free_memory, only_devices, settle_memory
from mminf.backend.model_files import check_path, find_config_problem, resolve_model
from mminf.backend.swift.adopt import adopt_template
from mminf.backend.swift.answer import FAILED, Answer, read_response
from mminf.backend.swift.check import check_local_model
from mminf.backend.swift.choice import Decision
from mminf.backend.swift.config import SwiftConfig
from mminf.backend.swift.explain import advise, explain_types
from mminf.backend.swift.fit import find_fit
from mminf.backend.swift.hook import Hook
from mminf.backend.swift.remote_code import explain_remote_code, find_remote_code, remote_code
from mminf.backend.swift.request import encode_prompt, install_encode, make_config, make_request
from mminf.backend.swift.stop import cut_stop
from mminf.backend.swift.template_check import check_template
from mminf.backend.swift.vocabulary import Vocabulary
from mminf.bytecode import compiles_each_time
from mminf.errors import EngineDied, EngineError, RequestError
from mminf.image.memory import keep_freed_memory
from mminf.reasoning import split_reasoning
from mminf.request import Generation, Rendered, Request, Sampling

if TYPE_CHECKING:
    from swift.infer_engine import InferEngine, InferRequest, RequestConfig
    from swift.template import Template

log = logging.getLogger("mminf")
_ATTEMPTS = 3
"""Attempts for a request that the engine ends without an answer; vLLM calls this retryable (`FinishReason.ERROR`)."""

_WARNED: set[str] = set()


def _warn_once(line: str) -> None:
    if line not in _WARNED:
        _WARNED.add(line)
        log.warning("%s", line)


class SwiftBackend(Backend):
    """Base of the backends that run an engine of ms-swift.

    Attributes:
        spawns: the model runs in a separate process.
        module: the module that must be installed.
        install_hint: how to install it.
    """

    config: SwiftConfig
    local = True
    spawns: ClassVar[bool] = False
    module: ClassVar[str] = ""
    install_hint: ClassVar[str] = ""

    def __init__(self, config: SwiftConfig) -> None:
        super().__init__(config)
        self._engine: InferEngine | None = None
        self._template: Template | None = None
        self._known: Vocabulary | None = None

    @classmethod
    def check_installed(cls) -> str | None:
        if importlib.util.find_spec("swift") is None:
            return "ms-swift is not installed; install it with `pip install ms-swift`"
        if importlib.util.find_spec(cls.module) is None:
            return f"{cls.module} is not installed; {cls.install_hint}"
        return None

    @classmethod
    def check_model(cls, config: Any) -> ModelCheck:
        folder = Path(config.model).expanduser()
        if is_builtin(config.model) or not folder.is_dir() or cls.check_installed() is not None:
            return ModelCheck()
        return check_local_model(config, str(folder))

    def load(self) -> None:
        if (missing := self.check_installed()) is not None:
            raise EngineError(f"backend {self.config.backend!r} can't run here: {missing}")
        check_path(self.config.model)  # before seconds of imports
        if (slow := compiles_each_time(self.module)) is not None:
            _warn_once(slow)
        keep_freed_memory()  # before the engine's threads start
        try:
            with remote_code(self.config.trust_remote_code):
                self._prepare_model()
                with only_devices(self._devices() if self.spawns and self.config.replicas > 1 else ()):
                    self._engine = self._make_engine()
        except EngineError:
            raise
        except Exception as error:  # torch, transformers or an engine may raise any exception
            raise EngineError(
                f"model {self.config.model!r} can't be loaded by backend {self.config.backend!r}: "
                f"{self._explain(error)}"
            ) from error
        self._engine.strict = False  # a bad row of a batch fails alone
        self._adopt(self._engine.template)
        settle_memory()

    async def generate(self, request: Request) -> Generation:
        assert self._engine is not None, "load() comes first"
        vocabulary, decision = self._vocabulary, self._decision(request)
        answer = await self._ask(request)
        text = cut_stop(vocabulary.strip_ends(answer.text), request.stop, request.sampling.min_tokens)
        content = answer.tokens if request.sampling.logprobs else None
        finish_reason, chances = answer.finish_reason, None
        if decision is not None:
            text, finish_reason = self._choose(decision, text), "stop"
            chances = decision.chances(content or ())
        return Generation(
            text=text,
            finish_reason=finish_reason,
            prompt_tokens=answer.prompt_tokens,
            completion_tokens=answer.completion_tokens,
            logprobs=None if content is None else tuple(float(token["logprob"]) for token in content),
            choice_logprobs=chances,
        )

    def render(self, request: Request) -> Rendered:
        if self._template is None:
            with remote_code(self.config.trust_remote_code):
                try:
                    self._prepare_model()
                except EngineError:
                    raise
                except Exception as error:  # a hub's client may raise any exception
                    told = self._explain(error)
                    raise EngineError(f"model {self.config.model!r} can't be fetched: {told}") from error
                self._adopt(self._load_template())
        ids = encode_prompt(self._template, self._infer_request(request))
        return Rendered(self._vocabulary.show(ids), len(ids))

    def special_tokens(self) -> frozenset[str]:
        return frozenset() if self._known is None else self._known.special_tokens()

    async def close(self) -> None:
        engine, self._engine, self._template, self._known = self._engine, None, None, None
        if engine is not None:
            await asyncio.to_thread(self._free, engine)

    def _free(self, engine: InferEngine) -> None:
        """Frees the engine's memory. Templates and views refer to the model and to each other."""
        template = engine.template
        for name in ("encode", "prepare_generate_kwargs", "_mminf_open_view"):
            template.__dict__.pop(name, None)
        template.model = None
        free_memory()

    @abstractmethod
    def _make_engine(self) -> InferEngine:
        """Returns the loaded engine of ms-swift."""

    async def _ask(self, request: Request) -> Answer:
        for _ in range(_ATTEMPTS):
            answer = await self._attempt(request)
            if answer.finish_reason not in FAILED:
                return answer
        raise RequestError(
            f"{self.config.backend}: the engine ended the request with {answer.finish_reason!r} "
            f"({_ATTEMPTS} attempts); `mminf help troubleshooting` says how to see its log"
        )

    async def _attempt(self, request: Request) -> Answer:
        try:
            return await self._infer(request, self._request_config(request))
        except asyncio.CancelledError:
            raise
        except Exception as error:  # an engine may raise any exception
            if type(error).__name__ == "EngineDeadError":
                raise EngineDied(f"engine of model {self.config.model!r} died: {shorten(error)}") from error
            cause = error if str(error) else error.__cause__ or error  # vLLM wraps some errors without a message
            raise RequestError(f"{self.config.backend}: {shorten(cause)}") from error

    async def _infer(self, request: Request, config: RequestConfig) -> Answer:
        assert self._engine is not None
        wanted, hook = self._infer_request(request), self._hook(request)
        return read_response(await self._engine.infer_async(wanted, config, pre_infer_hook=hook))

    def _hook(self, request: Request) -> Hook | None:
        """Returns the hook that changes the engine's generation arguments for a request, or None."""
        return None

    def _prepare_model(self) -> None:
        """Resolves the model to a local folder, and rejects remote code that is not trusted."""
        self._folder = resolve_model(self.config.model, self.config.revision)
        if (problem := find_config_problem(self._folder)) is not None:
            raise EngineError(problem)
        if not self.config.trust_remote_code and (file := find_remote_code(self._folder)) is not None:
            raise EngineError(explain_remote_code(self.config.model, file))

    @property
    def _gpus(self) -> int:
        """Number of GPUs per copy of the model."""
        config = self.config
        return int(getattr(config, "tensor_parallel_size", 1) * getattr(config, "pipeline_parallel_size", 1))

    def _devices(self) -> tuple[str, ...]:
        """Returns the devices of this copy of the model."""
        return devices(self._gpus, self.number * self._gpus)

    def _common(self) -> dict[str, object]:
        """Returns the arguments that all engine classes of ms-swift take."""
        import torch

        config = self.config
        dtype = config.torch_dtype and getattr(torch, config.torch_dtype)
        return {
            "torch_dtype": dtype,
            **self._types(),
            "revision": None if self._folder != config.model else config.revision,
        }

    def _types(self) -> dict[str, str | None]:
        """Returns the ms-swift types of model and template: the recipe's, the built-in model's, or None to match."""
        own = find_model(self.config.model).template if is_builtin(self.config.model) else None
        return {"model_type": self.config.model_type or own, "template_type": self.config.template or own}

    def _load_template(self) -> Template:
        from swift.model import get_processor
        from swift.template import get_template

        try:
            types = self._types()
            processor = get_processor(self._folder, model_type=types["model_type"])
            return get_template(processor, template_type=types["template_type"])
        except Exception as error:  # as in load()
            raise EngineError(
                f"processor of model {self.config.model!r} can't be loaded: {self._explain(error)}"
            ) from error

    def _adopt(self, template: Template) -> None:
        """Prepares a template for mminf's requests: vocabulary, date, pixels, open turns."""
        self._template = template
        adopt_template(template)
        self.view = self.view._replace(fit=find_fit(template, self.config.max_pixels))
        template.max_pixels = self.config.max_pixels if self.view.fit is None else None
        self._known = Vocabulary(template)
        self._warn(template)
        install_encode(template)

    def _warn(self, template: Template) -> None:
        """Logs problems of the template, once for all replicas and reloads of a model."""
        for problem in check_template(template, template.tokenizer):
            _warn_once(f"model {self.config.model!r}: {problem}")

    @property
    def _vocabulary(self) -> Vocabulary:
        assert self._known is not None, "load() or render() comes first"
        return self._known

    def _infer_request(self, request: Request) -> InferRequest:
        return make_request(request, self.config, self.view, self._vocabulary, self._decision(request))

    def _request_config(self, request: Request) -> RequestConfig:
        return make_config(request, self._decision(request))

    def _decision(self, request: Request) -> Decision | None:
        """Returns how one token decides between the request's choices, or None if it can't be enforced."""
        if not request.sampling.choices or not self.constrains or request.open_turn == "user":
            return None
        return self._vocabulary.find_decision(request.sampling.choices)

    def _choose(self, decision: Decision, text: str) -> str:
        """Returns the choice that an answer selects."""
        # Some templates open the reasoning in the prompt; ms-swift repeats that part before the answer.
        if (chosen := decision.read(split_reasoning(text).text)) is None:
            raise RequestError(f"{self.config.backend}: answered {text!r}, which is not one of the choices")
        return chosen

    def _banned(self, sampling: Sampling) -> tuple[int, ...]:
        """Returns the token ids that the sampling forbids."""
        if not sampling.ban:
            return ()
        try:
            return self._vocabulary.banned_ids(sampling.ban)
        except ValueError as error:
            raise RequestError(str(error)) from error

    def _explain(self, error: BaseException) -> str:
        """Returns an error of ms-swift in terms of mminf's settings, or the error itself with advice."""
        return explain_types(str(error)) or f"{shorten(error, 600)}\n{self._advice(error)}"

    def _advice(self, error: BaseException) -> str:
        return advise(error, local=is_builtin(self.config.model) or Path(self.config.model).expanduser().is_dir())
