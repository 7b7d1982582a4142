"""`embed`: the embedding of a text or an image."""

from __future__ import annotations

from pydantic import Field, model_validator

from mminf.errors import RecordError
from mminf.recipe.config import EngineConfig, StepConfig
from mminf.record import Record
from mminf.step.base import Outcome, Step, step
from mminf.step.context import Context
from mminf.template import images_in
from mminf.turns import ImagePart, Turn


class EmbedConfig(StepConfig):
    engine: str = Field(description="Engine with backend `encoder`, or with an encoder of a plugin.")
    reads: str | None = Field(None, description="Field with the text.")
    image: int | None = Field(None, ge=0, description="Index of the image to embed instead of a text, from 0.")
    writes: str = Field(
        "embedding", description="Field for the key of the vector; the vector is stored in the journal."
    )
    truncated: bool = Field(
        False, description="`true` keeps embeddings of truncated texts; `false` fails their records."
    )

    @model_validator(mode="after")
    def _one_way(self) -> EmbedConfig:
        if (self.reads is None) == (self.image is None):
            raise ValueError("give either `reads`, a field with a text, or `image`, the index of an image")
        return self


@step("embed")
class Embed(Step[EmbedConfig]):
    """Embeds a text or an image. The vector is stored in the journal; the sink `embeddings` reads it by its key."""

    @property
    def reads(self) -> frozenset[str]:
        own = super().reads
        return own | {"images"} if self.config.image is not None else own

    def check_engine(self, backend: object, config: EngineConfig) -> None:
        if not getattr(backend, "embeds", False):
            named = f"engine {self.config.engine!r} ({config.backend})"
            raise ValueError(f"{named} does not make embeddings; use backend `encoder`")

    async def run(self, record: Record, ctx: Context) -> Outcome:
        if self.config.image is not None:
            images = images_in(record.fields)
            if len(images) <= self.config.image:
                raise RecordError(f"record has {len(images)} images, and none with index {self.config.image}")
            found, cut, tokens = await ctx.embed((Turn("user", (ImagePart(0),)),), images=[images[self.config.image]])
        else:
            assert self.config.reads is not None
            text = record.text(self.config.reads)
            if not text.strip():
                raise RecordError(f"field {self.config.reads!r} is empty")
            found, cut, tokens = await ctx.embed((Turn("user", (text,)),))
        if cut and not self.config.truncated:
            raise RecordError(
                f"the encoder truncated the text, which has {tokens} tokens; use an encoder for longer texts, or set "
                "`truncated: true`"
            )
        return {self.config.writes: found}
