"""What vLLM's engine gets of an image, next to what the model's image processor makes of it."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

pytestmark = [pytest.mark.model, pytest.mark.vllm]  # torch and vllm take seconds to import

TOKEN = 9


@settings(max_examples=30, deadline=None)
@given(
    rows=st.integers(1, 9),
    columns=st.integers(1, 9),
    shape=st.sampled_from([(14, 2), (16, 2), (14, 1), (8, 4)]),
    interleaved=st.booleans(),
    seed=st.integers(0, 9),
)
def test_patches_are_those_of_the_image_processor(
    rows: int, columns: int, shape: tuple[int, int], interleaved: bool, seed: int
) -> None:
    import torch
    from transformers.models.qwen2_vl.image_processing_qwen2_vl import Qwen2VLImageProcessor

    from mminf.backend.vllm.images import cut_patches

    patch, merge = shape
    size = (rows * patch * merge, columns * patch * merge)
    numbers = torch.Generator().manual_seed(seed)
    if interleaved:  # as Pillow has them
        pixels = torch.randint(256, (*size, 3), dtype=torch.uint8, generator=numbers).permute(2, 0, 1)
    else:
        pixels = torch.randint(256, (3, *size), dtype=torch.uint8, generator=numbers)
    processor = Qwen2VLImageProcessor(patch_size=patch, merge_size=merge, temporal_patch_size=2)
    raw = {"do_resize": False, "do_rescale": False, "do_normalize": False}
    wanted = processor(images=[pixels], return_tensors="pt", **raw)["pixel_values"]
    found = cut_patches(pixels, patch, merge, 2)
    assert found.dtype == torch.uint8
    assert torch.equal(found, wanted.to(torch.uint8))
    assert found.is_contiguous(), "it is sent to another process"


def _inputs() -> Any:
    """Inputs of an engine of which only the parts that a prompt needs exist."""
    from mminf.backend.swift.fit import ProcessorFit
    from mminf.backend.vllm.images import ImageInputs

    images = SimpleNamespace(patch_size=14, merge_size=2, temporal_patch_size=2)
    info = SimpleNamespace(validate_num_items=None)
    processor = SimpleNamespace(_get_mm_fields_config=None, info=info)
    renderer = SimpleNamespace(get_mm_processor=lambda: processor, mm_processor_cache=None)
    config = SimpleNamespace(hf_config=SimpleNamespace(image_token_id=TOKEN))
    engine: Any = SimpleNamespace(model_config=config, renderer=renderer)
    return ImageInputs(engine, ProcessorFit(28, 1, 10**9, images))


@settings(max_examples=50, deadline=None)
@given(
    texts=st.lists(st.lists(st.integers(0, 8), max_size=4), min_size=1, max_size=5),
    grids=st.lists(st.tuples(st.integers(1, 5), st.integers(1, 5)), max_size=5),
)
def test_each_image_has_its_tokens_in_a_prompt(texts: list[list[int]], grids: list[tuple[int, int]]) -> None:
    inputs = _inputs()
    ids = list(texts[0])
    for text in texts[1:]:
        ids += [TOKEN, *text]
    made = inputs.expand(ids, [(28 * width, 28 * height) for width, height in grids])
    inputs.close()
    if len(grids) != len(texts) - 1:
        assert made is None, "another number of images than the prompt shows"
        return
    assert made is not None
    assert [token for token in made.ids if token != TOKEN] == [token for text in texts for token in text]
    assert [place.length for place in made.places] == [width * height for width, height in grids]
    for place in made.places:
        assert set(made.ids[place.offset : place.offset + place.length]) == {TOKEN}
    assert sum(place.length for place in made.places) == made.ids.count(TOKEN)
