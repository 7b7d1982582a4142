"""The patterns of `web_caption`: parts of web texts that captions do not have."""

from __future__ import annotations

import re

from mminf.step import lazy_pattern

_CJK = r"\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7af"
WORD = lazy_pattern(rf"[{_CJK}]|[^\W_{_CJK}]+(?:['’-][^\W_{_CJK}]+)*")
"""A word; a Chinese, Japanese or Korean character counts as a word."""


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


FUNCTION_WORDS = _words(
    """
    a an the this that these those its his her their some two three several many of in on at by to from with without
    and or as is are was while near next under over into onto for through during before behind around between
    un une le la les des du de et dans sur avec au aux el los las una y en con del der die das ein eine einem einen und
    mit auf im am von bei il lo gli uno di su per um uma os do da no na com e o het een van op met
    """
)
"""Words that a sentence contains and a list of keywords does not; of common languages in Latin script."""

# Patterns of phrases, separated by ` | ` or the end of a line; a space matches any white space.
_SHOP = r"""
    buy now | shop (?:now|for|the|our|online) | add to (?:cart|basket|bag) | free (?:shipping|delivery|returns)
    for sale | on sale | best price | price (?:in|of|list|drop) | in stock | out of stock | sold out | discounts?
    coupons? | clearance | wholesale | bestsellers? | order (?:now|online|yours) | made to order | size chart
    new arrivals? | gift card | money back | ebay | etsy | amazon | aliexpress
"""
_STOCK = r"""
    stock (?:photo|image|picture|photography|footage|vector|illustration)\w* | royalty[\s-]free | (?:clip|line) ?art
    getty | shutterstock | i?stock(?:photo)? | alamy | dreamstime | depositphotos | pinterest | flickr | wikimedia
    all rights reserved | copyright(?:ed)? | image (?:credit|source|result|may contain|\d+ of) | file photo
    photo (?:credit|courtesy|by|gallery|\d+ of) | (?:photo|picture|image|pic)s?\s?[:#] | courtesy of
    (?:desktop|hd|4k|free|mobile|iphone) (?:wall ?papers?|backgrounds?) | wall ?papers? (?:for|hd|\d)
    thumb ?nails? | vector (?:illustration|image|art|graphic)s? | mock ?up | watermark(?:ed)?
"""
_PAGE = r"""
    click(?:ing)? (?:here|on|to|the|for|this|image|photo) | tap to | (?:read|learn|see) more | subscribe | follow us
    view (?:all|more|larger|full|gallery|details) | (?:sign|log) ?(?:in|up|out) | cookies? | downloads? | enlarge
    scroll (?:down|to) | share (?:this|on) | posted (?:by|on|in) | updated on | comments? | next (?:post|page|slide)
    page \d+ | home ?page | web ?site | url | http | login | loading | placeholder | untitled | null | undefined
    no (?:image|photo|picture)(?: available)? | image (?:not|un) ?available | alt text | tutorials? | how to | reviews?
    top \d+ | best of | episode \d+ | trailer
"""
_CHINESE = r"""
    点击 | 下载 | 登录 | 注册 | 扫码 | 扫一扫 | 关注(?:我们|公众号) | 公众号 | 微信号 | 客服 | 转载 | 原文 | 网站 | 官网
    查看(?:更多|大图|原图) | 更多精彩 | 暂无图片 | 加载中 | 首页 | 返回 | 上一[张页] | 下一[张页] | 第\d+[张页] | 包邮
    淘宝 | 天猫 | 京东 | 拼多多 | 现货 | 批发 | 促销 | 特价 | 优惠 | 正品 | 代购 | 价格 | 报价 | 厂家 | 专卖 | 旗舰店
    新款 | 爆款 | 同款 | 版权 | 图片来源 | 来源[:：] | 图源 | 供图 | 摄影[:：] | 素材 | 壁纸 | 高清(?:大图|图片|图)
    矢量 | 免抠 | 大全 | 教程 | 攻略 | 怎么 | 如何 | 多少钱 | 哪里买 | 排行榜 | 盘点
"""
_ENDINGS = "jpe?g|png|gif|webp|bmp|svg|tiff?|heic|avif|pdf|psd|mp4|mov|avi|html?|php|aspx?|zip|docx?"
_DOMAINS = "com|net|org|info|biz|io|co|shop|store|de|fr|uk|ru|cn|jp|it|es|nl|pl|eu|us|ca|au|in|br"
_SPEAKERS = r"(?<!\w)(?:I|I['’]m|[Mm]y|[Mm]e|[Ww]e|[Oo]ur|us|[Yy]ou|[Yy]our)(?![\w'’.-])|我们|你们|您|我的|你的|咱们"


