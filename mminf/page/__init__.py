"""The page about a run: `mminf report` collects figures and some records, and draws them as one HTML file."""
