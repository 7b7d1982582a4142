"""Root verbs of English instructions and their direct objects, with spaCy.

spaCy is optional (`mminf[verbs]`). Its models are no packages of the registry; its own command installs them.
"""

from __future__ import annotations

import warnings
from collections import Counter
from typing import TYPE_CHECKING, ClassVar, Protocol

from mminf.errors import shorten_text
from mminf.properties.figures import Noun, Verb, Verbs

if TYPE_CHECKING:
    from spacy.language import Language
    from spacy.tokens import Doc, Token

MODEL = "en_core_web_sm"
LEAST, NOUNS = 0.01, 3
"""A verb is listed if more than this share of the English instructions has it, with this many nouns."""
_HEAD = 500
"""Number of characters of an instruction that are parsed. They nearly always contain the first sentence."""
_BATCH = 256
_OBJECTS = frozenset({"dobj", "obj"})
"""Labels of direct objects in spaCy's models for English, and in Universal Dependencies."""


class NoParser(Exception):
    """spaCy or its model is missing.

    Attributes:
        remedy: the command that installs it.
    """

    def __init__(self, reason: str, remedy: str) -> None:
        super().__init__(reason)
        self.remedy = remedy


class Parser(Protocol):
    """What parses instructions: a pipeline of spaCy."""

    name: str

    def first_roots(self, texts: list[str]) -> list[tuple[str | None, str | None]]:
        """Returns for each text the root verb of its first sentence, and the verb's direct object; lemmas or None."""


class SpacyParser:
    """A pipeline of spaCy.

    Args:
        model: name of an installed pipeline, or its folder.

    Raises:
        NoParser: if spaCy or the model is not installed, or the model does not parse sentences.
    """

    _unused: ClassVar[list[str]] = ["ner", "textcat", "entity_linker", "senter"]

    def __init__(self, model: str = MODEL) -> None:
        install = f"python -m spacy download {model}"
        try:
            import spacy
        except ImportError as error:
            raise NoParser("spaCy is not installed", f"pip install 'mminf[verbs]' && {install}") from error
        except Exception as error:  # such as an error of a library that does not fit
            raise NoParser(f"spaCy can't be imported: {shorten_text(str(error))}", "pip install -U spacy") from error
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of a model for another minor version
                self._pipeline: Language = spacy.load(model, exclude=self._unused)
        except OSError as error:  # also of a broken folder
            raise NoParser(f"spaCy's model {model} is not installed", install) from error
        except Exception as error:  # a model that needs other packages, or another version of spaCy
            reason = f"spaCy's model {model} can't be loaded: {shorten_text(str(error))}"
            raise NoParser(reason, install) from error
        if "parser" not in self._pipeline.pipe_names:
            raise NoParser(f"spaCy's model {model} has no parser", f"python -m spacy download {MODEL}")
        meta = self._pipeline.meta
        self.name = f"{meta['lang']}_{meta['name']} {meta['version']}"

    def first_roots(self, texts: list[str]) -> list[tuple[str | None, str | None]]:
        return [_find_root(doc) for doc in self._pipeline.pipe(texts, batch_size=_BATCH)]


class RootVerbs:
    """Counts root verbs and their direct objects."""

    def __init__(self, parser: Parser) -> None:
        self._parser = parser
        self._waiting: list[str] = []
        self._instructions = 0
        self._verbs: Counter[str] = Counter()
        self._nouns: dict[str, Counter[str]] = {}

    def add(self, text: str) -> None:
        """Adds an English instruction."""
        self._instructions += 1
        self._waiting.append(text[:_HEAD])
        if len(self._waiting) >= _BATCH:
            self._parse()

    def result(self) -> Verbs:
        self._parse()
        listed = [
            Verb(lemma, count, self._top_nouns(lemma))
            for lemma, count in _ranked(self._verbs)
            if count > LEAST * self._instructions
        ]
        with_verb = self._verbs.total()
        other = with_verb - sum(verb.count for verb in listed)
        return Verbs(self._parser.name, self._instructions, with_verb, tuple(listed), other)

    def _parse(self) -> None:
        for verb, noun in self._parser.first_roots(self._waiting):
            if verb is None:
                continue
            self._verbs[verb] += 1
            if noun is not None:
                self._nouns.setdefault(verb, Counter())[noun] += 1
        self._waiting.clear()

    def _top_nouns(self, verb: str) -> tuple[Noun, ...]:
        return tuple(Noun(*item) for item in _ranked(self._nouns.get(verb, Counter()))[:NOUNS])


def _ranked(counts: Counter[str]) -> list[tuple[str, int]]:
    return sorted(counts.items(), key=lambda item: (-item[1], item[0]))


def _find_root(doc: Doc) -> tuple[str | None, str | None]:
    sentence = next((sentence for sentence in doc.sents if any(token.is_alpha for token in sentence)), None)
    if sentence is None or sentence.root.pos_ not in ("VERB", "AUX"):
        return None, None
    root = sentence.root
    found = next((child for child in root.children if child.dep_ in _OBJECTS and child.pos_ == "NOUN"), None)
    return _lemma(root), None if found is None else _lemma(found)


def _lemma(token: Token) -> str:
    return str(token.lemma_ or token.text).lower()
