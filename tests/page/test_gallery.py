"""Which records the page shows, and their images."""

from __future__ import annotations

import base64
import io
from pathlib import Path

from PIL import Image

from mminf.image import ImagePolicy
from mminf.listing import ListedRecord
from mminf.page.gallery import Chosen, show_records, thumbnail
from mminf.states import RecordStatus

from ..conftest import tiny_image


def outcome(number: int, state: str, step: str | None = None, **fields: object) -> ListedRecord:
    return {
        "id": str(number), "stage": 0, "state": RecordStatus(state), "step": step, "reason": "so", "fields": fields,
    }  # fmt: skip


def test_rare_outcomes_are_shown_next_to_frequent_ones() -> None:
    chosen = Chosen(20)
    for number in range(10_000):
        chosen.add(outcome(number, "done"))
    for number in range(3):
        chosen.add(outcome(number, "failed", "hook"))
    for number in range(500):
        chosen.add(outcome(number, "dropped", "keep"))
    counts: dict[str, int] = {}
    for record in chosen.records():
        counts[record["state"]] = counts.get(record["state"], 0) + 1
    assert counts == {"failed": 3, "done": 8, "dropped": 9}
    done = [int(record["id"]) for record in chosen.records() if record["state"] == "done"]
    assert max(done) > 1000, "not the first ones only"


def test_long_texts_are_cut() -> None:
    chosen = Chosen()
    chosen.add(outcome(1, "done", text="x" * 5_000_000, numbers=list(range(3)), images=["a.png"]))
    (shown,) = show_records(chosen.records(), "no images")
    fields = dict(shown.fields)
    assert len(fields["text"]) < 2000 and fields["numbers"] == "[0, 1, 2]" and "images" not in fields
    assert shown.thumbnails == () and shown.notes == ("no images",)


def test_thumbnails_are_small_and_only_of_allowed_images(tmp_path: Path) -> None:
    inside, outside = tmp_path / "in", tmp_path / "out"
    inside.mkdir()
    outside.mkdir()
    policy = ImagePolicy(roots=(inside,))
    made = thumbnail(str(tiny_image(inside / "a.png", size=(1000, 500))), policy)
    image = Image.open(io.BytesIO(base64.b64decode(made.partition(",")[2])))
    assert image.format == "JPEG" and image.size == (176, 88)
    assert "data:" not in thumbnail(str(tiny_image(outside / "b.png")), policy)
    assert "does not exist" in thumbnail(str(inside / "c.png"), policy)
    (inside / "bad.png").write_bytes(b"no image")
    assert not thumbnail(str(inside / "bad.png"), policy).startswith("data:")
    assert thumbnail("https://example.com/a.png", ImagePolicy(hosts=frozenset({"example.com"}))).startswith(
        "not fetched"
    )
