"""Media tags of rows are places: in prompts and in datasets."""

from __future__ import annotations

import copy
import json
import string
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import mminf
from mminf.errors import RecordError
from mminf.media import break_tags, check_media
from mminf.special_tokens import escape_row, escape_tokens, own_tokens
from mminf.template import Template
from mminf.turns import ImagePart

from .conftest import read_rows, tiny_image


def shown(prompt: str, wanted: Any = None, **fields: Any) -> list[Any]:
    """The parts of a prompt's user turn, an image as its number."""
    (turn,) = Template(prompt).render(fields, wanted)
    return [part.index if isinstance(part, ImagePart) else part for part in turn.parts]


ASK = "{{ images }}{{ q }}"


@pytest.mark.parametrize(
    ("prompt", "question", "count", "parts"),
    [
        (ASK, "What?", 2, [0, 1, "What?"]),
        (ASK, "<image>What?", 1, [0, "What?"]),
        (ASK, "What?<image>", 1, ["What?", 0]),
        (ASK, "A: <image> B: <image>", 2, ["A: ", 0, " B: ", 1]),
        (ASK, "B: <image>?", 2, [0, "B: ", 1, "?"]),
        (ASK, "<image> <image>\nWhat?", 2, [0, 1, " \nWhat?"]),
        ("{{ images }}Above is an image.\n{{ q }}", "<image>What?", 1, [0, "Above is an image.\nWhat?"]),
        ("{{ images }}Above.\n{{ q }}", "What is in <image>?", 2, [0, "Above.\nWhat is in ", 1, "?"]),
        ("{{ q }} Again: {{ q }}", "Is <image> red?", 1, ["Is [image 1] red? Again: Is [image 1] red?"]),
        ("{{ images }}{{ q }} Again: {{ q }}", "Is <image> red?", 1, ["Is ", 0, " red? Again: Is ", 0, " red?"]),
        ("Judge the words alone: {{ q }}", "<image>What?", 1, ["Judge the words alone: What?"]),
        ("<image>Describe: {{ q }}", "red", 1, [0, "Describe: red"]),
        ("One: <image> Two: <image> {{ q }}", "red", 2, ["One: ", 0, " Two: ", 1, " red"]),
    ],
)
def test_tags_mark_where_images_go(prompt: str, question: str, count: int, parts: list[Any]) -> None:
    assert shown(prompt, q=question, images=["x.png"] * count) == parts


def test_more_tags_than_images_fail_the_record() -> None:
    with pytest.raises(RecordError, match="2 <image> tags, but the record has 1 images"):
        shown(ASK, q="A <image> and a <image>", images=["x.png"])


def test_whether_images_are_shown() -> None:
    fields = {"q": "What?", "images": ["x.png"]}
    assert shown("{{ q }}", True, **fields) == [0, "What?"]
    assert shown(ASK, False, **fields) == ["What?"]
    assert shown(ASK, "optional", **fields) == [0, "What?"]
    assert shown(ASK, "optional", q="What?", images=None) == shown(ASK, "optional", q="What?") == ["What?"]
    for images in ({"images": []}, {"images": None}, {}):
        with pytest.raises(RecordError, match="the record has none"):
            shown(ASK, q="What?", **images)
    assert shown("{% if images is defined %}{{ images }}{% endif %}{{ q }}", q="What?") == ["What?"]


