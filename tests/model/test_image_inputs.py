"""Images reach vLLM's engine without its renderer, and as its renderer would send them."""

from __future__ import annotations

import asyncio
import dataclasses
import functools
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from mminf.backend.swift import SwiftBackend
from mminf.errors import RequestError
from mminf.image import ImagePolicy, ImageStore, LoadedImage
from mminf.request import Generation, Request, Sampling
from mminf.turns import ImagePart, Turn

from .conftest import Engine, ask

pytestmark = [pytest.mark.model, pytest.mark.vllm]

SAMPLE: dict[str, Any] = {"temperature": 1.0, "top_k": 20, "max_tokens": 8, "min_tokens": 4, "logprobs": True}
SIZES = [(90, 140), (140, 90), (57, 200), (112, 112), (300, 60)]


@pytest.fixture
def shapes(vllm_engine: Engine, tmp_path: Path) -> list[LoadedImage]:
    """Images of several sizes, in the form that the engine wants; none of them has been seen before."""

    async def load() -> list[LoadedImage]:
        store, found = ImageStore(ImagePolicy(roots=None)), []
        for n, size in enumerate(SIZES):
            path = tmp_path / f"{n}.png"
            Image.effect_noise(size, 90).convert("RGB").save(path)
            image = await store.open(str(path))
            await store.decode(image, vllm_engine.backend.view)
            found.append(image)
        store.close()
        return found

    return asyncio.run(load())


@pytest.fixture
def inputs(vllm_engine: Engine) -> Any:
    return vllm_engine.backend._front._images


