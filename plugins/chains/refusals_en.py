"""English refusals: tables of phrases, for texts with single spaces."""

from __future__ import annotations

import re

from mminf.step import lazy_pattern

from .texts import one_of

_AI = r"(?:an? )?(?:\w+ )?(?:AI|artificial intelligence|language model|virtual assistant|text-based \w+|chatbot)"

# An opener of several words ends at a comma or at the "I" of the refusal.
_UNTIL = r"(?= ?[,.:;!—]| (?:and |but )?(?:i|we)[ ']| (?:and )?(?:can't|cannot)| - |$)"

# Openers: phrases before a refusal.
_OPENERS = one_of(
    rf"""
    (?:i'?m|i am|we'?re) (?:so |very |truly |really |terribly )?sorry(?: to (?:say|inform you)(?: that)?)?
    (?:so |very )?sorry(?: about that)?
    (?:my|please accept my) (?:sincere )?apologies
    apologies
    i (?:do )?apologi[sz]e(?: for (?:the|any) (?:inconvenience|confusion))?
    unfortunately
    regrettably
    i regret to (?:say|inform you)(?: that)?
    (?:i'?m|i am) afraid(?: that)?
    (?:hello|hi(?: there)?|hey|oh|well|hmm+|no)
    (?:thank you|thanks)(?: for [\w ']{{1,60}}?{_UNTIL})?
    i (?:understand|appreciate|see)(?: [\w '-]{{1,90}}?)?{_UNTIL}
    while i [\w '-]{{1,60}}?{_UNTIL}
    (?:i, )?(?:as|being|i'?m|i am) (?:just |only )?{_AI}[\w -]{{0,50}}?{_UNTIL}
    i(?:'m| am) (?:designed|programmed|trained|here) to [\w ]{{1,60}}?{_UNTIL}
    at (?:this|the) (?:time|moment)
    currently
    for (?:privacy|safety|ethical|legal)[\w ]{{0,30}}?{_UNTIL}
    due to [\w ]{{1,50}}?{_UNTIL}
    in order to [\w ]{{1,40}}?{_UNTIL}
    (?:and|but|so|however|therefore|that)
    """
)
OPENED = lazy_pattern(rf"^(?:{_OPENERS}(?: ?[,.:;!—-]+ ?| )){{0,5}}", re.IGNORECASE)

_UNABLE = one_of(
    r"""
    (?:(?:i|we) (?:\w+ly |just |also |still )?)?(?:can't|cannot|can not|won't|will not)(?: be able to)?
    (?:i|we) (?:\w+ly |just |also |still )?(?:could not|couldn't|would not|wouldn't|may not)(?: be able to)?
    (?:(?:i|we)(?:'m|'re| am| are) (?:\w+ly |just |also |still )?)?(?:unable to|not (?:\w+ )?able to)
    (?:i|we)(?:'m|'re| am| are) (?:\w+ly |just |also |still )?\
        not (?:\w+ )?(?:allowed|permitted|authorized|programmed|designed|equipped|trained|going|willing) to
    (?:i|we)(?:'m|'re| am| are) (?:\w+ly |just |also |still )?\
        (?:not (?:\w+ )?capable of|incapable of|prohibited from|restricted from|not comfortable|uncomfortable)
    i (?:do not|don't) feel comfortable
    i (?:currently )?(?:do not|don't|lack|have no)(?: currently)?(?: have| possess)?\
        (?: the| an?| any)?(?: \w+)? (?:abilit(?:y|ies)|capabilit(?:y|ies)|capacity|permission|means|\
        tools)(?: to| of| for)?
    """
)
_ADVERBS = r"(?: (?:\w+ly|even|yet|in good conscience|to|with|in))*"

