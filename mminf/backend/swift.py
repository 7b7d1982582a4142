"""What the engines of ms-swift have in common: requests go in through their public `infer_async`."""

from __future__ import annotations

import asyncio
import copy
import importlib.util
import logging
import re
from abc import abstractmethod
from collections.abc import Sequence
from typing import Any, ClassVar, Literal

from pydantic import Field

from mminf.backend.base import Backend, shorten
from mminf.backend.choice import WANTED, Decision, find_decision
from mminf.backend.devices import devices, free_memory, only_devices
from mminf.backend.model_files import find_remote_code, remote_code, resolve_model, show_tokens
from mminf.backend.template_check import check_template, explain_types
from mminf.demo_model import TEMPLATE
from mminf.errors import EngineDied, EngineError, RequestError
from mminf.reasoning import split_reasoning
from mminf.recipe.config import EngineConfig
from mminf.request import Generation, Rendered, Request, Sampling, spelled_out
from mminf.special_tokens import break_token, own_tokens

log = logging.getLogger("mminf")

MARK = "mminf"
_WARNED: set[str] = set()
# The part of a template that ms-swift repeats before the answer.
_THOUGHT_PREFIX = re.compile(r"(?:\s*</?think>\s*)+")
_LONGEST = 16  # characters of a token that may follow a stop string
_DATE = re.compile(r"Today Date: \d{1,2} \w{3} \d{4}")
# What Llama 3's own template says where the caller names no date.
_FIXED_DATE = "Today Date: 26 Jul 2024"


class SwiftConfig(EngineConfig):
    template: str | None = Field(None, description="ms-swift template type, where the model fits several.")
    model_type: str | None = Field(None, description="ms-swift model type, where it can't be told from the model.")
    revision: str | None = Field(None, description="Revision on the hub.")
    adapters: list[str] = Field(default_factory=list, description="LoRA adapters.")
    torch_dtype: Literal["float32", "float16", "bfloat16"] | None = Field(
        None, description="The model's own by default."
    )
    max_pixels: int | None = Field(None, ge=1, description="Larger images are scaled down to so many pixels.")
    replicas: int = Field(1, ge=1, description="Copies of the model, each on GPUs of its own, that share the calls.")
    max_model_len: int | None = Field(None, ge=1, description="Context length in tokens.")
    trust_remote_code: bool = Field(False, description="Let the model's repository run its own Python code.")
    options: dict[str, Any] = Field(default_factory=dict, description="More arguments of ms-swift's engine class.")


