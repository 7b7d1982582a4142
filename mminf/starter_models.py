"""The models of a first recipe: what a server says, and what a local model lacks."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any, NamedTuple

from pydantic import ValidationError

from mminf.backend.base import ModelCheck
from mminf.backend.failures import add_version
from mminf.errors import EngineError, UsageError
from mminf.plugin import discover
from mminf.registry import BACKENDS

_ANSWERS = 10
"""Seconds in which a server should answer."""
_NOT_FOUND = 404


class Server(NamedTuple):
    """What is known of a server.

    Attributes:
        refused: why it can't be used now, or None if it answers and serves the model.
        hooks: it leaves the user's turn open if it is asked to.
    """

    refused: str | None
    hooks: bool = False


def ask_server(url: str, model: str) -> Server:
    """Asks a server for its models.

    Raises:
        UsageError: if the address is not valid.
    """
    config = server_config(url, model)
    try:
        return Server(None, asyncio.run(_leaves_open(config)))
    except TimeoutError:
        return Server(f"{url} has not answered within {_ANSWERS} s")
    except EngineError as error:
        return Server(str(error))


def server_config(url: str, model: str) -> Any:
    """Returns the engine of a model on a server. Raises UsageError if the address is not valid."""
    discover()
    try:
        return BACKENDS.get("openai").Config(backend="openai", base_url=url, model=model)
    except ValidationError as error:  # the message has no address, which may contain a password
        raise UsageError(f"--server: {error.errors()[0]['msg']}") from error


async def _leaves_open(config: Any) -> bool:
    """Returns whether a server leaves the user's turn open: vLLM's does, ms-swift's may have mminf's plugin.

    Raises:
        EngineError: if calls to the server would fail.
    """
    from mminf.backend.client import Client  # imports aiohttp

    client = Client(config)
    try:
        await asyncio.wait_for(client.meet(), _ANSWERS)
        endpoint = next(iter(client.endpoints))
    finally:
        await client.close()
    kind = endpoint.server
    if endpoint.listing == _NOT_FOUND and (added := add_version(endpoint.url)) is not None:
        raise EngineError(f"{endpoint.url} answered 404 to the request for its models; {added}")
    if kind != "swift":
        return kind == "vllm"
    backend = BACKENDS.get("openai")(config)
    try:
        return bool(await asyncio.wait_for(backend.leaves_open(), _ANSWERS))
    except (EngineError, TimeoutError):
        return False
    finally:
        await backend.close()


def check_models(engines: Mapping[str, Mapping[str, Any]]) -> dict[str, ModelCheck]:
    """Returns what the files of local models say about the settings of their engines, by name of the engine.

    Args:
        engines: valid engines, as a recipe has them.
    """
    kinds = {name: (BACKENDS.get(engine["backend"]), engine) for name, engine in engines.items()}
    return {name: kind.check_model(kind.Config.model_validate(engine)) for name, (kind, engine) in kinds.items()}


def with_found_settings(engines: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    """Returns engines with the settings that the files of their models decide, such as `model_type`."""
    return {name: {**engines[name], **check.settings} for name, check in check_models(engines).items()}
