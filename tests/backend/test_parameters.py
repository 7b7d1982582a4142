"""Parameters that servers reject by name."""

from __future__ import annotations

import json
from typing import Any

import pytest

from mminf.backend.failures import read_failure
from mminf.backend.parameters import Change, adapt, apply, merge, rejected
from mminf.errors import EngineError

PAYLOAD: dict[str, Any] = {
    "model": "m",
    "messages": [],
    "max_tokens": 100,
    "temperature": 0.0,
    "top_k": -1,
    "min_tokens": 5,
    "seed": 7,
    "stop": ["x"],
    "repetition_penalty": 1.0,
    "structured_outputs": {"choice": ["a"]},
    "chat_template_kwargs": {"enable_thinking": False},
    "logprobs": True,
}


def refusal(message: Any, status: int = 400, **more: Any) -> Any:
    return read_failure(status, json.dumps({"error": {"message": message, **more}}).encode())


# As OpenAI, Groq, Mistral, Gemini, Anthropic's gateway, vLLM and FastAPI put it.
@pytest.mark.parametrize(
    ("message", "more", "name"),
    [
        ("Unsupported parameter: 'max_tokens' is not supported with this model. Use 'max_completion_tokens'", {}, "max_tokens"),
        ("Unsupported value: 'temperature' does not support 0.0", {"param": "temperature"}, "temperature"),
        ("Unrecognized request argument supplied: top_k", {}, "top_k"),
        ("property 'seed' is unsupported", {}, "seed"),
        ([{"type": "extra_forbidden", "loc": ["body", "min_tokens"], "msg": "Extra inputs are not permitted"}], {}, "min_tokens"),
        ('Invalid JSON payload received. Unknown name "top_k": Cannot find field.', {}, "top_k"),
        ("top_k: Extra inputs are not permitted", {}, "top_k"),
        ("Unknown parameter: 'structured_outputs'.", {"param": "structured_outputs"}, "structured_outputs"),
        ("chat_template_kwargs is not supported", {}, "chat_template_kwargs"),
        ("nothing in the payload is called top_kx or stopped; unknown field 'foo'", {}, None),
        ("This model's maximum context length is 4096 tokens; max_tokens is too large", {}, None),
        ("the model does not support images", {}, None),
        ("Unsupported image: please stop sending it", {}, None),
        ("max_tokens 9000 is too large: this model does not support more than 4096", {}, None),
        ("Argument not supported on this model: top_k", {}, None),
        ("The parameter `seed` is not recognized", {}, "seed"),
        ("Content not allowed: 'the temperature of BAD'", {}, None),
        ("not supported", {"param": "body.seed"}, "seed"),
        ("not supported", {"param": "$.seed"}, "seed"),
        ("parameter 'seed' is not supported", {"param": ""}, "seed"),
        ("Extra parameter: seed", {}, "seed"),
        ([{"type": "value_error", "loc": ["body", "messages"], "msg": "special tokens are not allowed", "input": {"seed": 1}}], {}, None),
        ("'logprobs' is not allowed here", {}, "logprobs"),
        ("Unsupported parameter", {"param": "messages[0].content"}, None),
    ],
)  # fmt: skip
def test_which_parameter_is_rejected(message: Any, more: dict[str, Any], name: str | None) -> None:
    assert rejected(refusal(message, **more), PAYLOAD) == name
    assert rejected(refusal(message, 422, **more), PAYLOAD) == name
    assert rejected(refusal(message, 500, **more), PAYLOAD) is None


@pytest.mark.parametrize("name", ["top_k", "seed", "repetition_penalty", "structured_outputs"])
def test_what_the_recipe_did_not_ask_for_is_left_out(name: str) -> None:
    change = adapt(name, PAYLOAD, refusal(f"unknown {name}"), model="m", own={})
    assert change.other is None
    assert name not in apply(PAYLOAD, {name: change})


