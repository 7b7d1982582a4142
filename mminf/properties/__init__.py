"""Properties of datasets: lengths, languages, root verbs, duplicates, images.

    from mminf.properties import Dataset, measure
    found = measure(Dataset(Path("rows.jsonl")))
    print(found.to_json())

Each figure is data, for reports; `mminf.display.properties` prints it.
"""

from mminf.properties.figures import PathProperties, Properties, Skipped
from mminf.properties.measure import measure
from mminf.properties.reader import Dataset
from mminf.properties.rows import BrokenRow, Conversation, read_conversation
from mminf.properties.tokenizer import Tokenizer, find_tokenizer, load_tokenizer

__all__ = [
    "BrokenRow",
    "Conversation",
    "Dataset",
    "PathProperties",
    "Properties",
    "Skipped",
    "Tokenizer",
    "find_tokenizer",
    "load_tokenizer",
    "measure",
    "read_conversation",
]