# Verbs for help.
_HELP = one_of(
    r"""
    (?:assist|comply|oblige|cooperate)(?:ing)?\b
    help(?:ing)?(?: you| anyone)?\
        (?= ?(?:[.,;!:]|$)| (?:with|out|you|on|create|make|identify|do|find|write)\b| to \w+ (?:this|that|such)\b)
    (?:fulfil|accommodat|complet|process|answer|grant|support|honou?r|execut|perform|proceed|continu|respond|\
        handl|entertain)\w* \
        (?:\w+ ){0,3}?(?:requests?|questions?|prompts?|quer(?:y|ies)|inquir(?:y|ies)|tasks?|that|this|such)\b
    (?:complet|continu|proceed with|respond to|handl)\w* (?:\w+ ){0,3}?(?:conversation|instructions?|topic)\b
    (?:do(?:ing)?|answer)(?: that| this| so| it)?(?= ?(?:[.,;!]|$))
    (?:promot|condon|endors|facilitat)\w*
    support or \w+
    """
)
# Verbs for making and telling, with objects that models refuse.
_MAKING = (
    r"(?:provid|generat|creat|produc|offer|shar|giv|writ|discuss|engag|participat|encourag|disclos|reveal|"
    r"speculat|comment|display|draw|mak|tak)\w*"
)
_MADE = one_of(
    r"""
    requests?|questions?|that|this|such|those|content|information|assistance|instructions?|material|advice|guidance
    opinions?|judge?ments?|help|images?|pictures?|photos?|drawings?|explicit|illegal|harmful|offensive|\
        activit(?:y|ies)
    topics?|conversations?|discussions?|tasks?|inquiry|identit(?:y|ies)|personal|private|responses?|answers?
    descriptions?|details|part|sides|names?|people|individuals?|person|real
    """
)
# Viewing the input. This excludes content of the image: "I can't see the picture on the wall".
_LOOKING = (
    r"(?:see|view|access|open|look at|display|load|perceive|analy[sz]e|process|interpret|browse|receive|read|"
    r"describe|inspect|examine|watch|hear|listen to|"
    r"seeing|viewing|accessing|opening|analy[sz]ing|processing|interpreting|browsing|describing|recall|"
    r"retrieve|visually)"
)
_INPUT = (
    r"(?:images?|pictures?|photos?|photographs?|visuals|visual (?:content|information)|files?|links?|"
    r"attachments?|videos?|urls?|websites?|internet|web|real-time \w+|databases?|screenshots?|audio|media)"
)
_ITS_WORDS = (
    r"(?:(?:or|and|nor|directly|the|any|an?|this|that|your|these|those|actual|attached|uploaded|provided|such|"
    r"external|live|visual|specific|"
    r"see|view|open|access|analy[sz]e|interpret|process|describe|contents? of|of|its),? ){0,7}"
)
_SENT = (
    rf"{_ITS_WORDS}{_INPUT}(?= ?(?:[.,;:!]|$)| (?:you|that you|directly|or|and|because|to|at|but|like|as|i|"
    rf"since|itself|attached|content)\b)"
)
# Identities of people. Anything else that can't be identified is about the image: "I can't identify the bird".
_PEOPLE = (
    r"(?:people|persons?|person's|individuals?|individual's|humans?|faces?|celebrit(?:y|ies)|anyone|"
    r"identit(?:y|ies)|him|her|them|man|woman|someone)"
)
_PERSON = one_of(
    rf"""
    (?:identify|recogni[sz]e|name|identifying|recogni[sz]ing|naming) (?:\w+ ){{0,3}}?(?:who\b[\w ]{{0,30}}|\
        (?:\w+ ){{0,3}}{_PEOPLE}\b)
    (?:tell|say|determine|confirm|reveal|provide|disclose|speculate on) (?:you )?who (?:(?:this|that|he|she|\
        they|it) (?:is|are)|(?:is|are) (?:this|that|he|she|in)|the (?:\w+ )?{_PEOPLE})
    (?:tell|say|determine|confirm|reveal|provide|disclose|speculate on) (?:\w+ ){{0,4}}?identit(?:y|ies)\b
    """
)
_INNER_LIFE = (
    r"(?:have |possess |experience |form |hold )?(?:any )?(?:personal|feelings|emotions|opinions|beliefs|"
    r"preferences|consciousness|subjective|physical (?:body|form|senses)|eyes|vision)\b"
)

