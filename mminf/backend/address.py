"""Addresses of servers as recipes have them, and what a call to one carries: headers, query, proxy."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, ClassVar
from urllib.parse import parse_qsl, urlsplit
from urllib.request import getproxies, proxy_bypass

from pydantic import Field, SerializerFunctionWrapHandler, field_validator, model_serializer, model_validator
from pydantic_core import PydanticCustomError

from mminf.config import HIDDEN_INPUT, Config
from mminf.errors import EngineError
from mminf.redact import is_secret_name, keep_secret, read_secret

_VARIABLE = re.compile(r"\$\{([^{}]*)\}")
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_HEADER = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")
_LOCAL = frozenset({"localhost", "127.0.0.1", "::1", "0.0.0.0"})  # noqa: S104 (as an address to call)
_AZURE = re.compile(r"\.azure\.(?:com|us|cn)$")
KEY_HEADERS = frozenset({"authorization", "api-key", "x-api-key"})
_OURS = frozenset({"content-type", "content-length", "host", "accept-encoding", "transfer-encoding"})


class ServerConfig(Config):
    """HTTP headers and query parameters of an engine or of one of its addresses."""

    headers: dict[str, str] = Field(
        default_factory=dict,
        description="Additional HTTP headers. `${NAME}` is replaced by the environment variable, whose value is never "
        "stored.",
    )
    query: dict[str, str] = Field(
        default_factory=dict,
        description="Query parameters of the address (Azure's `api-version`); `${NAME}` works as in `headers`.",
    )

    @field_validator("headers", "query", mode="before")
    @classmethod
    def _texts(cls, values: Any) -> Any:
        if not isinstance(values, Mapping):
            raise hidden("a mapping of names to texts")
        return {str(name): str(value) for name, value in values.items() if value is not None}

    @field_validator("headers", "query")
    @classmethod
    def _no_secrets(cls, values: dict[str, str]) -> dict[str, str]:
        for name, value in values.items():
            check_variables(value)
            if (is_secret_name(name) or value.lower().startswith(("bearer ", "basic "))) and not _VARIABLE.search(
                value
            ):
                raise hidden(f"{name!r} looks like a key, and recipes are kept in journals; write it as `${{NAME}}`")
        return values

    @field_validator("headers")
    @classmethod
    def _valid_headers(cls, values: dict[str, str]) -> dict[str, str]:
        for name, value in values.items():
            if not _HEADER.fullmatch(name) or name.lower() in _OURS:
                raise hidden(f"{name[:60]!r} is not a header that can be set")
            if not value.isprintable():
                raise hidden(f"the value of {name!r} has a control character")
        return values


class EndpointConfig(ServerConfig):
    """An address with settings of its own. In recipes a bare address will do."""

    shorthand: ClassVar[str | None] = "url"
    url: str = Field(description="http://host:port/v1 or https://host/v1.")
    max_concurrency: int | None = Field(None, ge=1, description="Maximum number of calls in flight at this address.")
    api_key_env: str | None = Field(None, description="Variable that holds its key; by default the engine's.")

    @model_validator(mode="before")
    @classmethod
    def _from_address(cls, value: Any) -> Any:
        return {"url": value} if isinstance(value, str) else value

    @model_serializer(mode="wrap")
    def _to_address(self, dump: SerializerFunctionWrapHandler) -> Any:
        """Bare again, so that journals and digests of recipes with bare addresses stay what they were."""
        if self.max_concurrency is None and self.api_key_env is None and not self.headers and not self.query:
            return self.url
        return {name: value for name, value in dump(self).items() if name not in ("headers", "query") or value}

    @field_validator("url")
    @classmethod
    def _check_url(cls, url: str) -> str:
        try:
            parts = urlsplit(url)
            _ = parts.port
        except ValueError as error:
            raise hidden("an address is http://host:port/v1 or https://host/v1") from error
        if parts.scheme not in ("http", "https") or not parts.hostname or not url.isprintable() or "\\" in url:
            raise hidden("an address is http://host:port/v1 or https://host/v1")
        if "@" in parts.netloc:
            raise hidden("an address holds no user or password, since recipes are kept in journals; use api_key_env")
        if found := [name for name, _ in parse_qsl(parts.query) if is_secret_name(name)]:
            raise hidden(f"an address holds no key ({found[0]!r}), since recipes are kept in journals; use api_key_env")
        return url

    @field_validator("api_key_env")
    @classmethod
    def _check_variable(cls, name: str | None) -> str | None:
        return name if name is None else check_variable(name)

    @property
    def base(self) -> str:
        """The address without its query."""
        return self.url.partition("#")[0].partition("?")[0].rstrip("/")

    @property
    def own_query(self) -> dict[str, str]:
        """The parameters of the address and of `query`."""
        return {**dict(parse_qsl(urlsplit(self.url).query, keep_blank_values=True)), **self.query}


def hidden(message: str) -> PydanticCustomError:
    """Returns a validation error that is told without the value: it may be a key."""
    return PydanticCustomError(HIDDEN_INPUT, "{message}", {"message": message})


def check_variable(name: str) -> str:
    """Returns the name of an environment variable. Raises a hidden error if it looks like a key."""
    long = len(name) >= 16 and any(char.isdigit() for char in name)
    looks_random = long and (any(char.islower() for char in name) or "_" not in name)
    if not _NAME.fullmatch(name) or looks_random:
        raise hidden("takes the name of an environment variable (OPENAI_API_KEY), never the key itself")
    return name


def check_variables(text: str) -> None:
    """Raises a hidden error if a `${...}` in a text names no environment variable."""
    for name in _VARIABLE.findall(text):
        if not _NAME.fullmatch(name):
            raise hidden("`${...}` takes the name of an environment variable")


def fill_in(value: Any, what: str) -> Any:
    """Returns a value with every `${NAME}` in its texts replaced, whose values stay secret.

    Args:
        what: the setting, for errors.

    Raises:
        EngineError: if a variable is not set.
    """
    if isinstance(value, Mapping):
        return {key: fill_in(item, f"{what}.{key}") for key, item in value.items()}
    if isinstance(value, list):
        return [fill_in(item, what) for item in value]
    return _VARIABLE.sub(lambda match: _read(match[1], what), value) if isinstance(value, str) else value


def _read(name: str, what: str) -> str:
    if (value := read_secret(name)) is None:
        raise EngineError(f"`{what}` needs the environment variable {name}, which is not set")
    if not value.isprintable():
        raise EngineError(f"the environment variable {name}, for `{what}`, has a line break or control character")
    return value


def key_headers(url: str, key_env: str) -> dict[str, str]:
    """Returns the header with the key of an address; none if its variable is not set.

    Raises:
        EngineError: if the key can't be sent.
    """
    key = (read_secret(key_env) or "").strip()
    if not key:
        return {}
    if not key.isascii() or not key.isprintable():
        raise EngineError(f"the environment variable {key_env} holds no key: it has characters that no header takes")
    parts = urlsplit(url)
    if _AZURE.search(parts.hostname or "") or "/openai/deployments/" in parts.path:
        return {"api-key": key}
    return {"Authorization": f"Bearer {key}"}


def find_proxy(url: str) -> str | None:
    """Returns the proxy of an address by the environment (HTTP_PROXY, HTTPS_PROXY, ALL_PROXY, NO_PROXY), or None.

    This machine is reached without one, whatever NO_PROXY says: `vllm serve` beside a run is the common case.

    Raises:
        EngineError: if it is a proxy of a kind that is not supported.
    """
    parts = urlsplit(url)
    host = parts.hostname or ""
    if host in _LOCAL or host.endswith(".localhost") or proxy_bypass(parts.netloc):
        return None
    proxies = getproxies()
    proxy = proxies.get(parts.scheme) or proxies.get("all")
    if not proxy:
        return None
    user, at, _ = proxy.partition("://")[2 if "://" in proxy else 0].rpartition("@")
    if at:  # before it is parsed: a password may have any character
        keep_secret(user)
        keep_secret(user.partition(":")[2])
    found = urlsplit(proxy if "://" in proxy else f"http://{proxy}")
    if found.scheme not in ("http", "https") or not found.hostname:
        raise EngineError(
            f"the environment's proxy for {host} is not http:// or https://; name another in "
            f"{parts.scheme.upper()}_PROXY, or {host} in NO_PROXY"
        )
    return found.geturl()