@pytest.fixture
def no_renderer(vllm_engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    """Makes a call fail whose images vLLM's renderer processes."""

    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("vLLM's renderer was asked")

    monkeypatch.setattr(vllm_engine.backend._engine.engine.renderer.mm_processor, "apply", refuse)


@pytest.fixture
def cut(inputs: Any, monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """The images that are cut into patches during a test."""
    found: list[Any] = []
    item = inputs.item
    monkeypatch.setattr(inputs, "item", lambda pixels: (found.append(pixels), item(pixels))[1])
    return found


def about(images: list[LoadedImage], text: str, seed: int) -> Request:
    parts = tuple(ImagePart(n) for n in range(len(images)))
    return Request((Turn("user", (*parts, text)),), tuple(images), Sampling(**SAMPLE), None, seed)


def answers(found: list[Any]) -> list[Generation]:
    assert all(isinstance(item, Generation) for item in found), found
    return found


@pytest.mark.parametrize("small", [2**17, 0], ids=["in the loop", "in a thread"])
def test_answers_are_those_of_the_renderer(
    vllm_engine: Engine, shapes: list[LoadedImage], monkeypatch: pytest.MonkeyPatch, small: int
) -> None:
    monkeypatch.setattr("mminf.backend.vllm.images._SMALL", small)
    backend = vllm_engine.backend
    rendered: list[object] = []
    processor = backend._engine.engine.renderer.mm_processor
    apply = processor.apply
    monkeypatch.setattr(processor, "apply", lambda *args: (rendered.append(args), apply(*args))[1])

    async def both(request: Request) -> list[Any]:
        ways = (backend._infer, functools.partial(SwiftBackend._infer, backend))
        return [await way(request, backend._request_config(request)) for way in ways]

    asked = [about([image], "What is it?", seed) for seed, image in enumerate(shapes)]
    asked += [about(shapes[:3], "Compare them.", 7), about([shapes[4], shapes[4], shapes[0]], "Compare.", 8)]
    for number, request in enumerate(asked, 1):
        ours, swifts = vllm_engine.run(both(request))
        assert ours == swifts
        assert len(rendered) == number, "ms-swift's way alone asks the renderer"


@pytest.mark.usefixtures("no_renderer")
@pytest.mark.parametrize("small", [2**17, 0], ids=["in the loop", "in a thread"])
def test_an_image_is_cut_and_sent_once(
    vllm_engine: Engine, shapes: list[LoadedImage], cut: list[Any], monkeypatch: pytest.MonkeyPatch, small: int
) -> None:
    monkeypatch.setattr("mminf.backend.vllm.images._SMALL", small)
    answers(vllm_engine.ask(*(about([shapes[0]], "Begin.", seed) for seed in range(8))))  # at the same time
    assert len(cut) == 1
    answers(vllm_engine.ask(*(about([image], "Go on.", 1) for image in shapes)))
    assert len(cut) == len(shapes)
    answers(vllm_engine.ask(*(about(shapes, "And now?", seed) for seed in range(4))))
    assert len(cut) == len(shapes)


def test_an_image_that_the_engine_lost_is_sent_again(
    vllm_engine: Engine, inputs: Any, shapes: list[LoadedImage], cut: list[Any]
) -> None:
    """As when the engine's cache and its copy here differ after requests that were cancelled."""
    from mminf.backend.swift.fitted import unwrap
    from mminf.backend.vllm.front import name_image

    view = vllm_engine.backend.view
    name = name_image(shapes[0], view)
    inputs._cache.get_and_update_item((inputs.item(unwrap(shapes[0].seen(view))), ()), name)
    cut.clear()
    lost, fresh = answers(vllm_engine.ask(*(about([image], "What is it?", 3) for image in shapes[:2])))
    assert len(cut) == 2, "the first image was sent when the engine did not have it"
    assert lost.logprobs != fresh.logprobs


def test_a_request_that_the_engine_ends_without_an_answer_is_retried_and_then_fails(
    vllm_engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    backend = vllm_engine.backend
    infer, reasons = backend._infer, ["error", "abort"]

    async def end_early(*args: Any) -> Any:
        answer = await infer(*args)
        return answer._replace(text="", finish_reason=reasons.pop()) if reasons else answer

    request = ask(None, "Name a colour.", seed=1, **SAMPLE)
    wanted = answers(vllm_engine.ask(request))
    monkeypatch.setattr(backend, "_infer", end_early)
    assert answers(vllm_engine.ask(request)) == wanted
    reasons += ["error"] * 3
    (failed,) = vllm_engine.ask(request)
    assert isinstance(failed, RequestError), "no answer must be made of it"
    assert "the engine ended the request with 'error' (3 attempts)" in str(failed)


@pytest.mark.usefixtures("no_renderer")
def test_an_image_of_a_request_that_vllm_refuses_does_not_count_as_sent(
    vllm_engine: Engine, shapes: list[LoadedImage], cut: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise ValueError("refused")

    with monkeypatch.context() as patch:
        patch.setattr(vllm_engine.backend._engine.engine.input_processor, "process_inputs", refuse)
        (refused,) = vllm_engine.ask(about([shapes[0]], "What is it?", 1))
    assert isinstance(refused, RequestError)
    assert "refused" in str(refused)
    answers(vllm_engine.ask(about([shapes[0]], "What is it?", 1)))
    assert len(cut) == 2


def test_more_images_than_the_engine_allows_are_refused(
    vllm_engine: Engine, inputs: Any, shapes: list[LoadedImage], monkeypatch: pytest.MonkeyPatch
) -> None:
    info = inputs._check_number.__self__
    monkeypatch.setattr(info, "allowed_mm_limits", {"image": 2})
    refused, answered = vllm_engine.ask(about(shapes[:3], "Compare.", 1), about(shapes[:2], "Compare.", 1))
    assert isinstance(refused, RequestError)
    assert "At most 2 image(s)" in str(refused)
    assert isinstance(answered, Generation)


def test_an_engine_that_allows_one_image_needs_no_renderer(
    vllm_engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    from mminf.backend.vllm.images import find_image_inputs

    engine = vllm_engine.backend._engine.engine
    monkeypatch.setattr(engine.renderer.get_mm_processor().info, "allowed_mm_limits", {"image": 1})
    assert find_image_inputs(engine, vllm_engine.backend.view.fit) is not None


def test_without_prepared_inputs_images_go_through_the_renderer(
    vllm_engine: Engine, shapes: list[LoadedImage], cut: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    from mminf.backend.vllm.front import Front

    backend = vllm_engine.backend
    asked = [about([image], "What is it?", seed) for seed, image in enumerate(shapes)]
    wanted = answers(vllm_engine.ask(*asked))
    assert len(cut) == len(shapes)
    monkeypatch.setattr("mminf.backend.vllm.front.find_image_inputs", lambda *_: None)
    monkeypatch.setattr(backend, "_front", Front(backend._engine, backend.view))
    for request, answer in zip(asked, wanted, strict=True):  # one by one, as numbers depend on the batch
        (found,) = answers(vllm_engine.ask(request))
        assert found.text == answer.text
    assert len(cut) == len(shapes)


@pytest.mark.parametrize("change", ["merge_size", "patch_size", "factor"])
def test_other_patches_or_tokens_than_the_renderers_are_noticed(vllm_engine: Engine, change: str) -> None:
    from mminf.backend.vllm.images import find_image_inputs

    backend = vllm_engine.backend
    engine, fit = backend._engine.engine, backend.view.fit
    assert find_image_inputs(engine, fit) is not None
    assert find_image_inputs(engine, None) is None
    if change == "factor":
        assert find_image_inputs(engine, dataclasses.replace(fit, factor=2 * fit.factor)) is None
        return
    other = {"merge_size": 1, "patch_size": 7}[change]

    class Changed:
        def __getattr__(self, name: str) -> Any:
            return other if name == change else getattr(fit.processor, name)

    assert find_image_inputs(engine, dataclasses.replace(fit, processor=Changed())) is None
