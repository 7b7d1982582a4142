"""Parsers of model output: pure functions that return a value or raise `UnusableAnswer`.

A value counts only if the answer states it. Ambiguous answers are rejected: a wrong row is worse than a retry.
"""
