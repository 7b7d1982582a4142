"""`openai`: any server that speaks OpenAI's chat protocol (`swift deploy`, `vllm serve`, a hosted API)."""

from __future__ import annotations

import asyncio
import logging
import re
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from pydantic import BeforeValidator, Field, field_validator

from mminf.backend.address import EndpointConfig, ServerConfig, check_variable, check_variables, hidden
from mminf.backend.base import Backend, backend
from mminf.backend.endpoints import FULL, Lease
from mminf.backend.scripted import show_chat
from mminf.errors import EngineError
from mminf.image import View
from mminf.media import break_tags
from mminf.recipe.config import EngineConfig
from mminf.redact import is_secret_name
from mminf.request import Generation, Rendered, Request, Sampling, explicit_sampling
from mminf.special_tokens import escape_tokens
from mminf.turns import ImagePart, Turn

if TYPE_CHECKING:
    from mminf.backend.client import Client

log = logging.getLogger("mminf")
_PROBE = Turn("user", ("ab12",))
WITHOUT = "or choose what needs no open turn: `oasis` with the profile `asked`, `caption_qa`, `allava_session`"
"""What a user can run over a server that closes the user's turn."""


def _as_list(value: Any) -> Any:
    return value if isinstance(value, list | tuple) else [value]


Addresses = Annotated[
    list[EndpointConfig],
    BeforeValidator(_as_list, json_schema_input_type=str | EndpointConfig | list[str | EndpointConfig]),
]
"""One server or a list of servers; each is an address, or a mapping with settings."""


_OURS = ("model", "messages", "stream", "n")


class OpenAIConfig(EngineConfig, ServerConfig):
    base_url: Addresses = Field(
        default_factory=lambda: ["http://127.0.0.1:8000/v1"],
        validate_default=True,
        min_length=1,
        description="One address or a list. A call is sent to the least loaded address. An address with its own "
        "settings is `{url, max_concurrency, api_key_env}`.",
    )
    api_key_env: str = Field("OPENAI_API_KEY", description="Environment variable with the key, not the key itself.")
    extra_body: dict[str, Any] = Field(
        default_factory=dict,
        description="Additional parameters of every call (`{reasoning_effort: low}`). They override mminf's; null "
        "removes one. `${NAME}` works as in `headers`.",
    )
    server: Literal["auto", "openai", "vllm", "swift"] = Field(
        "auto", description="Kind of server, which decides the supported settings. `auto` detects it."
    )
    max_pixels: int | None = Field(None, ge=1, description="Larger images are scaled down before they are sent.")
    timeout: float = Field(600, gt=0, description="Timeout of one call in seconds.")
    retries: int = Field(6, ge=0, description="Maximum number of retries of a call after temporary failures.")
    patience: float = Field(
        300, gt=0, description="Seconds without an answer from any server before the run stops. It can be resumed."
    )

    @field_validator("api_key_env")
    @classmethod
    def _check_variable(cls, name: str) -> str:
        return check_variable(name)

    @field_validator("extra_body")
    @classmethod
    def _check_body(cls, body: dict[str, Any]) -> dict[str, Any]:
        if found := [name for name in _OURS if name in body]:
            raise hidden(f"`extra_body` can't set {', '.join(found)}")
        _check_texts(body)
        return body

    @field_validator("base_url")
    @classmethod
    def _no_address_twice(cls, endpoints: list[EndpointConfig]) -> list[EndpointConfig]:
        urls = [endpoint.base for endpoint in endpoints]
        if twice := sorted({url for url in urls if urls.count(url) > 1}):
            raise ValueError(f"duplicate address {', '.join(twice)}")
        return endpoints


