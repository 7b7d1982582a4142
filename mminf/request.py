"""Requests to models, and their answers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Self

from pydantic import Field

from mminf.config import Config, Names
from mminf.image import LoadedImage
from mminf.record import Json, canonical_json, json_bytes
from mminf.turns import Turn


class Sampling(Config):
    """Sampling parameters, with vLLM's names and meanings.

    Parameters that are not set are off. A model's own defaults (Qwen2-VL's top-k is 1) are never used, so that a recipe
    means the same on every engine.
    """

    temperature: float = Field(0.0, ge=0, le=2, description="Sampling temperature; 0 is greedy decoding.")
    top_k: int | None = Field(None, description="Sample from the k most probable tokens; `none` or -1: from all.")
    top_p: float | None = Field(
        None, gt=0, le=1, description="Sample from the most probable tokens with this cumulative probability."
    )
    min_p: float | None = Field(
        None, ge=0, le=1, description="Minimum probability of a token, relative to the most probable token."
    )
    repetition_penalty: float | None = Field(
        None, gt=0, description="Values above 1 penalise tokens of the prompt and the output."
    )
    frequency_penalty: float = Field(
        0.0, ge=-2, le=2, description="Subtracted from a token's logit per occurrence in the output."
    )
    presence_penalty: float = Field(
        0.0, ge=-2, le=2, description="Subtracted from a token's logit once if it is in the output."
    )
    max_tokens: int = Field(1024, ge=1, description="Maximum number of new tokens.")
    min_tokens: int = Field(0, ge=0, description="Minimum number of new tokens before the end of the turn.")
    stop: Names = Field(default_factory=list, description="Stop strings; they end the generation.")
    ban: Names = Field(
        default_factory=list,
        description="Banned tokens: `special` (all special tokens except the ends of a turn), `emoji` (every token "
        "that contains or begins an emoji or pictograph), `token:TEXT` (the token with that text).",
    )
    choices: list[str] = Field(
        default_factory=list, description="Constrain the answer to one of these, if the backend supports it."
    )
    logprobs: bool = Field(False, description="Return the log-probability of each sampled token.")

    def model_copy(self, *, update: Mapping[str, object] | None = None, deep: bool = False) -> Self:
        copied = super().model_copy(update=update, deep=deep)
        copied.__dict__.pop("set_values", None)  # pydantic also copies cached values
        return copied

    @cached_property
    def set_values(self) -> str:
        """The parameters that differ from their defaults, as canonical JSON."""
        return canonical_json(self.model_dump(mode="json", exclude_defaults=True)).decode()


def explicit_sampling(sampling: Sampling) -> dict[str, float | int]:
    """Returns the truncations and the repetition penalty, with neutral values for those that are not set."""
    return {
        "top_k": -1 if sampling.top_k is None else sampling.top_k,
        "top_p": 1.0 if sampling.top_p is None else sampling.top_p,
        "min_p": 0.0 if sampling.min_p is None else sampling.min_p,
        "repetition_penalty": 1.0 if sampling.repetition_penalty is None else sampling.repetition_penalty,
    }


@dataclass(frozen=True, slots=True)
class Request:
    """One call of a model.

    Attributes:
        turns: the chat; image parts index `images`.
        images: decoded images.
        open_turn: `user` ends the prompt inside the last user turn, `assistant` inside the answer.
        seed: in [0, 2**31); the answer depends on it if the temperature is above 0.
        ends: stop strings; the step ignores the text after them. The result does not depend on them, so they are not in
            `settings`.
    """

    turns: tuple[Turn, ...]
    images: tuple[LoadedImage, ...]
    sampling: Sampling
    open_turn: str | None
    seed: int
    ends: tuple[str, ...] = ()

    @property
    def stop(self) -> list[str]:
        """All strings that end the generation."""
        return list(dict.fromkeys([*self.sampling.stop, *self.ends]))

    @property
    def shown(self) -> list[LoadedImage]:
        """The images in the order in which the chat shows them; one may be shown twice, or not at all."""
        return [self.images[part.index] for turn in self.turns for part in turn.parts if not isinstance(part, str)]

    def chat(self, digests: bool = False) -> bytes:
        """Returns the chat as JSON: [[role, [part, ...]], ...], an image part as {"image": its URI, or its digest}."""
        chat: list[list[Json]] = []
        for turn in self.turns:
            parts: list[Json] = []
            for part in turn.parts:
                if isinstance(part, str):
                    parts.append(part)
                else:
                    image = self.images[part.index]
                    parts.append({"image": image.digest if digests else image.uri})
            chat.append([turn.role, parts])
        return json_bytes(chat)

    def settings(self) -> bytes:
        """Returns the settings that affect the answer, besides the chat."""
        text = f"[{self.sampling.set_values},{self.open_turn or ''},{self.seed}]"
        return text.encode("utf-8", "surrogatepass")


@dataclass(frozen=True, slots=True)
class Rendered:
    """A prompt as it is sent to the model.

    Attributes:
        text: with special tokens; a run of n equal image tokens is shown once, with its n.
        tokens: number of tokens, with image tokens; None if the backend does not know it.
    """

    text: str
    tokens: int | None


@dataclass(frozen=True, slots=True)
class Generation:
    """The answer of a model.

    Attributes:
        text: the answer, without end tokens and without reasoning.
        finish_reason: `stop` if the answer is complete; `length` if max_tokens cut it off, or if its reasoning is not
            closed; otherwise the server's value (`content_filter`, ...).
        prompt_tokens, completion_tokens: as counted by the backend, with image tokens.
        logprobs: natural log-probability of each sampled token, if the sampling has `logprobs`.
        choice_logprobs: the same for each of `sampling.choices`, normalised over them, if one token separates them.
        vector: of encoders: the embedding, float32, little-endian.
        reasoning: the model's reasoning before the answer; None if there is none.
        seconds: duration of the call, without the wait for a free slot; the engine sets it.
        waited: seconds before that, in which the call waited for the slot.
        in_flight: mean number of calls that the engine had in flight meanwhile; 0 for an answer from the journal.
    """

    text: str
    finish_reason: str
    prompt_tokens: int
    completion_tokens: int
    logprobs: tuple[float, ...] | None = None
    choice_logprobs: tuple[float, ...] | None = None
    vector: bytes | None = None
    reasoning: str | None = None
    seconds: float = field(default=0.0, compare=False)
    waited: float = field(default=0.0, compare=False)
    in_flight: float = field(default=0.0, compare=False)

    def timed(self, seconds: float, waited: float, in_flight: float) -> Generation:
        """Returns the answer with its durations; see the attributes."""
        return Generation(  # five times as fast as `dataclasses.replace`
            self.text,
            self.finish_reason,
            self.prompt_tokens,
            self.completion_tokens,
            self.logprobs,
            self.choice_logprobs,
            self.vector,
            self.reasoning,
            seconds,
            waited,
            in_flight,
        )

    @property
    def complete(self) -> bool:
        """Whether the model ended the answer itself; other answers are truncated or withheld."""
        return self.finish_reason == "stop"
