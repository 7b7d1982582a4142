"""`swift` and `llava`: chat datasets."""

from __future__ import annotations

import os
from typing import Any, Literal

from pydantic import Field

from mminf.recipe.config import Names, SinkConfig
from mminf.record import Record
from mminf.sink.base import Sink, plain_text, sink


class ChatConfig(SinkConfig):
    user: str = Field("instruction", description="Field of the user's turn.")
    assistant: str = Field("response", description="Field of the assistant's turn.")
    system: str | None = Field(None, description="Field of a system turn.")
    columns: Names = Field(default_factory=list, description="More fields to write along.")
    image_paths: Literal["absolute", "relative"] = Field(
        "absolute", description="`relative` to the folder of the dataset file."
    )


class _Chat(Sink):
    Config = ChatConfig

    @property
    def reads(self) -> frozenset[str]:
        system = [self.config.system] if self.config.system is not None else []
        return frozenset([self.config.user, self.config.assistant, *system, *self.config.columns])

    def images(self, record: Record) -> list[str]:
        """Returns the record's images as the dataset names them."""
        found = list(record.get("images") or [])
        if self.config.image_paths == "absolute":
            return found
        folder = self.path.parent.resolve()
        return [uri if "://" in uri else os.path.relpath(uri, folder) for uri in found]

    def columns(self, record: Record) -> dict[str, Any]:
        return {name: record[name] for name in self.config.columns}


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
        user = "<image>" * len(images) + plain_text(record[self.config.user])
        messages.append({"role": "user", "content": user})
        messages.append({"role": "assistant", "content": plain_text(record[self.config.assistant])})
        row: dict[str, Any] = {"id": record.id, "messages": messages}
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
        user = "<image>\n" * len(images) + plain_text(record[self.config.user])
        turns.append({"from": "human", "value": user})
        turns.append({"from": "gpt", "value": plain_text(record[self.config.assistant])})
        row: dict[str, Any] = {"id": record.id}
        if images:
            row["image"] = images[0] if len(images) == 1 else images
        return row | {"conversations": turns} | self.columns(record)
