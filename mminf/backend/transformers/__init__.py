"""Hugging Face transformers through ms-swift."""
