"""Debris of web pages in prose: tags and entities that nobody asked for, and how to take them out. Pure."""

# ruff: noqa: E501 (lists of words and patterns in many languages read better whole)

from __future__ import annotations

import html
import html.entities
import re
from typing import Final

from desktop_ft.core.data.doctor.prose import outside_code, without_code
from desktop_ft.core.data.doctor.texts import Seen

_ATTRIBUTES: Final = r"(?:\s[^<>]{0,1000})?"
_BLOCK: Final = re.compile(
    rf"</?(?:p|br|div|span|font|center|li|ul|ol|td|tr|th|tbody|thead|tfoot|table|h[1-6]|blockquote|hr|img|iframe|noscript|nav|footer|aside"
    rf"|figure|figcaption|strong|em|dl|dd|dt|strike|html|script|style|meta|svg|video|audio|picture|source|big|tt|nobr|wbr){_ATTRIBUTES}/?>",
    re.IGNORECASE,
)
"""Tags that name nothing but HTML."""
_SHORT: Final = re.compile(r"<(a|b|i|u|s|q)(\s[^<>]{0,1000})?>", re.IGNORECASE)
"""Tags that are also names of types and variables: they count with an attribute or with their end."""
_NAMED: Final = re.compile(
    r"<(?:a|article|section|header|main|body|head|link|form|input|label|button|title|code|pre|sub|sup|small|select|option|textarea|o:p|summary)"
    r"\s[^<>]{0,1000}?=[^<>]{0,1000}>",
    re.IGNORECASE,
)
"""Tags that prompts use as brackets of their own: they count with attributes only."""
_ENTITY: Final = re.compile(r"&(?:([A-Za-z][A-Za-z0-9]{1,24})|#\d{1,7}|#[xX][0-9A-Fa-f]{1,6});")
_COMMENT: Final = re.compile(r"<!--|<!DOCTYPE\s|<!\[CDATA\[", re.IGNORECASE)
_TABLE_BREAK: Final = re.compile(r"^[ \t]*\|[^\n]*$", re.MULTILINE)
"""A line of a Markdown table, in which ``<br>`` is the only way to break."""
_ASKED_FOR: Final = re.compile(
    r"\b(?:x?html5?|xml|svg|css|markup|jsx|tsx|dom|javascript|typescript|react|vue|angular|svelte|bootstrap|tailwind|jinja2?|django|php|xpath"
    r"|beautiful ?soup|entit(?:y|ies)|front-?end|hyperlinks?|web ?components?|rss|html\w*|epub|wiki ?text|mathml|iframe|innerhtml)\b"
    r"|</?[a-z][a-z0-9]{0,14}(?:\s[^<>]{0,200})?/?>|&[a-z]{2,8};",
    re.IGNORECASE,
)
_MAKING: Final = re.compile(
    r"\b(?:build|creat\w+|write|mak(?:e|ing)|cod(?:e|ing)|design\w*|generat\w+|give me|show me|produc\w+|convert\w*|format\w*|render\w*|fix|debug"
    r"|styl(?:e|ing)|pars\w+|scrap\w+|escap\w+|implement\w*|add|put|insert|wrap|turn)\b",
    re.IGNORECASE,
)
_A_PAGE: Final = re.compile(
    r"\b(?:web ?pages?|web ?sites?|landing pages?|pages?|tags?|templates?|forms?|buttons?|nav(?:igation )?bars?|menus?|banners?|newsletters?|layouts?"
    r"|snippets?|headings?|elements?|modals?|cards?|footers?|tables?|widgets?|components?|blogs?|browser|links?)\b",
    re.IGNORECASE,
)
_NAMES_MARKUP: Final = re.compile(
    r"\b(?:x?html5?|xml|css|svg|jsx)\b|<\w{1,12}/?> (?:tags?|elements?)\b|\b(?:tags?|elements?) <\w{1,12}/?>", re.IGNORECASE
)
_ASKS_ABOUT: Final = re.compile(
    r"\b(?:tags?|elements?|attributes?|means?|stands? for|symbols?|signs?|characters?|escape\w*|decode\w*|unescape\w*)\b", re.IGNORECASE
)
_SENSE: Final = 3
"""So many pieces of debris in a request are no mention any more."""
_EDGE: Final = 100_000


def has_html(row: Seen) -> bool:
    """Whether prose of the row holds debris of a page.

    Code in fences or backquotes is none, nor is HTML in a row that is about HTML or asks for a page.
    """
    if not any(_may_hold(text) for text in row.texts):
        return False
    if any(_has_debris(text) and not _is_on_purpose(text) for text in row.asked):
        return True
    answers = [text for text in (*row.said, *row.rejected) if _has_debris(text)]
    if not answers or _ASKED_FOR.search(row.request) is not None:
        return False
    is_page_wanted = _MAKING.search(row.request) is not None and _A_PAGE.search(row.request) is not None
    return any(_NAMES_MARKUP.search(without_code(text)) is None and not (is_page_wanted and _is_markup(text)) for text in answers)


