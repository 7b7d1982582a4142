"""The calls that a plan counts are the calls of a run in which no record is dropped and no call is retried."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from mminf import api
from mminf.cost.recipe import count_calls, most_calls
from mminf.journal import Journal

from ..conftest import ROOT
from .conftest import Play
from .test_allava import LAION, session
from .test_bad_answers import MAGPIE, PLAYS, START
from .test_infinity_mm import MODEL
from .test_mammoth_vl import reply as mammoth
from .test_oasis import GOOD
from .test_preference import reply_with as preference
from .test_unicorn import UNICORN
from .test_verifiable import reply_with as verifiable

Pictures = Callable[..., list[str]]

REQUEST = "What is the NAME cat on the mat doing?"
RESPONSES = [f"The cat on the mat is {word}." for word in ("asleep", "awake", "eating", "purring", "angry")]
VFLAN = "<start of description>A cat.<end of description>\n<start of detailed answer>It is red.<end of detailed answer>"
CHOICE = "What is the colour of the cup?\nA. red\nB. blue\nC. green\nD. white"


class Case(NamedTuple):
    """A recipe with a model whose answers are all good.

    Attributes:
        calls: calls of the whole run.
        fields: fields of the three records, other than `images`; None: the recipe needs no records.
    """

    calls: int
    reply: str
    fields: dict[str, Any] | None = {}
    profile: str | None = None
    settings: dict[str, Any] = {}


def fine(recipe: str) -> tuple[str, dict[str, Any]]:
    """Returns the model and the fields of `test_bad_answers`, without bad answers."""
    reply, fields, _ = PLAYS[recipe]
    if recipe == "densefusion":
        reply = reply.replace('"State only" in text', "True").replace('split("State only")[0]', 'split("\\n\\n")[0]')
    return f"STEP = ''\n{START}{reply}", json.loads(json.dumps(fields).replace("KIND", "fine"))


GOOD_MAGPIE = f"STEP = ''\n{START}{MAGPIE}"
RATINGS = {response: number + 2 for number, response in enumerate(RESPONSES)}
BLANK = {"source": {"blank": 3}}
CASES = {
    "allava_laion": Case(3, LAION),
    "allava_session": Case(9, session()),
    "allava_text": Case(3, "return f'New: {text}'", {"instruction": "Say hi."}),
    "allava_vflan": Case(3, f"return {VFLAN!r}", {"instruction": "What colour?"}),
    "caption": Case(3, *fine("caption")),
    "caption_check": Case(6, *fine("caption_check")),
    "caption_check-parts": Case(
        12, 'return "Yes" if "State only" not in text else "A cat. A dog. A cow.\\n\\nA hen.\\n\\nA pig."'
    ),
    "caption_qa": Case(9, *fine("caption_qa")),
    "caption_qa-three": Case(
        15,
        'return "A cat on a sofa." if "State only" in text else "1. A?\\n2. B?\\n3. C?" if text.endswith("Questions:") '
        'else "It is there."',
    ),
    "densefusion": Case(3, *fine("densefusion")),
    "detailed_instruction": Case(3, *fine("detailed_instruction")),
    "infinity_mm": Case(39, MODEL),
    "infinity_mm-styles": Case(75, MODEL, profile="all_styles"),
    "magpie": Case(15, GOOD_MAGPIE, None, settings=BLANK),
    "magpie_turns": Case(30, GOOD_MAGPIE, None, settings=BLANK),
    "mammoth_vl": Case(9, mammoth(), {"instruction": "What is parked at the kerb?", "answer": "A taxi"}),
    "match_score": Case(3, *fine("match_score")),
    "mmevol": Case(27, *fine("mmevol")),
    "oasis": Case(21, GOOD),
    "oasis-samples": Case(42, GOOD, settings={"steps.hook.n": 2}),
    "oasis-judged": Case(30, GOOD, profile="judged"),
    "oasis_recycling": Case(21, GOOD),
    "preference": Case(30, preference(RESPONSES, RATINGS), {"instruction": REQUEST}),
    "preference-compared": Case(
        36,
        preference(RESPONSES, RATINGS, None, "'A' if 'angry' in a else 'B'"),
        {"instruction": REQUEST},
        profile="compared",
    ),
    "prompt_evolve": Case(18, *fine("prompt_evolve")),
    "prompt_evolve-rounds": Case(42, *fine("prompt_evolve"), settings={"steps.repeat.times": 3}),
    "thinking": Case(12, *fine("thinking")),
    "unicorn": Case(6, UNICORN, None),
    "unicorn_images": Case(0, "return 'not called'"),
    "verifiable": Case(81, verifiable({}, {})),
    "verifiable_gold": Case(
        24,
        "return 'I look at the image.\\n<answer>B</answer>'",
        {"instruction": CHOICE, "solution": "B"},
    ),
}


def test_every_recipe_has_a_case() -> None:
    assert {name.split("-")[0] for name in CASES} == {path.stem for path in (ROOT / "recipes").glob("*.yaml")}


@pytest.mark.parametrize("name", CASES)
def test_a_run_makes_the_calls_of_its_plan(play: Play, pictures: Pictures, tmp_path: Path, name: str) -> None:
    case, recipe = CASES[name], name.split("-")[0]
    given: Any = None
    if case.fields is not None:
        named = json.dumps(case.fields)
        given = [
            {"id": image[:-4], "images": [image], **json.loads(named.replace("NAME", image[:-4]))}
            for image in pictures("red", "blue", "green")
        ]
    elif "source" not in case.settings:
        given = tmp_path / "captions.txt"
        given.write_text("a harbour\na market\na forest\n")
    found = play(recipe, given, case.reply, profile=case.profile, **case.settings)
    assert not found.failed
    assert not found.dropped
    with Journal(found.output) as journal:
        made = {step: total.calls for step, total in journal.memo.totals().items()}
    assert sum(made.values()) == case.calls == len(found.calls)

    loaded = api.load(
        ROOT / "recipes" / f"{recipe}.yaml",
        profile=case.profile,
        overrides={key: value for key, value in case.settings.items() if key != "source"},
    )
    # The plays leave out encoders.
    counted = [step for step in count_calls(loaded.steps) if loaded.engines[step.engine].backend != "encoder"]
    for step in counted:
        calls = step.in_run(3)
        assert calls.least <= made.get(step.name, 0) <= (calls.most if calls.most is not None else 1e9), step
    most = most_calls(counted, [step.in_run(3) for step in counted])
    assert most is None or case.calls <= most
    if most is not None and all(step.each.exact and step.records.exact for step in counted):
        assert case.calls == most


@pytest.mark.parametrize(
    ("name", "most"),
    [
        ("oasis", "7"), ("oasis-samples", "14"), ("preference", "10"), ("preference-compared", "12"),
        ("verifiable", "27"), ("unicorn", "3"), ("oasis_recycling", "7"), ("prompt_evolve-rounds", "14"),
        ("mmevol", "54"), ("caption_qa", "10"), ("infinity_mm", "13"), ("caption_check", "1 + 1 per item of `parts`"),
    ],
)  # fmt: skip
def test_a_plan_names_the_most_calls(name: str, most: str) -> None:
    case = CASES[name]
    loaded = api.load(
        ROOT / "recipes" / f"{name.split('-')[0]}.yaml", profile=case.profile, overrides=dict(case.settings)
    )
    assert f"calls per record: at most {most} (" in api.describe_plan(loaded)
