"""The steps of the shipped recipes under each of their profiles, and that the JSON Schema knows all of it."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from jsonschema import Draft202012Validator

import mminf
from mminf import api

from ..conftest import ROOT

RECIPES = sorted((ROOT / "recipes").glob("*.yaml"))
OASIS = """
    hook classify degenerate_instruction refused_instruction solvability hallucination clarity nonsense keep respond
    refusal degenerate language
"""
JUDGED = "helpfulness truthfulness following good_response"
CAPTION = "draw caption refusal degenerate language parts true"
INFINITY = """
    task_types ask refused_question degenerate_question english_question
    distinct relevant fits style answer refusal degenerate english_answer short_answer quality good columns
"""
PREFERENCE = "not_empty draw refusal degenerate language words different two quality ranked pair margin"
VERIFIABLE = "all_kinds split ask refused_question degenerate_question language solution draws answer match count"
UNICORN = """
    same_seed not_empty densify caption_leak refused_caption degenerate_caption caption_language same_caption request kind choices
    questions reasoning no_turns turn_leak refusal degenerate language embed
"""


@pytest.mark.parametrize(
    ("recipe", "profile", "steps"),
    [
        ("oasis", None, OASIS),
        ("oasis", "demo", OASIS),
        ("oasis", "ocr", f"text_richness rich_in_text {OASIS}"),
        ("oasis", "nll", OASIS.replace("respond", "respond likeliest")),
        ("oasis", "judged", f"{OASIS} {JUDGED}"),
        ("oasis", "nll,judged", f"{OASIS.replace('respond', 'respond likeliest')} {JUDGED}"),
        (
            "oasis",
            "judged,ocr,nll,demo",
            f"text_richness rich_in_text {OASIS.replace('respond', 'respond likeliest')} {JUDGED}",
        ),
        ("caption_check", None, f"{CAPTION} all_true"),
        ("caption_check", "mend", f"{CAPTION} true_parts all_true mended"),
        ("infinity_mm", None, f"tag {INFINITY}"),
        ("infinity_mm", "tagged", INFINITY),
        ("infinity_mm", "all_styles", f"tag {INFINITY.replace('style', 'all_styles each_style mark_style')}"),
        ("unicorn", None, UNICORN),
        ("unicorn", "labels", f"article phrase split fill make_seed {UNICORN}"),
        ("unicorn", "annotated,web", f"one_per_image annotation web_caption {UNICORN}"),
        ("allava_text", "wizardlm", "first_question respond refusal degenerate language"),
        ("preference", None, PREFERENCE),
        ("preference", "compared", f"{PREFERENCE} compare preferred"),
        ("verifiable", "hard", f"{VERIFIABLE} trusted not_trivial"),
        ("verifiable_gold", "hard", "not_empty solution draws answer match count solved not_trivial"),
        ("verifiable_gold", "unchecked", "not_empty solution"),
    ],
)
def test_profiles_insert_their_steps(recipe: str, profile: str | None, steps: str) -> None:
    assert [step.name for step in mminf.load(recipe, profile=profile).steps] == steps.split()


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_no_recipe_ships_a_disabled_step_or_a_profile_that_fails(path: Path) -> None:
    assert "enabled" not in path.read_text()
    for profile in yaml.safe_load(path.read_text()).get("profiles", {}):
        mminf.load(path, profile=profile)


def test_every_recipe_fits_the_schema() -> None:
    schema = Draft202012Validator(api.recipe_schema())
    schema.check_schema(schema.schema)
    for path in RECIPES:
        assert not [error.message for error in schema.iter_errors(yaml.safe_load(path.read_text()))], path.name


@pytest.mark.parametrize(
    "entry",
    [
        "{before: hook}",
        "{steps: [{keep: 'true'}]}",
        "{before: hook, after: hook, steps: [{keep: 'true'}]}",
        "{before: hook, steps: [{kep: 'true'}]}",
        "{before: hook, steps: []}",
    ],
)
def test_the_schema_refuses_wrong_insertions(entry: str) -> None:
    schema = Draft202012Validator(api.recipe_schema())
    good = {"steps": [], "profiles": {"p": {"insert": [yaml.safe_load("{before: a, steps: [{keep: 'true'}]}")]}}}
    assert schema.is_valid(good)
    assert not schema.is_valid({"steps": [], "profiles": {"p": {"insert": [yaml.safe_load(entry)]}}})
