"""The routes: histories in pieces, images by the rules of the source, marks."""

from __future__ import annotations

import io
import json
import sqlite3
from pathlib import Path

import pytest
from fastapi.testclient import TestClient
from PIL import Image

from mminf import redact
from mminf.marks import read_marks
from mminf.registry import Registry
from mminf.view.history import CALLS, FIELDS
from mminf.view.text import FOLDED, PIECE

from ..conftest import tiny_image
from .conftest import RECIPE, Make, client, items

EVIL = "<script>alert(1)</script><img src=x onerror=alert(2)>\u202egnp.exe"


def get(app: TestClient, what: str, status: int = 200, **parameters: object) -> dict[str, object]:
    found = app.get(f"/api/runs/{what}", params=parameters)  # type: ignore[arg-type]
    assert found.status_code == status, found.text
    return dict(found.json())


def whole(app: TestClient, record: str, piece: dict[str, object]) -> str:
    """Returns a text with all its pieces."""
    text = str(piece["text"])
    while "place" in piece and len(text) < int(str(piece["length"])):
        part = get(
            app, "0/text", record=record, place=json.dumps(piece["place"]), offset=len(text), length=piece["length"]
        )
        text += str(part["text"])
        assert part["end"] == len(text)
    return text


def test_summary_and_records(make_run: Make) -> None:
    app = client(make_run(*items(20)))
    session = app.get("/api/session").json()
    assert session["runs"] == ["one"] and session["states"] == ["done", "dropped", "failed", "waiting"]
    summary = get(app, "0/summary")
    assert (summary["state"], summary["done"], summary["dropped"], summary["problems"]) == ("finished", 12, 8, [])
    ask, clarity, keep = summary["funnel"]  # type: ignore[misc]
    assert (ask["entered"], ask["calls"], clarity["entered"], keep["dropped"], keep["passed"]) == (20, 20, 20, 8, 0.6)
    assert keep["published"] == 0.6 and summary["scores"] == [
        {"name": "clarity", "low": 1, "high": 5, "expected": None}
    ]
    page = get(app, "0/records", state="dropped", score="clarity:2:2", limit=2)
    assert [item["scores"] for item in page["records"]] == [{"clarity": 2.0}] * 2 and page["next"]  # type: ignore[index]
    rest = get(app, "0/records", state="dropped", score="clarity:2:2", after=page["next"])
    assert len(rest["records"]) == 2 and rest["next"] is None  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("what", "status"),
    [
        ("0/records?state=odd", 422), ("0/records?score=x", 422), ("0/records?after=x", 422), ("0/records?limit=0", 422),
        ("0/records?limit=9999", 422), ("7/records", 404), ("-1/records", 404), ("x/records", 422), ("0/outcomes", 422),
        ("0/image?record=gone", 404), ("0/image?record=r000&number=-1", 422), ("0/image?record=r000&size=raw", 422),
        ("0/text?record=r000&place=[]&offset=0&length=1", 422), ("0/text?record=r000&place=x&offset=0&length=1", 422),
        ('0/text?record=r000&place=["call",99,"answer"]&offset=0&length=1', 422),
        ('0/text?record=r000&place=["call",0,"../x"]&offset=0&length=1', 422),
        ('0/text?record=r000&place=["outcome",0,-1]&offset=0&length=1', 422),
        ('0/text?record=gone&place=["outcome",0,0]&offset=0&length=1', 422),
        (f'0/text?record=r000&place={"[" * 9000}&offset=0&length=1', 422),
    ],
)  # fmt: skip
def test_requests_that_make_no_sense(make_run: Make, what: str, status: int) -> None:
    found = client(make_run(*items(2))).get(f"/api/runs/{what}")
    assert found.status_code == status and "detail" in found.json() and "Traceback" not in found.text


def test_the_history_of_a_record(make_run: Make) -> None:
    app = client(make_run(*items(3)))
    outcomes = get(app, "0/outcomes", record="r002")
    (outcome,) = outcomes["outcomes"]  # type: ignore[misc]
    assert {field["name"]: field["value"]["text"] for field in outcome["fields"]} == {
        "id": "r002", "text": "xx thing 2", "instruction": "Ask xx thing 2", "clarity": outcome["fields"][-1]["value"]["text"],
    }  # fmt: skip
    calls = get(app, "0/calls", record="r002")
    assert [call["step"] for call in calls["calls"]] == ["ask", "clarity"] and calls["total"] == 2  # type: ignore[attr-defined]
    assert calls["calls"][0]["prompt"] == [  # type: ignore[index]
        {"role": "user", "text": {"text": "Ask xx thing 2", "end": 14, "length": 14}}
    ]
    assert get(app, "0/outcomes", record="gone")["outcomes"] == []
    assert get(app, "0/calls", record="gone")["total"] == 0


