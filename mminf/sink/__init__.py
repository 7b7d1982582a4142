"""Sinks: writers of finished datasets."""
