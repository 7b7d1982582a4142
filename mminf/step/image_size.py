"""`image_size`: the size of an image of the record."""

from __future__ import annotations

from pydantic import Field

from mminf.errors import RecordError
from mminf.recipe.config import StepConfig
from mminf.record import Record
from mminf.step.base import Outcome, Step, step
from mminf.step.context import Context
from mminf.template import images_in


class ImageSizeConfig(StepConfig):
    image: int = Field(0, ge=0, description="Index of the image, from 0.")


@step("image_size")
class ImageSize(Step[ImageSizeConfig]):
    """Writes `width`, `height` and `short_side` of an image, in pixels, after EXIF rotation."""

    @property
    def reads(self) -> frozenset[str]:
        return super().reads | {"images"}

    @property
    def writes(self) -> frozenset[str]:
        return frozenset(["width", "height", "short_side"])

    async def run(self, record: Record, ctx: Context) -> Outcome:
        images = images_in(record.fields)
        if len(images) <= self.config.image:
            raise RecordError(f"record has {len(images)} images, and none with index {self.config.image}")
        image = await ctx.open_image(images[self.config.image])
        width, height = image.pixels.size
        return {"width": width, "height": height, "short_side": min(width, height)}