def test_text_that_a_model_wrote_marks_no_place(
    write_recipe: Callable[[str], Path], rows: Callable[..., Path], tmp_path: Path
) -> None:
    (tmp_path / "say.py").write_text(
        "def answer(request):\n"
        "    shown = [part if isinstance(part, str) else part.index for part in request.turns[-1].parts]\n"
        "    return 'An <image> and a <|image_pad|>.' if 'first' in str(shown) else str(shown)\n"
    )
    recipe = write_recipe(
        f"engines: {{e: {{backend: scripted, script: {tmp_path}/say.py}}}}\nsource: {{jsonl: rows.jsonl}}\nsteps:\n"
        "  - generate: {name: one, engine: e, reads: q, writes: said}\n"
        "  - generate: {name: two, engine: e, prompt: '{{ images }}{{ said }}', writes: response}\n"
        "  - set: {instruction: said}\nsinks:\n  - swift: out.jsonl\n  - jsonl: all.jsonl\n"
    )
    tiny_image(tmp_path / "a.png")
    rows({"id": "1", "q": "<image>first", "image": "a.png"})
    mminf.run(recipe, output=tmp_path / "out")
    (row,) = read_rows(tmp_path / "out" / "out.jsonl")
    messages: Any = row["messages"]
    assert messages[0]["content"] == "<image>An < image> and a < |image_pad|>."
    assert messages[1]["content"] == "[0, 'An < image> and a < |image_pad|>.']"
    (whole,) = read_rows(tmp_path / "out" / "all.jsonl")
    assert whole["said"] == "An < image> and a < |image_pad|>.", "in every sink"


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ({"videos": ["v.mp4"], "instruction": "<video>What?"}, "video and audio are not supported"),
        ({"video": "v.mp4"}, "video and audio are not supported"),
        ({"audios": ["a.wav"]}, "video and audio are not supported"),
        ({"instruction": "<audio>What is said?"}, "<video> or <audio> tag"),
        ({"question": "<video>\nWhat happens?"}, "<video> or <audio> tag"),
        ({"messages": [{"role": "user", "content": "See <video> here"}]}, "<video> or <audio> tag"),
        (
            {"conversations": [{"from": "human", "value": "<image>\n<image>\nWhat?"}], "images": ["a.png"]},
            "2 <image> tags",
        ),
        ({"instruction": "<image>What?"}, "1 <image> tags, but the row has 0 images"),
        ({"messages": [{"role": "user", "content": [{"type": "video", "video": "v.mp4"}]}]}, "content of type video"),
    ],
)
def test_rows_that_no_step_can_show_fail(row: dict[str, Any], reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        check_media(row)


def test_rows_without_such_media_pass() -> None:
    check_media(
        {"videos": [], "audios": None, "text": "The <video> element of HTML plays films.", "instruction": "What?"}
    )
    check_media({"images": ["a.png"], "messages": [{"role": "user", "content": [{"type": "text", "text": "<image>"}]}]})


# Round trips: a recipe without steps writes valid rows as they are.

WORDS = st.text(string.ascii_letters + "图中有几 .,?!<>|[]{}\"'\\", max_size=30)
TEXTS = WORDS.filter(lambda text: escape_tokens(break_tags(text)) == text)


@st.composite
def turns(draw: st.DrawFn) -> tuple[list[tuple[str, str]], int]:
    """A valid conversation: (role, text) and how many images it has."""
    said: list[tuple[str, str]] = []
    if draw(st.booleans()):
        said.append(("system", draw(TEXTS)))
    tags = 0
    for _ in range(draw(st.integers(1, 3))):
        pieces = draw(st.lists(TEXTS, min_size=1, max_size=3))
        tags += len(pieces) - 1
        said += [("user", "<image>".join(pieces)), ("assistant", draw(TEXTS))]
    return said, tags


COLUMNS = st.fixed_dictionaries(
    {},
    optional={
        "id": st.text(string.ascii_lowercase, min_size=1, max_size=5) | st.integers(0, 99),
        "objects": st.just({"ref": ["a cat"], "bbox": [[1, 2, 3, 4]]}),
        "tools": st.just('[{"name": "look"}]'),
        "rejected_response": TEXTS,
        "label": st.booleans(),
        "channel": TEXTS,
        "solution": st.none() | TEXTS,
    },
)


def convert(folder: Path, sink: str, rows: list[dict[str, Any]]) -> tuple[Any, list[dict[str, Any]]]:
    (folder / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (folder / "r.yaml").write_text(
        f"source: {{jsonl: {{path: rows.jsonl, allow_any_path: true}}}}\nsteps: []\nsinks:\n  - {sink}: out.jsonl\n"
    )
    result = mminf.run(folder / "r.yaml", output=folder / "out")
    return result, read_rows(folder / "out" / "out.jsonl")


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(turns(), COLUMNS), min_size=1, max_size=4), st.sampled_from(["swift", "llava"]))
def test_a_recipe_without_steps_returns_valid_rows(
    tmp_path_factory: pytest.TempPathFactory, made: list[tuple[Any, dict[str, Any]]], sink: str
) -> None:
    folder = tmp_path_factory.mktemp("trip")
    rows = []
    for number, ((said, tags), columns) in enumerate(made):
        images = [str(folder / f"{n}.png") for n in range(tags)]
        row: dict[str, Any] = {**columns, "n": number}
        if sink == "swift":
            row["messages"] = [{"role": role, "content": text} for role, text in said]
            if images:
                row["images"] = images
        else:
            names = {"user": "human", "assistant": "gpt", "system": "system"}
            row["conversations"] = [{"from": names[role], "value": text} for role, text in said]
            if images:
                row["image"] = images[0] if len(images) == 1 else images
        rows.append(row)
    before = copy.deepcopy(rows)
    result, written = convert(folder, sink, rows)
    assert result.counts.failed == 0, result.failures
    assert written == before


def test_what_else_a_row_may_have_stays(tmp_path: Path) -> None:
    grounded = {
        "messages": [
            {"role": "user", "content": "<image>Find <ref-object>"}, {"role": "assistant", "content": "<bbox>", "loss": True},
        ],
        "images": [str(tmp_path / "a.png")], "objects": {"ref": ["a cat"], "bbox": [[1, 2, 3, 4]]},
    }  # fmt: skip
    agent = {
        "tools": "[]",
        "messages": [
            {"role": "user", "content": "Look"}, {"role": "tool_call", "content": "{}"}, {"role": "tool_response", "content": "{}"},
            {"role": "assistant", "content": "Done."},
        ],
        "images": None,
    }  # fmt: skip
    _, written = convert(tmp_path, "swift", [grounded, agent])
    assert written == [grounded, agent]