def test_long_texts_come_in_pieces(make_run: Make) -> None:
    long = "".join(chr(97 + n % 26) for n in range(50_123)) + "😀\u0301" * 3000
    app = client(make_run({"id": "a", "text": long, "nested": {"list": [long, 5]}}))
    fields = {field["name"]: field["value"] for field in get(app, "0/outcomes", record="a")["outcomes"][0]["fields"]}  # type: ignore[index]
    assert len(fields["text"]["text"]) == PIECE and fields["text"]["length"] == len(long)
    assert whole(app, "a", fields["text"]) == long
    assert json.loads(whole(app, "a", fields["nested"])) == {"list": [long, 5]}
    stale = {**fields["text"], "length": 7}
    found = app.get(
        "/api/runs/0/text", params={"record": "a", "place": json.dumps(stale["place"]), "offset": 0, "length": 7}
    )
    assert found.status_code == 422 and "has changed" in found.json()["detail"]


def test_long_prompts_are_folded(make_run: Make) -> None:
    app = client(make_run({"id": "a", "text": "z" * 9_000}, recipe=RECIPE.replace("text[:200]", "text")))
    calls = get(app, "0/calls", record="a")["calls"]
    prompt = calls[0]["prompt"][0]["text"]  # type: ignore[index]
    assert len(prompt["text"]) == FOLDED and whole(app, "a", prompt) == f"Ask {'z' * 9000}"


def test_five_megabytes_are_sent_in_part(make_run: Make) -> None:
    app = client(make_run({"id": "a", "text": f"{EVIL}{'x' * 5_000_000}"}, *items(2)))
    for path in ("records", "outcomes?record=a", "calls?record=a", "records?text=onerror"):
        found = app.get(f"/api/runs/0/{path}")
        assert found.status_code == 200 and len(found.content) < 60_000
        assert found.headers["content-type"] == "application/json"


def test_many_fields_are_sent_in_part(make_run: Make) -> None:
    app = client(make_run({"id": "a", "text": "x", **{f"f{n}": n for n in range(1000)}}))
    (outcome,) = get(app, "0/outcomes", record="a")["outcomes"]  # type: ignore[misc]
    assert len(outcome["fields"]) == FIELDS and outcome["more"] == 1004 - FIELDS


def test_secrets_are_hidden(make_run: Make) -> None:
    out = make_run({"id": "a", "text": "the key is sk-very-secret-1234 there"})
    app = client(out)
    redact.keep_secret("sk-very-secret-1234")
    for path in ("records", "outcomes?record=a", "calls?record=a", "records?text=key"):
        text = app.get(f"/api/runs/0/{path}").text
        assert "sk-very-secret" not in text and "***" in text


# Images


