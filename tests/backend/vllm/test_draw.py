"""The processor that draws tokens inside vLLM, driven by updates of a batch as vLLM's engine sends them."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest

pytestmark = pytest.mark.model
pytest.importorskip("vllm")

SIZE = 400


@dataclass
class Call:
    """A request whose model's logits depend on its own tokens alone."""

    seed: int
    settings: dict[str, Any]
    prompt: list[int] = field(default_factory=lambda: [1, 2, 3])
    output: list[int] = field(default_factory=list)

    def params(self) -> Any:
        from vllm import SamplingParams

        from mminf.backend.vllm.draw import GREEDY, arguments

        return SamplingParams(**GREEDY, extra_args=arguments(self.seed, **self.settings))

    def logits(self) -> Any:
        import torch

        place = self.seed * 1000 + len(self.output) * 7 + sum(self.output[-2:])
        return 2 * torch.randn(SIZE, generator=torch.Generator().manual_seed(place))


def processor() -> Any:
    import torch

    from mminf.backend.vllm.draw import DrawTokens

    return DrawTokens(None, torch.device("cpu"), False)


def update(size: int, **changes: Sequence[Any]) -> Any:
    from vllm.v1.sample.logits_processor import BatchUpdate

    return BatchUpdate(**{"batch_size": size, "removed": (), "added": (), "moved": (), **changes})


def added(index: int, call: Call) -> Any:
    return index, call.params(), call.prompt, call.output


def step(draw: Any, batch: Sequence[Call]) -> None:
    import torch

    drawn = draw.apply(torch.stack([call.logits() for call in batch]))
    for call, row in zip(batch, drawn, strict=True):
        assert (row > float("-inf")).sum() == 1
        call.output.append(int(row.argmax()))


def alone(seed: int, settings: dict[str, Any], tokens: int) -> list[int]:
    call, draw = Call(seed, settings), processor()
    draw.update_state(update(1, added=[added(0, call)]))
    for _ in range(tokens):
        step(draw, [call])
    return call.output


PLAIN: dict[str, Any] = {"temperature": 1.0}
ODD: dict[str, Any] = {
    "temperature": 1.3,
    "top_k": 40,
    "top_p": 0.9,
    "min_p": 0.01,
    "repetition_penalty": 1.2,
    "frequency_penalty": 0.5,
    "presence_penalty": 0.3,
}


def test_rows_follow_their_requests_through_moves_swaps_and_removals() -> None:
    from vllm.v1.sample.logits_processor import MoveDirectionality as Move

    settings = [PLAIN, ODD, PLAIN, {"temperature": 0.7, "top_k": 5}]
    calls = [Call(seed, settings[seed % 4]) for seed in range(6)]
    draw = processor()
    draw.update_state(update(4, added=[added(i, calls[i]) for i in range(4)]))
    batch = calls[:4]
    step(draw, batch)
    draw.update_state(None)
    step(draw, batch)
    draw.update_state(update(4, moved=[(0, 3, Move.SWAP)]))
    batch = [calls[3], calls[1], calls[2], calls[0]]
    step(draw, batch)
    draw.update_state(update(3, removed=[1], moved=[(3, 1, Move.UNIDIRECTIONAL)]))  # request 1 is preempted
    batch = [calls[3], calls[0], calls[2]]
    step(draw, batch)
    draw.update_state(update(4, removed=[], added=[added(0, calls[4]), added(3, calls[5])]))  # 4 replaces 3
    batch = [calls[4], calls[0], calls[2], calls[5]]
    step(draw, batch)
    resumed = Call(1, calls[1].settings, output=list(calls[1].output))  # vLLM resumes it with a new list
    draw.update_state(update(5, added=[added(4, resumed)]))
    batch = [*batch, resumed]
    for _ in range(3):
        step(draw, batch)
    for call in [calls[0], resumed, calls[2], calls[3], calls[4], calls[5]]:
        assert call.output == alone(call.seed, call.settings, len(call.output)), call.seed
    assert {len(call.output) for call in (calls[0], resumed, calls[3])} == {8, 6, 4}


def test_random_batches_draw_what_each_request_draws_alone() -> None:
    from vllm.v1.sample.logits_processor import MoveDirectionality as Move

    chance = random.Random(5)
    draw, batch, done, waiting = processor(), [], [], [Call(seed, ODD if seed % 3 else PLAIN) for seed in range(30)]
    while waiting or batch:
        # As vLLM's batch does: finished and preempted requests leave, the last rows fill their places.
        out = [i for i, call in enumerate(batch) if len(call.output) >= 6 or chance.random() < 0.1]
        done += [batch[i] for i in out if len(batch[i].output) >= 6]
        waiting += [
            Call(batch[i].seed, batch[i].settings, output=list(batch[i].output))
            for i in out
            if len(batch[i].output) < 6
        ]
        rows: list[Call | None] = [None if i in out else call for i, call in enumerate(batch)]
        free, new = list(out), []
        for _ in range(min(len(waiting), 5 - sum(row is not None for row in rows))):
            call = waiting.pop(0)
            index = free.pop(0) if free else len(rows)
            if index == len(rows):
                rows.append(None)
            rows[index] = call
            new.append(added(index, call))
        moved: list[Any] = []
        while None in rows:
            if rows[-1] is None:
                rows.pop()
                continue
            index = rows.index(None)
            moved.append((len(rows) - 1, index, Move.UNIDIRECTIONAL))
            rows[index] = rows.pop()
        if len(rows) > 2 and chance.random() < 0.3:
            moved.append((0, 2, Move.SWAP))
            rows[0], rows[2] = rows[2], rows[0]
        batch = [call for call in rows if call is not None]
        draw.update_state(update(len(batch), removed=sorted(free, reverse=True), added=new, moved=moved))
        if batch:
            step(draw, batch)
    assert len(done) == 30
    for call in done:
        assert call.output == alone(call.seed, call.settings, 6)


