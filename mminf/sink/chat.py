"""`swift` and `llava`: chat datasets."""

from __future__ import annotations

import itertools
from abc import abstractmethod
from collections.abc import Iterable, Mapping, Sequence, Set
from typing import ClassVar, Literal, cast

from pydantic import Field, model_validator

from mminf.errors import RecordError
from mminf.media import OWN_CHATS, TAG, check_media, count_tags
from mminf.recipe.config import Names
from mminf.record import Record, derive_seed
from mminf.sink.base import json_text, plain_text, sink
from mminf.sink.images import ImagePathsConfig, ImagePathsSink
from mminf.template import images_in

ROLES = ("system", "user", "assistant")
_LLAVA_NAMES = {"user": "human", "assistant": "gpt"}
_ROLE_NAMES = {"human": "user", "gpt": "assistant", "bot": "assistant", "model": "assistant"}
# ms-swift's datasets for agents have tool turns between those of user and assistant.
_SIDES = {
    **dict.fromkeys(("tool", "tool_response", "observation", "function_response"), "user"),
    **dict.fromkeys(("tool_call", "function_call"), "assistant"),
}
_TALKING = frozenset({"user", "assistant"})


class ChatConfig(ImagePathsConfig):
    user: str = Field("instruction", description="Field with the user turn.")
    assistant: str | None = Field(
        "response", description="Field with the assistant turn; `null` for rows that end with the user turn (GRPO)."
    )
    turns: str | None = Field(
        None,
        description="Field with a list of turns, written as one row; `user` and `assistant` are fields of each turn.",
    )
    image_at: Literal["start", "end", "random"] = Field(
        "start",
        description="Position of the images in the first user turn; `random` draws start or end by the record's id.",
    )
    placeholders: int = Field(
        0, ge=0, description="Number of `<image>` tags in rows of records without images (Unicorn)."
    )
    id_prefix: str = Field("", description="Prefix of each row's id.")
    system: str | None = Field(None, description="Field with a system turn.")
    columns: Names = Field(
        default_factory=list, description="Additional fields to write; records without them are left out."
    )
    optional: Names = Field(
        default_factory=list, description="Additional fields to write for the records that have them."
    )
    constants: dict[str, str | int | float | bool] = Field(
        default_factory=dict, description="Columns with the same value in every row, such as {data_source: oasis}."
    )

    @model_validator(mode="after")
    def _alternates(self) -> ChatConfig:
        if self.turns is not None and self.assistant is None:
            raise ValueError("`turns` needs `assistant`: the turns of user and assistant alternate")
        return self


