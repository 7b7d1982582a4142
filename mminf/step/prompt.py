"""Base of the steps that call a model with a template: prompt, images, sampling."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import PurePath
from typing import Annotated, TypeVar

from pydantic import BeforeValidator, Field

from mminf.answer.echo import Echo
from mminf.config import Config
from mminf.errors import RecordError, UnusableAnswer
from mminf.language import Language, language_of
from mminf.media import TAG
from mminf.recipe.config import EngineConfig, Sampling, StepConfig
from mminf.recipe.model import TemplateFolders
from mminf.record import Json, Record
from mminf.request import Generation
from mminf.step.base import Step
from mminf.step.context import Context
from mminf.template import Shown, Template, images_in
from mminf.turns import REST, Draft, ImagePart, Place, Turn, name_tags, place_images, split_tags

RETRY_TEMPERATURE = 0.7
"""Temperature of retries of a greedy call, which would return the same answer again."""


class PromptConfig(StepConfig):
    """The keys of every step that calls a model with a template."""

    engine: str = Field(description="Engine that is called.")
    template: str | None = Field(None, description="Template file; {{ images }} is the position of the images.")
    prompt: str | None = Field(None, description="Text of the template, instead of a file.")
    languages: list[Language] = Field(
        default_factory=list,
        description="Languages with a template of their own, next to `template`: with `zh`, `NAME.zh.jinja` is used "
        "for records whose texts in the template are Chinese.",
    )
    system: str | None = Field(
        None, description="System turn; '' for none. By default the model's own default is used."
    )
    images: Shown | None = Field(
        None,
        description="Show the record's images: with `true`, a record without images fails; `optional` shows the "
        "images, if there are any. The default depends on the template: `true` if it prints `images`.",
    )
    sampling: Sampling = Field(default_factory=lambda: Sampling(), description="Sampling parameters.")
    failure: str | None = Field(
        None,
        description="Field for the reason if no attempt gives a usable answer; the record then continues without the "
        "fields that the step writes. By default the record fails.",
    )


P = TypeVar("P", bound=PromptConfig)


class PromptStep(Step[P]):
    """Base of the steps that render a template, call a model and read its answer."""

    default_prompt: str | None = None

    def __init__(self, config: P, folders: TemplateFolders) -> None:
        super().__init__(config, folders)
        if config.template is not None and config.prompt is not None:
            raise ValueError(
                "give either `template` or `prompt`, not both (`template: null` removes that of a bundled recipe)"
            )
        self.template = self._find_template(config, folders)
        self.translations = {language: self._translation(language, folders) for language in config.languages}

    def _find_template(self, config: P, folders: TemplateFolders) -> Template:
        if config.template is not None:
            return folders.template(config.template)
        text = config.prompt if config.prompt is not None else self.default_prompt
        if text is None:
            raise ValueError("key 'template' (a file) or 'prompt' (a text) is missing")
        return Template(text)

    def _translation(self, language: Language, folders: TemplateFolders) -> Template:
        if self.config.template is None:
            raise ValueError("`languages` needs a `template` file")
        found = folders.template(translated_name(self.config.template, language))
        if found.uses != self.template.uses:
            differ = ", ".join(sorted(found.uses ^ self.template.uses))
            raise ValueError(f"{found.name} shows other fields than {self.template.name}: {differ}")
        return found

    @cached_property
    def ends(self) -> Sequence[str]:
        """Stop strings; the step reads nothing after them."""
        found: Sequence[str] = getattr(self.config, "ends", ())
        return found

    @cached_property
    def echo(self) -> Echo:
        """Finds parts of the templates in an answer."""
        templates = [self.template, *self.translations.values()]
        return Echo((text for found in templates for text in found.texts), *(found.source for found in templates))

    @property
    def constants(self) -> Mapping[str, Json]:
        """What the prompt shows besides the record's fields, such as settings of the step: name -> value.

        A constant hides the record's field of its name.
        """
        return {}

    @property
    def shown(self) -> Shown:
        """Whether the prompt shows the record's images."""
        return self.template.shown if self.config.images is None else self.config.images

    @property
    def reads(self) -> frozenset[str]:
        needed = frozenset(["images"]) if self.shown is True else frozenset()
        return super().reads | (self.template.reads - {"images"} - self.constants.keys()) | needed

    @property
    def uses(self) -> frozenset[str]:
        shown = frozenset(["images"]) if self.shown else frozenset()
        return self.reads | (self.template.uses - self.constants.keys()) | shown

    def check_engine(self, backend: object, config: EngineConfig) -> None:
        if getattr(backend, "embeds", False):
            raise ValueError(f"engine {self.config.engine!r} ({config.backend}) makes embeddings, not text")

    def describe(self) -> dict[str, Json]:
        described = {**super().describe(), "template": self.template.source}
        if self.translations:
            described["translations"] = {language: found.source for language, found in self.translations.items()}
        return described

    def turns(self, record: Record) -> tuple[Turn, ...]:
        """Returns the chat for a record. Raises RecordError if the template can't be rendered."""
        drafts = self.drafts(record)
        if not drafts:
            raise RecordError(f"step {self.name}: the prompt is empty for this record")
        return with_system(place_images(drafts, len(images_in(record.fields))), self.config.system)

    def drafts(self, record: Record) -> tuple[Draft, ...]:
        """Returns the chat with places that are not resolved to images yet."""
        return self.draft_for(record.fields)

    def draft_for(self, fields: Mapping[str, object]) -> tuple[Draft, ...]:
        """Returns the chat for fields: in their language, if the template has a translation."""
        shown = {**fields, **self.constants}
        return self._template_for(shown).draft(shown, self.config.images)

    def render_for(self, fields: Mapping[str, object]) -> tuple[Turn, ...]:
        """Like `draft_for`, with the images in their places."""
        shown = {**fields, **self.constants}
        return self._template_for(shown).render(shown, self.config.images)

    def _template_for(self, fields: Mapping[str, object]) -> Template:
        if not self.translations:
            return self.template
        names = self.template.uses - self.constants.keys()  # settings say nothing about the record's language
        shown = "\n".join(text for name in names if isinstance(text := fields.get(name), str))
        language = language_of(shown)
        return self.template if language is None else self.translations.get(language, self.template)

    async def ask(self, record: Record, ctx: Context, sampling: Sampling | None = None, sample: int = 0) -> Generation:
        """Renders the template for a record and returns the model's answer."""
        turns = self.turns(record)
        return await ctx.generate(
            turns,
            images=images_of(record, turns),
            sampling=warm(sampling or self.config.sampling, ctx.attempt),
            sample=sample,
            ends=self.ends,
        )

    async def ask_whole(self, record: Record, ctx: Context, sampling: Sampling | None = None) -> Generation:
        """Like `ask`, but raises UnusableAnswer if the answer is truncated."""
        answer = await self.ask(record, ctx, sampling)
        if not answer.complete:
            raise UnusableAnswer(cut_off(answer))
        return answer