def test_images_are_small_copies(make_run: Make, tmp_path: Path) -> None:
    tiny_image(tmp_path / "a.png", size=(3000, 1500))
    app = client(make_run({"id": "a", "text": "x", "images": ["a.png"]}))
    for size, width in (("small", 200), ("large", 1400)):
        found = app.get("/api/runs/0/image", params={"record": "a", "size": size})
        image = Image.open(io.BytesIO(found.content))
        assert (found.status_code, found.headers["content-type"], image.format) == (200, "image/jpeg", "JPEG")
        assert image.size == (width, width // 2)


def test_the_raw_file_is_never_sent(make_run: Make, tmp_path: Path) -> None:
    picture = Image.new("RGB", (20, 20))
    exif = Image.Exif()
    exif[0x010E] = "hidden words"
    picture.save(tmp_path / "a.jpg", exif=exif, comment=b"more hidden words")
    (tmp_path / "b.png").write_text("<svg onload='alert(1)'>")
    app = client(make_run({"id": "a", "text": "x", "images": ["a.jpg", "b.png"]}))
    found = app.get("/api/runs/0/image", params={"record": "a", "number": 0})
    assert found.status_code == 200 and b"hidden" not in found.content
    found = app.get("/api/runs/0/image", params={"record": "a", "number": 1})
    assert found.status_code == 404 and "svg" not in found.text


def test_images_of_others_are_refused(make_run: Make, tmp_path: Path) -> None:
    """The rules of the source hold: a row can't make the app show a file outside its folder."""
    outside = tmp_path.parent / f"{tmp_path.name}-outside"
    outside.mkdir()
    tiny_image(outside / "secret.png")
    (tmp_path / "link.png").symlink_to(outside / "secret.png")
    named = [f"../{outside.name}/secret.png", str(outside / "secret.png"), f"file://{outside}/secret.png", "link.png",
             "https://example.com/a.png", "http://127.0.0.1:1/a.png", "s3://bucket/a.png", "/etc/passwd", "a\0b"]  # fmt: skip
    app = client(make_run({"id": "a", "text": "x", "images": named}, {"id": "b", "text": "no images"}))
    for number in range(len(named) + 1):
        found = app.get("/api/runs/0/image", params={"record": "a", "number": number})
        assert found.status_code == 404, named[number]
        assert found.headers["content-type"] == "application/json" and len(found.json()["detail"]) < 400
    assert app.get("/api/runs/0/image", params={"record": "b"}).status_code == 404
    for extra in ({"path": str(outside / "secret.png")}, {"uri": "/etc/passwd"}):
        assert app.get("/api/runs/0/image", params={"record": "b", **extra}).status_code == 404


def test_a_source_that_is_not_there_shows_no_images(
    make_run: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tiny_image(tmp_path / "a.png")
    app = client(make_run({"id": "a", "text": "x", "images": ["a.png"]}))
    monkeypatch.setattr("mminf.run_folder.SOURCES", Registry("source"))
    assert "unknown source 'jsonl'" in str(get(app, "0/summary")["images"])
    assert "unknown source" in str(get(app, "0/image", 404, record="a")["detail"])


# Marks


def test_marks_are_written_next_to_the_journal(make_run: Make) -> None:
    out = make_run(*items(3))
    before = (out / "journal.sqlite").read_bytes()
    app = client(out)
    assert get(app, "0/mark", record="r001")["mark"] is None
    body = {"id": "r001", "mark": "good", "note": EVIL}
    assert app.post("/api/runs/0/mark", json=body).json()["mark"] == "good"
    assert get(app, "0/mark", record="r001")["note"] == EVIL
    assert read_marks(out / "marks.jsonl")["r001"][:2] == ("good", EVIL)
    assert get(app, "0/summary")["marks"] == {"good": 1, "bad": 0, "note": 1}
    assert get(app, "0/records", mark="good")["records"][0]["note"] == EVIL  # type: ignore[index]
    app.post("/api/runs/0/mark", json={"id": "r001", "mark": None, "note": ""})
    assert read_marks(out / "marks.jsonl") == {}
    assert (out / "journal.sqlite").read_bytes() == before


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"id": "gone", "mark": "good"}, 404), ({"id": "", "mark": "good"}, 422), ({"mark": "good"}, 422),
        ({"id": "r000", "mark": "fine"}, 422), ({"id": "r000", "note": "x" * 10_001}, 422), ("no json", 422), ([1], 422),
        ({"id": "\ud800", "mark": "good"}, 422),
    ],
)  # fmt: skip
def test_other_marks_are_refused(make_run: Make, body: object, status: int) -> None:
    out = make_run(*items(1))
    content = body if isinstance(body, str) else json.dumps(body)
    found = client(out).post("/api/runs/0/mark", content=content, headers={"content-type": "application/json"})
    assert found.status_code == status and not (out / "marks.jsonl").exists()


def test_a_folder_that_can_not_be_written(make_run: Make) -> None:
    out = make_run(*items(1))
    (out / "marks.jsonl").symlink_to("/dev/null")
    found = client(out).post("/api/runs/0/mark", json={"id": "r000", "mark": "good"})
    assert found.status_code == 507 and "can't be written" in found.json()["detail"]


def test_two_runs_have_their_own_marks(make_run: Make) -> None:
    one, two = make_run(*items(3), name="one"), make_run(*items(2), name="two")
    app = client(one, two)
    assert app.get("/api/session").json()["runs"] == ["one", "two"]
    app.post("/api/runs/1/mark", json={"id": "r001", "mark": "bad"})
    assert not (one / "marks.jsonl").exists() and read_marks(two / "marks.jsonl")["r001"].mark == "bad"
    assert get(app, "0/outcomes", record="r002")["outcomes"] and not get(app, "1/outcomes", record="r002")["outcomes"]


def test_calls_are_paged(make_run: Make, tmp_path: Path) -> None:
    out = make_run(*items(1))
    with sqlite3.connect(out / "journal.sqlite") as connection:
        connection.execute("ALTER TABLE memo RENAME TO kept")
        connection.execute("CREATE TABLE memo AS SELECT * FROM kept WHERE step = 'ask'")
        for _ in range(7):
            connection.execute("INSERT INTO memo SELECT * FROM memo")
        connection.execute("DROP TABLE kept")
    connection.close()
    app = client(out)
    first = get(app, "0/calls", record="r000")
    rest = get(app, "0/calls", record="r000", skip=CALLS)
    assert first["total"] == 128 and len(first["calls"]) == len(rest["calls"]) == CALLS  # type: ignore[arg-type]
