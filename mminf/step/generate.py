"""`generate`: asks a model and writes its answer."""

from __future__ import annotations

from typing import Any, TypeVar

from pydantic import Field

from mminf.errors import AskAgain, RecordError
from mminf.recipe.model import TemplateFolders
from mminf.record import Record
from mminf.step.base import Context, Outcome, step
from mminf.step.extract import Extraction
from mminf.step.prompt import PromptConfig, PromptStep
from mminf.text import Template


class GenerateConfig(PromptConfig):
    reads: str | None = Field(None, description="Field whose text is the prompt, after the images; or a template.")
    writes: str = Field("response", description="Field for the answer.")
    images: bool = Field(True, description="With `reads`: show the record's images, if it has any.")
    truncated: bool = Field(False, description="Keep answers that max_tokens cut off; else their records fail.")
    extract: Extraction | None = Field(
        None, description="Take fields out of the answer; it is asked again where they can't be found."
    )
    empty: bool = Field(False, description="Keep empty answers; else they are asked again.")


G = TypeVar("G", bound=GenerateConfig)


class BaseGenerate(PromptStep[G]):
    """Asks a model and writes its answer."""

    def _find_template(self, config: G, folders: TemplateFolders) -> Template:
        if config.reads is None or config.template is not None or config.prompt is not None:
            return super()._find_template(config, folders)
        shown = "{% if images is defined %}{{ images }}{% endif %}" if config.images else ""
        return Template(shown + "{{ " + config.reads + " }}", f"reads: {config.reads}")

    @property
    def reads(self) -> frozenset[str]:
        own = super().reads
        plain = self.config.reads is not None and self.config.template is None and self.config.prompt is None
        return own - {"images"} if plain else own  # shown where there are any

    @property
    def writes(self) -> frozenset[str]:
        extract = self.config.extract
        return frozenset([self.config.writes]) if extract is None else extract.fields(self.config.writes)

    async def run(self, record: Record, ctx: Context) -> Outcome:
        answer = await self.ask(record, ctx)
        if answer.finish_reason == "length" and not self.config.truncated:
            # Asked again it would be as long, and cost as much.
            raise RecordError(
                f"answer was cut off after {answer.completion_tokens} tokens; raise `sampling.max_tokens` of step "
                f"{self.name!r}, or set `truncated: true`"
            )
        if not answer.text.strip() and not self.config.empty:
            raise AskAgain("answer is empty")
        return self.written(answer.text.strip())

    def written(self, text: str) -> dict[str, Any]:
        """Returns the fields that an answer becomes. Raises AskAgain if they can't be found in it."""
        if self.config.extract is None:
            return {self.config.writes: text}
        return self.config.extract.apply(text, self.config.writes)


@step("generate")
class Generate(BaseGenerate[GenerateConfig]):
    """Asks a model and writes its answer."""