def test_greedy_requests_are_left_alone() -> None:
    import torch
    from vllm import SamplingParams

    draw, call = processor(), Call(3, PLAIN)
    draw.update_state(update(2, added=[(0, SamplingParams(temperature=0), [1], []), added(1, call)]))
    logits = torch.stack([call.logits(), call.logits()])
    drawn = draw.apply(logits.clone())
    assert torch.equal(drawn[0], logits[0])
    assert (drawn[1] > float("-inf")).sum() == 1


def test_penalties_are_vllms() -> None:
    import torch
    from vllm.v1.sample.ops.penalties import apply_all_penalties

    from mminf.backend.draw import Rules, Uniforms
    from mminf.backend.vllm.draw import Row, Settings, _penalize

    prompts, outputs = [[1, 2, 2, SIZE + 5], [7]], [[2, 9, 9, 9], [7, 8]]
    rows = [Row(Settings(Rules(), 1.3, 0.4, 0.2), Uniforms(0), p, o) for p, o in zip(prompts, outputs, strict=True)]
    logits = torch.randn(2, SIZE, generator=torch.Generator().manual_seed(4))
    padded = torch.tensor([[1, 2, 2, SIZE], [7, SIZE, SIZE, SIZE]])
    expected = apply_all_penalties(
        logits.clone(), padded, *(torch.full((2,), value) for value in (0.2, 0.4, 1.3)), outputs
    )
    assert torch.allclose(_penalize(logits, rows[0].settings, rows), expected)


@pytest.mark.parametrize(
    "settings", [{"top_k": 30}, {"top_p": 0.8}, {"min_p": 0.05, "top_p": 0.7, "top_k": 60}], ids=str
)
def test_the_tokens_that_may_be_drawn_are_vllms(settings: dict[str, Any]) -> None:
    import torch
    from vllm.v1.sample.ops.topk_topp_sampler import apply_top_k_top_p_pytorch

    from mminf.backend.draw import Rules, allowed

    logits = 2 * torch.randn(8, SIZE, generator=torch.Generator().manual_seed(6))
    rules = Rules(**settings)
    expected = logits.clone()
    if rules.min_p:  # vLLM's MinPLogitsProcessor
        chances = expected.softmax(-1)
        expected.masked_fill_(chances < rules.min_p * chances.amax(-1, keepdim=True), float("-inf"))
    k = torch.full((8,), rules.top_k) if rules.top_k else None
    p = torch.full((8,), rules.top_p) if rules.top_p < 1 else None
    expected = apply_top_k_top_p_pytorch(expected, k, p)
    scores, tokens = allowed(logits, rules)
    found = scores if tokens is None else torch.full_like(logits, float("-inf")).scatter(1, tokens, scores)
    assert torch.equal(found.isinf(), expected.isinf())


def test_vllm_is_asked_for_a_greedy_answer_of_one_token_at_a_time() -> None:
    from vllm import SamplingParams
    from vllm.sampling_params import SamplingType

    from mminf.backend.vllm.backend import VllmBackend, VllmConfig
    from mminf.backend.vllm.draw import ARGUMENT
    from mminf.request import Request, Sampling

    sampling = Sampling(temperature=0.8, top_k=5, frequency_penalty=0.5, min_tokens=3, max_tokens=9, stop=["x"])
    request = Request((), (), sampling, None, 7)
    asked = SamplingParams(
        temperature=0.8, top_k=5, frequency_penalty=0.5, max_tokens=9, stop=["x"], seed=7, logprobs=0
    )
    backend = VllmBackend(VllmConfig(backend="vllm", model="none"))
    backend._draws = True
    sent = backend._hook(request)({"generation_config": asked})["generation_config"]
    assert sent.sampling_type is SamplingType.GREEDY
    assert (sent.seed, sent.frequency_penalty, sent.stop, sent.min_tokens) == (None, 0, ["x"], 3)
    assert (sent.max_tokens, sent.logprobs) == (9, 0)
    assert sent.extra_args == {ARGUMENT: [7, [0.8, 5, 1.0, 0.0], 1.0, 0.5, 0.0]}
    greedy = backend._hook(Request((), (), Sampling(), None, 7))
    kept = greedy({"generation_config": SamplingParams(temperature=0.0, max_tokens=9)})["generation_config"]
    assert (kept.temperature, kept.max_tokens, kept.extra_args) == (0.0, 9, None)
    backend._draws = False
    on_gpu = backend._hook(request)({"generation_config": asked})["generation_config"]
    assert (on_gpu.seed, on_gpu.temperature, on_gpu.extra_args) == (7, 0.8, None)
