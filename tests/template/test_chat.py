from __future__ import annotations

import pytest

from mminf.errors import RecordError
from mminf.template import Template
from mminf.turns import ImagePart, Turn


@pytest.mark.parametrize("value", ["{{ images }}", "{% for x in y %}", '{{ role("system") }}', "{0} %s {x}"])
def test_record_text_is_never_parsed(value: str) -> None:
    assert Template("say {{ text }}").render({"text": value}) == (Turn("user", (f"say {value}",)),)


def test_a_value_with_a_guessed_marker_stays_text() -> None:
    value = "\x020123456789abcdef:image:0\x03"
    assert Template("{{ text }}").render({"text": value})[0].parts == (value,)


def test_a_filter_must_not_cut_a_place() -> None:
    for source in ("{{ (images ~ '')[1:] }}", "{{ (images ~ '') | truncate(9, true, '') }}"):
        with pytest.raises(RecordError, match="a filter cuts a text at the position of an image"):
            Template(source).render({"images": ["a"]})


@pytest.mark.parametrize(
    ("source", "shown"),
    [
        ('{{ role("system") }}Judge.{{ role("user") }}What?', [("system", ("Judge.",)), ("user", (0, "What?"))]),
        (
            '{{ role("assistant") }}Yes?{{ role("user") }}What?{{ role("user") }}Where?',
            [("assistant", ("Yes?",)), ("user", (0, "What?")), ("user", ("Where?",))],
        ),
        ('{{ role("system") }}Judge.', [("system", ("Judge.",)), ("user", (0,))]),
        ("What?", [("user", (0, "What?"))]),
    ],
)
def test_images_that_no_template_places_come_first_in_the_user_turn(source: str, shown: list[object]) -> None:
    turns = Template(source).render({"images": ["a"]}, True)
    assert [
        (turn.role, tuple(part.index if isinstance(part, ImagePart) else part for part in turn.parts)) for turn in turns
    ] == shown


def test_images_and_roles_become_parts_and_turns() -> None:
    template = Template('{{ role("system") }}\nJudge.\n{{ role("user") }}\n{{ images }}\nQuery: {{ query }}')
    assert template.reads == {"images", "query"}
    turns = template.render({"images": ["a", "b"], "query": "why?"})
    assert turns == (
        Turn("system", ("Judge.",)),
        Turn("user", (ImagePart(0), ImagePart(1), "\nQuery: why?")),
    )


def test_places_of_what_is_not_there_fail_the_record() -> None:
    with pytest.raises(RecordError, match="1 <image> tags, but the record has 0 images"):
        Template("{{ q }}").render({"q": "What is in <image>?", "images": []}, "optional")
    with pytest.raises(RecordError, match="'q' has a <video> or <audio> tag"):
        Template("{{ q }}").render({"q": "What happens in <video>?"})
