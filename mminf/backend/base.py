"""The interface of a backend, and which of its settings affect answers."""

from __future__ import annotations

import hashlib
import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, ClassVar, NamedTuple, TypeVar

from mminf.backend.builtin import find_model, is_builtin
from mminf.image import View
from mminf.recipe.config import EngineConfig
from mminf.record import digest
from mminf.registry import BACKENDS, is_bundled
from mminf.request import Generation, Rendered, Request, Sampling

B = TypeVar("B")

# Settings that affect the speed or the origin of an answer, but not the answer: they are not part of a memo key.
# A setting that is not listed here is part of the key.
SPEED_ONLY = frozenset(
    {
        "backend",  # the weights are the same; numerics differ as little as between versions of one backend
        "replicas",  # copies of the model that share the calls
        "max_concurrency",  # calls in flight
        "max_batch_size",  # transformers: rows per batch
        "max_num_seqs",  # vllm: sequences in flight
        "gpu_memory_utilization",  # vllm: size of the KV cache
        "tensor_parallel_size",  # how the weights are spread over devices
        "pipeline_parallel_size",
        "enforce_eager",  # vllm: no CUDA graphs
        "enable_prefix_caching",
        "sleep",  # vllm: where the weights are while another model is loaded
        "limit_mm_per_prompt",  # too many images are an error, never another answer
        "device_map",
        "attn_impl",
        "base_url",  # openai: the servers of the model
        "api_key_env",
        "headers",
        "query",
        "server",
        "timeout",
        "retries",
        "patience",
        "price",
        "latency",  # scripted
        "trust_remote_code",
    }
)


WHERE_NAME = ", where NAME is the engine's name in the recipe"
"""The end of a message about a setting of any engine."""


class ModelCheck(NamedTuple):
    """What a model's files say about the settings of its engine.

    Attributes:
        settings: settings that the model needs, and that its files decide.
        problem: which settings it lacks that its files don't decide, or None.
    """

    settings: Mapping[str, str] = MappingProxyType({})
    problem: str | None = None

    def problem_of(self, engine: str) -> str | None:
        """Returns the problem with the name of the engine in place of NAME."""
        told = self.problem
        return told and told.replace("engines.NAME.", f"engines.{engine}.").removesuffix(WHERE_NAME)