class _Chat(ImagePathsSink):
    config: ChatConfig
    Config = ChatConfig

    @property
    def reads(self) -> frozenset[str]:
        system = [self.config.system] if self.config.system is not None else []
        turns = self._pair_names() if self.config.turns is None else [self.config.turns]
        return frozenset([*turns, *system, *self.config.columns])

    def _pair_names(self) -> list[str]:
        """Returns the fields with the turns of user and assistant, or only the user's."""
        return [name for name in (self.config.user, self.config.assistant) if name is not None]

    def missing(self, fields: frozenset[str]) -> frozenset[str]:
        if self._copies and fields.intersection(OWN_CHATS) and not self._has_pair(fields):
            return frozenset(self.config.columns) - fields
        return super().missing(fields)

    def row(self, record: Record) -> dict[str, object]:
        if self._own_chat(record) is not None:
            return self._copy(record)
        images = self.images(record)
        turns = [(ROLES[0], plain_text(record[self.config.system]))] if self.config.system is not None else []
        for user, assistant in self.pairs(record, len(images)):
            turns += [(ROLES[1], user), *([(ROLES[2], assistant)] if assistant is not None else [])]
        chat = [self._turn(role, text) for role, text in turns]
        row = {"id": f"{self.config.id_prefix}{record.id}"}
        return self.name_rejected(row | self._content(chat, self._named_images(images)) | self.columns(record))

    chat: ClassVar[str]
    between: ClassVar[str] = ""

    @abstractmethod
    def _turn(self, role: str, text: str) -> dict[str, object]:
        """Returns a turn in the format of the dataset."""

    @abstractmethod
    def _content(self, chat: Sequence[object], images: dict[str, object]) -> dict[str, object]:
        """Returns the columns of conversation and images, in the order of the format."""

    @abstractmethod
    def _named_images(self, images: list[str]) -> dict[str, object]:
        """Returns the column with the row's images."""

    @property
    def _copies(self) -> bool:
        """Whether conversations of the source may be written unchanged: not if rows have other turns."""
        return self.config.turns is None and self.config.assistant is not None

    def _has_pair(self, fields: Set[str]) -> bool:
        """Returns whether a step writes the field of user or assistant; columns of the source don't count."""
        pair = fields & set(self._pair_names())
        return bool(pair if self.made is None else pair & self.made)

    def _own_chat(self, record: Record) -> str | None:
        """Returns the column with the record's conversation, if no step writes a new one."""
        if not self._copies or self._has_pair(record.fields.keys()):
            return None
        return next((name for name in OWN_CHATS if isinstance(record.get(name), list)), None)

    def _copy(self, record: Record) -> dict[str, object]:
        """Returns the row of the source, with its conversation and columns.

        Raises:
            RecordError: if tags and media don't match, or the turns are not a conversation.
        """
        name = self._own_chat(record)
        assert name is not None
        said = record[name]
        assert isinstance(said, list)
        try:
            check_media(record.fields)
            turns = read_chat(said)
        except ValueError as error:
            raise RecordError(str(error)) from error
        images = self.images(record)
        apart = (*OWN_CHATS, "images", "image")
        fields: dict[str, object] = {key: value for key, value in record.fields.items() if key not in apart}
        chosen = self.columns(record)
        fields = chosen if self.config.columns or self.config.optional else fields | chosen
        if "id" in record.fields:
            fields = {"id": record.fields["id"], **fields}
        own = record.fields.get("images", record.fields.get("image"))
        shown = self._named_images(images) if images else {}
        if not images and ("images" in record.fields or "image" in record.fields):
            shown = {"images" if "images" in record.fields else "image": own}
        if name != self.chat:
            turns = self._all_tagged(turns, len(images))
        chat: Sequence[object] = said if name == self.chat else [self._turn(role, text) for role, text in turns]
        return self.name_rejected(fields | self._content(chat, shown))

    def _all_tagged(self, turns: list[tuple[str, str]], images: int) -> list[tuple[str, str]]:
        """Returns a conversation with one tag per image; missing tags are added at the start, as in ms-swift."""
        missing = images - count_tags(text for _, text in turns)
        first = next(number for number, (role, _) in enumerate(turns) if role == "user")
        tags = f"{TAG}{self.between}" * missing
        return [(role, tags + text if number == first else text) for number, (role, text) in enumerate(turns)]

    def images(self, record: Record) -> list[str]:
        """Returns the record's images as the dataset names them."""
        return self.name_images(images_in(record.fields))

    def pairs(self, record: Record, images: int) -> list[tuple[str, str | None]]:
        """Returns the (user, assistant) turns, with one tag per image; None if rows have no assistant turn.

        Tags in the texts of the source keep their position. Missing tags are added at the position `image_at`.

        Raises:
            RecordError: if the record has no such turns, or the turns have more tags than the record has images.
        """
        config = self.config
        items = [record.fields] if config.turns is None else record[config.turns]
        if not isinstance(items, list) or not items:
            raise RecordError(f"field {config.turns!r} is not a list of turns, but {items!r:.80}")
        found = [self._pair(item, number) for number, item in enumerate(items, 1)]
        wanted = images or config.placeholders
        tags = sum(user.count(TAG) for user, _ in found)
        if tags > wanted:
            raise RecordError(f"the turns have {tags} {TAG} tags, but the record has {images} images")
        if tags < wanted:
            found[0] = (self._with_tags(found[0][0], wanted - tags, record), found[0][1])
        return found

    def _pair(self, item: object, number: int) -> tuple[str, str | None]:
        """Returns the turns of user and assistant in an item. Raises RecordError if one is missing or empty."""
        names = self._pair_names()
        where = "record" if self.config.turns is None else f"turn {number} of {self.config.turns!r}"
        if not isinstance(item, Mapping):
            raise RecordError(f"{where} is not an object, but {item!r:.80}")
        if missing := [name for name in names if name not in item]:
            raise RecordError(f"{where} has no field {missing[0]!r}")
        for name in names:
            if item[name] is None or not str(item[name]).strip():
                raise RecordError(f"{where}: field {name!r} is empty")
        user, *assistant = (item[name] for name in names)
        return plain_text(user, kept=TAG), plain_text(assistant[0]) if assistant else None

    def _with_tags(self, text: str, tags: int, record: Record) -> str:
        at = self.config.image_at
        if at == "end" or (at == "random" and derive_seed("image_at", record.id) % 2):
            return text + f"{self.between}{TAG}" * tags
        return f"{TAG}{self.between}" * tags + text

    def columns(self, record: Record) -> dict[str, object]:
        there = [name for name in self.config.optional if name in record.fields]
        found: dict[str, object] = {name: record[name] for name in (*self.config.columns, *there)}
        return found | self.config.constants