def _any(pattern: str, *more: str) -> re.Pattern[str]:
    return lazy_pattern("|".join((pattern, *more)), re.IGNORECASE)


def _phrases(text: str, *, spaced: bool = True) -> re.Pattern[str]:
    found = re.split(r"\s+\|\s+|\n", text.strip())
    joined = "|".join(phrase.strip().replace(" ?", r"\s?").replace(" ", r"\s+") for phrase in found)
    return lazy_pattern(rf"(?<!\w)(?:{joined})(?!\w)" if spaced else joined, re.IGNORECASE)


PATTERNS: tuple[tuple[str, re.Pattern[str]], ...] = (
    ("an address", _any(r"https?:|www\.", rf"\b[\w-]{{1,64}}\.(?:{_DOMAINS})\b(?!\s+[A-Z])", r"\S{1,64}@\S{1,64}\.\w")),
    ("a file name", _any(rf"\S{{1,100}}\.(?:{_ENDINGS})\b", r"\b(?:IMG|DSC[NF]?|PXL|MVI|GOPR|P\d)[_-]?\d{3,}")),
    # home-office-2019-oak, red_dress, B07XJ8C8F5
    ("an identifier", _any(r"\b(?=[\w-]*\d)(?=[\w-]*[a-z])[a-z0-9]+(?:[_-][a-z0-9]+){2,}\b", r"\b[a-z0-9]{1,64}_\w+")),
    ("an identifier", _any(r"\b(?=\w*\d\w*\d)(?=\w*[a-z]\w*[a-z])[a-z0-9]{9,}\b")),
    ("a hashtag or user name", _any(r"[#＃@][^\W\d_]\w*")),
    ("a price", _any(r"[$€£¥₹￥]\s?\d", r"\d\s?[$€£¥₹￥]", r"\b\d+(?:[.,]\d+)?\s?(?:usd|eur|gbp|cny|rmb|dollars?)\b")),
    ("a price", _any(r"\d+(?:\.\d+)?\s?(?:元|块钱|円|折)", r"\d+\s?%\s?off\b")),
    ("a size in pixels", _any(r"\b\d{3,4}\s?[x×*]\s?\d{3,4}\b", r"\b\d+\s?(?:px|dpi|kb|mb)\b")),
    ("markup", _any(r"[<>{}|\\^~=»«→▶►•★☆✓]|::|//|\*\*", r"&[a-z]{2,8};|&#\d+;", r"\[[^\]]{1,200}\]")),
    ("markup", _any(r"\s[-–—]\s.{1,200}\s[-–—]\s")),
    ("a phrase of shops", _phrases(_SHOP)),
    ("a phrase of photo sites", _phrases(_STOCK)),
    ("a phrase of web pages", _phrases(_PAGE)),
    ("a phrase of web pages", _phrases(_CHINESE, spaced=False)),
    ("a mark of rights", _any(r"[©®™]|\(c\)\s")),
    ("a question or an exclamation", _any(r"[?!？！]")),
    ("an ellipsis", _any(r"\.{2,}|…")),
    ("an emoji", _any("[\u2600-\u27bf\U0001f000-\U0001faff]")),
    # "US" is a country.
    ("a word about writer or reader", lazy_pattern(_SPEAKERS)),
)
"""What a text contains, and the pattern that finds it."""
