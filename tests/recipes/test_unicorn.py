"""Unicorn's captions and conversations."""

from __future__ import annotations

import json
import re
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from mminf_plugins.unicorn.pairs import read_pairs
from mminf_plugins.unicorn.stats import text_stats

from mminf.errors import UnusableAnswer

from ..conftest import ROOT
from .conftest import Play, Played


def pair(n: int, **more: Any) -> dict[str, Any]:
    return {"Question": f"What is {n}?", "Answer": f"It is {n}.", **more}


def choice(n: int, **more: Any) -> dict[str, Any]:
    return {
        "Question": f"Which is {n}?",
        "Options": {"A": "one", "B": "two", "C": "three", "D": "four"},
        "Answer": "B",
        **more,
    }


def text(*pairs: Any) -> str:
    return json.dumps({"id": "1", "QA Pairs": list(pairs)})


def test_pairs_are_read_from_what_models_write() -> None:
    wanted = [("What is 1?", "It is 1."), ("What is 2?", "It is 2.")]
    assert read_pairs(text(pair(1), pair(2))) == wanted
    assert read_pairs("Here you are:\n```json\n" + text(pair(1), pair(2)) + "\n```") == wanted
    assert read_pairs(json.dumps([pair(1), pair(2)])) == wanted
    assert read_pairs(text(pair(1), pair(2)).replace('"}, {', '",}, {').replace("QA Pairs", "qa_pairs")) == wanted
    assert read_pairs(text(pair(1), pair(2), pair(1))) == wanted, "a question comes once"


def right(pair: tuple[str, str]) -> str:
    """The text of the option that an answer names."""
    options = dict(line.split(": ", 1) for line in pair[0].splitlines()[1:])
    assert list(options) == list("ABCD")
    return options[pair[1]]


@pytest.mark.parametrize(
    "answer", ["B", "B.", "(B)", "B: two", "two", "The correct answer is B.", "Answer: B", " b) two".upper()]
)
def test_answers_to_choices_are_bare_letters(answer: str) -> None:
    (pair,) = read_pairs(text(choice(1, Answer=answer)), options=True)
    assert right(pair) == "two"
    assert pair[1] in "ABCD"
    question, *lines = pair[0].splitlines()
    assert question == "Which is 1?"
    assert sorted(line[3:] for line in lines) == ["four", "one", "three", "two"]


def test_options_may_be_a_list_or_repeat_their_letters() -> None:
    for options in (
        ["B. two", "A. one", "D. four", "C. three"],
        ["one", "two", "three", "four"],
        {"a": "A. one", "b": "B) two", "c": "C: three", "d": "(D) four"},
    ):
        (pair,) = read_pairs(text(choice(1, Options=options)), options=True)
        assert right(pair) == "two"


def test_right_options_are_shuffled_and_their_letters_balanced() -> None:
    places: Counter[str] = Counter()
    orders = set()
    for number in range(200):
        pairs = read_pairs(text(*(choice(n, Question=f"Which is {n} of {number}?") for n in range(7))), options=True)
        assert all(right(pair) == "two" for pair in pairs)
        letters = Counter(letter for _, letter in pairs)
        assert set(letters) == set("ABCD") and max(letters.values()) == 2, "7 answers: three letters twice, one once"
        places.update(letters)
        orders.update(tuple(line[3:] for line in question.splitlines()[1:]) for question, _ in pairs)
    assert all(0.22 < count / places.total() < 0.28 for count in places.values())
    assert len(orders) == 24, "the wrong options are shuffled as well"
    same = text(*map(choice, range(6)))
    assert read_pairs(same, options=True) == read_pairs(same, options=True)


@pytest.mark.parametrize(
    "last",
    [
        "All of the above",
        "None of these options",
        "Both A and B",
        "A and C",
        "neither",
        "以上都是",
        "Either option B or C",
    ],
)
def test_options_that_refer_to_others_keep_their_places(last: str) -> None:
    options = {"A": "one", "B": "two", "C": "three", "D": last}
    for number in range(20):
        asked = choice(number, Options=options, Answer="D")
        question, letter = read_pairs(text(asked, choice(99), choice(98)), options=True)[0]
        assert question.splitlines()[1:] == ["A: one", "B: two", "C: three", f"D: {last}"]
        assert letter == "D"


