"""`openai`: any server that speaks OpenAI's chat protocol (`swift deploy`, `vllm serve`, a hosted API).

The client is aiohttp, which ms-swift's own client uses too: per call it costs a tenth of what the openai package
or httpx cost (docs/design.md has the figures).
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import random
import re
from typing import TYPE_CHECKING, Any, ClassVar, Literal
from urllib.parse import urlsplit

import orjson
from pydantic import Field, field_validator

from mminf.backend.base import Backend, backend, shorten
from mminf.backend.scripted import show_chat
from mminf.config import Names
from mminf.errors import EngineError, RequestError
from mminf.image import View
from mminf.recipe.config import EngineConfig
from mminf.record import json_bytes
from mminf.request import Generation, Rendered, Request, Sampling, spelled_out
from mminf.text import ImagePart, Turn, defuse

if TYPE_CHECKING:
    import aiohttp

log = logging.getLogger("mminf")
_PASSING = frozenset({408, 409, 429, 500, 502, 503, 504})
# Special tokens as most vocabularies spell them, and the tags that ms-swift's servers read as media, as files even.
_UNSPEAKABLE = re.compile(r"<\|[^<>|\s]{1,40}\|>|</?s>|</?(?:image|video|audio|img|bbox|ref-object|start-image)>", re.I)
_PROBE = Turn("user", ("ab12",))


class OpenAIConfig(EngineConfig):
    base_url: Names = Field(
        default_factory=lambda: ["http://127.0.0.1:8000/v1"],
        description="One address or several; several share the calls, the least busy first.",
    )
    api_key_env: str = Field("OPENAI_API_KEY", description="Environment variable that holds the key; never the key.")
    server: Literal["auto", "openai", "vllm", "swift"] = Field(
        "auto", description="What answers: decides which settings it understands. `auto` asks the server."
    )
    max_pixels: int | None = Field(None, ge=1, description="Larger images are scaled down before they are sent.")
    timeout: float = Field(600, gt=0, description="Seconds for one call.")
    retries: int = Field(6, ge=0, description="How often a call is sent again after a passing failure.")

    @field_validator("base_url")
    @classmethod
    def _no_secrets(cls, urls: list[str]) -> list[str]:
        for url in urls:
            parts = urlsplit(url)
            if parts.scheme not in ("http", "https") or not parts.hostname:
                raise ValueError("an address is http://host:port/v1 or https://host/v1")
            if parts.username or parts.password or parts.query:
                raise ValueError(
                    "an address holds no password or query, since recipes are kept in journals; use api_key_env"
                )
        return urls


class _Endpoint:
    def __init__(self, url: str) -> None:
        from yarl import URL

        self.url = url.rstrip("/")
        self.chat = URL(f"{self.url}/chat/completions")
        self.busy = 0
        self.server = "openai"


@backend("openai")
class OpenAIBackend(Backend):
    """A client of servers that speak OpenAI's chat protocol."""

    Config: ClassVar[type[EngineConfig]] = OpenAIConfig
    constrains = True

    def __init__(self, config: Any) -> None:
        super().__init__(config)
        self.view = View("url", config.max_pixels)
        self.server: str = config.server
        self._endpoints = [_Endpoint(url) for url in config.base_url]
        self._session: aiohttp.ClientSession | None = None
        self._opening = asyncio.Lock()
        self._open_turn_checked = False
        self._told: set[str] = set()

    @classmethod
    def check_open_turn(cls, config: Any) -> None:
        if config.server == "openai":
            raise ValueError(
                "a prompt can't be left open over a plain OpenAI server; use `swift deploy` with mminf's server plugin "
                "(docs/servers.md), `vllm serve`, or a local backend"
            )

    def capacity(self) -> int:
        return int(self.config.max_concurrency or 128 * len(self._endpoints))

    async def generate(self, request: Request) -> Generation:
        session = await self._open()
        self._tell_unsupported(request.sampling)
        if request.open_turn == "user":
            await self._check_open_turn(session)
        return _read(await self._post(session, self._payload(request)))

    def render(self, request: Request) -> Rendered:
        return Rendered(show_chat(request.turns, request.open_turn), None)

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def _open(self) -> aiohttp.ClientSession:
        if self._session is not None:
            return self._session
        import aiohttp  # here and below: a recipe that is only checked should not wait for it

        async with self._opening:
            if self._session is None:
                headers = {"Content-Type": "application/json"}
                if key := os.environ.get(self.config.api_key_env):
                    headers["Authorization"] = f"Bearer {key}"
                session = aiohttp.ClientSession(
                    connector=aiohttp.TCPConnector(limit=0),
                    timeout=aiohttp.ClientTimeout(total=self.config.timeout),
                    headers=headers,
                    cookie_jar=aiohttp.DummyCookieJar(),
                )
                try:
                    await self._meet(session)
                except BaseException:
                    await session.close()
                    raise
                self._session = session
        return self._session

    async def _meet(self, session: aiohttp.ClientSession) -> None:
        """Asks each server what it is and whether it has the model. Raises EngineError if one can't be reached."""
        import aiohttp

        for endpoint in self._endpoints:
            try:
                async with session.get(f"{endpoint.url}/models", timeout=aiohttp.ClientTimeout(total=30)) as response:
                    listing = await response.json(content_type=None) if response.status == 200 else {}
                    if response.status in (401, 403):
                        raise EngineError(
                            f"{endpoint.url} refuses the key ({response.status}); put it into the environment variable "
                            f"{self.config.api_key_env}"
                        )
            except (aiohttp.ClientError, TimeoutError, ValueError) as error:
                raise EngineError(
                    f"model {self.config.model!r}: no server answers at {endpoint.url} ({shorten(error)}); "
                    "start it, or correct the engine's `base_url`"
                ) from error
            models = [item for item in (listing or {}).get("data", []) if isinstance(item, dict)]
            names = [str(item.get("id")) for item in models]
            if names and self.config.model not in names:
                raise EngineError(f"{endpoint.url} serves {', '.join(names[:8])}, not {self.config.model!r}")
            owner = str(models[0].get("owned_by", "")) if models else ""
            endpoint.server = {"vllm": "vllm", "swift": "swift", "ms-swift": "swift"}.get(owner, "openai")
        if self.config.server == "auto":
            kinds = {endpoint.server for endpoint in self._endpoints}
            if len(kinds) > 1:
                raise EngineError(
                    f"model {self.config.model!r}: its servers are of several kinds ({', '.join(sorted(kinds))}); "
                    "give each kind an engine of its own, or say which kind they are with `server`"
                )
            self.server = kinds.pop()

    async def _check_open_turn(self, session: aiohttp.ClientSession) -> None:
        """Compares token counts of a closed and an open prompt, so that no server answers a full one in silence."""
        if not self._open_turn_checked:
            async with self._opening:
                await self._check_open_turn_once(session)

    async def _check_open_turn_once(self, session: aiohttp.ClientSession) -> None:
        if self._open_turn_checked:  # another call was first
            return
        try:
            self.check_open_turn(self.config.model_copy(update={"server": self.server}))
        except ValueError as error:
            raise EngineError(str(error)) from error
        for endpoint in list(self._endpoints):
            await self._probe_open_turn(session, endpoint)
        self._open_turn_checked = True

    async def _probe_open_turn(self, session: aiohttp.ClientSession, endpoint: _Endpoint) -> None:
        counts = []
        for open_turn in (None, "user"):
            payload = self._payload(Request((_PROBE,), (), Sampling(max_tokens=1), open_turn, 0))
            counts.append(_read(await self._post(session, payload, endpoint)).prompt_tokens)
        if counts[1] >= counts[0]:
            hint = (
                "start it with `--external_plugins` and mminf's server plugin (`mminf doctor` prints its path)"
                if self.server == "swift"
                else "use a newer server, or a local backend"
            )
            raise EngineError(f"{endpoint.url} does not leave the user's turn open; {hint}")

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
            "stop": list(sampling.stop) or None,
            "seed": request.seed if sampling.temperature > 0 else None,
            "logprobs": sampling.logprobs or None,
        }
        if self.server != "openai":
            # Spelled out, since these servers fill gaps from the model's own generation config.
            optional |= spelled_out(sampling)
        payload |= {key: value for key, value in optional.items() if value is not None}
        if self.server == "vllm":
            _add_vllm(payload, request)
        elif self.server == "swift":
            _add_swift(payload, request)
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
        """Breaks special tokens in a text by a space; hosted APIs see to that themselves."""
        return text if self.server == "openai" else _UNSPEAKABLE.sub(defuse, text)

    def unsupported(self, sampling: Sampling) -> list[str]:
        if self.server == "auto":
            return []  # not known before the server is asked; it is said then
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
            log.warning(
                "%s can't be told sampling.%s; it runs without", self._endpoints[0].url, ", sampling.".join(sorted(new))
            )

    def _least_busy(self) -> _Endpoint:
        endpoint = min(self._endpoints, key=lambda item: item.busy)
        # Equal loads go round, else the first of several idle servers would get everything.
        self._endpoints.append(self._endpoints.pop(self._endpoints.index(endpoint)))
        return endpoint

    async def _post(
        self, session: aiohttp.ClientSession, payload: dict[str, Any], only: _Endpoint | None = None
    ) -> dict[str, Any]:
        import aiohttp

        body = json_bytes(payload, "replace")
        failure = ""
        for attempt in range(self.config.retries + 1):
            endpoint = only or self._least_busy()
            endpoint.busy += 1
            wait: float | None = None
            try:
                async with session.post(endpoint.chat, data=body) as response:
                    content = await response.read()
                    if response.status == 200:
                        answer: dict[str, Any] = _parse(content)
                        return answer
                    text = " ".join(content.decode("utf-8", "replace").split())
                    failure = f"{endpoint.url} answered {response.status}: {text[:300]}"
                    if response.status not in _PASSING:
                        raise RequestError(failure)
                    wait = _retry_after(response.headers.get("Retry-After"))
            except (aiohttp.ClientError, TimeoutError, ValueError) as error:
                failure = f"{endpoint.url}: {shorten(error)}"
            finally:
                endpoint.busy -= 1
            if attempt < self.config.retries:
                await asyncio.sleep(wait if wait is not None else backoff(attempt))
        raise RequestError(f"{failure} (sent {self.config.retries + 1} times)")


