"""`solution`: checks that a solution can be verified, and writes it in its canonical form."""

from __future__ import annotations

from pydantic import Field

from mminf.step import Context, Drop, Outcome, Record, RecordError, Step, StepConfig, is_placeholder, step

from .answers import KINDS, Kind, final_answer, kind_of, normalise_text, read_letter, read_options, read_options_of_line
from .numbers import read_number

_NO_ANSWERS = frozenset(
    """
    unknown, unclear, unsure, none, nothing, na, n a, not visible, not available, not applicable, not sure, not shown,
    not clear, cannot be determined, cant be determined, cannot tell, cant tell, it depends, various, multiple,
    none of the above, all of the above, 无, 不知道, 无法确定, 看不清
    """.replace("\n    ", " ")
    .strip()
    .split(", ")
)
"""Texts that give no answer, in the form of `normalise_text`."""
_NO_OPTIONS = "the question has no options A, B, ..."


class SolutionConfig(StepConfig):
    """Settings of `solution`."""

    reads: str = Field("solution", description="Field with the solution.")
    question: str = Field("instruction", description="Field with the question, which has the options of a choice.")
    kind: str = Field(
        "kind", description="Field for the kind: `choice`, `number` or `text`. A record can have it already."
    )
    writes: str = Field("solution", description="Field for the solution: a letter, a number or a text.")
    max_words: int = Field(5, ge=1, description="Maximum number of words of a text.")


@step("solution")
class Solution(Step[SolutionConfig]):
    """Drops questions whose solution can't be compared with an answer, and writes the others in a canonical form.

    The solution of a multiple-choice question is the letter of one of its options, which are different. They are named
    A, B, ... in this order, on separate lines; or on one line, if the kind or the solution says that it is a choice.
    Other solutions are a number or a text of a few words.
    """

    @property
    def gate(self) -> bool:
        return True

    @property
    def reads(self) -> frozenset[str]:
        """Solution and question."""
        return super().reads | {self.config.question}

    @property
    def uses(self) -> frozenset[str]:
        """Solution, question and kind."""
        return self.reads | {self.config.kind}

    @property
    def writes(self) -> frozenset[str]:
        """Solution and kind."""
        return frozenset([self.config.writes, self.config.kind])

    async def run(self, record: Record, ctx: Context) -> Outcome:
        """Writes solution and kind, or drops the record. Raises RecordError for an unknown kind."""
        question, given = record.text(self.config.question), record.text(self.config.reads)
        kind = record.get(self.config.kind)
        if kind is not None and kind not in KINDS:
            raise RecordError(f"field {self.config.kind!r} is {kind!r:.60}, not one of {', '.join(KINDS)}")
        solution = final_answer(given)
        if solution is None or not solution or is_placeholder(solution):
            return Drop(f"no solution in {given!r:.80}")
        options = read_options(question)
        found = next((item for item in KINDS if item == kind), None) or ("choice" if options else kind_of(solution))
        if found == "choice" and not options:
            options = read_options_of_line(question)
        canonical = self._canonical(found, solution, options)
        if isinstance(canonical, Drop):
            return canonical
        return {self.config.writes: canonical, self.config.kind: found}

    def _canonical(self, kind: Kind, solution: str, options: dict[str, str]) -> str | Drop:
        if kind == "choice":
            return _letter(solution, options)
        if kind == "number":
            return Drop(f"{solution!r:.80} is not a number") if read_number(solution) is None else solution
        words = normalise_text(solution).split()
        if not words or len(words) > self.config.max_words or "\n" in solution:
            return Drop(f"{solution!r:.80} is not a text of at most {self.config.max_words} words")
        return Drop(f"{solution!r:.80} is not an answer") if " ".join(words) in _NO_ANSWERS else solution


def _letter(solution: str, options: dict[str, str]) -> str | Drop:
    """Returns the letter of the option that a solution names, by its letter or by its text."""
    texts = {letter: normalise_text(text) for letter, text in options.items()}
    if len(texts) < 2 or len(set(texts.values())) < len(texts):
        return Drop(_NO_OPTIONS if len(texts) < 2 else f"two options of the question are the same: {options!r:.80}")
    named = {letter for letter, text in texts.items() if text == normalise_text(solution)}
    letter = read_letter(solution)
    named |= {letter} & texts.keys() if letter is not None else set()
    return named.pop() if len(named) == 1 else Drop(f"{solution!r:.80} is not one of the options")
