from __future__ import annotations

import math

import pytest

from mminf.request import Sampling

pytestmark = pytest.mark.model


def draws(sampling: Sampling, probabilities: list[float], count: int = 4000) -> list[float]:
    """How often each token is drawn, over many seeds."""
    import torch

    from mminf.backend.transformers.logits import DrawRows

    scores = torch.tensor([[math.log(p) for p in probabilities]]).repeat(count, 1)
    drawn = DrawRows(sampling, range(count))(torch.zeros(count, 0, dtype=torch.long), scores).argmax(-1)
    return (drawn.bincount(minlength=len(probabilities)) / count).tolist()


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"temperature": 1.0}, [0.5, 0.3, 0.15, 0.05]),
        ({"temperature": 1.0, "top_k": 2}, [0.625, 0.375, 0, 0]),
        ({"temperature": 1.0, "top_p": 0.6}, [0.625, 0.375, 0, 0]),
        ({"temperature": 1.0, "min_p": 0.2}, [0.526, 0.316, 0.158, 0]),
        ({"temperature": 0.5}, [0.685, 0.247, 0.062, 0.007]),
    ],
    ids=["plain", "top_k", "top_p", "min_p", "temperature"],
)
def test_tokens_are_drawn_as_often_as_they_should(settings: dict[str, float], expected: list[float]) -> None:
    found = draws(Sampling.model_validate(settings), [0.5, 0.3, 0.15, 0.05])
    assert found == pytest.approx(expected, abs=0.03)
    assert [share == 0 for share in found] == [share == 0 for share in expected]


def test_a_row_is_drawn_alike_whoever_shares_its_batch() -> None:
    import torch

    from mminf.backend.transformers.logits import DrawRows

    sampling = Sampling(temperature=1.0, top_k=20)
    scores = torch.randn(5, 1000, generator=torch.Generator().manual_seed(1))
    none = torch.zeros(5, 0, dtype=torch.long)
    together = DrawRows(sampling, [10, 11, 12, 13, 14])(none, scores).argmax(-1)
    alone = DrawRows(sampling, [12])(none[2:3], scores[2:3]).argmax(-1)
    assert together[2] == alone[0]
    assert len(set(together.tolist())) > 1


def test_penalties_count_the_output_and_not_the_prompt() -> None:
    import torch

    from mminf.backend.transformers.logits import PenalizeOutput

    penalize = PenalizeOutput(frequency=1.0, presence=0.5)
    prompt = torch.tensor([[3, 3, 3]])
    assert penalize(prompt, torch.zeros(1, 5)).tolist() == [[0, 0, 0, 0, 0]]
    after = penalize(torch.tensor([[3, 3, 3, 1, 1, 2]]), torch.zeros(1, 5))
    assert after.tolist() == [[0, -2.5, -1.5, 0, 0]]


def test_only_the_choices_and_then_the_end() -> None:
    import torch

    from mminf.backend.transformers.logits import OnlyChoices

    only = OnlyChoices([[1, 2], [1, 3, 4]], ends=[0])
    allowed = []
    for written in ([], [1], [1, 3], [1, 2]):
        found = only(torch.tensor([[9, *written]]) if written else torch.tensor([[9]]), torch.zeros(1, 6))
        allowed.append([i for i in range(6) if found[0, i] == 0])
    assert allowed == [[1], [2, 3], [4], [0]]


def test_banned_tokens_are_never_drawn() -> None:
    import torch

    from mminf.backend.transformers.logits import BanTokens

    scores = BanTokens([0, 2, 99])(torch.zeros(2, 0, dtype=torch.long), torch.zeros(2, 4))
    assert scores.tolist() == [[-math.inf, 0, -math.inf, 0]] * 2