class SwiftBackend(Backend):
    """Base of the backends that hold a ms-swift engine in this process."""

    local = True
    spawns: ClassVar[bool] = False  # the model runs in a process of its own
    module: ClassVar[str] = ""
    install_hint: ClassVar[str] = ""

    def __init__(self, config: Any) -> None:
        super().__init__(config)
        self._engine: Any = None
        self._template: Any = None
        self._unspeakable: re.Pattern[str] | None = None
        self._ends: re.Pattern[str] | None = None
        self._banned_cache: dict[tuple[str, ...], tuple[int, ...]] = {}
        self._decisions: dict[tuple[str, ...], Decision | None] = {}

    @classmethod
    def check_installed(cls) -> str | None:
        if importlib.util.find_spec("swift") is None:
            return "ms-swift is not installed; install it with `pip install ms-swift`"
        if importlib.util.find_spec(cls.module) is None:
            return f"{cls.module} is not installed; {cls.install_hint}"
        return None

    def load(self) -> None:
        if (missing := self.check_installed()) is not None:
            raise EngineError(f"backend {self.config.backend!r} can't run here: {missing}")
        try:
            with remote_code(self.config.trust_remote_code):
                self._prepare_model()
                with only_devices(self._devices() if self.spawns and self.config.replicas > 1 else ()):
                    self._engine = self._make_engine()
        except EngineError:
            raise
        except Exception as error:  # whatever torch, transformers or an engine raises on loading
            raise EngineError(
                f"model {self.config.model!r} can't be loaded by backend {self.config.backend!r}: "
                f"{self._explain(error)}"
            ) from error
        self._engine.strict = False  # one bad row of a batch comes back as its own error
        self._adopt(self._engine.template)

    async def generate(self, request: Request) -> Generation:
        assert self._engine is not None, "load() comes first"
        response = await self._ask(request)
        choice = response.choices[0]
        text = cut_stop(self._strip_ends(choice.message.content or ""), request.stop, request.sampling.min_tokens)
        finish_reason = choice.finish_reason or "stop"
        content = choice.logprobs["content"] if request.sampling.logprobs and choice.logprobs else None
        chances = None
        if (decision := self._decision(request)) is not None:
            # Some templates open the reasoning in the prompt; ms-swift repeats that part before the answer.
            if (chosen := decision.read(split_reasoning(text).text)) is None:
                raise RequestError(f"{self.config.backend}: answered {text!r}, which is no choice")
            text, finish_reason = chosen, "stop"
            chances = decision.chances(content or ())
        usage = response.usage
        return Generation(
            text=text,
            finish_reason=finish_reason,
            prompt_tokens=usage.prompt_tokens,
            completion_tokens=usage.completion_tokens,
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
                except Exception as error:  # whatever a hub's client raises
                    raise EngineError(f"model {self.config.model!r} can't be fetched: {shorten(error, 600)}") from error
                self._adopt(self._load_template())
        shown = open_view(self._template) if request.open_turn == "user" else self._template
        view = copy.copy(shown)  # its own mode: other requests are being encoded meanwhile
        view.mode = "transformers"
        encoded = type(view).encode(view, self._infer_request(request))
        decision = self._decision(request)
        ids = [*encoded["input_ids"], *(decision.prefix if decision is not None else ())]
        return Rendered(show_tokens(self._template.tokenizer, ids), len(ids))

    def special_tokens(self) -> frozenset[str]:
        if self._template is None:
            return frozenset()
        tokenizer = self._template.tokenizer
        added = {token.content for token in tokenizer.added_tokens_decoder.values() if token.special}
        return own_tokens(added | set(tokenizer.all_special_tokens))

    async def close(self) -> None:
        engine, self._engine, self._template = self._engine, None, None
        self._decisions.clear()
        if engine is not None:
            await asyncio.to_thread(self._free, engine)

    def _free(self, engine: Any) -> None:
        """Gives the engine's memory back. Templates and views know the model, and hold each other in a circle."""
        template = engine.template
        template.__dict__.pop("encode", None)
        template.__dict__.pop("_mminf_open_view", None)
        template.model = None
        free_memory()

    @abstractmethod
    def _make_engine(self) -> Any:
        """Returns the loaded ms-swift engine."""

    async def _ask(self, request: Request) -> Any:
        try:
            return await self._engine.infer_async(
                self._infer_request(request), self._request_config(request), pre_infer_hook=self._hook(request)
            )
        except asyncio.CancelledError:
            raise
        except Exception as error:  # any engine's any error
            if type(error).__name__ == "EngineDeadError":
                raise EngineDied(f"engine of model {self.config.model!r} died: {shorten(error)}") from error
            raise RequestError(f"{self.config.backend}: {shorten(error)}") from error

    def _hook(self, request: Request) -> Any:
        return None

    def _prepare_model(self) -> None:
        """Resolves the model to a local folder and refuses code of strangers."""
        self._folder = resolve_model(self.config.model, self.config.revision)
        if not self.config.trust_remote_code and (file := find_remote_code(self._folder)) is not None:
            raise EngineError(
                f"model {self.config.model!r} brings its own Python code ({file}); "
                "set the engine's `trust_remote_code: true` if you trust it"
            )

    @property
    def _gpus(self) -> int:
        """How many GPUs a copy of the model takes."""
        config = self.config
        return int(getattr(config, "tensor_parallel_size", 1) * getattr(config, "pipeline_parallel_size", 1))

    def _devices(self) -> tuple[str, ...]:
        """Returns the devices that this copy of the model is put on."""
        return devices(self._gpus, self.number * self._gpus)

    def _common(self) -> dict[str, Any]:
        """Arguments that all engine classes of ms-swift take."""
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
        own = TEMPLATE if self.config.model.startswith("builtin:") else None
        return {"model_type": self.config.model_type or own, "template_type": self.config.template or own}

    def _load_template(self) -> Any:
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

    def _adopt(self, template: Any) -> None:
        """Makes a template ready for our requests: vocabulary, date, pixels, open turns."""
        self._template = template
        adopt_template(template)
        if self.config.max_pixels is not None:
            template.max_pixels = self.config.max_pixels
        self._unspeakable = _unspeakable(template)
        self._warn(template)

        def encode(inputs: Any, *args: Any, **kwargs: Any) -> Any:
            mark = inputs.chat_template_kwargs.get(MARK) or {}
            view = open_view(template) if mark.get("open_turn") == "user" else template
            encoded = type(template).encode(view, inputs, *args, **kwargs)
            if prefix := mark.get("prefix"):
                _append(encoded, prefix)
            return encoded

        template.encode = encode

    def _warn(self, template: Any) -> None:
        """Logs problems of the template, once for all replicas and reloads of a model."""
        for problem in check_template(template, template.tokenizer):
            line = f"model {self.config.model!r}: {problem}"
            if line not in _WARNED:
                _WARNED.add(line)
                log.warning("%s", line)

    def _infer_request(self, request: Request) -> Any:
        from swift.infer_engine import InferRequest

        assert self._unspeakable is not None
        messages, images = [], []
        for turn in request.turns:
            content = ""
            for part in turn.parts:
                if isinstance(part, str):
                    content += self._unspeakable.sub(break_token, part)
                else:
                    content += "<image>"
                    images.append(request.images[part.index].views[self.view])
            messages.append({"role": turn.role, "content": content})
        mark: dict[str, Any] = {"open_turn": request.open_turn, "seed": request.seed}
        if (decision := self._decision(request)) is not None:
            mark["prefix"] = decision.prefix
        kwargs: dict[str, Any] = {MARK: mark}
        if request.open_turn == "user":
            kwargs["response_prefix"] = ""
        if self.config.reasoning == "off":
            kwargs["enable_thinking"] = False
        if self.config.max_pixels is not None:
            kwargs["max_pixels"] = self.config.max_pixels
        return InferRequest(messages=messages, images=images, chat_template_kwargs=kwargs)

    def _request_config(self, request: Request) -> Any:
        from swift.infer_engine import RequestConfig

        sampling = request.sampling
        config = RequestConfig(
            max_tokens=sampling.max_tokens,
            temperature=sampling.temperature,
            **spelled_out(sampling),
            frequency_penalty=sampling.frequency_penalty,
            presence_penalty=sampling.presence_penalty,
            stop=request.stop,
            seed=request.seed if sampling.temperature > 0 else None,
            logprobs=sampling.logprobs,
        )
        if self._decision(request) is not None:
            config.max_tokens = 1
            config.top_logprobs = WANTED if sampling.logprobs else None
        elif sampling.choices:
            config.structured_outputs_regex = "|".join(re.escape(choice) for choice in sampling.choices)
        return config

    def _decision(self, request: Request) -> Decision | None:
        """Returns how the request's choices hang on one token, where the engine can be held to it."""
        if not request.sampling.choices or not self.constrains or request.open_turn == "user":
            return None
        key = tuple(request.sampling.choices)
        if key not in self._decisions:
            self._decisions[key] = find_decision(self._template.tokenizer, key)
        return self._decisions[key]

    def _banned(self, sampling: Sampling) -> tuple[int, ...]:
        if not sampling.ban:
            return ()
        from mminf.backend.ban import banned_ids

        key = tuple(sampling.ban)
        if key not in self._banned_cache:
            try:
                self._banned_cache[key] = banned_ids(self._template.tokenizer, key, self._end_ids())
            except ValueError as error:
                raise RequestError(str(error)) from error
        return self._banned_cache[key]

    def _strip_ends(self, text: str) -> str:
        """Drops the tokens that ended the answer; ms-swift drops only the template's own and the EOS."""
        if self._ends is None:
            words = [self._template.tokenizer.decode([end]) for end in self._end_ids()]
            self._ends = re.compile(f"(?:{'|'.join(re.escape(word) for word in words)})+$")
        return self._ends.sub("", text)

    def _end_ids(self) -> list[int]:
        """Ids that end a turn: the model's EOS and the template's stop words."""
        tokenizer, meta = self._template.tokenizer, self._template.template_meta
        ends = [tokenizer.eos_token_id]
        for word in [*meta.stop_words, meta.suffix_stop]:
            ids = tokenizer.encode(word, add_special_tokens=False) if isinstance(word, str) else word or []
            if len(ids) == 1:
                ends.append(ids[0])
        return sorted({int(end) for end in ends if end is not None})

    def _explain(self, error: BaseException) -> str:
        """Returns an error of ms-swift in terms of our settings, or the error itself with advice."""
        return explain_types(str(error)) or f"{shorten(error, 600)}\n{self._advice(error)}"

    def _advice(self, error: BaseException) -> str:
        text = str(error)
        if "out of memory" in text.lower() or "memory" in text.lower():
            return (
                "Lower `gpu_memory_utilization` or `max_model_len`, spread it over more GPUs, or take a smaller model."
            )
        if isinstance(error, OSError):
            return "Check the model's name or path, and the network or hub token if it is on a hub."
        return "`mminf doctor` tells which backends can run here."


def _append(encoded: dict[str, Any], prefix: Sequence[int]) -> None:
    """Puts tokens of text behind an encoded prompt."""
    from torch.nn import functional

    encoded["input_ids"] = [*encoded["input_ids"], *prefix]
    for key in ("mm_token_type_ids", "image_token_types", "token_type_ids"):  # 0 is text
        if encoded.get(key) is not None:
            encoded[key] = functional.pad(encoded[key], (0, len(prefix)), value=0)


def cut_stop(text: str, stops: Sequence[str], min_tokens: int) -> str:
    """Returns an answer up to the stop string that ended it; ms-swift decodes the tokens of the stop string as well.

    With `min_tokens`, earlier occurrences may be part of the answer: only one at the end, where little more than a
    token's text can follow it, is the one that ended it.
    """
    start = len(found[0]) if (found := _THOUGHT_PREFIX.match(text)) else 0
    if not min_tokens:
        places = [place for stop in stops if (place := text.find(stop, start)) >= 0]
        return text[: min(places)] if places else text
    places = [
        place for stop in stops if (place := text.rfind(stop, start)) >= 0 and len(text) - place - len(stop) <= _LONGEST
    ]
    return text[: max(places)] if places else text


def adopt_template(template: Any) -> None:
    """Makes a template independent of the day and of the original model's vocabulary."""
    _fit_vocabulary(template)
    _pin_date(template.template_meta)


def open_view(template: Any) -> Any:
    """Returns the view of a template whose prompts end where the query ends, made once.

    Raises:
        EngineError: if the template can't be cut.
    """
    from mminf.backend.open_turn import open_template

    view = template.__dict__.get("_mminf_open_view")
    if view is None:
        view = template._mminf_open_view = open_template(template)
    view.mode, view.model = template.mode, template.model
    return view


def _fit_vocabulary(template: Any) -> None:
    """Some templates name their image token by the id it has in the original vocabulary; take the model's own."""
    for name in ("image_token_id", "video_token_id"):
        own = getattr(template.config, name, None)
        if own is not None and isinstance(getattr(type(template), name, None), int):
            setattr(template, name, own)


def _pin_date(meta: Any) -> None:
    """A template that tells the model today's date would make yesterday's run another run."""
    for name in ("prefix", "system_prefix"):
        pieces = getattr(meta, name)
        if pieces is not None:
            pinned = [_DATE.sub(_FIXED_DATE, piece) if isinstance(piece, str) else piece for piece in pieces]
            setattr(meta, name, pinned)


def _unspeakable(template: Any) -> re.Pattern[str]:
    """Matches what text must not say: special tokens of the model, and the tags that ms-swift reads as media."""
    tokenizer = template.tokenizer
    words = {token.content for token in tokenizer.added_tokens_decoder.values() if token.special}
    words |= (
        set(tokenizer.all_special_tokens) | set(type(template).special_tokens) | {"<img>", "</img>", "<start-image>"}
    )
    alternatives = "|".join(re.escape(word) for word in sorted(words, key=len, reverse=True) if len(word) > 1)
    return re.compile(alternatives)
