"""Answers that say too little: none at all, or one word where more was asked for. Pure."""

# ruff: noqa: E501 (lists of words and patterns in many languages read better whole)

from __future__ import annotations

import re
from typing import Final

from desktop_ft.core.data.doctor.texts import Seen

_INVISIBLE: Final = re.compile(r"[\s\u200b-\u200f\u2028-\u202f\u2060-\u2064\ufeff\u00ad\x00-\x1f\x7f]{1,}")
_NO_WORD: Final = re.compile(r"[.…\-–—_*~]{1,200}$")
"""Dots and dashes that stand for an answer nobody wrote."""
_WORD: Final = re.compile(r"[\"'“(*]{0,3}[^\W_]+(?:[-'’.][^\W_]+){0,4}[\"'”)*]{0,3}[.,!?…]{0,3}$")
_SPACELESS: Final = re.compile(r"[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff]")
"""Scripts that write without spaces, so that a whole sentence is one word to `str.split`."""
_LONGEST_SPACELESS: Final = 3
_LONGEST_WORD: Final = 40
_ACKNOWLEDGEMENTS: Final = frozenset(
    "yes no ok okay sure thanks maybe fine done idk hello hi good great nice yep nope yeah nah right correct indeed absolutely certainly probably"
    " perhaps cool alright understood noted n/a na null none nan undefined todo tbd test lol hmm".split()
)
_POLAR: Final = re.compile(
    r"(?:^|[.!?:\n]\s{0,3})(?:so |and |but |please tell me,? )?(?:is|are|was|were|am|do|does|did|can|could|will|would|should|shall|has|have|had|may|might|must|isn't|aren't|don't|doesn't|didn't|can't|won't)\b[^?\n]{1,400}\?",
    re.IGNORECASE,
)
_SHORT_WANTED: Final = re.compile(
    r"\b(?:(?:one|a single|single|just the|only the|only one|exactly one|1)[- ](?:word|name|number|letter|label|token|term|answer|digit|option|value|category|class|choice)"
    r"|yes (?:or|/) ?no|yes/no|y/n|true (?:or|/) ?false|true/false|(?:answer|reply|respond)(?: back)? (?:only |just )?with(?: only| just| either| exactly)?\b|briefly in a word|in (?:one|a) word"
    r"|multiple[- ]choice|the correct (?:option|letter|choice)|fill in|blank|_{3,}|choose (?:from|one|between|the)|select (?:one|the|from)|pick (?:one|the|from)|options?:|choices:|labels?:"
    r"|classif\w+|sentiment|categori[sz]e|which (?:category|class|label|language|emotion|genre)|label (?:the|this)|synonyms?|antonyms?|opposite of|plural of|past tense|rhym\w+|(?:select|pick|choose) an?|output|premise|hypothesis|entail\w*|polarity|as (?:true|false|positive|negative)|passphrase|password|random)\b"
    r"|^\s{0,3}\(?[A-D][).:]\s",
    re.IGNORECASE | re.MULTILINE,
)
_OPEN: Final = re.compile(
    r"\b(?:explain|describe|why\b|how (?:do|does|did|can|could|to|would|should|is|are|was|were|come|might|will|i|you|we)\b|discuss|compare|contrast|summari[sz]e|elaborate|outline|analy[sz]e|tell me (?:about|more|a|how|why|what happened)"
    r"|what (?:are|were|can|could|should|would|do|does|did|happens?|steps|kind of advice)\b|what (?:is|was|'s) (?:the )?(?:difference|process|purpose|best way|history|meaning|reason|role|importance|impact|effect|main idea)"
    r"|difference between|write|draft|compose|suggest\w*|recommend\w*|advice|tips|list|give (?:me )?(?:\d|some|several|a few|an? (?:overview|summary|example|detailed|brief|short|description|explanation))|steps|in detail|paragraph|essay|story|poem|letter|plan|ideas|pros and cons|advantages|benefits"
    r"|walk me through|help me|design|develop|propose|evaluate|justify|paraphrase|rewrite|generate)\b",
    re.IGNORECASE,
)
_ASKS: Final = re.compile(
    r"\?\s{0,3}[\"'”)]{0,2}\s{0,3}$|\b(?:what|who|whom|whose|which|when|where|how (?:many|much|old|far|long|tall|often|big|fast))\b",
    re.IGNORECASE,
)
_SHORT_TASK: Final = re.compile(
    r"\b(?:translat\w+|name (?:the|a|an|one)|capital|calculat\w+|comput\w+|solve|convert|spell|extract|identify|detect|find the|determine|complete the|say|round|count|sum of|add|subtract|multiply|divide|guess|correct the|capitali[sz]e|unscramble)\b|\d\s{0,2}[-+*/×÷=^]\s{0,2}\d|=\s{0,2}$",
    re.IGNORECASE,
)
_MOST: Final = 4000


def is_empty(text: str) -> bool:
    """Whether an answer holds no word: nothing, what cannot be seen, or dots and dashes alone."""
    bare = _INVISIBLE.sub("", text) if len(text) < 2000 else text.strip()
    return not bare or _NO_WORD.match(bare) is not None


def has_empty_answer(row: Seen) -> bool:
    """Whether an answer is empty and calls no tool."""
    return not row.calls and any(is_empty(answer) for answer in row.said)


def is_one_word(answer: str) -> bool:
    """Whether an answer is one word, whatever script it is in; code, links and numbers with units are none."""
    bare = answer.strip()
    if not bare or len(bare) > _LONGEST_WORD or len(bare.split()) != 1:
        return False
    if _SPACELESS.search(bare):
        return len(bare) <= _LONGEST_SPACELESS
    return _WORD.match(bare) is not None or bare.lower().strip(".!") in _ACKNOWLEDGEMENTS


def has_only_words(row: Seen) -> bool:
    """Whether every answer of a row is one word, right or not."""
    return not row.is_text and bool(row.said) and all(is_one_word(answer) for answer in row.said)


def has_unfit_word(row: Seen) -> bool:
    """Whether every answer is one word and one of them is to a request that wants more.

    Right are: labels, choices, names, numbers, translations, and yes or no to a question that is asked so.
    """
    return has_only_words(row) and any(not _is_fit(request[-_MOST:], answer.strip(), row) for request, answer in row.exchanges)


def _is_fit(request: str, answer: str, row: Seen) -> bool:
    if _SHORT_WANTED.search(request) or any(_SHORT_WANTED.search(text[:_MOST]) for text in row.asked if text is not request):
        return True
    is_polar = _POLAR.search(request) is not None
    if answer.lower().strip(".!\"'") in _ACKNOWLEDGEMENTS:
        return is_polar
    if _SHORT_TASK.search(request) and not re.match(r"\s{0,3}(?:explain|describe|why|how (?:do|does|can|to))\b", request, re.IGNORECASE):
        return True
    return _OPEN.search(request) is None and (is_polar or _ASKS.search(request) is not None)
