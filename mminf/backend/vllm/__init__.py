"""vLLM through ms-swift.

This module imports nothing: vLLM's engine process imports the package to load the logits processors in it.
"""
