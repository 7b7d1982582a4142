"""What a server means by a status and a body."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from mminf.backend.failures import HOPELESS, Streak, error_inside, fix, read_failure

from ..fuzz import fuzz

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=True) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
BODIES = st.one_of(st.binary(max_size=200), JSON.map(lambda value: json.dumps(value).encode()))


@pytest.mark.parametrize(
    ("status", "body", "kind"),
    [
        (401, {"error": {"message": "Incorrect API key provided"}}, "key"),
        (400, [{"error": {"message": "API key not valid. Please pass a valid API key.", "status": "X"}}], "key"),
        (402, {"error": {"message": "Insufficient credits"}}, "credit"),
        (429, {"error": {"message": "You exceeded your current quota", "code": "insufficient_quota"}}, "credit"),
        (400, {"error": {"message": "Your credit balance is too low"}}, "credit"),
        (429, {"error": {"message": "Rate limit reached for requests"}}, "busy"),
        (403, {"error": {"message": "blocked"}}, "access"),
        (404, {"detail": "Not Found"}, "address"),
        (405, "", "address"),
        (301, "", "address"),
        (404, {"error": {"message": "The model `x` does not exist", "code": "model_not_found"}}, "model"),
        (404, {"error": {"message": "model 'x' not found, try pulling it first"}}, "model"),
        (400, {"error": {"message": "x is not a valid model ID"}}, "model"),
        (404, {"error": {"code": "DeploymentNotFound", "message": "The API deployment does not exist."}}, "model"),
        (400, {"object": "error", "message": "This model's maximum context length is 4096 tokens."}, "call"),
        (400, {"error": {"message": "the image in the model's prompt was not found"}}, "call"),
        (422, {"detail": [{"loc": ["body", "x"], "msg": "bad"}]}, "call"),
        (400, {"error": {"message": "Invalid prompt: unknown model of car"}}, "call"),
        (400, {"error": {"message": "no credit given to photographer"}}, "call"),
        (403, {"error": {"message": "Blocked prompt: 'out of balance'"}}, "access"),
        (400, {"error": {"message": "The text 'invalid_api_key' in your prompt was blocked"}}, "call"),
        (404, {"error": {"message": "Could not download the image", "type": "invalid_image_url"}}, "call"),
        (429, {"error": {"message": "You exceeded your current quota, limit: 15. Please retry in 20s"}}, "busy"),
        (429, {"error": {"message": "Rate limit reached. Billing limit info: https://x"}}, "busy"),
        (429, {"error": {"message": "account suspended", "type": "exceeded_current_quota_error"}}, "credit"),
        (400, {"error": {"message": "API key expired. Please renew the API key."}}, "key"),
        (400, {"error": {"message": "Model Not Exist"}}, "model"),
        (400, {"message": "EngineCore encountered an issue. See stack trace (above) for the root cause."}, "dead"),
        (400, {"message": "The text about EngineDeadError is too long"}, "call"),
        (400, {"error": {"message": "Access denied", "code": "Arrearage"}}, "credit"),
        (400, {"error": {"message": "Account balance is too low"}}, "credit"),
        (408, "", "again"),
        (500, "<html><h1>Bad gateway</h1></html>", "down"),
        (503, "", "down"),
    ],
)
def test_kinds(status: int, body: Any, kind: str) -> None:
    content = body.encode() if isinstance(body, str) else json.dumps(body).encode()
    assert read_failure(status, content).kind == kind


def test_the_servers_words_are_told_in_one_short_line() -> None:
    failure = read_failure(500, b"<html>\n<head>x</head><body>Bad   gateway" + b"!" * 10_000)
    assert failure.said.startswith("answered 500: x Bad gateway!!")
    assert len(failure.said) < 400
    assert read_failure(400, b'{"error": {"message": "no\\nway"}}').said == "answered 400: no way"
    assert read_failure(503, b"", after="3").kind == "busy"


@fuzz(300)
@given(st.integers(300, 599), BODIES)
@example(401, b"[" * 100_000)
@example(400, b'{"error": [[]]}')
def test_any_body_is_read(status: int, body: bytes) -> None:
    failure = read_failure(status, body)
    assert "\n" not in failure.said
    if failure.kind in HOPELESS:
        told = fix(failure, url="http://h/v1", key_env="K", has_key=False, model="m", models=("a",))
        assert told


@fuzz(300)
@given(JSON)
@example({"error": {"code": 10**400}})
@example({"error": {"code": "1e9"}})
def test_errors_in_answers_have_a_status(answer: Any) -> None:
    found = error_inside(answer)
    if found is not None:
        assert 400 <= found[0] < 600
        read_failure(*found)


@pytest.mark.parametrize(
    ("answer", "status"),
    [
        ({"error": {"message": "Upstream overloaded", "code": 502}}, 502),
        ({"error": {"message": "Rate limited upstream", "code": 429}}, 429),
        ({"error": {"message": "x", "code": "rate_limit_exceeded"}}, 429),
        ({"error": {"message": "x", "code": "invalid_api_key"}}, 401),
        ({"error": {"message": "x", "code": None, "type": "invalid_request_error"}}, 400),
        ({"error": {"message": "x", "code": "never_heard_of"}}, 502),
        ({"error": "odd"}, 502),
        ({"object": "error", "message": "bad", "code": 400}, 400),
        ({"choices": [{"finish_reason": "error", "error": {"code": 503}, "message": {"content": "A re"}}]}, 503),
        ({"choices": [{"finish_reason": "error", "message": {"content": "A re"}}]}, 502),
        ({"choices": [{"finish_reason": "stop", "message": {"content": "A"}}], "error": None}, None),
        ({"choices": [{"message": {"content": "A"}}], "error": {"code": 500}}, 500),
        ({"code": 401, "msg": "invalid api key"}, 401),
        ({"error": "invalid api key"}, 401),
        ({"code": 0, "choices": [{"message": {"content": "A"}}]}, None),
        ({"choices": []}, None),
        ([], None),
    ],
)
def test_errors_inside_an_answer(answer: Any, status: int | None) -> None:
    found = error_inside(answer)
    assert (None if found is None else found[0]) == status


def test_what_to_do_is_said() -> None:
    def hint(status: int, url: str = "http://h:8000/v1", models: tuple[str, ...] = (), **body: Any) -> str:
        failure = read_failure(status, json.dumps({"error": body}).encode(), target=body.get("target"))
        return fix(failure, url=url, key_env="MY_KEY", has_key=status != 401, model="llava", models=models)

    assert "set the environment variable MY_KEY to the key" in hint(401)
    assert "MY_KEY has no access to this model" in hint(403)
    assert "no credit or quota" in hint(402)
    assert hint(404, "http://h:8000/") == "add /v1: `base_url: http://h:8000/v1`"
    assert "calls are sent to http://h:8000/v1/chat/completions" in hint(404)
    assert "did you mean 'llava:latest'" in hint(404, models=("llava:latest", "qwen"), message="no such model")
    assert "redirects to https://h/login" in hint(302, target="https://h/login")


def test_only_failures_of_one_kind_in_a_row_stop_a_run() -> None:
    streak = Streak()
    assert [streak.add("key", 3) for _ in range(3)] == [False, False, True]
    streak.end()
    assert not streak.add("key", 3)
    assert not streak.add("credit", 3)
    assert not streak.add("key", 3)
    assert not streak.add("key", 3)
    assert streak.add("key", 3)
