"""Reads what models really write. Pure functions: a value, or `AskAgain`. In doubt, an answer is refused.

A value counts only where the answer states it; a wrong row is worse than another question.
"""
