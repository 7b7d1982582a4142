from __future__ import annotations

import pytest

from mminf.errors import RecordError
from mminf.template import Template
from mminf.turns import ImagePart


def test_one_image_can_be_placed_alone() -> None:
    turns = Template("first {{ images[0] }} second {{ images[1] }}").render({"images": ["a", "b"]})
    assert turns[0].parts == ("first ", ImagePart(0), " second ", ImagePart(1))


def test_images_that_are_no_list_fail_the_record() -> None:
    with pytest.raises(RecordError, match="field 'images' is not a list, but str"):
        Template("{{ images }}").render({"images": "a.png"})
    with pytest.raises(RecordError, match="shows images, but the record has none"):
        Template("{{ images }}").render({"images": None})


def test_pieces_of_the_images() -> None:
    three = {"images": ["a", "b", "c"]}
    (turn,) = Template("{{ images[1:] }} before {{ images[0] }}").render(three)
    assert turn.parts == (ImagePart(1), ImagePart(2), " before ", ImagePart(0))
    with pytest.raises(RecordError, match=r"images\[3\]: the record has 3 images"):
        Template("{{ images[3] }}").render(three)
