"""Chinese phrases that mention a source."""

from __future__ import annotations

import re
from collections.abc import Collection

from mminf.step import lazy_pattern

_HAN = lazy_pattern(r"[\u4e00-\u9fff]")
# Sources by kind. 标签, 文字 and 信息 can also be in the image; see _CARRIER.
_NOUNS = {
    "caption": ("描述", "文字描述", "图片说明", "图像说明", "说明文字", "图片标题", "图像标题", "标题", "图注"),
    "text": ("文本", "文字", "文段", "段落", "短文", "原文", "文章", "上文", "前文"),
    "information": ("信息", "细节", "上下文", "语境", "内容", "输入", "材料", "资料"),
    "hints": ("标签", "标注", "提示", "检测结果", "识别结果", "检测框", "边界框", "物体列表", "对象列表", "元数据",
              "关键词", "检测到的物体", "检测到的对象", "检测到的目标", "OCR", "OCR结果", "OCR识别结果", "OCR文字"),
    "prompt": ("提示词", "题干"),
}  # fmt: skip
# Next to one of these words, a source is text in the image.
_CARRIER = (
    r"(?:瓶|罐|盒|箱|袋|包装|商品|产品|价格|衣|裤|鞋|吊牌|行李|产地|净含量|保质期|成分|海报|标志|招牌|路牌|"
    r"指示牌|牌子|屏幕|菜单|书|报纸|"
    r"杂志|图表|表格|坐标|轴|地图|横幅|车身|墙|黑板|白板|门票|收据|报告|截图|网页|页面|漫画)"
)
_IN_IMAGE = rf"(?:(?:图片?|图像|画面|照片|{_CARRIER}.{{0,2}})[上中里内]的?|{_CARRIER}的?)"
_GIVEN = (
    r"(?:所|您|你|用户|我|题目|上述|以上|上面|前面|给定|给出|给|提供|已有|现有|已知|输入|收到|得到|拿到|的|"
    r"这些?|该|此|这段|这个|那段|本)"
)
_OF_PICTURE = r"(?:(?:图片?|图像|照片|画面|场景|文字|文本|物体|目标|对象|详细|简短|原始|相关)的?)"
_BY = r"(?:根据|依据|按照|基于|依照|参照|参考|结合|通过|据|按|从|由)"
_SAYS = (
    r"(?:提到|提及|说到|说明|说|指出|表明|表示|描述|写|给出|提供|指明|列出|记载|暗示|所[述说示写]|称|强调|"
    r"包含|包括|谈到|讲|告诉|显示|推断|可知|可见|看出|得知)"
)
_ADVERB = r"(?:里面?|中|内)?(?:也|还|只|仅|并|都|则|曾|已|已经|明确|明确地|清楚地|特别|进一步|直接|同时|主要)*"
_NEGATION = r"(?:没有|没|并没有|未|并未|未曾|不曾|不)?(?:明确|具体|直接|特别)?"
_PLACE = r"(?!的?[上里]的?(?:文字|字)|[上]|栏|牌|板|框里|纸)"
_WRITTEN = lazy_pattern(r"^(?:写着?|显示)(?:着|道|有|为|[:：“\"「『《])?")

_GIVEN_FORM = r"(?:(?:所|您|你|用户|题目)?(?:提供|给定|给出|给)的?|上述|以上)(?:的|这[些段])?"
_UNNAMED = (
    r"(?:如|正如|就像|像|按)(?:文中|上文|上面|前文|前面|以上|之前)?(?:上|前)?所(?:述|说|言|描述|提到|提及)",
    r"(?:文中|文内|上文|前文|文章中|原文中)(?:并?没有|并?未|也|还|明确|所|曾)*(?:提|说|指|描述|写|述|给|记|表)",
    r"如题(?:干|目)?所[述说示]",
    r"(?<![上中里])(?:并?没有|并?未)(?:明确|具体|直接)?(?:提到|提及|说明|指明|指出)",
    r"(?:^|[，。；！？,;\s])(?:上面|前面|之前)(?:已经?)?(?:提到|提及|说到|描述)",
)