@pytest.mark.parametrize(
    ("value", "options"),
    [
        ("I can't do that.", False),
        (text(pair(1, Answer="")), False),
        (text({"Question": "What?"}), False),
        (text("What?"), False),
        (text(choice(1)), False),
        (text(pair(1)), True),
        (text(choice(1, Options={"A": "one", "B": "two", "C": "three"})), True),
        (text(choice(1, Options={"A": "one", "B": "one", "C": "three", "D": "x"})), True),
        (text(choice(1, Answer="five")), True),
        (text(choice(1, Answer="E")), True),
        ('{"QA Pairs": [{"Question": "What is', False),
    ],
)
def test_half_a_pair_is_asked_for_again(value: str, options: bool) -> None:
    with pytest.raises(UnusableAnswer):
        read_pairs(value, options=options)


UNICORN = """
import random
ADJECTIVES = "red grey narrow round wooden pale broad low tall empty smooth dark wet old glass".split()
NOUNS = "house path bench tree hill window door roof bush lamp wall cloud boat fence stone bridge tower gate".split()
PLACES = "behind|next to|in front of|to the left of|to the right of|above|below|near".split("|")

def prose(seed):
    # A caption of about 100 words that differs from the captions of other seeds.
    drawn = random.Random(seed)
    made = [f"The scene shows {seed} in the middle."]
    for _ in range(10):
        (a, b), (c, d) = drawn.sample(ADJECTIVES, 2), drawn.sample(NOUNS, 2)
        made.append(f"A {a} {c} stands {drawn.choice(PLACES)} the {b} {d}.")
    return " ".join(made)

def pairs(options, n=6):
    made = []
    for i in range(n):
        made.append({"Question": f"What is {i} of {seed}?", "Answer": "B" if options else f"Answer {i} of {seed}."})
        if options:
            made[-1]["Options"] = {"A": "one", "B": "two", "C": "three", "D": "four"}
    if "leak" in seed:
        made[0]["Answer"] = "The caption mentions it." if not options else "B"
        made[0]["Question"] += " According to the caption, that is." if options else ""
    return json.dumps({"QA Pairs": made})

def between(mark):
    return text.split(f"[Begin of {mark}]\\n")[1].split(f"\\n[End of {mark}]")[0]

if "[Begin of Short Caption]" in text:
    seed = between("Short Caption")
    return "" if "silent" in seed else prose(seed)
seed = between("Description").split("The scene shows ")[1].split(" in the middle")[0]
if "cut" in seed and request.seed % 2:
    return pairs(False)[:100]
if "multiple-choice" in text:
    return pairs(True)
return pairs(False, 3 if "problems" in text else 2 if "few" in seed else 8)
"""


def seeds(tmp_path: Path, *lines: str) -> Path:
    path = tmp_path / "captions.txt"
    path.write_text("".join(f"{line}\n" for line in lines))
    return path


def test_conversations_grow_from_seeds_without_images(play: Play, tmp_path: Path) -> None:
    lines = [f"seed {n}" for n in range(100)] + ["", "a leak", "cut short", "silent"]
    found = play(
        "unicorn",
        seeds(tmp_path, *lines),
        UNICORN,
        **{f"steps.{n}.attempts": 20 for n in ("choices", "questions", "reasoning")},
    )
    rows = found.rows["instruct.json"]
    assert len(rows) == len(found.rows["pretrain.json"]) == 102
    assert "answer is empty" in next(iter(found.failed.values()))
    kinds = Counter(row["kind"] for row in rows)
    assert set(kinds) == set(KINDS)
    assert kinds["complex_reasoning"] < 40
    first = []
    for row in rows:
        human = [turn["value"] for turn in row["conversations"][::2]]
        assert sum("<image>" in value for value in human) == ("<image>" in human[0]) == 1
        first.append(human[0].startswith("<image>\n"))
        if row["kind"] == "multiple_choice":
            given = [turn["value"] for turn in row["conversations"][1::2]]
            assert set(given) == set("ABCD")
            for asked, letter in zip(human, given, strict=True):
                options = asked.removesuffix("<image>").strip().splitlines()[-4:]
                assert f"{letter}: two" in options
                assert [line[:3] for line in options] == ["A: ", "B: ", "C: ", "D: "]
        assert "image" not in row
    assert 20 < sum(first) < 80, "the image stands before or behind the text"
    leaky = next(row for row in rows if "a leak" in row["caption"])
    assert "caption" not in json.dumps(leaky["conversations"])
    (row,) = [row for row in found.rows["pretrain.json"] if "seed 42 " in row["caption"]]
    assert row["conversations"][1]["value"] == row["caption"]
    assert row["caption"].startswith("The scene shows seed 42 in the middle")
    assert row["conversations"][0]["value"].startswith("<image>\n")


