"""DenseFusion."""

from __future__ import annotations

from collections.abc import Callable

from .conftest import Play

Pictures = Callable[..., list[str]]


def test_experts_give_hints_where_there_are_any(play: Play, pictures: Pictures) -> None:
    images = pictures("red")
    rows = [
        {
            "id": "all",
            "images": images,
            "tags": ["cat", "sofa"],
            "ocr": "STOP",
            "objects": "a cat at the left",
            "knowledge": "x",
        },
        {"id": "none", "images": images},
        {"id": "some", "images": images, "tags": [], "ocr": ["A", "B"]},
        {"id": "told", "images": images, "tags": "told"},
    ]
    found = play("densefusion", rows, "return 'As the hints say, told.' if 'told' in text else 'A cat.'")
    assert [row["id"] for row in found.rows["densefusion.jsonl"]] == ["all", "none", "some"]
    (prompt,) = found.asked("STOP")
    wanted = "[Begin of Hints]\nTags: cat; sofa\nDetected objects: a cat at the left\nOCR text: STOP\nFacts: x\n[End of Hints]"
    assert wanted in prompt
    (prompt,) = found.asked("OCR text: A; B")
    assert "Tags:" not in prompt
    assert sum("Hints]" not in "".join(text for _, text in call) for call in found.calls) == 1
    assert found.dropped["told"][0] == "no_talk_of_hints"