def _is_on_purpose(request: str) -> bool:
    """Whether a request shows markup because it is about it."""
    bare = _bare(request)
    if _ASKED_FOR.search(bare) is not None or _MAKING.search(bare) is not None:
        return True
    num_pieces = request.count("<") + sum(1 for _ in _ENTITY.finditer(request[:_EDGE]))
    return num_pieces < _SENSE and _ASKS_ABOUT.search(bare) is not None


def strip_html(text: str) -> str:
    """The text of a page: tags taken out, entities written as the characters they mean; code stays as it is."""
    return outside_code(text, _plain) if _may_hold(text) else text


def _may_hold(text: str) -> bool:
    return ("<" in text and ">" in text) or ("&" in text and ";" in text)


def _has_debris(text: str) -> bool:
    if not _may_hold(text):
        return False
    prose = without_code(text)
    if "|" in prose and "<" in prose:
        prose = _TABLE_BREAK.sub(lambda line: line.group().replace("<br>", " ").replace("<br/>", " ").replace("<br />", " "), prose)
    if "<" in prose and (_BLOCK.search(prose) or _NAMED.search(prose) or _COMMENT.search(prose) or _has_short_tag(prose)):
        return True
    return "&" in prose and any(_is_entity(found) for found in _ENTITY.finditer(prose))


def _has_short_tag(prose: str) -> bool:
    lower = prose.lower()
    ended = frozenset(name for name in "abiusq" if f"</{name}>" in lower)
    return any(found.group(1).lower() in ended or "=" in (found.group(2) or "") for found in _SHORT.finditer(prose))


def _is_entity(found: re.Match[str]) -> bool:
    return found.group(1) is None or f"{found.group(1)};" in html.entities.html5


def _bare(text: str) -> str:
    """Prose without its tags and entities."""
    return _ENTITY.sub(" ", re.sub(r"<[^<>]{1,1000}>", " ", without_code(text)[:_EDGE]))


def _is_markup(text: str) -> bool:
    """Whether an answer is markup from its start on, not prose with rests of it."""
    return text.lstrip().startswith("<")


_INVISIBLE: Final = (("<script", "</script>"), ("<style", "</style>"), ("<noscript", "</noscript>"), ("<!--", "-->"), ("<!doctype", ">"))
_NEW_LINE: Final = re.compile(
    rf"<(?:br|hr){_ATTRIBUTES}/?>|</(?:p|div|li|tr|h[1-6]|ul|ol|table|blockquote|section|article|dd|dt){_ATTRIBUTES}>", re.IGNORECASE
)
_CELL: Final = re.compile(r"</t[dh]>", re.IGNORECASE)
_ANY_SHORT: Final = re.compile(rf"</?(?:a|b|i|u|s|q){_ATTRIBUTES}>", re.IGNORECASE)
_ANY_NAMED: Final = re.compile(
    rf"</?(?:article|section|header|main|body|head|link|form|label|button|title|small|o:p){_ATTRIBUTES}/?>", re.IGNORECASE
)


def _plain(prose: str) -> str:
    if not _has_debris(prose):
        return prose
    made = _without_invisible(prose) if "<" in prose else prose
    made = _CELL.sub(" ", _NEW_LINE.sub("\n", made))
    for tags in (_BLOCK, _ANY_SHORT, _ANY_NAMED):
        made = tags.sub("", made)
    made = _ENTITY.sub(lambda found: html.unescape(found.group()).replace("\u00a0", " "), made)
    made = re.sub(r"[ \t]{1,200}\n", "\n", re.sub(r"\n{3,}", "\n\n", made)).strip("\n")
    begin, end = len(prose) - len(prose.lstrip("\n")), len(prose.rstrip("\n"))
    return f"{prose[:begin]}{made}{prose[end:]}" if made else ""


def _without_invisible(prose: str) -> str:
    """Scripts, styles and comments taken out; what has no end stays."""
    for begin, end in _INVISIBLE:
        lower = prose.lower()
        pieces: list[str] = []
        at = 0
        while (start := lower.find(begin, at)) >= 0 and (stop := lower.find(end, start)) >= 0:
            pieces.append(prose[at:start])
            at = stop + len(end)
        prose = "".join((*pieces, prose[at:])) if len(lower) == len(prose) else prose
    return prose
