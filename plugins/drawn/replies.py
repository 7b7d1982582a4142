"""What the demo script answers: true sentences about drawn scenes, in the forms that the bundled templates ask for."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from functools import cache

from mminf import content_folder
from mminf.backend import Request

from ..demo.world import caption, explain, extract, is_right, judge, make_hook, make_questions, make_scene, to_chinese
from ..demo.world.oracle import is_instruction
from ..demo.world.questions import list_questions
from .asked import Asked
from .phrases import DETAILS, TASKS, TOPICS, USUAL
from .source import question, solution, tags

WRONG = 0.2
"""Share of the answers that are wrong on purpose."""
_FIRST, _SECOND = "That is what the picture shows, without any other figure or text", "The background is plain"


def reply(request: Request) -> str:
    """Returns the answer to a request.

    Raises:
        RequestError: if it is about an image that is not a drawn scene.
    """
    asked = Asked(request, "\n".join(turn.text for turn in request.turns))
    if request.open_turn == "user":
        return _hook(asked)
    for template, marker in _markers().items():
        if marker in asked.text:
            return _REPLIES[template](asked)
    return _respond(asked)


@cache
def _markers() -> Mapping[str, str]:
    """Returns a line of each template that no other has, and that is in every prompt of the template."""
    folder = content_folder("templates")
    lines = {name: list(_fixed_lines((folder / name).read_text(encoding="utf-8"))) for name in _REPLIES}
    found = {}
    for name, own in lines.items():
        others = {line for other, its in lines.items() if other != name for line in its}
        found[name] = max((line for line in own if line not in others), key=len)
    return found


def _fixed_lines(template: str) -> Iterator[str]:
    """Yields the lines of a template outside of conditions and loops."""
    depth = 0
    for line in template.splitlines():
        if not depth and "{" not in line:
            yield line
        depth += len(re.findall(r"{% *(?:if|for|macro)\b", line)) - len(re.findall(r"{% *end(?:if|for|macro)\b", line))


def _hook(asked: Asked) -> str:
    if asked.request.images:
        return make_hook(asked.scene, asked.rng, chinese=False)
    return asked.rng.choice(TASKS).format(asked.rng.choice(TOPICS))


def _respond(asked: Asked) -> str:
    """Answers the last turn as an instruction."""
    instruction = asked.request.turns[-1].text.strip()
    if not asked.request.images and (asked.told is None or not is_instruction(instruction)):
        return f"No model wrote this answer. It stands for an answer to this request: {instruction}"
    if asked.chance(WRONG):
        return f"{_describe(asked)} I can't tell more about it."
    known = judge(instruction, asked.scene).answer is not None
    return explain(instruction, asked.scene) if known else _describe(asked)


def _describe(asked: Asked) -> str:
    return f"{caption(asked.scene)} {_FIRST}. {_SECOND}."


def _parts(asked: Asked) -> str:
    """A caption of several sentences, of which one may be wrong."""
    wrong = " A grey elephant stands in the middle." if asked.chance(WRONG) else ""
    return f"{_describe(asked)}{wrong}"


def _check_part(asked: Asked) -> str:
    return "No" if "elephant" in asked.part("Part") else "Yes"


def _classify(asked: Asked) -> str:
    found = extract(asked.part("Text"))
    return "NO_INST" if found is None else f"Instruction: {found}"


def _score(axis: str) -> Callable[[Asked], str]:
    def score(asked: Asked) -> str:
        return f"[[{getattr(judge(asked.part('Instruction'), asked.scene), axis)}]]"

    return score


def _nonsense(asked: Asked) -> str:
    """Rates the language of an instruction alone: its judge sees no image, and the score depends on no scene."""
    return f"[[{judge(asked.part('Instruction'), make_scene(0)).nonsense}]]"


def _laion(asked: Asked) -> str:
    asks = make_questions(asked.scene, asked.rng, hard=True)
    listed = "\n".join(f"{number}. {text}" for number, text in enumerate(asks, 1))
    sections = {
        "description": _describe(asked),
        "candidate questions": listed,
        "question": asks[0],
        "answer": explain(asks[0], asked.scene),
    }
    return _tagged(sections)


def _vflan(asked: Asked) -> str:
    instruction = asked.text.rpartition("```question\n")[2].partition("\n```")[0].strip()
    return _tagged({"description": _describe(asked), "detailed answer": explain(instruction, asked.scene)})


def _tagged(sections: Mapping[str, str]) -> str:
    return "\n".join(f"<start of {name}>\n{text}\n<end of {name}>" for name, text in sections.items())


def _type_question(asked: Asked) -> str:
    return f"<question>{asked.rng.choice(make_questions(asked.scene, asked.rng))}</question>"


def _styled(asked: Asked) -> str:
    instruction = asked.part("Question")
    short = solution(instruction, asked.scene)
    if "one word, number, name or short phrase" in asked.text:
        return short or (judge(instruction, asked.scene).answer or "").rstrip(".")
    return explain(instruction, asked.scene)


def _tag(asked: Asked) -> str:
    quality = "average" if asked.chance(WRONG) else "good"
    return json.dumps({"quality": quality, "difficulty": "easy", "task": "information"})


def _rewrite(asked: Asked) -> str:
    old = asked.part("Question")
    new = f"{old} Explain what in the image leads to the answer."
    return f"<question>{new}</question>\n<answer>{explain(old, asked.scene)}</answer>"


def _rate(part: str, *, right: int = 9, wrong: int = 4) -> Callable[[Asked], str]:
    """Rates a response by the oracle."""

    def rate(asked: Asked) -> str:
        instruction = asked.part("Prompt") or asked.part("Request")
        said = asked.part(part)
        truth = judge(instruction, asked.scene).answer if instruction else None
        good = truth is not None and (is_right(said, instruction, asked.scene) or said.endswith(truth))
        return f"[[{right if good else wrong}]]"

    return rate


def _rate_prompt(asked: Asked) -> str:
    return f"[[{8 if 'step by step' in asked.part('Prompt') else 6}]]"


def _improve(asked: Asked) -> str:
    return f"<prompt>{asked.part('Prompt')} Explain it step by step.</prompt>"


def _evolve(asked: Asked) -> str:
    asks = make_questions(asked.scene, asked.rng, hard=True)
    old = asked.part("Old Set")
    new = [text for text in asks if text not in old][: max(1, old.count("Question "))]
    sets = [
        {"question": text, "skills": ["localisation"], "answer": explain(text, asked.scene)} for text in new or asks[:1]
    ]
    return json.dumps(sets)


def _reason(asked: Asked) -> str:
    instruction = asked.part("Question")
    shown = caption(asked.scene)
    return (
        f"<think>\nI look at the image first. {shown} The question is: {instruction} The answer follows.\n</think>\n"
        f"{judge(instruction, asked.scene).answer or shown}"
    )


def _densify(asked: Asked) -> str:
    details = asked.rng.sample(DETAILS, 5)
    return " ".join([asked.part("Short Caption"), *details])


def _pairs(least: int, most: int, *, options: bool = False) -> Callable[[Asked], str]:
    """Questions and answers as JSON, from `least` to `most`."""

    def pairs(asked: Asked) -> str:
        truths = {text: explain(text, asked.scene) for _, text in list_questions(asked.scene, closed=False)} | USUAL
        asks = asked.rng.sample(list(truths), min(len(truths), asked.rng.randint(least, most)))
        found: list[dict[str, object]] = []
        for text in asks:
            found.append({"Question": text, "Answer": truths[text]})
            if options:
                letter = asked.rng.choice("ABCD")
                wrong = iter(asked.rng.sample(TOPICS, 3))
                shown = {option: truths[text] if option == letter else f"It shows {next(wrong)}." for option in "ABCD"}
                found[-1] = {"Question": text, "Options": shown, "Answer": letter}
        return json.dumps({"QA Pairs": found})

    return pairs


def _verifiable(asked: Asked) -> str:
    asks = [text for text in make_questions(asked.scene, asked.rng) if solution(text, asked.scene)]
    text = (asks or [question(asked.scene)])[0]
    answer = solution(text, asked.scene)
    if "multiple choice" in asked.text:
        values = asked.rng.sample([answer, *[other for other in ("7", "8", "9", "11") if other != answer][:3]], 4)
        shown = "\n".join(f"{letter}. {value}" for letter, value in zip("ABCD", values, strict=True))
        return f"<question>{text}\n{shown}</question>\n<answer>{'ABCD'[values.index(answer)]}</answer>"
    if "a number in digits" in asked.text and not answer.isdigit():
        text, answer = "How many words or numbers does the sign show?", "1"
    return f"<question>{text}</question>\n<answer>{answer}</answer>"


def _solve(asked: Asked) -> str:
    instruction = asked.request.turns[-1].text.strip()
    first, _, options = instruction.partition("\n")
    answer = solution(first, asked.scene) or "1"
    if options:
        answer = next((line[0] for line in options.splitlines() if line[:1] in "ABCD" and line[3:] == answer), "A")
    if asked.chance(WRONG / 2):
        answer = "DABC"["ABCD".index(answer)] if options else "12"
    return f"{caption(asked.scene)}\n<answer>{answer}</answer>"


def _always(text: str) -> Callable[[Asked], str]:
    return lambda _: text


_REPLIES: Mapping[str, Callable[[Asked], str]] = {
    "allava/laion.jinja": _laion,
    "allava/vflan.jinja": _vflan,
    "captions/caption.jinja": _parts,
    "chains/check_part.jinja": _check_part,
    "chains/match.jinja": _rate("Response"),
    "captions/caption.zh.jinja": lambda asked: to_chinese(caption(asked.scene)) or "",
    "chains/questions.jinja": lambda asked: "\n".join(make_questions(asked.scene, asked.rng)),
    "chains/questions.zh.jinja": lambda asked: "\n".join(make_questions(asked.scene, asked.rng, chinese=True)),
    "chains/request.jinja": _always("Describe everything that this picture shows."),
    "densefusion/caption.jinja": _describe,
    "evolve/feedback.jinja": _always("The answer is short. The prompt does not ask for the steps that lead to it."),
    "evolve/improve.jinja": _improve,
    "evolve/score.jinja": _rate_prompt,
    "infinity_mm/answer.jinja": _styled,
    "infinity_mm/quality.jinja": _always("[[9]]"),
    "infinity_mm/question.jinja": _type_question,
    "infinity_mm/relevant.jinja": _always("Yes"),
    "infinity_mm/tags.jinja": lambda asked: "\n".join([*tags(asked.scene), "shape", "text", "colour"]),
    "magpie/reward.jinja": _always("[[4]]"),
    "magpie/safe.jinja": _always("Yes"),
    "magpie/tag.jinja": _tag,
    "mammoth_vl/agrees.jinja": _always("Yes"),
    "mammoth_vl/rewrite.jinja": _rewrite,
    "mammoth_vl/valid.jinja": lambda asked: "Invalid" if asked.chance(WRONG) else "Valid",
    "mmevol/better.jinja": _always("Yes"),
    "mmevol/evolve.jinja": _evolve,
    "mmevol/grade.jinja": _always("[[6]]"),
    "oasis/clarity.jinja": _score("clarity"),
    "oasis/classify.jinja": _classify,
    "oasis/hallucination.jinja": _score("hallucination"),
    "oasis/nonsense.jinja": _nonsense,
    "oasis/solvability.jinja": _score("solvability"),
    "oasis_extras/detail.jinja": _always("[[4]]"),
    "oasis_extras/fluency.jinja": _always("[[5]]"),
    "oasis_extras/focus.jinja": _always("[[5]]"),
    "preference/quality.jinja": _rate("Response"),
    "thinking/caption.jinja": _describe,
    "thinking/reason.jinja": _reason,
    "thinking/rewrite.jinja": lambda asked: asked.part("Thoughts"),
    "thinking/verify.jinja": lambda asked: "No" if asked.chance(WRONG) else "Yes",
    "unicorn/complex_reasoning.jinja": _pairs(3, 5),
    "unicorn/densify.jinja": _densify,
    "unicorn/multiple_choice.jinja": _pairs(6, 8, options=True),
    "unicorn/question_answering.jinja": _pairs(6, 8),
    "verifiable/answer.jinja": _solve,
    "verifiable/ask.jinja": _verifiable,
}