@backend("openai")
class OpenAIBackend(Backend):
    """A client of servers that speak OpenAI's chat protocol."""

    Config: ClassVar[type[EngineConfig]] = OpenAIConfig
    constrains = True

    def __init__(self, config: Any) -> None:
        super().__init__(config)
        self.view = View("url", config.max_pixels)
        self.server: str = config.server
        self._client: Client | None = None
        self._opening = asyncio.Lock()
        self._probing = asyncio.Lock()
        self._probed = False
        self._told: set[str] = set()

    @classmethod
    def check_open_turn(cls, config: Any) -> None:
        if config.server == "openai":
            raise ValueError(
                "a plain OpenAI server can't leave a prompt open; use `swift deploy` with mminf's server plugin "
                f"(`mminf help servers`), `vllm serve`, or a local backend; {WITHOUT}"
            )

    def capacity(self) -> int:
        return int(self.config.max_concurrency or sum(item.max_concurrency or FULL for item in self.config.base_url))

    async def generate(self, request: Request) -> Generation:
        client = await self._open()
        self._tell_unsupported(request.sampling)
        if request.open_turn != "user":
            return await client.post(self._payload(request))
        await self._probe_servers(client)
        return await client.post(self._payload(request), partial(self._probe_open_turn, client))

    async def leaves_open(self) -> bool:
        """Returns whether the servers leave the user's turn open; it costs two calls of one token each.

        Raises:
            EngineError: if they can't be reached.
        """
        client = await self._open()
        try:
            await self._probe_servers(client)
        except EngineError:
            return False
        return True

    def render(self, request: Request) -> Rendered:
        left = f"[the {request.open_turn} turn stays open]" if request.open_turn else ""
        return Rendered(show_chat(request.turns, request.open_turn) + left, None)

    async def close(self) -> None:
        client, self._client, self._probed = self._client, None, False
        if client is not None:
            await client.close()

    async def _open(self) -> Client:
        if self._client is not None:
            return self._client
        from mminf.backend.client import Client  # `mminf validate` does not need aiohttp

        async with self._opening:
            if self._client is None:
                client = Client(self.config)
                try:
                    await client.meet()
                    self._find_kind(client)
                except BaseException:
                    await client.close()
                    raise
                self._client = client
        return self._client

    def _find_kind(self, client: Client) -> None:
        if self.config.server == "auto":
            kinds = {endpoint.server for endpoint in client.endpoints}
            if len(kinds) > 1:
                raise EngineError(
                    f"model {self.config.model!r}: its servers are of several kinds ({', '.join(sorted(kinds))}); "
                    "use one engine per kind, or set `server`"
                )
            self.server = kinds.pop()

    async def _probe_servers(self, client: Client) -> None:
        """Probes all servers before the first open prompt, so that no server silently answers a closed one."""
        if not self._probed:
            async with self._opening:
                await self._probe_servers_once(client)

    async def _probe_servers_once(self, client: Client) -> None:
        if self._probed:  # another call was first
            return
        try:
            self.check_open_turn(self.config.model_copy(update={"server": self.server}))
        except ValueError as error:
            raise EngineError(str(error)) from error
        await client.try_each(partial(self._probe_open_turn, client))
        self._probed = True

    async def _probe_open_turn(self, client: Client, lease: Lease) -> None:
        """Compares token counts of a closed and an open prompt. Raises EngineError if the server closes both."""
        async with self._probing:
            if not lease.endpoint.leaves_open:
                closed = await self._count_tokens(client, lease, None)
                if await self._count_tokens(client, lease, "user") >= closed:
                    raise EngineError(
                        f"{lease.endpoint.url} does not leave the user's turn open; {self._hint()}; {WITHOUT}"
                    )
                lease.endpoint.passed_probe()

    async def _count_tokens(self, client: Client, lease: Lease, open_turn: str | None) -> int:
        payload = self._payload(Request((_PROBE,), (), Sampling(max_tokens=1), open_turn, 0))
        return (await client.send(lease, payload)).prompt_tokens

    def _hint(self) -> str:
        if self.server == "swift":
            return "start it with `--external_plugins` and mminf's server plugin (`mminf doctor` prints its path)"
        return "use a newer server, or a local backend"

    def _payload(self, request: Request) -> dict[str, Any]:
        sampling = request.sampling
        payload: dict[str, Any] = {
            "model": self.config.model,
            "messages": [self._message(turn, request) for turn in request.turns],
            "max_tokens": sampling.max_tokens,
            "temperature": sampling.temperature,
        }
        optional = {
            "top_p": sampling.top_p,
            "frequency_penalty": sampling.frequency_penalty or None,
            "presence_penalty": sampling.presence_penalty or None,
            "stop": request.stop or None,
            "seed": request.seed if sampling.temperature > 0 else None,
            "logprobs": sampling.logprobs or None,
        }
        if self.server != "openai":
            # Always sent: these servers take missing values from the model's generation config.
            optional |= explicit_sampling(sampling)
        payload |= {key: value for key, value in optional.items() if value is not None}
        if self.server == "vllm":
            _add_vllm(payload, request)
        elif self.server == "swift":
            _add_swift(payload, request)
        if self.config.reasoning == "off":
            if self.server == "openai":
                payload["reasoning_effort"] = "none"
            else:
                payload["chat_template_kwargs"] = {**payload.get("chat_template_kwargs", {}), "enable_thinking": False}
        return payload

    def _message(self, turn: Turn, request: Request) -> dict[str, Any]:
        content: list[dict[str, Any]] = []
        for part in turn.parts:
            if isinstance(part, ImagePart):
                url = request.images[part.index].views[self.view]
                content.append({"type": "image_url", "image_url": {"url": url}})
            else:
                content.append({"type": "text", "text": self._speakable(part)})
        if all(part["type"] == "text" for part in content):
            return {"role": turn.role, "content": "".join(part["text"] for part in content)}
        return {"role": turn.role, "content": content}

    def _speakable(self, text: str) -> str:
        """Returns a text with a space in each special token; hosted APIs escape them themselves."""
        return text if self.server == "openai" else escape_tokens(break_tags(text))

    def unsupported(self, sampling: Sampling) -> list[str]:
        if self.server == "auto":
            return []  # not known before the server is detected; logged then
        missing = ["ban"] if sampling.ban else []
        if self.server != "vllm" and sampling.min_tokens:
            missing.append("min_tokens")
        if self.server == "openai":
            missing += [name for name in ("top_k", "min_p", "repetition_penalty", "choices") if getattr(sampling, name)]
        return missing

    def _tell_unsupported(self, sampling: Sampling) -> None:
        new = set(self.unsupported(sampling)) - self._told if self.config.server == "auto" else set()
        if new:
            self._told |= new
            url, names = self.config.base_url[0].base, ", sampling.".join(sorted(new))
            log.warning("%s does not support sampling.%s; ignoring it", url, names)


