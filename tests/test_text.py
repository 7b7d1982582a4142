from __future__ import annotations

import jinja2
import pytest

from mminf.errors import MissingField, RecordError
from mminf.text import Expression, ImagePart, Template, Turn, find_template


def test_images_and_roles_become_parts_and_turns() -> None:
    template = Template('{{ role("system") }}\nJudge.\n{{ role("user") }}\n{{ images }}\nQuery: {{ query }}')
    assert template.reads == {"images", "query"}
    turns = template.render({"images": ["a", "b"], "query": "why?"})
    assert turns == (
        Turn("system", ("Judge.",)),
        Turn("user", (ImagePart(0), ImagePart(1), "\nQuery: why?")),
    )


def test_one_image_can_be_placed_alone() -> None:
    turns = Template("first {{ images[0] }} second {{ images[1] }}").render({"images": ["a", "b"]})
    assert turns[0].parts == ("first ", ImagePart(0), " second ", ImagePart(1))


@pytest.mark.parametrize("value", ["{{ images }}", "{% for x in y %}", '{{ role("system") }}', "{0} %s {x}"])
def test_record_text_is_never_parsed(value: str) -> None:
    assert Template("say {{ text }}").render({"text": value}) == (Turn("user", (f"say {value}",)),)


def test_a_value_with_a_guessed_marker_stays_text() -> None:
    value = "\x020123456789abcdef:image:0\x03"
    assert Template("{{ text }}").render({"text": value})[0].parts == (value,)


def test_missing_fields_are_errors_that_name_them() -> None:
    with pytest.raises(MissingField, match="'absent' is undefined"):
        Template("{{ absent }}").render({})
    with pytest.raises(MissingField, match="'absent' is undefined"):
        Expression("absent > 3").test({})
    with pytest.raises(MissingField, match="'absent' is undefined"):
        Expression("absent")({})


@pytest.mark.parametrize(
    "source", ["''.__class__.__mro__", "text.__init__.__globals__", "cycler.__init__"], ids=["mro", "globals", "cycler"]
)
def test_expressions_are_sandboxed(source: str) -> None:
    with pytest.raises((RecordError, MissingField)):
        Expression(source)({"text": "x"})


def test_type_errors_fail_the_record_only() -> None:
    with pytest.raises(RecordError, match="score >= 3"):
        Expression("score >= 3").test({"score": "high"})


def test_bad_syntax_is_found_when_the_recipe_is_read() -> None:
    with pytest.raises(jinja2.TemplateSyntaxError):
        Expression("a >=")
    with pytest.raises(jinja2.TemplateSyntaxError):
        Template("{% if %}")


def test_templates_outside_of_the_folders_are_not_found(tmp_path) -> None:  # type: ignore[no-untyped-def]
    (tmp_path / "in").mkdir()
    (tmp_path / "secret.jinja").write_text("x")
    (tmp_path / "in" / "own.jinja").write_text("x")
    assert find_template("own.jinja", [tmp_path / "in"]) is not None
    assert find_template("../secret.jinja", [tmp_path / "in"]) is None


def test_images_that_are_no_list_fail_the_record() -> None:
    with pytest.raises(RecordError, match="field 'images' is not a list, but str"):
        Template("{{ images }}").render({"images": "a.png"})
    with pytest.raises(RecordError, match="shows images, but the record has none"):
        Template("{{ images }}").render({"images": None})


def test_pieces_of_the_images() -> None:
    three = {"images": ["a", "b", "c"]}
    (turn,) = Template("{{ images[1:] }} before {{ images[0] }}").render(three)
    assert turn.parts == (ImagePart(1), ImagePart(2), " before ", ImagePart(0))
    with pytest.raises(RecordError, match=r"images\[3\]: the record has 3 images"):
        Template("{{ images[3] }}").render(three)


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


def test_a_filter_must_not_cut_a_place() -> None:
    for source in ("{{ (images ~ '')[1:] }}", "{{ (images ~ '') | truncate(9, true, '') }}"):
        with pytest.raises(RecordError, match="a filter cuts a text at the position of an image"):
            Template(source).render({"images": ["a"]})


def test_places_of_what_is_not_there_fail_the_record() -> None:
    with pytest.raises(RecordError, match="1 <image> tags, but the record has 0 images"):
        Template("{{ q }}").render({"q": "What is in <image>?", "images": []}, "optional")
    with pytest.raises(RecordError, match="'q' has a <video> or <audio> tag"):
        Template("{{ q }}").render({"q": "What happens in <video>?"})