REFUSALS = tuple(
    lazy_pattern(pattern, re.IGNORECASE)
    for pattern in (
        rf"{_UNABLE}{_ADVERBS} (?:{_HELP}|{_MAKING} (?:[\w-]+ ){{0,7}}?{_MADE}\b|{_LOOKING} {_SENT}|{_PERSON})",
        rf"{_UNABLE} {_INNER_LIFE}",
        rf"(?:i|we) (?:currently )?(?:do not|don't|lack)(?: currently| directly)? (?:have )?(?:{_INNER_LIFE}|"
        rf"(?:direct )?access to {_SENT})",
        rf"i (?:do not|don't|didn't|did not) (?:see|have|receive) {_SENT}",
        one_of(
            r"""
            i (?:must |have to |will have to |need to |'d have to |would like to )?(?:respectfully |\
                politely )?(?:decline|refuse)(?: to (?:answer|assist|help|do|comply|provide|discuss)|(?: this| that|\
                 your| the)?(?: request)? ?(?:[.,;!]|$))
            i(?: would|'d| will) rather not(?: (?:say|answer|discuss|comment|do|tell|help|talk|get into)| ?[.,;!]|$)
            i (?:will|shall) not (?:answer|assist|help)\b
            i won't (?:answer|be (?:able|assisting|helping|answering|providing))\b
            (?:that|this)(?:'s| is) (?:not something (?:that )?i can|something (?:that )?i (?:can't|cannot|\
                am not|'m not|won't))\b
            (?:this|that|the|your) (?:request|content|prompt|question|topic|query) (?:\w+ )?(?:violates?|\
                goes against|is against|is inappropriate|is not (?:appropriate|allowed|permitted))
            (?:this|that|the|your) (?:request|prompt|question|query) (?:can't|cannot|can not) be (?:fulfil+ed|\
                processed|answered|completed)
            (?:this|that|the|your) (?:request|content|prompt) (?:was|has been) (?:rejected|blocked|refused|denied)
            it(?: is|'s| would be) (?:not appropriate|inappropriate|unethical|not ethical|not possible|\
                impossible) for me to\b
            it would be (?:inappropriate|unethical|irresponsible) to\b
            (?:request|access) (?:denied|refused|rejected)\b
            it(?: is|'s) against my (?:guidelines|programming|polic(?:y|ies)|training)
            my (?:guidelines|programming|policies|training) (?:\w+ )?(?:prohibit|prevent|do(?:es)? not allow|\
                don't allow|forbid)
            please (?:provide|upload|share|attach|send) (?:me )?(?:the|an|your) (?:actual )?(?:image|picture|photo)\b
            (?:it (?:seems|looks|appears) (?:like |that |as (?:if|though) )?)?(?:the|your) (?:image|picture|\
                photo) (?:did not|didn't|failed to|does not seem to|doesn't seem to) (?:have )?(?:load|upload|\
                come through|been)
            i (?:do not|don't|didn't|did not) (?:quite |fully )?understand (?:the|your|this) (?:question|\
                request|instruction)
            (?:it (?:seems|looks|appears) (?:like |that |as (?:if|though) )?)?(?:there(?:'s| is| are|\
                 was) )?no (?:images?|pictures?|photos?|photographs?|attachments?|\
                files?) (?:or \w+ )?(?:that )?(?:is |was |were |has been )?(?:attached|provided|uploaded|shared|\
                included|visible to me|in your \w+|for me to)
            """
        ),
    )
)
# Idioms, and statements about the speaker's own things: "I can't help but notice", "I can't open my files".
NOT_REFUSALS = lazy_pattern(
    r"\bhelp (?:but\b|\w+ing\b(?<!identifying)|myself|it\b)"
    r"|\bmy (?!guidelines|programming|abilit|capabilit|training|polic|purpose|role|knowledge|design|"
    r"understanding|ethic|safety|apologies|sincere|developers?|creators?|opinion|thoughts|views|personal|"
    r"system|instructions|internal|identity)",
    re.IGNORECASE,
)
# Reasons why the image does not show something: these are answers.
OF_IMAGE = lazy_pattern(
    one_of(
        r"""
        \b(?:image|picture|photo|photograph|chart|table|text|sign|it|that|this) (?:does not|doesn't|\
            only) (?:show|include|contain|indicate|display|say|provide|reveal|give|mention)
        \b(?:is|are) not (?:visible|shown|legible|readable|clear|in (?:the )?(?:image|picture|view|frame))\b(?! to me)
        \bisn't (?:visible|shown|legible|clear)\b(?! to me)
        \btoo (?:dark|blurry|small|far|low|blurred|pixelated|grainy|faint)\b
        \b(?:cropped|out of (?:frame|view|focus)|obscured|covered by|hidden|blurred|blurry|resolution|\
            turned away|cut off)\b
        \bfrom (?:the|this) (?:image|picture|photo|angle|view|chart|table)(?: alone)?(?= ?(?:[.,;]|$))
        """
    ),
    re.IGNORECASE,
)
# Sentences without content after a refusal: offers, reasons, advice, questions to the user.
PADDING = lazy_pattern(
    r"\b"
    + one_of(
        r"""
        please\b
        feel free
        let me know
        if you (?:have|need|would|'d|want|can|could|provide|share|describe|tell|upload|like|are|let|give)
        (?:is there|do you have) (?:anything|something|any|another)
        (?:happy|glad|here) to (?:help|assist|answer|provide|discuss|support)
        (?:can|could|would|will) (?:you|i) (?:\w+ )?(?:describe|provide|clarify|share|help|assist|tell|upload|\
            give|rephrase|try|suggest|offer|like)
        how (?:can|may) i
        i (?:can|could) (?:help|assist|offer|provide|try|only|instead|suggest|answer|discuss)
        i(?: would|'d)? (?:recommend|suggest|encourage|advise)
        i would be
        (?:designed|programmed|trained|created|intended|here|committed) to
        my (?:purpose|role|goal|programming|guidelines|training|main|primary)
        against (?:my|the|our)
        (?:guidelines|polic(?:y|ies)|privacy|ethic\w*|unethical|illegal|harmful|inappropriate|violat\w*|\
            offensive|consent|dangerous|discriminat\w*|stereotyp\w*)
        it(?: is|'s) (?:important|essential|crucial|best|not (?:appropriate|okay|right))
        (?:consult|seek help|reach out)
        contact (?:a|the|your|local)
        thank(?: you|s)
        something else|any other|other (?:questions|tasks|topics)
        instead,? i
        as an ai\b|language model|text-based
        i (?:only|don't|do not|can't|cannot|lack|am|'m)\b
        sorry|apologi[sz]e|understand(?:ing)?\b|respect\b
        """
    ),
    re.IGNORECASE,
)