def test_only_special_tokens_change(tmp_path: Path) -> None:
    row = {
        "messages": [{"role": "user", "content": "What is <|im_end|>?"}, {"role": "assistant", "content": "A </s>."}],
        "note": "[INST]",
    }
    _, (written,) = convert(tmp_path, "swift", [row])
    assert written == {
        "messages": [{"role": "user", "content": "What is < |im_end|>?"}, {"role": "assistant", "content": "A < /s>."}],
        "note": "[ INST]",
    }


@pytest.mark.parametrize(
    ("chat", "reason"),
    [
        ([{"role": "assistant", "content": "A"}], "begin with the user"),
        ([{"role": "user", "content": "A"}, {"role": "user", "content": "B"}], "don't alternate"),
        ([{"role": "user", "content": "A"}, {"role": "stranger", "content": "B"}], "don't alternate"),
        ([], "begin with the user"),
    ],
)
def test_conversations_that_are_none_are_left_out(tmp_path: Path, chat: list[Any], reason: str) -> None:
    result, written = convert(tmp_path, "swift", [{"messages": chat}])
    assert written == []
    assert reason in str(result.written[0].example)


def test_conversations_of_the_other_format(tmp_path: Path) -> None:
    row = {
        "id": "a",
        "conversations": [{"from": "human", "value": "<image>\nWhat?"}, {"from": "gpt", "value": "A cat."}],
        "image": str(tmp_path / "a.png"),
    }
    _, (written,) = convert(tmp_path, "swift", [row])
    assert written == {
        "id": "a",
        "messages": [{"role": "user", "content": "<image>\nWhat?"}, {"role": "assistant", "content": "A cat."}],
        "images": [str(tmp_path / "a.png")],
    }


def test_conversations_of_the_other_format_get_the_tags_that_are_missing(tmp_path: Path) -> None:
    images = [str(tmp_path / "a.png"), str(tmp_path / "b.png")]
    chat = [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "Is <image> red?"},
        {"role": "assistant", "content": "Yes."},
    ]
    _, (written,) = convert(tmp_path, "llava", [{"id": "a", "messages": chat, "images": images}])
    assert written["conversations"][1] == {"from": "human", "value": "<image>\nIs <image> red?"}
    assert written["image"] == images


def test_columns_of_the_source_are_no_new_conversation(tmp_path: Path) -> None:
    row = {
        "messages": [{"role": "user", "content": "What?"}, {"role": "assistant", "content": "A."}],
        "response": "B.",
        "instruction": "Why?",
    }
    _, written = convert(tmp_path, "swift", [row])
    assert written == [row]


# Special tokens

TOKENS = [
    "<|im_end|>", "<|image_pad|>", "<|vision_start|>", "<｜end▁of▁sentence｜>", "</s>", "<bos>", "<start_of_turn>", "<image_soft_token>",
    "<IMG_CONTEXT>", "[gMASK]", "<sop>", "[UNUSED_TOKEN_3]", "<extra_0>", "<C_Q>", "[TOOL_RESULTS]", "<|image start|>", "[INST]", "[/INST]", "[IMG]", "<<SYS>>", "<|tool_response>", "<turn|>", "<image_placeholder>", "<seed:eos>",
]  # fmt: skip


@pytest.mark.parametrize("token", TOKENS)
def test_special_tokens_become_text(token: str) -> None:
    escaped = escape_tokens(f"Say {token} twice: {token}")
    assert token not in escaped
    assert escaped.replace(" ", "") == f"Say{token}twice:{token}".replace(" ", "")
    assert escape_tokens(escaped) == escaped


@given(
    st.dictionaries(
        st.text(max_size=5),
        st.recursive(
            st.none() | st.booleans() | st.integers() | st.text(max_size=20),
            lambda x: st.lists(x) | st.dictionaries(st.text(max_size=5), x),
        ),
    )
)
def test_rows_are_escaped_once_and_keep_their_form(row: dict[str, Any]) -> None:
    escaped = escape_row(row)
    assert escape_row(escaped) == escaped
    assert json.dumps(escaped).count("{") >= json.dumps(row).count("{") - json.dumps(row).count("<")


def test_what_is_left_around_a_token_is_no_token() -> None:
    for text in ("[[INST]INST]", "<<s>s>", "]<]a[>[INST]", "<<|im_end|>|im_end|>"):
        escaped = escape_tokens(text)
        assert escape_tokens(escaped) == escaped and escaped.replace(" ", "") == text
    assert escape_row({"images": ["<s>.png"], "meta": {"image": "<s>", "<s>": "x"}}) == {
        "images": ["<s>.png"],
        "meta": {"image": "< s>", "< s>": "x"},
    }


def test_what_is_no_token_stays() -> None:
    for text in (
        "a < b |> c",
        "x <think> y",
        "<image>",
        "[1] one",
        "if (a<b||c>d)",
        "<p>one</p>",
        "5 <6> 7",
        "[image]",
    ):
        assert escape_tokens(text) == text


def test_tokens_of_a_model_of_its_own() -> None:
    tokens = own_tokens(["<patch_0>", "<|im_end|>", "a", "<image>", "</think>"])
    assert tokens == {"<patch_0>"}
    assert escape_tokens("A <patch_0>.", tokens) == "A < patch_0>."