KINDS = ("multiple_choice", "question_answering", "complex_reasoning")
ONLY = {"steps.kind.values": {"multiple_choice": 0, "complex_reasoning": 0}}


def test_unreadable_instructions_cost_the_instruction_row_only(play: Play, tmp_path: Path) -> None:
    found = play("unicorn", seeds(tmp_path, "few", "a harbour"), UNICORN, **ONLY)
    assert not found.failed and not found.dropped
    assert len(found.rows["pretrain.json"]) == found.rows["caption_stats.json"]["texts"] == 2  # type: ignore[call-overload]
    (row,) = found.rows["instruct.json"]
    assert "a harbour" in row["caption"]
    (left_out,) = found.rows["no_instructions.jsonl"]
    assert left_out["unreadable"] == "2 pairs, not 6 to 8 (3 attempts)"
    assert "few" in left_out["caption"] and left_out["kind"] == "question_answering"
    assert len(found.asked("questions and answers about an image")) == 3 + 1


def test_a_second_run_takes_over_captions_without_instructions(play: Play, tmp_path: Path) -> None:
    path = seeds(tmp_path, "few", "a harbour")
    reply = UNICORN.replace('2 if "few"', f'(7 if os.path.exists("{tmp_path}/better") else 2) if "few"')
    play("unicorn", path, reply, **ONLY)
    (tmp_path / "better").touch()
    again = play("unicorn", path, reply, **ONLY)
    assert not again.calls
    assert len(again.rows["no_instructions.jsonl"]) == 1
    more = play("unicorn", path, reply, **{**ONLY, "steps.questions.attempts": 5})
    assert len(more.calls) == 1, "only the caption without instructions is asked about, with a new seed"
    assert len(more.rows["instruct.json"]) == 2
    assert not more.rows["no_instructions.jsonl"]


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        ('""', "answer is empty"),
        ('"I am sorry, but I cannot help with that."', "no JSON"),
        ("pairs(False, 8)[:-30]", "no readable JSON|JSON is cut off"),
        ("text", "only a placeholder|no question or no answer"),
        ('json.dumps({"QA Pairs": [{"Question": "...", "Answer": "..."}] * 8})', "only a placeholder"),
    ],
)
def test_bad_instructions_are_no_row(play: Play, tmp_path: Path, answer: str, reason: str) -> None:
    reply = UNICORN.replace("return pairs(False, 3", f"return {answer}\nreturn pairs(False, 3")
    found = play("unicorn", seeds(tmp_path, "a harbour"), reply, **ONLY)
    assert not found.rows["instruct.json"]
    assert len(found.rows["pretrain.json"]) == 1
    assert re.search(reason, found.rows["no_instructions.jsonl"][0]["unreadable"])


def test_truncated_instructions_are_no_row(play: Play, tmp_path: Path) -> None:
    reply = UNICORN.replace("return pairs(False, 3", "return Cut(pairs(False, 8))\nreturn pairs(False, 3")
    found = play("unicorn", seeds(tmp_path, "a harbour"), reply, **ONLY)
    assert not found.rows["instruct.json"]
    assert "truncated" in found.rows["no_instructions.jsonl"][0]["unreadable"]


