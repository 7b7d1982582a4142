"""Who may use the app, and what its answers allow a browser to do."""

from __future__ import annotations

from pathlib import Path

import pytest
from fastapi.testclient import TestClient
from starlette.websockets import WebSocketDisconnect

from mminf.view.app import make_app
from mminf.view.guard import LONGEST_BODY, make_token
from mminf.view.serve import listen, open_runs

from .conftest import BASE, TOKEN, Make, client, items


@pytest.fixture
def plain(make_run: Make) -> TestClient:
    """A client without the token."""
    return TestClient(make_app(open_runs([str(make_run(*items(5)))]), TOKEN), base_url=BASE)


PATHS = ["/", "/static/app.js", "/api/session", "/api/runs/0/summary", "/api/runs/0/records", "/favicon.ico"]


@pytest.mark.parametrize("path", PATHS)
def test_nothing_is_read_without_the_token(plain: TestClient, path: str) -> None:
    assert plain.get(path).status_code == 403
    assert plain.get(path, headers={"x-mminf-token": "wrong"}).status_code == 403
    assert plain.get(path, cookies={"mminf": TOKEN}).status_code == 403
    assert plain.get(f"{path}?token=wrong").status_code == 403
    assert plain.get(path, headers={"x-mminf-token": TOKEN}).status_code in (200, 204)


def test_the_token_of_the_url_becomes_a_cookie(plain: TestClient) -> None:
    opened = plain.get(f"/?token={TOKEN}")
    assert opened.status_code == 200 and "<title>mminf view</title>" in opened.text
    cookie = opened.headers["set-cookie"]
    assert "HttpOnly" in cookie and "SameSite=Strict" in cookie and "Path=/" in cookie
    assert plain.get("/api/session").status_code == 200
    assert plain.get("/").status_code == 200
    plain.cookies.clear()
    assert plain.get(f"/api/session?token={TOKEN}").status_code == 403, "only the page takes it from the URL"


@pytest.mark.parametrize("host", ["evil.example", "evil.example:8765", "127.0.0.1.evil.example", "127.0.0.1@evil", ""])
def test_other_names_of_this_machine_are_refused(make_run: Make, host: str) -> None:
    found = client(make_run(*items(1))).get("/api/runs/0/records", headers={"host": host})
    assert found.status_code == 421 and "thing" not in found.text


@pytest.mark.parametrize("host", ["localhost:1234", "LOCALHOST", "127.0.0.1:9"])
def test_the_port_may_be_that_of_a_tunnel(make_run: Make, host: str) -> None:
    assert client(make_run(*items(1))).get("/api/session", headers={"host": host}).status_code == 200


def test_changes_need_the_token_in_a_header(plain: TestClient, tmp_path: Path) -> None:
    plain.get(f"/?token={TOKEN}")
    body = {"id": "r000", "mark": "good"}
    assert plain.post("/api/runs/0/mark", json=body).status_code == 403, "a cookie is sent for other sites as well"
    assert plain.post(f"/api/runs/0/mark?token={TOKEN}", json=body).status_code == 403
    assert not (tmp_path / "one" / "marks.jsonl").exists()
    headers = {"x-mminf-token": TOKEN}
    assert plain.post("/api/runs/0/mark", json=body, headers=headers).status_code == 200
    for method in ("PUT", "DELETE", "PATCH", "OPTIONS"):
        assert plain.request(method, "/api/runs/0/mark", headers=headers).status_code == 405


@pytest.mark.parametrize("origin", ["http://evil.example", "null", "http://127.0.0.1:1", "https://evil/127.0.0.1:8765"])
def test_requests_of_other_sites_are_refused(make_run: Make, origin: str) -> None:
    found = client(make_run(*items(1)))
    body = {"id": "r000", "mark": "good"}
    assert found.post("/api/runs/0/mark", json=body, headers={"origin": origin}).status_code == 403
    assert found.get("/api/session", headers={"origin": origin}).status_code == 403
    assert found.get("/api/session", headers={"sec-fetch-site": "cross-site"}).status_code == 403
    assert found.get("/api/session", headers={"sec-fetch-site": "same-site"}).status_code == 403
    assert found.post("/api/runs/0/mark", json=body, headers={"origin": BASE}).status_code == 200


@pytest.mark.parametrize("path", [*PATHS, "/nothing", "/api/runs/7/summary", "/api/runs/0/records?state=odd"])
def test_every_answer_has_the_headers(make_run: Make, path: str) -> None:
    own = client(make_run(*items(1)))
    for headers in ({}, {"host": "evil.example"}, {"x-mminf-token": "wrong"}):
        found = own.get(path, headers=headers).headers
        policy = dict(part.strip().partition(" ")[::2] for part in found["content-security-policy"].split(";"))
        assert policy["default-src"] == policy["base-uri"] == policy["form-action"] == "'none'"
        assert policy["frame-ancestors"] == "'none'"
        assert policy["script-src"] == policy["style-src"] == policy["img-src"] == policy["connect-src"] == "'self'"
        assert "unsafe" not in found["content-security-policy"] and "*" not in found["content-security-policy"]
        assert found["x-content-type-options"] == "nosniff" and found["referrer-policy"] == "no-referrer"
        assert found["cache-control"] == "no-store" and found["cross-origin-resource-policy"] == "same-origin"
        assert "access-control-allow-origin" not in found


@pytest.mark.parametrize(
    "path",
    [
        "/static/../app.py", "/static/..%2fapp.py", "/static/%2e%2e/app.py", "/static//etc/passwd", "/static/%2fetc%2fpasswd",
        "/static/", "/static/app.css%00.js", "/docs", "/redoc", "/openapi.json", "/api/runs/../../etc/passwd",
    ],
)  # fmt: skip
def test_there_are_no_other_files(make_run: Make, path: str) -> None:
    assert client(make_run(*items(1))).get(path).status_code in (404, 422)


def test_long_requests_are_refused(make_run: Make) -> None:
    own = client(make_run(*items(1)))
    long = {"id": "r000", "mark": "good", "note": "x" * LONGEST_BODY}
    assert own.post("/api/runs/0/mark", json=long).status_code == 413
    assert own.post("/api/runs/0/mark", content=b"{}", headers={"content-length": "-1"}).status_code == 413

    def parts() -> object:
        yield b'{"id": "r000", "mark": "good", "note": "'
        for _ in range(20):
            yield b"x" * 10_000

    try:
        status = own.post("/api/runs/0/mark", content=parts(), headers={"transfer-encoding": "chunked"}).status_code  # type: ignore[arg-type]
    except Exception:  # the connection ends
        status = 400
    assert status >= 400


def test_tokens_are_long_and_random() -> None:
    tokens = {make_token() for _ in range(100)}
    assert len(tokens) == 100 and all(len(token) >= 40 for token in tokens)


def test_it_listens_on_this_machine_only() -> None:
    with listen(0) as listener:
        assert listener.getsockname()[0] == "127.0.0.1"


def test_the_app_refuses_websockets(plain: TestClient) -> None:
    with pytest.raises(WebSocketDisconnect), plain.websocket_connect("/api/session"):
        pass
