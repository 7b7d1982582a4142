"""Images in the size that a model's processor wants."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from mminf.backend.swift.fit import ProcessorFit, find_fit
from mminf.backend.swift.fitted import unwrap, wrap
from mminf.backend.transformers.backend import TransformersBackend, TransformersConfig
from mminf.errors import ImageError
from mminf.image import View
from mminf.plugin import discover


def prepared(**given: Any) -> Any:
    """A backend with the demo model's template, without its weights."""
    discover()  # the built-in model is a plugin's
    backend = TransformersBackend(TransformersConfig(backend="transformers", model="builtin:demo", **given))
    backend._prepare_model()
    backend._adopt(backend._load_template())
    return backend


@pytest.fixture(scope="module")
def template() -> Any:
    return prepared()._template


def noise(width: int, height: int) -> Image.Image:
    return Image.fromarray(np.random.default_rng(width * 4096 + height).integers(0, 256, (height, width, 3), np.uint8))


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 700), st.integers(1, 700), st.sampled_from([None, 784, 12544, 200_704]))
def test_a_fitted_image_gives_the_pixels_that_the_processor_makes_of_the_original(
    template: Any, width: int, height: int, max_pixels: int | None
) -> None:
    fit = find_fit(template, max_pixels)
    assert fit is not None
    image, processor = noise(width, height), template.processor.image_processor
    if max(width, height) > 200 * min(width, height):
        with pytest.raises(ImageError, match="image 'wide' can't be shown to the model: .*aspect ratio"):
            View(fit=fit).make(image, "wide")
        return
    size = {"shortest_edge": fit.low, "longest_edge": fit.high}
    wanted = processor(images=[image], size=size, return_tensors="pt")
    fitted = View(fit=fit).make(image, "a")
    for given_image in (fitted, unwrap(fitted)):  # in Pillow's form and as a tensor
        found = processor(images=[given_image], do_resize=False, return_tensors="pt")
        assert torch.equal(found["image_grid_thw"], wanted["image_grid_thw"])
        assert torch.equal(found["pixel_values"], wanted["pixel_values"])


@pytest.mark.parametrize("size", [(640, 480), (112, 112), (1400, 90), (30, 900)])
def test_ms_swifts_template_leaves_a_fitted_image_as_it_is(size: tuple[int, int]) -> None:
    from mminf.backend.swift.request import make_request
    from mminf.image import LoadedImage
    from mminf.request import Request, Sampling
    from mminf.turns import ImagePart, Turn

    backend = prepared(max_pixels=100_000)
    fitted = backend.view.make(noise(*size), "a")
    loaded = LoadedImage("a", "digest", views={backend.view: fitted})
    request = Request((Turn("user", (ImagePart(0), "What is it?")),), (loaded,), Sampling(), None, 0)
    backend._template.set_mode("vllm")
    wanted = make_request(request, backend.config, backend.view, backend._vocabulary, None)
    encoded = backend._template.encode(wanted, True)
    assert encoded["images"][0] is fitted
    assert encoded["mm_processor_kwargs"] == {"do_resize": False}


def test_the_engines_max_pixels_replaces_the_processors(template: Any) -> None:
    assert find_fit(template, None) == ProcessorFit(28, 12544, 12544, None)
    assert find_fit(template, 10_000) == ProcessorFit(28, 10_000, 10_000, None)
    assert find_fit(template, 10**6) == ProcessorFit(28, 12544, 10**6, None)
    assert find_fit(template, 10**6) != find_fit(template, 10**6 + 1)


def test_other_processors_and_templates_get_the_image_as_it_is(template: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    other = copy.copy(template)
    other.processor = type("Processor", (), {"image_processor": object()})()
    assert find_fit(other, None) is None
    monkeypatch.setattr("mminf.backend.swift.fit._TEMPLATE", "AnotherTemplate")
    assert find_fit(template, None) is None


def test_a_resize_that_gives_other_pixels_than_the_processor_is_not_used(
    template: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    scale = ProcessorFit.__call__
    # Pillow's resize to the same size differs in a few pixels, by one.
    monkeypatch.setattr(ProcessorFit, "__call__", lambda self, image: image.resize(scale(self, image).size))
    assert find_fit(template, None) is None


def test_a_fitted_image_is_an_ordinary_image() -> None:
    pixels = torch.from_numpy(np.array(noise(40, 30))).permute(2, 0, 1)
    image = wrap(pixels)
    assert (image.size, image.mode) == ((40, 30), "RGB")
    assert copy.deepcopy(image) is image.convert("RGB") is image.resize((40, 30)) is image.copy() is image
    assert np.array_equal(np.asarray(image), np.asarray(noise(40, 30)))
    assert image.convert("L").mode == "L"
    assert image.resize((20, 10)).size == (20, 10)
    assert image.resize((40, 30), box=(0, 0, 20, 15)) is not image
    assert image.getpixel((3, 4)) == noise(40, 30).getpixel((3, 4))
    assert unwrap(image) is pixels