def test_chinese_turns_about_an_english_caption_leave_the_conversation(play: Play, tmp_path: Path) -> None:
    reply = UNICORN.replace(
        'f"Answer {i} of {seed}."', 'f"It has {i + 10} of them." if i else "图中有一座红色的房子，旁边有一棵大树。"'
    )
    (row,) = play("unicorn", seeds(tmp_path, "a harbour"), reply, **ONLY).rows["instruct.json"]
    answers = [turn["value"] for turn in row["conversations"][1::2]]
    assert answers == [f"It has {n} of them." for n in range(11, 18)]


ZH = (
    "画面中央是一座红色的房子，屋顶是灰色的，门前有一条石板路通向左边的花园。房子右侧有三棵高大的松树，树下放着一张木制长椅。"
    "远处可以看到低矮的山丘和淡蓝色的天空。"
)


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        ('""', "answer is empty"),
        ('"Too short a caption."', "caption has 4 words, not 51 to 483"),
        ('"word " * 484', "caption has 484 words, not 51 to 483"),
        ('prose(seed).replace(". ", ".\\n\\n")', "caption has several paragraphs"),
        ('"- " + prose(seed)', "caption is a list item"),
        ('"Here is the detailed caption:\\n" + prose(seed)', "begins with an introduction"),
        ('text.replace("\\n", " ")', "the answer repeats the prompt"),
        ('prose(seed) + " [End of Short Caption]"', "the answer repeats the prompt"),
        ('prose(seed) + " Keep everything that the short caption states. Add only details that such an image is likely to show."', "the answer repeats the prompt"),
        ('Cut(prose(seed))', "truncated"),
    ],
)  # fmt: skip
def test_bad_captions_are_retried_and_fail(play: Play, tmp_path: Path, answer: str, reason: str) -> None:
    reply = UNICORN.replace(
        'return "" if "silent" in seed else', f'if "bad" in seed:\n        return {answer}\n    return'
    )
    found = play("unicorn", seeds(tmp_path, "a bad seed", "a harbour"), reply)
    assert len(found.rows["pretrain.json"]) == 1
    (why,) = found.failed.values()
    assert re.match(f"densify: .*{reason}.* .3 attempts.", why.replace("\n", " ")), why


@pytest.mark.parametrize(
    ("answer", "step"),
    [
        ('"I cannot write a caption of this image, because it may show real people. " + prose(seed)', None),
        ('"I am sorry, but I cannot help with that request. As an AI model, I am not able to write such a text. " * 3', "refused_caption"),
        ('ZH', "caption_language"),
        ('"A bad seed at a harbour. " * 20', "degenerate_caption"),
        ('" ".join(f"A {w} bad seed at a harbour." for w in "big red old new wet dry hot odd sad wee low raw".split())', "degenerate_caption"),
        ('"The caption mentions a seed. " + prose(seed)', "caption_leak"),
    ],
)  # fmt: skip
def test_bad_captions_that_can_be_read_are_dropped(play: Play, tmp_path: Path, answer: str, step: str | None) -> None:
    reply = UNICORN.replace(
        'return "" if "silent" in seed else', f'if "bad" in seed:\n        return {answer}\n    return'
    )
    found = play("unicorn", seeds(tmp_path, "a bad seed at a harbour", "a harbour"), f"ZH = {ZH!r}\n{reply}")
    assert len(found.rows["pretrain.json"]) == (1 if step else 2)
    assert [name for name, _ in found.dropped.values()] == ([step] if step else [])


def test_a_cue_that_the_model_repeats_is_no_part_of_the_caption(play: Play, tmp_path: Path) -> None:
    reply = UNICORN.replace("else prose(seed)", 'else "Detailed caption: " + prose(seed)')
    (row,) = play("unicorn", seeds(tmp_path, "a harbour"), reply).rows["pretrain.json"]
    assert row["caption"].startswith("The scene shows")


def test_chinese_seeds_have_chinese_captions(play: Play, tmp_path: Path) -> None:
    reply = UNICORN.replace('return "" if "silent" in seed else', "return ZH if '房子' in seed else")
    found = play(
        "unicorn",
        seeds(tmp_path, "一座红色的房子，前面有一条路"),
        f"ZH = {ZH!r}\n{reply}",
        **{"steps.kind.values": {"none": 1, **dict.fromkeys(KINDS, 0)}},
    )
    assert [row["caption"] for row in found.rows["pretrain.json"]] == [ZH]