@pytest.mark.parametrize(
    ("name", "setting"),
    [
        ("temperature", "sampling.temperature"),
        ("min_tokens", "sampling.min_tokens"),
        ("stop", "sampling.stop"),
        ("logprobs", "sampling.logprobs"),
        ("chat_template_kwargs", "reasoning"),
    ],
)
def test_what_the_recipe_asked_for_stops_the_run_and_names_the_setting(name: str, setting: str) -> None:
    with pytest.raises(EngineError, match=rf"does not accept {name}=.*change `{setting}`"):
        adapt(name, PAYLOAD, refusal(f"unknown {name}"), model="m", own={})


def test_max_tokens_has_another_name() -> None:
    change = adapt("max_tokens", PAYLOAD, refusal("use 'max_completion_tokens'"), model="m", own={})
    changed = apply(PAYLOAD, {"max_tokens": change})
    assert changed["max_completion_tokens"] == 100
    assert "max_tokens" not in changed
    assert "max_tokens" in PAYLOAD
    mine = {**PAYLOAD, "max_completion_tokens": 5}
    assert apply(mine, {"max_tokens": change})["max_completion_tokens"] == 5, "the user's own comes first"


def test_a_value_with_an_effect_is_never_left_out_in_silence() -> None:
    change = adapt("temperature", {"temperature": 1}, refusal("unknown temperature"), model="m", own={})
    assert "temperature" not in apply({"temperature": 1.0}, {"temperature": change})
    assert apply({"temperature": 0.7}, {"temperature": change}) == {"temperature": 0.7}
    other = adapt("top_p", {"top_p": 1}, refusal("unknown top_p"), model="m", own={})
    both = {"temperature": change, "top_p": other}
    assert apply({"temperature": 0, "top_p": 0.9}, both) == {"temperature": 0, "top_p": 0.9}
    assert apply({"temperature": 1, "top_p": 0.9}, both) == {"top_p": 0.9}


def test_a_rejected_key_of_extra_body_names_it() -> None:
    with pytest.raises(EngineError, match=r"change the engine's `extra_body.foo`"):
        adapt("foo", {"foo": 1}, refusal("unknown foo"), model="m", own={"foo": 1})


def test_own_parameters_are_merged() -> None:
    payload = {"a": 1, "kwargs": {"x": 1, "y": 2}, "seed": 3}
    merged = merge(payload, {"a": 2, "kwargs": {"y": None, "z": 3}, "seed": None, "new": [1]})
    assert merged == {"a": 2, "kwargs": {"x": 1, "z": 3}, "new": [1]}
    assert payload == {"a": 1, "kwargs": {"x": 1, "y": 2}, "seed": 3}
    assert apply(payload, {"b": Change("b", None, "")}) == payload


def test_a_server_with_defaults_of_its_own_is_not_left_to_them() -> None:
    """`vllm serve` takes what a call leaves out from the model's generation config."""
    dislikes = refusal("'temperature' does not support this value", param="temperature")
    payload = {"temperature": 1}
    assert adapt("temperature", payload, dislikes, model="m", own={}, no_defaults=True).other is None
    with pytest.raises(EngineError, match=r"sampling\.temperature"):
        adapt("temperature", payload, dislikes, model="m", own={}, no_defaults=False)
    assert (
        adapt("temperature", payload, refusal("unknown temperature"), model="m", own={}, no_defaults=False).other
        is None
    )


def test_a_limit_of_tokens_that_is_too_large_is_no_rejected_name() -> None:
    payload = {"max_tokens": 9000, "max_completion_tokens": 9000}
    with pytest.raises(EngineError, match=r"change `sampling\.max_tokens`"):
        adapt("max_tokens", payload, refusal("not supported", param="max_tokens"), model="m", own={})
    with pytest.raises(EngineError, match=r"change `sampling\.max_tokens`"):
        adapt("max_completion_tokens", payload, refusal("unknown"), model="m", own={})