def find_leak_zh(text: str, sources: Collection[str]) -> str | None:
    """Returns the phrase in which a Chinese text mentions its source, or None."""
    for clause in filter(_HAN.search, re.split(r"(?<=[。！？；\n])", text)):
        for source, nouns in _NOUNS.items():
            if source in sources and (found := _find_attribution(clause, source, nouns)):
                return found
        if "unnamed" in sources and (unnamed := _find_unnamed(clause)):
            return unnamed
    return None


def _find_unnamed(clause: str) -> str | None:
    for pattern in _UNNAMED:
        for found in re.finditer(pattern, clause):
            # "The menu does not mention ..."
            if not ("有" in found[0] or "未" in found[0]) or not re.search(_IN_IMAGE, _before(clause, found)):
                return found[0]
    return None


def _find_attribution(clause: str, source: str, nouns: tuple[str, ...]) -> str | None:
    noun = "(?:" + "|".join(sorted(map(re.escape, nouns), key=len, reverse=True)) + ")"
    if source == "hints" and (hint := _find_hint(clause)) is not None:
        return hint
    for given in re.finditer(rf"{_GIVEN_FORM}{_OF_PICTURE}?{noun}{_PLACE}(?![了着过])", clause):
        if not re.search(rf"{_IN_IMAGE}$", _before(clause, given)):
            return given[0]
    by = re.finditer(rf"{_BY}(?:{_GIVEN}|{_OF_PICTURE})*{noun}{_PLACE}(?![了着])", clause)
    says = re.finditer(rf"{_OF_PICTURE}?{noun}(?![了着])(?:结果)?{_ADVERB}{_NEGATION}(?P<says>{_SAYS})", clause)
    for found in (*by, *says):
        if re.search(rf"(?:{_IN_IMAGE}|[上中里])的?$", _before(clause, found)):
            continue
        weak = source in ("text", "information", "hints") or "标题" in found[0]
        if weak and "OCR" not in found[0] and _is_carried(clause, found):
            continue
        if "says" not in found.groupdict() or not _is_read_off(source, found, clause[found.end() :]):
            return found[0]
    return None


def _find_hint(clause: str) -> str | None:
    if read := re.search(r"OCR(?:识别)?(?:结果|文[字本])?(?:[是为出]|里|中)", clause):
        return read[0]
    if said := re.search(
        r"(?:其他|其它|这些|检测|识别)的?模型(?:也|还|都)?(?:认为|检测|识别|提到|显示|指出|输出|的)|根据(?:其他|其它|这些|各)?模型"
        r"|(?:根据|基于|依据)(?:所?给的?|提供的|上述|这些)?事实(?!上)",
        clause,
    ):
        return said[0]
    held = re.search(r"标签[里中]有", clause)
    return held[0] if held is not None and not _is_carried(clause, held) else None


def _before(clause: str, found: re.Match[str]) -> str:
    return clause[max(0, found.start() - 20) : found.start()]


def _is_carried(clause: str, found: re.Match[str]) -> bool:
    """Returns whether an object that can have text is named directly before or after a source."""
    return re.search(_CARRIER, clause[max(0, found.start() - 8) : found.end() + 5]) is not None


def _is_read_off(source: str, found: re.Match[str], after: str) -> bool:
    """Returns whether the source is text or information that is visible in the image ("文字写着“禁止停车”")."""
    verb = found["says"]
    if source == "text" or "标题" in found[0]:
        return verb == "写" or (
            verb in ("显示", "说", "表示") and bool(re.match(r"[着道为]|[:：，]?[“\"「『《]", after))
        )
    return source == "information" and verb in ("显示", "表明", "包含", "包括", "可见", "看出", "推断")