class Backend(ABC):
    """Serves one model. Created when a recipe runs, and loaded before its first call.

    Attributes:
        Config: the settings in a recipe.
        constrains: whether `sampling.choices` is enforced.
        embeds: answers are vectors, not text.
        local: the model is loaded on this machine and takes its memory.
        view: the form of the images in requests.
        number: index of the replica, from 0.
        version: of a plugin's backend; after a change of it, its calls are made again.
    """

    Config: ClassVar[type[EngineConfig]] = EngineConfig
    constrains: ClassVar[bool] = False
    embeds: ClassVar[bool] = False
    local: ClassVar[bool] = False
    version: ClassVar[int] = 1

    def __init__(self, config: Any) -> None:
        self.config = config
        self.number = 0
        self.view = View("pixels", getattr(config, "max_pixels", None))

    def be_replica(self, number: int) -> None:
        """Sets the index of the replica, from 0; called before `load`."""
        self.number = number

    @classmethod
    def check_installed(cls) -> str | None:
        """Returns None if the backend can run here, else one sentence that says what to install."""
        return None

    @classmethod
    def check_open_turn(cls, config: Any) -> None:
        """Raises ValueError if it is known before loading that the backend can't leave a prompt open."""

    @classmethod
    def check_model(cls, config: Any) -> ModelCheck:  # noqa: ARG003 (a backend of local models uses it)
        """Returns which settings a model in a local folder needs before it can be loaded, as far as its files tell."""
        return ModelCheck()

    def identity(self) -> dict[str, Any]:
        """Returns the identity of the model and the settings that affect answers; part of every memo key.

        mminf's own defaults may change without an effect on answers. Of a plugin's backend nothing is known: its name,
        `version` and defaults are parts of the identity.
        """
        own = is_bundled(type(self))
        settings = self.config.model_dump(mode="json", exclude_defaults=own)
        kept = {key: value for key, value in settings.items() if key not in SPEED_ONLY}
        if not own:
            kept |= {"backend": self.config.backend, "version": self.version}
        kept["model"] = model_identity(self.config.model)
        if adapters := settings.get("adapters"):
            kept["adapters"] = [model_identity(adapter) for adapter in adapters]
        return kept

    def load(self) -> None:
        """Loads the model. May take minutes; called in a thread.

        Raises:
            EngineError: if it can't be loaded; the message says what to do.
        """

    def capacity(self) -> int:
        """Returns the number of calls in flight that keep the backend busy."""
        return int(self.config.max_concurrency or 1024)

    def gpus(self) -> int:
        """Returns the number of GPUs that the model takes if the machine has GPUs."""
        config = self.config
        sizes = (getattr(config, name, 1) for name in ("replicas", "tensor_parallel_size", "pipeline_parallel_size"))
        return math.prod(sizes) if self.local else 0

    def memory(self) -> Mapping[str, float]:
        """Returns the share of each device's memory that the model takes; empty if unknown before loading."""
        return {}

    @abstractmethod
    async def generate(self, request: Request) -> Generation:
        """Answers a request.

        Raises:
            RequestError: if this request can't be answered; others are not affected.
            EngineError: if the backend can't answer any request.
        """

    def render(self, request: Request) -> Rendered | None:
        """Returns the prompt as the model would get it, or None if only the server can render it. Loads no weights."""
        return None

    def special_tokens(self) -> frozenset[str]:
        """Returns the special tokens of a loaded model's tokenizer, which datasets must escape."""
        return frozenset()

    def unsupported(self, sampling: Sampling) -> list[str]:
        """Returns the names of the sampling settings that this backend does not support."""
        return []

    async def suspend(self) -> bool:
        """Frees the memory of the devices for another model. Returns whether `resume` is enough to answer again."""
        await self.close()
        return False

    async def resume(self) -> None:
        """Undoes `suspend`, if that returned True. Raises EngineError if it fails."""

    async def close(self) -> None:
        """Frees the backend's resources."""


def backend(name: str) -> Callable[[type[B]], type[B]]:
    """Registers a backend class under the name that recipes use."""
    return BACKENDS.register(name)


def model_identity(model: str) -> str | dict[str, Any]:
    """Returns the model's name; for a local folder, a digest of its files that does not depend on its path."""
    if is_builtin(model):
        builtin = find_model(model)
        return {"files": digest([[name, _digest_ends(builtin.folder / name)] for name in builtin.files])}
    folder = Path(model).expanduser()
    if not folder.is_dir():
        return model
    suffixes = (".safetensors", ".bin", ".json", ".txt", ".model", ".jinja")
    paths = [path for path in sorted(folder.iterdir()) if path.suffix in suffixes and path.is_file()]
    return {"files": digest([[path.name, _digest_ends(path)] for path in paths])}


def _digest_ends(path: Path, part: int = 1 << 20) -> str:
    """Returns a digest of a file's size, beginning and end: hashing 100 GB of weights at every start would be slow."""
    size = path.stat().st_size
    with path.open("rb") as file:
        data = file.read(part)
        if size > part:
            file.seek(max(part, size - part))
            data += file.read(part)
    return hashlib.blake2b(str(size).encode() + data, digest_size=16).hexdigest()


def shorten(error: BaseException, limit: int = 300) -> str:
    """Returns an error as one line."""
    text = " ".join(f"{type(error).__name__}: {error}".split())
    text = text.replace(" ssl:default ", " ")  # aiohttp's, also of addresses without TLS
    return text if len(text) <= limit else text[: limit - 1] + "…"
