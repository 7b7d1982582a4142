"""Server addresses in recipes, and the headers, query parameters and proxy of calls to them."""

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
_FORM = "an address must have the form http://host:port/v1 or https://host/v1"
_KEEP_OUT = "an address must not contain {}, because recipes are stored in journals; use api_key_env"
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
            raise hidden("must be a mapping from names to strings")
        return {str(name): str(value) for name, value in values.items() if value is not None}

    @field_validator("headers", "query")
    @classmethod
    def _no_secrets(cls, values: dict[str, str]) -> dict[str, str]:
        for name, value in values.items():
            check_variables(value)
            if (is_secret_name(name) or value.lower().startswith(("bearer ", "basic "))) and not _VARIABLE.search(
                value
            ):
                raise hidden(f"{name!r} looks like a key, and recipes are stored in journals; write it as `${{NAME}}`")
        return values

    @field_validator("headers")
    @classmethod
    def _valid_headers(cls, values: dict[str, str]) -> dict[str, str]:
        for name, value in values.items():
            if not _HEADER.fullmatch(name) or name.lower() in _OURS:
                raise hidden(f"can't set header {name[:60]!r}: the name is invalid, or mminf sets it")
            if not value.isprintable():
                raise hidden(f"the value of {name!r} contains a control character")
        return values


class EndpointConfig(ServerConfig):
    """An address with its own settings. In recipes, an address without settings is a string."""

    shorthand: ClassVar[str | None] = "url"
    url: str = Field(description="http://host:port/v1 or https://host/v1.")
    max_concurrency: int | None = Field(None, ge=1, description="Maximum number of calls in flight at this address.")
    api_key_env: str | None = Field(None, description="Environment variable with its key; default: the engine's.")

    @model_validator(mode="before")
    @classmethod
    def _from_address(cls, value: Any) -> Any:
        return {"url": value} if isinstance(value, str) else value

    @model_serializer(mode="wrap")
    def _to_address(self, dump: SerializerFunctionWrapHandler) -> Any:
        """Returns a string if only the URL is set, so that digests of recipes do not change."""
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
            raise hidden(_FORM) from error
        if parts.scheme not in ("http", "https") or not parts.hostname or not url.isprintable() or "\\" in url:
            raise hidden(_FORM)
        if "@" in parts.netloc:
            raise hidden(_KEEP_OUT.format("a user or password"))
        if found := [name for name, _ in parse_qsl(parts.query) if is_secret_name(name)]:
            raise hidden(_KEEP_OUT.format(f"a key ({found[0]!r})"))
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
    """Returns a validation error that does not show the value, which may be a key."""
    return PydanticCustomError(HIDDEN_INPUT, "{message}", {"message": message})


def check_variable(name: str) -> str:
    """Returns the name of an environment variable. Raises a hidden error if it looks like a key."""
    long = len(name) >= 16 and any(char.isdigit() for char in name)
    looks_random = long and (any(char.islower() for char in name) or "_" not in name)
    if not _NAME.fullmatch(name) or looks_random:
        raise hidden("must be the name of an environment variable (OPENAI_API_KEY), not the key itself")
    return name


def check_variables(text: str) -> None:
    """Raises a hidden error if a `${...}` in a text does not contain the name of an environment variable."""
    for name in _VARIABLE.findall(text):
        if not _NAME.fullmatch(name):
            raise hidden("`${...}` must contain the name of an environment variable")


def fill_in(value: Any, what: str) -> Any:
    """Returns a value with each `${NAME}` in its strings replaced. The inserted values are kept secret.

    Args:
        what: name of the setting, for errors.

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
        raise EngineError(f"the environment variable {name}, for `{what}`, contains a line break or control character")
    return value


def key_headers(url: str, key_env: str) -> dict[str, str]:
    """Returns the header with the key for an address, or no header if the variable is not set.

    Raises:
        EngineError: if a header can't contain the key.
    """
    key = (read_secret(key_env) or "").strip()
    if not key:
        return {}
    if not key.isascii() or not key.isprintable():
        raise EngineError(f"the environment variable {key_env} contains characters that are not allowed in a header")
    parts = urlsplit(url)
    if _AZURE.search(parts.hostname or "") or "/openai/deployments/" in parts.path:
        return {"api-key": key}
    return {"Authorization": f"Bearer {key}"}


def find_proxy(url: str) -> str | None:
    """Returns the proxy for an address from HTTP_PROXY, HTTPS_PROXY, ALL_PROXY and NO_PROXY, or None.

    Local addresses never use a proxy, even if NO_PROXY does not list them: `vllm serve` on the same machine is common.

    Raises:
        EngineError: if the proxy's scheme is not http or https.
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
            f"the proxy for {host} from the environment is not http:// or https://; set another one in "
            f"{parts.scheme.upper()}_PROXY, or add {host} to NO_PROXY"
        )
    return found.geturl()