def _check_texts(value: Any, name: str = "") -> None:
    """Raises a hidden error if a text contains an invalid `${...}`, or looks like a key."""
    if isinstance(value, dict):
        for key, item in value.items():
            _check_texts(item, str(key))
    elif isinstance(value, list):
        for item in value:
            _check_texts(item, name)
    elif isinstance(value, str):
        check_variables(value)
        if is_secret_name(name) and "${" not in value:
            raise hidden(f"{name!r} looks like a key, and recipes are stored in journals; write it as `${{NAME}}`")


def _add_vllm(payload: dict[str, Any], request: Request) -> None:
    if request.sampling.min_tokens:
        payload["min_tokens"] = request.sampling.min_tokens
    if request.sampling.choices:
        payload["structured_outputs"] = {"choice": list(request.sampling.choices)}
    if request.open_turn is not None:
        # vLLM cuts the chat after the last message's text, so there must be a text, even if it is empty.
        payload |= {"add_generation_prompt": False, "continue_final_message": True}
        content = payload["messages"][-1]["content"]
        if isinstance(content, list):
            content.append({"type": "text", "text": ""})


def _add_swift(payload: dict[str, Any], request: Request) -> None:
    if request.sampling.choices:
        payload["structured_outputs_regex"] = "|".join(re.escape(choice) for choice in request.sampling.choices)
    if request.open_turn == "user":
        payload["chat_template_kwargs"] = {"mminf": {"open_turn": "user"}, "response_prefix": ""}
