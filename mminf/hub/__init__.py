"""Uploads the datasets of a run to a hub: Hugging Face or ModelScope."""
