"""English phrases that mention a source: tables, for texts with single spaces and straight quotes."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal, get_args

from mminf.step import lazy_pattern

from .texts import any_word, one_of, word_set

Source = Literal["caption", "text", "information", "hints", "prompt", "unnamed"]
SOURCES: tuple[Source, ...] = get_args(Source)


def _re(pattern: str) -> re.Pattern[str]:
    return lazy_pattern(pattern, re.IGNORECASE)


# Objects in an image that mainly show text: after one of these, "the text" is its text.
_SURFACE = any_word(
    """
    sign signs signboard signpost billboard billboards poster posters banner banners label sticker stickers placard
    plaque whiteboard blackboard chalkboard noticeboard screen screens screenshot page pages newspaper magazine leaflet
    flyer brochure pamphlet menu receipt ticket postcard letter document slide website webpage chart charts graph
    diagram diagrams map maps infographic legend cartoon comic meme advertisement advert packaging tombstone gravestone
    scroll manuscript banknote headline subtitle subtitles tweet timetable schedule inscription speech+bubble
    """
)
# Other objects that can have text, labels or tags.
_BEARER = any_word(
    """
    ad album app article axes axis bag bags bars beer board boards book books bottle bottles box boxes bubble calendar
    can cans card carton carving cattle clothes clothing coat coats coin cotton cover cow cup dish dishes display drawer
    drawers drawing dress dresses ear email engraving exhibit exhibition fabric file files folder folders food form
    gallery game garment garments item items jacket jar jars jeans jersey key keys kiosk logo luggage medicine monument
    mug mural museum package packet painting paintings panel parts plant plants plate plot post price prices product
    products sheep shirt shirts stamp statue statues suitcase suitcases sweater t-shirt table tapestry tin tins trousers
    video watermark wine wool
    """
)
CARRIER = rf"(?:{_SURFACE}|{_BEARER})"
PICTURE = any_word("image images picture pictures photo photos photograph photographs scene illustration")
LOOKS = any_word(
    """
    red blue green yellow white black brown orange pink purple grey gray gold golden silver bold italic handwritten
    printed large small big tiny top bottom upper lower left right central main faint faded neon visible blurry
    french chinese english german spanish italian japanese arabic korean russian latin
    """
)
# "On the bottles the labels ...", "According to the labels, the bottles ...".
ON_CARRIER = _re(rf"^(?:on|in|at) (?:[\w'-]+ ){{1,3}}?{CARRIER}\b")
CARRIER_NEXT = _re(rf"^,? (?:[\w'-]+ ){{0,3}}?{CARRIER}\b")
# "It is not mentioned on the plaque".
ON_SURFACE = _re(rf"(?: [\w'-]+){{0,3}}? (?:on|in|at|by) (?:[\w'-]+ ){{0,3}}?{CARRIER}\b")
SHOWS_TEXT = _re(rf"\b(?:{_SURFACE}|text overlay|reads)\b|\bwritten (?:on|in|across|above|below)\b")
HAS_CAPTION = _re(r"\b(?:cartoon|comic|meme|newspaper|magazine|slide|screenshot|tweet|exhibit)\b")
IMAGE_WORD = _re(rf"{LOOKS}|{CARRIER}(?:'s)?")

# The words before a noun.
DEFINITE = word_set(
    """
    the this that these those its your my our both all
    """
)
ARTICLES = DEFINITE | {"a", "an", "any", "each", "no", "some"}
GIVEN = word_set(
    """
    given provided supplied above aforementioned user-provided
    """
)
# Words between the article and a noun for a source; any other word describes text in the image.
PLAIN = GIVEN | word_set(
    """
    original source input image scene available reference detailed detected extracted recognised recognized
    generated full short whole entire caption description ocr object additional textual written descriptive
    """
)
# These words end the search for an article.
STOPS = word_set(
    """
    in on at of by to for from with about under over near between into onto and or but than as if is are was were
    that which says say see read has have had not
    """
)

# Phrases after a source that is not in the image: "the text above", "the tags of the image".
OUTSIDE = one_of(
    r"""
    (?:above|below)(?! (?:the|a|an|it|him|her|them|this|that|his|its|and)\b)
    itself|alone|only|here|in question|at hand
    (?:(?:that|which) )?(?:(?:was|were|is|are|has been) )?(?:given|provided|supplied)
    (?:(?:that|which) )?(?:you|the user|they|i|we)(?:'ve|'re|'m| have| was| were| am| are)? \
        (?:gave|provided?|given|received|have|had|supplied|wrote|shared|got)
    """
)
OF_PICTURE = (
    r"(?:of|for|to|accompanying|describing|with|associated with|that (?:goes|came) with) "
    rf"(?:the|this|that|an?) (?:\w+ )?{PICTURE}"
)
GIVEN_TO = _re(r"given|provided|supplied|\b(?:you|user|they|i|we)\b")
# "The information in the prompt": a position in another source. A question is not a source; it is in the row.
IN_SOURCE = _re(
    r" (?:in|from|of|within|by|with|to) (?:(?:the|this|your|my|our|an?|any) )?(?:[\w'-]+ ){0,2}?"
    r"(?:prompts?|captions?|descriptions?|inputs?|hints?|metadata|dataset|user|ocr|me|us|you)\b"
)
OF_SOMETHING = _re(r" of (?:the|this|that|what|how|him|her|it)\b")
OF_CARRIER = _re(rf" of \w+ (?:[\w'-]+ ){{0,2}}?{CARRIER}\b")
# Positions in the image.
PLACED = _re(
    r" (?:(?:that|which) )?(?:(?:is|are|was|were|appears?|hangs?|runs?|stands?|sits?) )?"
    + one_of(
        r"""
        (?:in|on|at|of|for|from|by|with|under|underneath|beneath|beside|behind|between|above|below|along|across|\
            over|near)\b
        to (?:the|its|his|her)\b
        (?:around|inside|within|next|accompanying|beginning|starting|containing|featuring)\b
        (?:attached|printed|written|shown|displayed|visible|seen|engraved|carved|painted|stitched|sewn|stuck|pinned)\b
        (?:posted|hanging|hung|inscribed|embossed|stamped|depicted|overlaid|superimposed)\b
        """
    )
)
# The look and position of text in the image, as a predicate.
LOOKS_LIKE = _re(
    " "
    + one_of(
        rf"""
        (?:(?:simply|also|just|clearly) )?reads?\b
        (?:is|are|was|were) (?:\w+ly |also |too |all )?{LOOKS}\b
        (?:is|are|was|were) (?:\w+ly |also )?(?:in|at|on|above|below|under|too) \w
        (?:is|are|was|were) (?:\w+ly |also )?(?:written|printed|located|placed|shown|displayed|blurr|illegible|\
            unreadable|legible)
        (?:is|are|was|were) (?:\w+ly |also )?(?:misspelled|cut|set|centred|centered|hidden|upside|mirrored|torn)\b
        (?:appears?|runs?|stands?|hangs?|sits?) (?:in|on|at|along|across|above|below|under|beneath|over|next)\b
        """
    )
)
# "The information board": a compound noun.
COMPOUND = _re(
    "[ -]"
    + any_word(
        """
        board boards box boxes panel sign signs plate maker line lines bar page card cards sheet stand desk window
        field kiosk center centre screen area column section bubble bubbles message messages size color colour font
        style service tab tabs icon menu booth point leaflet software
        """
    )
    + r"\b"
)
QUOTED = lazy_pattern(r""" ?[,:]? ?["'](?!s\b)\w""")
# Quoted text, or text in capitals: it was read from the image.
READ_OFF = lazy_pattern(
    r"(?: (?:that|the words?|simply|in \w+ \w+))?[,:]? "
    + one_of(
        r"""
        ["'(]
        [A-Z0-9][A-Z0-9&%.:-]+(?![\w'])
        [A-Z][a-z]+ [A-Z][a-z]+
        [A-Z]\w+[.!?]?$
        \d
        """
    )
)

# "Where is the caption?", "Translate the caption.": questions about text in the image.
ASKED = _re(r"(?:\b(?:where|what) (?:is|are)|^(?:read|translate|transcribe|copy|find|locate)) $")

# Verbs whose subject is a source, and the words before them.
_ALSO = any_word(
    """
    also only never clearly explicitly specifically directly simply further even just itself both already merely
    actually then
    """
)
_HELPER = (
    r"(?:do|does|did|has|have|had|can|could|may|might|would|must|seems? to|appears? to|makes? it clear that|fails? to)"
)
AUXILIARIES = rf"(?: (?:{_ALSO}|{_HELPER}(?: not|n't)?|can't|cannot|not))*,? "
_SAYS = (
    r"(?:mention|stat(?:e|ing)|say|said|describ|noting|note|indicat|suggest|specif|imply|implie|highlight|"
    r"emphasi|explain|report|tell|"
    r"told|refer|claim|clarif|detail|provid|give|gave|includ|list|identif|omit|make|lack|contain|talk|speak|point)\w*"
)
_SHOWS = rf"(?:{_SAYS}|(?:show|read|confirm|place|locate|found|find|label|recogni[sz]e|detect|pick)\w*)"
_DENIES = r"(?:(?<=not )|(?<=n't ))(?:provid|give|includ|indicat|reveal|clarif|contain|tell|suggest)\w*"
_TELLS = rf"(?:(?:mention|stat(?:e|ing)|say|said|describ|specif)\w*|{_DENIES})"
_TAGS = one_of(
    rf"""
    (?:mention|suggest|imply|implie|includ|confirm)\w*
    (?:say|state|show|indicate|list)s? (?:that|there|an?|two|three)
    {_DENIES}
    """
)
# Phrases before the article of a source.
_FROM = one_of(
    r"""
    (?:^|[,;:(-] ?)(?:from|per|using|considering|by)
    \b(?:clear|evident|apparent|obvious|known|know|tell|infer|inferred|deduced?|concluded?|gather|\
        gathered)(?:,? \w+){0,2}? (?:from|by)
    \b(?:learn|learned|understand|understood|derived|gleaned|assumed?|guess|judge|estimated?|\
        follows)(?:,? \w+){0,2}? (?:from|by)
    """
)
_BASED = one_of(
    rf"""
    according to|going by|as per|in (?:line|accordance) with|consistent with|with reference to
    based (?:(?:only|solely|purely|entirely|just) )?(?:up)?on
    (?:drawing|relying) (?:up)?on
    {_FROM}
    """
)
BASED = rf"{_BASED} $"
# The same, with "given the ..." and "in the ..." at the start of a clause.
_BASED_OR_IN = rf"(?:{_BASED}|judging (?:by|from)|(?:^|[,;:(] ?)(?:given|in)) $"
TOLD_IN = _re(
    r"\b"
    + any_word(
        """
        mentioned described stated specified noted referenced referred+to clarified explained mention information
        details evidence nothing given provided listed indicated implied suggested outlined reported identified
        supplied included found discussed said told present
        """
    )
    + r"(?: (?:explicitly|clearly|directly|specifically|anywhere|only|as))? (?:in|by|within|from|through|of) $"
)


@dataclass(frozen=True, slots=True)
class Noun:
    """A noun that may name a source.

    Attributes:
        pattern: the noun.
        source: the kind of source.
        says: verbs whose subject is a source; None: the noun is a source only if it was "given".
        firm: rare in images, so "the ..." is a leak with any verb, unless it has a position in the image.
        based: pattern of the text before the noun, if a statement is based on it.
    """

    pattern: str
    source: Source
    says: str | None = _SAYS
    firm: bool = False
    based: str = _BASED_OR_IN


_LISTED = "(?:objects|tags|labels|detections|items|hints|keywords)"
NOUNS = (
    Noun(r"captions?|descriptions?|alt[ -]texts?", "caption", firm=True),
    Noun(r"texts?|passages?|paragraphs?|excerpts?", "text"),
    Noun(r"information|info", "information", says=_TELLS),
    # "Given the context" and "judging by the details" refer to the image.
    Noun(r"details|contexts?|inputs?", "information", says=_TELLS, based=BASED),
    Noun(r"hints|meta-?data", "hints", says=_SHOWS, firm=True),
    Noun(
        r"OCR(?:[ -](?:texts?|results?|outputs?|data|readings?|hints?|engine|tool|model|system))?",
        "hints",
        says=_SHOWS,
        firm=True,
    ),
    Noun(r"tags|labels|keywords", "hints", says=_TAGS),
    Noun(r"hint|annotations?|bounding box(?:es)?|detectors|tagger|object detectors?", "hints", says=_SHOWS),
    Noun(r"detected (?:objects?|items?|texts?|things|elements)", "hints", says=_SHOWS),
    Noun(r"(?:object )?detections?(?: (?:results?|outputs?|data|model))?", "hints", says=_SHOWS),
    Noun(rf"(?:object|tag|label|detection|item|hint)s?[ -]lists?|lists? of (?:\w+ )?{_LISTED}", "hints", says=_SHOWS),
    Noun(r"prompts?", "prompt", says=rf"(?:{_SAYS}|(?:ask|want|require|request)\w*)"),
    # Only with a word like "provided": "the provided label".
    Noun(
        r"detail|tag|label|clues?|objects?|lists?|sentences?|facts?|knowledge|material|content",
        "information",
        says=None,
    ),
    Noun(r"summary|narrative|story", "information", says=None),
)
# Nouns without an article: "based on tags", "according to OCR".
BARE = _re(
    r"captions?|descriptions?|tags|hints|metadata|ocr.*|bounding boxes|detections?.*|keywords|annotations|object.*"
)

# Attributions without a named source.
_WAY = r"(?: (?:also|only|explicitly|clearly|specifically|directly|already|previously|just|being|even|ever|further))*"
_SELDOM = r"(?<!often )(?<!commonly )(?<!usually )(?<!sometimes )(?<!best )(?<!frequently )"
_BE = r"\b(?:is|are|was|were|been)"
UNNAMED = tuple(
    map(
        _re,
        (
            # "As described, ..."; but not "as described by the guide".
            rf"\bas(?: (?:is|was|it's|it is|has been))?{_WAY} (?:described|mentioned|stated|specified|noted|outlined)"
            r"(?: (?:above|earlier|before|previously|below|here))?(?= ?(?:[,.;:!?)]|$)| (?:the|it|he|she|there)\b)",
            rf"\b(?:it|this|which)(?:'s| (?:is|was|has been)){_WAY} (?:mentioned|stated|specified|described|noted)"
            r" ?(?:that\b|,|\.|to\b|as\b)",
            rf"(?:\bnot|n't|\bnever|\bnowhere){_WAY} (?:mentioned|stated|specified|described)\b",
            rf"{_BE}{_WAY} mentioned\b",
            r"\bnothing (?:is|was) (?:said|told|stated|given|mentioned)\b",
            r"\bno (?:explicit |specific |direct |clear |other |further )?mention\b",
            rf"{_BE}{_WAY} {_SELDOM}described (?:as|with|having|to be|wearing)\b",
            rf"\bthe (?:described|mentioned|stated) \w+|\b{PICTURE} (?:as )?(?:described|mentioned)\b(?! by)",
            r"\bwithout (?:\w+ly )?(?:seeing|viewing|having|access to) (?:access to )?(?:the|an|this|"
            r"any) (?:actual |original )?" + PICTURE,
            rf"\bno {PICTURE} (?:is|was|were|are|has been|have been) (?:given|provided|attached|shared)",
        ),
    )
)
BEFORE = _re(r"\b(?:above|earlier|before|previously)$")
# Models and their results, in the words of templates/densefusion/caption.jinja.
PROGRAMS = _re(
    one_of(
        r"""
        \bthe (?:programs?|experts?|detectors?|models?)(?: have| has)? \
            (?:found|detected|identified|recogni[sz]ed|tagged)\b
        \b(?:the|these|other|vision|detection)(?: other)? models?(?:'s?)? \
            (?:suggest|say|state|think|believe|find|found|detect|identif|recogni[sz]|report|indicat|mention|output)\w*\b
        \b(?:according to|based on|by|per|outputs? of|results? of) (?:the|these|other|some)(?: other)? models?\b
        \bmodels?(?:'s?)? (?:outputs?|results?)\b
        \bconfirmed by the (?:image|picture|photo)\b
        \bthe (?:image|picture|photo) (?:does not |doesn't |also )?confirms? the (?:hint|tag|detect|OCR|fact)\w*
        \bnone of the hints\b
        \b(?:the|this|that|these|those|no|an?|any|each|some|several|many|most|all|both) hints? \
            (?:is|are|was|were|about|that|mentions?|says?|suggests?)\b
        \bdetected (?:objects?|items?|texts?)\b|\bobjects? detected\b
        \b(?:is|are|was|were) detected (?:at|in|on|near|by)\b
        \b(?:according to|based on|from|per) the (?:\w+ )?facts\b(?! (?:on|in|of|listed|printed|written|shown)\b)
        \bthe facts (?:say|state|mention|suggest|indicate|tell|confirm)\b
        ^\W*(?:hints|tags|detected objects|OCR text|facts) ?:
        """
    )
)
