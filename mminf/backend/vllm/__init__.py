"""vLLM through ms-swift.

This module must not import anything, because vLLM's engine process imports the package for its logits processors.
"""