def read_chat(chat: Iterable[object]) -> list[tuple[str, str]]:
    """Returns (role, text) of each turn of a conversation in either format, with the roles of ms-swift.

    Raises:
        ValueError: if it is not a conversation: an optional system turn, then alternating users and assistants.
    """
    turns = [_read_turn(turn) for turn in chat]
    spoken = [role for role, _ in turns[turns[:1] != [] and turns[0][0] == "system" :]]
    talk = [_SIDES.get(role, role) for role in spoken]
    told = ", ".join(spoken)[:120]
    repeated = any(one == other and one in _TALKING for one, other in itertools.pairwise(spoken))
    if repeated or not _TALKING.issuperset(talk):
        raise ValueError(f"the turns don't alternate between user and assistant: {told}")
    if not talk or talk[0] != "user":
        raise ValueError(f"a conversation must begin with the user: {told or 'no turns'}")
    return turns


def _read_turn(turn: object) -> tuple[str, str]:
    said = turn if isinstance(turn, Mapping) else {}
    role = str(said.get("role", said.get("from")))
    text = said.get("content", said.get("value"))
    return _ROLE_NAMES.get(role, role), text if isinstance(text, str) else json_text(text)


class SwiftConfig(ChatConfig):
    rejected: str | None = Field(
        None,
        description="Field with a worse answer to the last user turn, written as `rejected_response` (DPO).",
    )

    @model_validator(mode="after")
    def _has_better_answer(self) -> SwiftConfig:
        if self.rejected is not None and self.assistant is None:
            raise ValueError("`rejected` needs `assistant`, the better answer")
        return self


@sink("swift")
class Swift(_Chat):
    """ms-swift's messages: `{id, messages, images}`, with `<image>` where an image goes.

    Records with `messages` or `conversations` are written unchanged if no step writes a new pair of turns, with all of
    their columns. Format: ms-swift documentation, "Custom dataset".
    """

    config: SwiftConfig
    Config = SwiftConfig
    chat = "messages"

    def missing(self, fields: frozenset[str]) -> frozenset[str]:
        needed = frozenset([self.config.rejected] if self.config.rejected is not None else [])
        return super().missing(fields) | (needed - fields)

    def row(self, record: Record) -> dict[str, object]:
        row = super().row(record)
        if self.config.rejected is None:
            return row
        rejected = plain_text(record[self.config.rejected])
        chosen = read_chat(cast(Iterable[object], row[self.chat]))[-1][1]
        if not rejected.strip():
            raise RecordError(f"field {self.config.rejected!r} is empty")
        if rejected.strip() == chosen.strip():
            raise RecordError(f"field {self.config.rejected!r} is the same text as the answer")
        return row | {"rejected_response": rejected}

    def _turn(self, role: str, text: str) -> dict[str, object]:
        return {"role": role, "content": text}

    def _content(self, chat: Sequence[object], images: dict[str, object]) -> dict[str, object]:
        return {self.chat: chat} | images

    def _named_images(self, images: list[str]) -> dict[str, object]:
        return {"images": images} if images else {}


@sink("llava")
class Llava(_Chat):
    """LLaVA's conversations: `{id, image, conversations: [{from, value}]}`; several images become a list.

    Records with `conversations` or `messages` are written unchanged if no step writes a new pair of turns, with all of
    their columns.
    """

    chat = "conversations"
    between = "\n"

    def _turn(self, role: str, text: str) -> dict[str, object]:
        return {"from": _LLAVA_NAMES.get(role, role), "value": text}

    def _content(self, chat: Sequence[object], images: dict[str, object]) -> dict[str, object]:
        return images | {self.chat: chat}

    def _named_images(self, images: list[str]) -> dict[str, object]:
        return {"image": images[0] if len(images) == 1 else images} if images else {}