def backoff(attempt: int, *, base: float = 0.5, top: float = 30.0) -> float:
    """Returns seconds to wait before the next try: exponential with full jitter."""
    return random.uniform(0, min(top, base * 2**attempt))


def _retry_after(value: str | None) -> float | None:
    try:
        return min(120.0, float(value)) if value is not None else None
    except ValueError:
        return None


def _add_vllm(payload: dict[str, Any], request: Request) -> None:
    if request.sampling.min_tokens:
        payload["min_tokens"] = request.sampling.min_tokens
    if request.sampling.choices:
        payload["structured_outputs"] = {"choice": list(request.sampling.choices)}
    if request.open_turn is not None:
        # The chat is cut behind the last message's text, so there must be one, if only an empty one.
        payload |= {"add_generation_prompt": False, "continue_final_message": True}
        content = payload["messages"][-1]["content"]
        if isinstance(content, list):
            content.append({"type": "text", "text": ""})


def _add_swift(payload: dict[str, Any], request: Request) -> None:
    if request.sampling.choices:
        payload["structured_outputs_regex"] = "|".join(re.escape(choice) for choice in request.sampling.choices)
    if request.open_turn == "user":
        payload["chat_template_kwargs"] = {"mminf": {"open_turn": "user"}, "response_prefix": ""}


def _parse(content: bytes) -> Any:
    try:
        return orjson.loads(content)
    except ValueError:  # some servers write NaN or Infinity as log-probability
        return json.loads(content)


def _text(content: Any) -> str:
    """Some servers answer with a list of parts."""
    if isinstance(content, list):
        return "".join(str(part.get("text", "")) for part in content if isinstance(part, dict))
    if content is None or isinstance(content, str):
        return content or ""
    raise ValueError(f"content is {type(content).__name__}")


def _read(answer: dict[str, Any]) -> Generation:
    try:
        choice = answer["choices"][0]
        usage = answer.get("usage") or {}
        logprobs = None
        if choice.get("logprobs"):
            logprobs = tuple(float(token["logprob"]) for token in choice["logprobs"]["content"])
        return Generation(
            text=_text(choice["message"]["content"]),
            finish_reason=str(choice.get("finish_reason") or "stop"),
            prompt_tokens=int(usage.get("prompt_tokens") or 0),
            completion_tokens=int(usage.get("completion_tokens") or 0),
            logprobs=logprobs,
        )
    except (KeyError, IndexError, TypeError, ValueError) as error:
        raise RequestError(f"the server's answer has no text: {str(answer)[:300]}") from error
