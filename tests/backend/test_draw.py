from __future__ import annotations

import math
from typing import Any

import pytest

pytestmark = pytest.mark.model  # torch takes seconds to import

SHARES = [0.5, 0.3, 0.15, 0.05]
# Chi-square with 3, 2 and 1 degrees of freedom is above these in one of 1000 samples; the seeds are fixed.
LIMITS = {3: 16.27, 2: 13.82, 1: 10.83}


def draws(rules: Any, probabilities: list[float], count: int = 6000) -> list[int]:
    """How often each token is drawn, over many seeds and places in the output."""
    import torch

    from mminf.backend.draw import Uniforms, draw

    scores = torch.tensor([[math.log(p) for p in probabilities]]).repeat(count, 1)
    found = draw(scores, rules, [Uniforms(n // 3)[n % 3] for n in range(count)]).argmax(-1)
    return [int(n) for n in found.bincount(minlength=len(probabilities))]


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({}, SHARES),
        ({"top_k": 2}, [0.625, 0.375, 0, 0]),
        ({"top_p": 0.6}, [0.625, 0.375, 0, 0]),
        ({"min_p": 0.2}, [10 / 19, 6 / 19, 3 / 19, 0]),
        ({"temperature": 0.5}, [p * p / sum(q * q for q in SHARES) for p in SHARES]),
        # Min-p comes first: of what it leaves, the first token alone has more than half.
        ({"min_p": 0.2, "top_p": 0.52}, [1, 0, 0, 0]),
        ({"min_p": 0.2, "top_k": 2, "top_p": 0.9}, [0.625, 0.375, 0, 0]),
    ],
    ids=["plain", "top_k", "top_p", "min_p", "temperature", "min_p, then top_p", "all"],
)
def test_tokens_follow_the_distribution(settings: dict[str, Any], expected: list[float]) -> None:
    from mminf.backend.draw import Rules

    found = draws(Rules(**settings), SHARES)
    assert [n == 0 for n in found] == [p == 0 for p in expected]
    total = sum(found)
    squares = [(n - p * total) ** 2 / (p * total) for n, p in zip(found, expected, strict=True) if p]
    assert sum(squares) < LIMITS.get(len(squares) - 1, 0.001)


def test_a_number_depends_on_its_seed_and_place_alone() -> None:
    from mminf.backend.draw import Uniforms

    forward = [Uniforms(7)[n] for n in range(200)]
    stream = Uniforms(7)
    assert [stream[n] for n in reversed(range(200))] == forward[::-1]
    assert len(set(forward)) == 200
    assert all(0 <= number < 1 for number in forward)
    assert forward != [Uniforms(8)[n] for n in range(200)]


def test_a_row_is_drawn_alike_in_any_batch() -> None:
    import torch

    from mminf.backend.draw import Rules, draw

    scores = torch.randn(100, 5000, generator=torch.Generator().manual_seed(1))
    numbers = torch.rand(100, generator=torch.Generator().manual_seed(2)).tolist()
    rules = Rules(temperature=1.2, top_k=500, top_p=0.95, min_p=0.001)
    together = draw(scores, rules, numbers)
    for row in range(0, 100, 9):
        assert torch.equal(together[row : row + 1], draw(scores[row : row + 1], rules, numbers[row : row + 1]))


@pytest.mark.parametrize("number", [0.0, 1 - 2**-53])
def test_forbidden_tokens_are_not_drawn_at_the_ends_of_the_range(number: float) -> None:
    import torch

    from mminf.backend.draw import Rules, draw

    scores = torch.randn(50, 300, generator=torch.Generator().manual_seed(3))
    scores[:, [0, 1, 298, 299]] = -math.inf
    drawn = draw(scores, Rules(), [number] * 50).argmax(-1)
    assert set(drawn.tolist()) <= set(range(2, 298))


def test_a_row_without_an_allowed_token_stays_as_it_is() -> None:
    import torch

    from mminf.backend.draw import Rules, draw

    scores = torch.tensor([[-math.inf] * 3, [0.0, -math.inf, -math.inf]])
    assert draw(scores, Rules(top_k=2, top_p=0.5, min_p=0.1), [0.5, 0.5]).tolist() == scores.tolist()


def test_a_temperature_near_zero_is_greedy() -> None:
    import torch

    from mminf.backend.draw import Rules, draw

    assert draw(torch.tensor([[1.0, 3.0, 2.0]]), Rules(temperature=1e-9), [0.9]).argmax().item() == 1


@pytest.mark.parametrize("top_k", [1, 3, 20, 299, 300, 400])
@pytest.mark.parametrize("kinds", [2, 7, 60])
def test_tokens_that_are_as_likely_as_the_last_of_top_k_are_kept(kinds: int, top_k: int) -> None:
    """Logits of 16 bits are often equal: which of them may be drawn must not depend on how they are sorted."""
    import torch

    from mminf.backend.draw import Rules, allowed

    logits = torch.randint(kinds, (20, 300), generator=torch.Generator().manual_seed(kinds)).float()
    logits[3], logits[4, ::2], logits[5, 2:] = 0.0, float("-inf"), float("-inf")
    least = logits.sort(-1, descending=True).values[:, min(top_k, 300) - 1 : min(top_k, 300)]
    scores, tokens = allowed(logits, Rules(top_k=top_k))
    found = scores if tokens is None else torch.full_like(logits, float("-inf")).scatter(1, tokens, scores)
    assert torch.equal(found, logits.masked_fill(logits < least, float("-inf")))
    assert tokens is None or bool((tokens.diff(dim=-1) > 0).all())


def test_a_row_with_few_tokens_does_not_sort_the_vocabulary(monkeypatch: pytest.MonkeyPatch) -> None:
    """A judge's row may have five tokens and `top_k: 20`."""
    import torch

    from mminf.backend.draw import Rules, allowed

    logits = torch.full((4, 5000), float("-inf"))
    logits[:, :5] = torch.arange(5.0)
    logits[1] = torch.arange(5000.0)
    asked, topk = [], torch.Tensor.topk
    monkeypatch.setattr(torch.Tensor, "topk", lambda self, k, dim: (asked.append(k), topk(self, k, dim))[1])
    scores, _ = allowed(logits, Rules(top_k=20))
    assert (scores.isfinite().sum(-1) == torch.tensor([5, 20, 5, 5])).all()
    assert max(asked) < 100
