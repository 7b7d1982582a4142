"""`swift` and `llava`: chat datasets."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any, Literal

from pydantic import Field

from mminf.errors import RecordError
from mminf.recipe.config import Names, SinkConfig
from mminf.record import Record, derive_seed
from mminf.sink.base import Sink, plain_text, sink


class ChatConfig(SinkConfig):
    user: str = Field("instruction", description="Field of the user's turn.")
    assistant: str = Field("response", description="Field of the assistant's turn.")
    turns: str | None = Field(
        None, description="Field with a list of turns: one row has them all, `user` and `assistant` are fields of each."
    )
    image_at: Literal["start", "end", "random"] = Field(
        "start", description="Where images stand in the first user's turn; `random` draws it by the record's id."
    )
    placeholders: int = Field(0, ge=0, description="So many `<image>` where a record has no images (Unicorn's rows).")
    id_prefix: str = Field("", description="Put in front of each row's id.")
    system: str | None = Field(None, description="Field of a system turn.")
    columns: Names = Field(default_factory=list, description="More fields to write along.")
    optional: Names = Field(default_factory=list, description="Fields to write along for the records that have them.")
    image_paths: Literal["absolute", "relative"] = Field(
        "absolute", description="`relative` to the folder of the dataset file."
    )


class _Chat(Sink):
    Config = ChatConfig

    @property
    def reads(self) -> frozenset[str]:
        system = [self.config.system] if self.config.system is not None else []
        turns = [self.config.user, self.config.assistant] if self.config.turns is None else [self.config.turns]
        return frozenset([*turns, *system, *self.config.columns])

    def images(self, record: Record) -> list[str]:
        """Returns the record's images as the dataset names them."""
        found = list(record.get("images") or [])
        if self.config.image_paths == "absolute":
            return found
        folder = self.path.parent.resolve()
        return [uri if "://" in uri else os.path.relpath(uri, folder) for uri in found]

    def pairs(self, record: Record, images: int, between: str = "") -> list[tuple[str, str]]:
        """Returns the (user, assistant) turns, with a tag for each image in the first.

        Args:
            between: stands between tags and text.

        Raises:
            RecordError: if the record has no such turns.
        """
        config = self.config
        items = [record.fields] if config.turns is None else record[config.turns]
        if not isinstance(items, list) or not items:
            raise RecordError(f"field {config.turns!r} is no list with turns, but {items!r:.80}")
        found = []
        for number, item in enumerate(items):
            where = "record" if config.turns is None else f"turn {number + 1} of {config.turns!r}"
            if not isinstance(item, Mapping):
                raise RecordError(f"{where} is no object, but {item!r:.80}")
            if missing := [name for name in (config.user, config.assistant) if name not in item]:
                raise RecordError(f"{where} has no field {missing[0]!r}")
            for name in (config.user, config.assistant):
                if item[name] is None or not str(item[name]).strip():
                    raise RecordError(f"{where} has nothing in field {name!r}")
            user, assistant = plain_text(item[config.user]), plain_text(item[config.assistant])
            if number == 0 and (tags := images or config.placeholders):
                user = self._with_tags(user, tags, between, record)
            found.append((user, assistant))
        return found

    def _with_tags(self, text: str, tags: int, between: str, record: Record) -> str:
        at = self.config.image_at
        if at == "end" or (at == "random" and derive_seed("image_at", record.id) % 2):
            return text + f"{between}<image>" * tags
        return f"<image>{between}" * tags + text

    def columns(self, record: Record) -> dict[str, Any]:
        there = [name for name in self.config.optional if name in record.fields]
        return {name: record[name] for name in (*self.config.columns, *there)}


@sink("swift")
class Swift(_Chat):
    """ms-swift's messages: `{id, messages, images}`, one `<image>` in the user's turn for each image.

    Format: ms-swift documentation, "Custom dataset".
    """

    def row(self, record: Record) -> dict[str, Any]:
        images = self.images(record)
        messages = []
        if self.config.system is not None:
            messages.append({"role": "system", "content": plain_text(record[self.config.system])})
        for user, assistant in self.pairs(record, len(images)):
            messages += [{"role": "user", "content": user}, {"role": "assistant", "content": assistant}]
        row: dict[str, Any] = {"id": f"{self.config.id_prefix}{record.id}", "messages": messages}
        if images:
            row["images"] = images
        return row | self.columns(record)


@sink("llava")
class Llava(_Chat):
    """LLaVA's conversations: `{id, image, conversations: [{from, value}]}`; several images become a list."""

    def row(self, record: Record) -> dict[str, Any]:
        images = self.images(record)
        turns = []
        if self.config.system is not None:
            turns.append({"from": "system", "value": plain_text(record[self.config.system])})
        for user, assistant in self.pairs(record, len(images), "\n"):
            turns += [{"from": "human", "value": user}, {"from": "gpt", "value": assistant}]
        row: dict[str, Any] = {"id": f"{self.config.id_prefix}{record.id}"}
        if images:
            row["image"] = images[0] if len(images) == 1 else images
        return row | {"conversations": turns} | self.columns(record)