def test_a_letter_counts_as_a_letter_and_a_name_as_a_name() -> None:
    odd = {"A": "B", "B": "A", "C": "AB", "D": "O"}
    assert right(read_pairs(text(choice(1, Options=odd, Answer="A")), options=True)[0]) == "B"
    kinds = {"A": "E. coli", "B": "C. elegans", "C": "D. melanogaster", "D": "A. thaliana"}
    (pair,) = read_pairs(text(choice(1, Options=kinds, Answer="C. elegans")), options=True)
    assert right(pair) == "C. elegans"
    for answer in ("A: three", "A. or B.", "A" + "!" * 20000 + "x"):
        with pytest.raises(UnusableAnswer):
            read_pairs(text(choice(1, Answer=answer)), options=True)


def test_an_option_that_begins_like_a_letter_is_no_letter() -> None:
    options = {"A": "two", "B": "A red cat", "C": "Dogs", "D": "none"}
    assert right(read_pairs(text(choice(1, Options=options, Answer="A red cat")), options=True)[0]) == "A red cat"
    with pytest.raises(UnusableAnswer):
        read_pairs(text(choice(1, Options=options, Answer="A blue cat")), options=True)


def seeds_of(found: Played) -> list[str]:
    prompts = found.asked("[Begin of Short Caption]")
    return sorted(re.findall(r"\[Begin of Short Caption\]\n(.*)\n", prompt)[0] for prompt in prompts)


def test_labels_become_ten_seeds_each(play: Play, tmp_path: Path) -> None:
    found = play("unicorn", seeds(tmp_path, "ramen", "pretzel"), UNICORN, profile="labels")
    asked = seeds_of(found)
    assert len(set(asked)) == len(asked) == 20
    assert sum("ramen" in seed.casefold() for seed in asked) == 10
    assert not any("<label>" in seed for seed in asked)
    assert len(found.rows["instruct.json"]) == 20


def test_the_numbers_of_the_captions(play: Play, tmp_path: Path) -> None:
    found = play("unicorn", seeds(tmp_path, "one", "two"), UNICORN)
    stats: Any = found.rows["caption_stats.json"]
    assert stats["texts"] == 2
    assert 90 < stats["words"]["min"] <= stats["words"]["mean"] <= stats["words"]["max"] < 120
    assert text_stats("a b a b") == {"words": 4, "ttr": 0.5, "entropy": 1.0}
    assert text_stats("") == {"words": 0, "ttr": 0.0, "entropy": 0.0}
    assert text_stats("一只猫。")["words"] == 3


def test_only_a_share_of_the_captions_needs_instructions(play: Play, tmp_path: Path) -> None:
    lines = [f"seed {n}" for n in range(100)]
    found = play("unicorn", seeds(tmp_path, *lines), UNICORN, **{"steps.kind.values": {"none": 773}})
    assert len(found.rows["pretrain.json"]) == 100
    assert 20 < len(found.rows["instruct.json"]) < 60
    assert not found.rows["no_instructions.jsonl"]


def test_the_same_caption_is_written_once(play: Play, tmp_path: Path) -> None:
    reply = UNICORN.replace(
        'return "" if "silent" in seed else prose(seed)', 'return prose(seed.replace("quay", "harbour"))'
    )
    path = tmp_path / "seeds.jsonl"
    given = ["a harbour", "a quay", "a harbour", "a field"]
    path.write_text("".join(json.dumps({"id": str(n), "seed": seed}) + "\n" for n, seed in enumerate(given)))
    found = play("unicorn", path, reply)
    assert [row["id"] for row in found.rows["pretrain.json"]] == ["0", "3"]
    assert found.dropped == {
        "2": ("same_seed", "duplicate of 0"),
        "1": ("same_caption", "duplicate of 0"),
    }
    assert len(found.asked("[Begin of Short Caption]")) == 3, "the model is not asked twice about a seed"


