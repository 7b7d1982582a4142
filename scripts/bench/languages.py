"""Compares the libraries that find languages on short labelled texts: accuracy, and CPU time per text.

    pip install langdetect lingua-language-detector
    python scripts/bench/languages.py

A library that is not installed is left out. The texts are `evaluation/languages/short.jsonl`: instructions, questions
and captions of two to ten words in 20 languages, most of them English and Chinese. They were written for this
comparison after the weights of `mminf.language`, and the weights were not fitted to them.
"""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

from mminf.language import find_language, likely_language

TEXTS = Path(__file__).parents[2] / "evaluation" / "languages" / "short.jsonl"
SAME = {"nb": "no", "nn": "no", "zh-cn": "zh", "zh-tw": "zh"}
ROUNDS = 3


def finders() -> Iterator[tuple[str, Callable[[str], str]]]:
    """Yields the name and the function of each library that is installed."""
    from py3langid.langid import MODEL_FILE, LanguageIdentifier

    yield "mminf.language, the likeliest (py3langid)", likely_language
    yield "mminf.language, only if certain (py3langid)", find_language
    model = LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)
    yield "py3langid alone", lambda text: str(model.classify(text)[0])
    try:
        import langdetect

        langdetect.DetectorFactory.seed = 0
        yield "langdetect", lambda text: str(langdetect.detect(text))
    except ImportError:
        print("langdetect is not installed")
    try:
        from lingua import LanguageDetectorBuilder

        lingua = LanguageDetectorBuilder.from_all_languages().with_preloaded_language_models().build()
        yield "lingua", lambda text: str(lingua.detect_language_of(text).iso_code_639_1.name)
    except ImportError:
        print("lingua-language-detector is not installed")


def find(function: Callable[[str], str], text: str) -> str:
    """Returns a code of our labels; `und` if the library raises an error."""
    try:
        code = function(text).lower()
    except Exception:
        return "und"
    return SAME.get(code, code)


def main() -> None:
    """Prints one line per library."""
    rows = [json.loads(line) for line in TEXTS.read_text(encoding="utf-8").splitlines()]
    sizes = Counter(_group(row["language"]) for row in rows)
    print(f"{len(rows)} texts: {dict(sizes)}")
    for name, function in finders():
        find(function, "load the model")
        start = time.process_time()
        for _ in range(ROUNDS):
            found = [find(function, row["text"]) for row in rows]
        spent = (time.process_time() - start) / ROUNDS / len(rows)
        right = Counter(
            _group(row["language"]) for row, code in zip(rows, found, strict=True) if code == row["language"]
        )
        undecided = sum(code.startswith("und") for code in found)
        shares = ", ".join(f"{group} {right[group] / size:.1%}" for group, size in sizes.items())
        print(f"{name}: right {right.total() / len(rows):.1%} ({shares}),", end=" ")
        print(f"undecided {undecided}, {1000 * spent:.3f} ms a text")


def _group(code: str) -> str:
    return code if code in ("en", "zh") else "other"


if __name__ == "__main__":
    main()