def translated_name(file: str, language: Language) -> str:
    """Returns the name of a template in another language: `oasis/clarity.zh.jinja` for `oasis/clarity.jinja`."""
    path = PurePath(file)
    return str(path.with_name(f"{path.stem}.{language}{path.suffix}"))


def cut_off(answer: Generation) -> str:
    """Returns the reason why an answer is not complete."""
    if answer.finish_reason == "length":
        after = f" after {answer.completion_tokens} tokens" if answer.completion_tokens else ""
        return f"the answer was truncated{after} (`sampling.max_tokens`)"
    return f"the answer is not complete: finish reason {answer.finish_reason!r}"


class History(Config):
    """Earlier turns of a conversation."""

    field: str = Field(description="Field with the turns: a list of objects with a question and an answer.")
    user: str = Field("instruction", description="Field of a turn with the question.")
    assistant: str = Field("response", description="Field of a turn with the answer.")

    def drafts(self, record: Record) -> tuple[Draft, ...]:
        """Returns the turns of a record's conversation so far, with places for the media tags of its texts.

        Raises:
            RecordError: if the field contains anything else.
        """
        found: list[Draft] = []
        items = record[self.field]
        for number, item in enumerate(items if isinstance(items, list) else [items]):
            said = (item.get(self.user), item.get(self.assistant)) if isinstance(item, dict) else (None, None)
            if not all(isinstance(text, str) and text.strip() for text in said):
                raise RecordError(
                    f"field {self.field!r} is not a list of turns with {self.user!r} and {self.assistant!r}"
                )
            for role, text in zip(("user", "assistant"), said, strict=True):
                found.append(Draft(role, split_tags(str(text), f"{self.field}.{number}.{role}")))
        return tuple(found)


def continue_chat(earlier: tuple[Draft, ...], turns: tuple[Draft, ...], *, shown: bool) -> tuple[Draft, ...]:
    """Returns a conversation with its next turns.

    Args:
        shown: whether images are shown; images without a tag are at the start of the first turn.
    """
    if not shown:
        earlier = tuple(_in_words(turn) for turn in earlier)
    elif earlier:
        first, *others = earlier
        earlier = (Draft(first.role, (REST, *first.parts)), *others)
        # The first turn shows all images; `images[0]` would show one of them twice.
        turns = tuple(bare for turn in turns if (bare := _without_images(turn)).parts)
    system = tuple(turn for turn in turns if turn.role == "system")
    return (*system, *earlier, *(turn for turn in turns if turn.role != "system"))


def _in_words(turn: Draft) -> Draft:
    """Returns a turn with words in the places of images."""
    text = "".join(TAG if isinstance(part, Place) else str(part) for part in turn.parts)
    return Draft(turn.role, (name_tags(text),))


def _without_images(turn: Draft) -> Draft:
    """Returns a turn with the images of its tags only."""
    return Draft(turn.role, tuple(part for part in turn.parts if part != REST and not isinstance(part, ImagePart)))


def _as_history(value: object) -> object:
    return {"field": value} if isinstance(value, str) else value


HistoryField = Annotated[History | None, BeforeValidator(_as_history, json_schema_input_type=str | History | None)]
"""A history, or the name of its field."""


def images_of(record: Record, turns: tuple[Turn, ...]) -> list[str]:
    """Returns the record's images if any turn shows one."""
    if any(isinstance(part, ImagePart) for turn in turns for part in turn.parts):
        return images_in(record.fields)
    return []


def with_system(turns: tuple[Turn, ...], system: str | None) -> tuple[Turn, ...]:
    """Returns the turns with the system turn of a config ('' for none)."""
    if system is None:
        return turns
    return (Turn("system", (system,)), *(turn for turn in turns if turn.role != "system"))


def warm(sampling: Sampling, attempt: int) -> Sampling:
    """Returns the sampling parameters of an attempt: a retry of a greedy call has a temperature."""
    if attempt == 0 or sampling.temperature > 0:
        return sampling
    return sampling.model_copy(update={"temperature": RETRY_TEMPERATURE})
