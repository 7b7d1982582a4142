"""Verifiable questions: steps that check solutions and compare answers with them, and the reward for training.

A reward function calls `is_right(completion, solution, kind)`.
"""

from .answers import final_answer, is_right, kind_of, same_answer
from .match_answer import MatchAnswer
from .solution import Solution

__all__ = ["MatchAnswer", "Solution", "final_answer", "is_right", "kind_of", "same_answer"]