def test_one_caption_per_image_of_annotated_sets(play: Play, tmp_path: Path) -> None:
    path = tmp_path / "annotations.jsonl"
    rows = [("a.jpg", "A dog in a park."), ("b.jpg", "A cat."), ("a.jpg", "A brown dog."), ("c.jpg", "A hen.")]
    path.write_text(
        "".join(json.dumps({"id": str(n), "image": i, "caption": c}) + "\n" for n, (i, c) in enumerate(rows))
    )
    found = play("unicorn", path, UNICORN, profile="annotated")
    assert found.dropped == {"2": ("one_per_image", "duplicate of 0")}
    assert seeds_of(found) == ["A cat.", "A dog in a park.", "A hen."]
    for row in (*found.rows["pretrain.json"], *found.rows["instruct.json"]):
        assert "image" not in row and "a.jpg" not in json.dumps(row)
        assert json.dumps(row).count("<image>") == 1


def test_the_column_that_identifies_an_image_can_be_set(play: Play, tmp_path: Path) -> None:
    path = tmp_path / "annotations.jsonl"
    rows = [{"id": str(n), "image_id": n // 2, "caption": f"Caption {n}."} for n in range(6)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    found = play("unicorn", path, UNICORN, profile="annotated", **{"steps.one_per_image.reads": "image_id"})
    assert seeds_of(found) == ["Caption 0.", "Caption 2.", "Caption 4."]


def test_web_texts_that_are_no_captions_are_not_asked_about(play: Play, tmp_path: Path) -> None:
    good = "A dog runs along the beach with a red ball."
    found = play(
        "unicorn", seeds(tmp_path, good, "Buy now: dog beds for $20 at www.example.com"), UNICORN, profile="web"
    )
    assert seeds_of(found) == [good]
    assert [step for step, _ in found.dropped.values()] == ["web_caption"]


def test_labels_get_sentences_of_their_domain(play: Play, tmp_path: Path) -> None:
    path = tmp_path / "labels.csv"
    path.write_text("label,domain\nramen,food\nA320,Aircraft\nEuropean robin,birds\nkayak,\numbrella,nothing\n")
    found = play("unicorn", path, UNICORN, profile="labels")
    asked = seeds_of(found)
    by_label = {
        label: [seed for seed in asked if label.casefold() in seed.casefold()]
        for label in ("ramen", "A320", "robin", "kayak", "umbrella")
    }
    assert all(len(set(made)) == 10 for made in by_label.values())
    lines = phrases()
    for label, domain in (
        ("ramen", "food"),
        ("an A320", "aircraft"),
        ("a European robin", "birds"),
        ("an umbrella", ""),
    ):
        bare = label.removeprefix("an ").removeprefix("a ")
        for seed in by_label[bare.split()[-1]]:
            shapes = {line.replace("<a label>", label).replace("<label>", bare) for line in lines[domain]}
            assert seed in {shape[:1].upper() + shape[1:] for shape in shapes}
    assert not any(re.search(r"\b[Aa] (?:A320|umbrella)|\b[Aa]n (?:European|kayak)|<", seed) for seed in asked)
    again = play("unicorn", path, UNICORN, profile="labels", seed=1)
    assert set(seeds_of(again)) != set(asked), "drawn with the seed of the run"


def phrases() -> dict[str, list[str]]:
    found: dict[str, list[str]] = {"": []}
    section = ""
    for line in (ROOT / "templates/unicorn/phrases.txt").read_text().splitlines():
        if line.startswith("["):
            section = line.strip("[]")
            found[section] = []
        elif line and not line.startswith("#"):
            found[section].append(line)
    return found


def test_there_are_templates_for_18_domains() -> None:
    lines = phrases()
    assert len(lines) == 18 + 1
    for made in lines.values():
        assert len(set(made)) == len(made) > 10, "ten are drawn at random"
        assert all(line.count("<label>") + line.count("<a label>") == 1 and line.endswith(".") for line in made)


@pytest.mark.parametrize("template", ["densify", "multiple_choice", "question_answering", "complex_reasoning"])
def test_no_part_of_a_prompts_form_counts_as_an_answer(template: str) -> None:
    text = (ROOT / f"templates/unicorn/{template}.jinja").read_text()
    assert re.search(r"\[End of [\w ]+\]\n\n[\w ]+:\n\Z", text), "the text is delimited, and a cue follows it"
    if template != "densify":
        with pytest.raises(UnusableAnswer):
            read_pairs(text, options=template == "multiple_choice")
