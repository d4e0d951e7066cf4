"""Answers that refuse, or that speak of being a language model. Pure."""

# ruff: noqa: E501, RUF001 (lists of words and patterns in many languages read better whole)

from __future__ import annotations

import re
from typing import Final

from desktop_ft.core.data.doctor.prose import without_code, without_quotes
from desktop_ft.core.data.doctor.texts import Seen

_MODEL: Final = r"(?:language model|(?:AI|artificial intelligence)(?: language| chat| text| conversational| digital| virtual)*(?: model| assistant| chatbot| bot| system| program| entity| tool)?)"
_KINDS: Final = r"(?:(?:large|helpful|harmless|responsible|advanced|text-based|virtual|digital|ethical|mere|simple)[, ]{1,2}){0,3}"
_MAKER: Final = r"(?:,? (?:developed|created|trained|made|built|designed|programmed) (?:by|to|on) [^,.\n]{1,60})?"
_AS_A_MODEL: Final = re.compile(
    rf"\bas an? {_KINDS}{_MODEL}{_MAKER}\s{{0,3}},?\s{{1,3}}(?:I\b|my\b|it(?:'s| is) (?:not |important |beyond |against |my )|we\b)"
    rf"|(?:^|[.!?;:\n]\s{{0,3}}|\b(?:but|however|and|sorry|apologi[sz]e),?\s{{1,3}})As an? {_KINDS}(?:AI |artificial intelligence )?(?:language )model\b"
    r"|\bI(?:'m| am) (?:just |only |merely |simply )an? (?:AI|artificial intelligence|language model|machine learning model|large language model|chatbot)\b"
    r"|\bI(?:'m| am) an? (?:AI |artificial intelligence )?(?:large )?language model\b"
    r"|\bI(?:'m| am) an (?:AI|artificial intelligence)(?: assistant| model| system)?(?:,| and) (?:so |I )?(?:I )?(?:don't|do not|cannot|can't|have no)\b"
    r"|\b(?:my|the) (?:knowledge|training(?: data)?) (?:cut-?off|only (?:goes|extends|includes))|\bas of my (?:last|latest|most recent) (?:knowledge |training )?(?:update|training|cut-?off)"
    r"|\bI (?:don't|do not) (?:have|possess|hold|experience) (?:any )?(?:personal |human |real |actual )(?:opinions?|feelings?|experiences?|beliefs?|preferences?|emotions?|views?)\b"
    r"|\bI (?:don't|do not) have (?:access to )?real-time (?:information|data|access|updates)\b"
    r"|\bagainst my (?:programming|guidelines|(?:content |use )?polic(?:y|ies)|ethical guidelines)\b|\bOpenAI's (?:content |use |usage )?(?:polic(?:y|ies)|guidelines)\b",
    re.IGNORECASE,
)
_OTHER_LANGUAGES: Final = re.compile(
    r"\bals (?:ein )?(?:KI|künstliche Intelligenz)?-?\s?(?:sprachmodell|KI-(?:modell|assistent))\b|\bals (?:eine )?künstliche intelligenz,? (?:kann|habe|bin|darf)"
    r"|\ben tant qu(?:e |'|’)(?:modèle de langage|intelligence artificielle|IA|assistant IA)"
    r"|\bcomo (?:un )?(?:modelo de lenguaje|modelo de linguagem|um modelo de linguagem|una inteligencia artificial|uma inteligência artificial)"
    r"|\b(?:in qualità di|come) (?:modello linguistico|modello di linguaggio|intelligenza artificiale)"
    r"|\bjako model językowy|\bals (?:een )?(?:AI-)?taalmodel|\bкак (?:языковая модель|искусственный интеллект|ии-модель)"
    r"|作为(?:一个|一名)?(?:人工智能|AI|大型|大)?(?:语言模型|助手)|AI(?:言語モデル|アシスタント)として|(?:AI )?언어 모델로서",
    re.IGNORECASE,
)
_CANNOT: Final = (
    r"\b(?:I|this AI) (?:can(?:no|')t|can not|won't be able to|will not be able to|won't|will not|(?:must|have to) (?:respectfully |politely )?decline to|refuse to)"
    r"|\bI(?:'m| am) (?:unable|not able|not allowed|not permitted|not comfortable|not in a position) (?:to )?"
)
_THAT: Final = r"(?:that|this|these|those|such|any|anything|it\b|your (?:request|question|query|inquiry)|the request|requests?|illegal|harmful|\w{3,14}ing\b)"
_REFUSAL: Final = re.compile(
    rf"(?:{_CANNOT})\s{{0,2}}(?:\w{{1,12}}ly )?(?:"
    rf"(?:help|assist)(?:ing)?(?: you)?(?: any ?further| here| there)?(?:\s{{0,2}}(?:[.,;!—-]|$)| (?:with|in|on|by|regarding) {_THAT})"
    r"|(?:fulfil+|comply with|complete|process|answer|accommodate|honou?r|satisfy|carry out|grant) (?:that|this|your|the|such)(?: \w{1,12})? (?:request|question|query|inquiry|prompt|task)"
    r"|(?:comply\b|do (?:that|this)(?: for you)?\s{0,2}(?:[.,;!]|$)|answer that\s{0,2}(?:[.,;!]|$)|engage in|participate in (?:that|this|such|any)|condone|facilitate)"
    r"|(?:provid\w{1,3}|offer\w{0,3}|giv\w{1,3}|shar\w{1,3}|generat\w{1,3}|creat\w{1,3}|writ\w{1,3}|produc\w{1,3}|discuss\w{0,3}|disclos\w{1,3}|supply) (?:you with |you )?(?:that|this|such|any|an?|instructions?|information|details|advice|guidance|content|explicit|medical|legal|financial|personal|opinions?|assistance|specific|harmful|illegal|sexual|violent|hateful|offensive|inappropriate)\b)"
    r"|\bit (?:(?:would be|is) (?:unethical|inappropriate|improper)|(?:would not|wouldn't|is not|isn't) (?:appropriate|ethical|proper|right)) for me to\b"
    r"|\bI must (?:respectfully |politely )?decline\b",
    re.IGNORECASE,
)
_LETTER: Final = re.compile(r"^\W{0,4}(?:dear|hi|hello|hey|subject:|to whom)\b", re.IGNORECASE)
_HEAD: Final = 300
"""A refusal stands at the start of an answer; further down, the words belong to what is told."""
_MOST: Final = 20_000


def is_refusal(row: Seen) -> bool:
    """Whether an answer refuses, or says that a language model gives it. What is quoted or stands in code is none."""
    return any(_refuses(answer) for answer in row.said)


def _refuses(answer: str) -> bool:
    text = answer[:_MOST]
    lower = text.lower()
    is_open = any(word in lower for word in _SIGNS)
    if not is_open:
        return False
    prose = without_quotes(without_code(text)).replace("’", "'")
    if _AS_A_MODEL.search(prose) or _OTHER_LANGUAGES.search(prose):
        return True
    if _LETTER.match(prose):
        return False
    head = prose.lstrip()[:_HEAD]
    return _REFUSAL.search(head) is not None


_SIGNS: Final = (
    "as an", "as a ", "i'm", "i’m", "i am", "i can", "i do", "i must", "i will", "i won", "i refuse", "i have to decline", "my ", "for me to", "sorry",
    "openai", "sprachmodell", "künstliche", "en tant", "como ", "modello", "modelo", "intelligenza", "językowy", "taalmodel", "как ", "作为", "として", "로서",
)  # fmt: skip
