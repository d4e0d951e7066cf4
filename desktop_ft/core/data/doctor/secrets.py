"""Keys and tokens that open somebody's door: well-known prefixes with their exact shapes, and random enough to be real. Pure."""

# ruff: noqa: E501 (lists of words and patterns in many languages read better whole)

from __future__ import annotations

import math
import re
from collections import Counter
from itertools import pairwise
from typing import Final

_SHAPES: Final = (
    (
        "sk-",
        r"sk-(?:proj|svcacct|admin|None)-[A-Za-z0-9_-]{40,200}|sk-ant-[a-z0-9]{3,8}-[A-Za-z0-9_-]{60,130}|sk-or-v1-[0-9a-f]{64}|sk-[A-Za-z0-9]{32,64}",
    ),
    ("AKIA", r"AKIA[A-Z0-9]{16}"),
    ("ASIA", r"ASIA[A-Z0-9]{16}"),
    ("gh", r"gh[pousr]_[A-Za-z0-9]{36,255}"),
    ("github_pat_", r"github_pat_[A-Za-z0-9]{22}_[A-Za-z0-9]{59}"),
    ("glpat-", r"glpat-[A-Za-z0-9_-]{20,64}"),
    ("xox", r"xox[abeoprs]-[A-Za-z0-9-]{20,250}"),
    ("hooks.slack.com", r"hooks\.slack\.com/services/T[A-Z0-9]{6,12}/B[A-Z0-9]{6,12}/[A-Za-z0-9]{20,30}"),
    ("AIza", r"AIza[A-Za-z0-9_-]{35}"),
    ("GOCSPX-", r"GOCSPX-[A-Za-z0-9_-]{28}"),
    ("ya29.", r"ya29\.[A-Za-z0-9_-]{30,300}"),
    ("k_live_", r"(?:sk|rk)_live_[A-Za-z0-9]{16,247}"),
    ("k_test_", r"(?:sk|rk)_test_[A-Za-z0-9]{16,247}"),
    ("whsec_", r"whsec_[A-Za-z0-9+/]{32,64}"),
    ("SG.", r"SG\.[A-Za-z0-9_-]{22}\.[A-Za-z0-9_-]{43}"),
    ("SK", r"SK[0-9a-f]{32}"),
    ("key-", r"key-[0-9a-f]{32}"),
    ("npm_", r"npm_[A-Za-z0-9]{36}"),
    ("pypi-", r"pypi-[A-Za-z0-9_-]{60,250}"),
    ("hf_", r"hf_[A-Za-z0-9]{34,40}"),
    ("do", r"do[opr]_v1_[0-9a-f]{64}"),
    ("shp", r"shp(?:at|ca|pa|ss)_[0-9a-fA-F]{32}"),
    (":AA", r"\d{8,10}:AA[A-Za-z0-9_-]{33}"),
    (".", r"[MNO][A-Za-z0-9_-]{23,27}\.[A-Za-z0-9_-]{6}\.[A-Za-z0-9_-]{27,40}"),
    ("eyJ", r"eyJ[A-Za-z0-9_-]{10,2000}\.eyJ[A-Za-z0-9_-]{10,4000}\.[A-Za-z0-9_-]{20,1000}"),
    ("gsk_", r"gsk_[A-Za-z0-9]{48,56}"),
    ("xai-", r"xai-[A-Za-z0-9]{70,90}"),
    ("pplx-", r"pplx-[A-Za-z0-9]{40,56}"),
    ("r8_", r"r8_[A-Za-z0-9]{37}"),
    ("dapi", r"dapi[0-9a-f]{32}"),
    ("lin_api_", r"lin_api_[A-Za-z0-9]{40}"),
    ("secret_", r"secret_[A-Za-z0-9]{43}"),
    ("ntn_", r"ntn_[A-Za-z0-9]{40,50}"),
    ("ATATT3", r"ATATT3[A-Za-z0-9_=-]{60,250}"),
    ("nvapi-", r"nvapi-[A-Za-z0-9_-]{60,70}"),
    ("hvs.", r"hvs\.[A-Za-z0-9_-]{24,120}"),
    ("sbp_", r"sbp_[0-9a-f]{40}"),
    ("dckr_pat_", r"dckr_pat_[A-Za-z0-9_-]{27}"),
    ("glsa_", r"glsa_[A-Za-z0-9]{32}_[0-9a-f]{8}"),
    ("NRAK-", r"NRAK-[A-Z0-9]{27}"),
    ("PMAK-", r"PMAK-[0-9a-f]{24}-[0-9a-f]{34}"),
    ("sq0", r"sq0(?:atp|csp)-[A-Za-z0-9_-]{22,43}"),
    ("AccountKey=", r"AccountKey=[A-Za-z0-9+/]{86}=="),
)
"""What must stand in a text for a shape to be looked for, and the shape. Source: the vendors' documentation of their tokens."""
_COMPILED: Final = tuple((mark, re.compile(rf"(?<![A-Za-z0-9_/+.-])(?:{shape})(?![A-Za-z0-9_/+])")) for mark, shape in _SHAPES)
_ASSIGNED: Final = re.compile(
    r"(?<![A-Za-z])(?:api[_ -]?key|api[_ -]?secret|secret[_ -]?(?:access[_ -]?)?key|access[_ -]?token|auth[_ -]?token|client[_ -]?secret|bearer)"
    r"[\"']?\s{0,3}(?:[:=]|\bis\b|\s)\s{0,3}[\"'`]?([A-Za-z0-9_+/=.~-]{24,200})",
    re.IGNORECASE,
)
_PRIVATE_KEY: Final = re.compile(
    r"-----BEGIN (?:[A-Z]{2,10} ){0,2}PRIVATE KEY(?: BLOCK)?-----\s{1,4}(?:[A-Za-z-]{2,20}: [^\n]{0,200}\s{1,4}){0,5}[A-Za-z0-9+/=\\ \n\r]{64}"
)
_WHOLE_KEY: Final = re.compile(
    r"-----BEGIN (?:[A-Z]{2,10} ){0,2}PRIVATE KEY(?: BLOCK)?-----[^-]{64,20000}(?:-----END [A-Z ]{0,30}KEY(?: BLOCK)?-----)?"
)
_ASSIGNING_WORDS: Final = ("key", "secret", "token", "bearer")
_PLACEHOLDER: Final = re.compile(
    r"example|placeholder|dummy|sample|changeme|redacted|replace|insert|xxxx|0{8}|1234567|abcdefg|\*{3}|\.{3}|your[_-]|your(?:api|key|token|secret)|_here|deadbeef|process\.|environ|getenv|config\.|settings\.|self\.",
    re.IGNORECASE,
)
_PUBLISHED: Final = (
    "4eC39HqLyjWDarjtT1zdp7dc",
    "BQokikJOvBiI2HlWgH4olfQ2",
    "SflKxwRJSMeKKF2QT4fwpMeJf36POk6yJV_adQssw5c",
    "OSFODNN7EXAMPLE",
)
"""Parts of keys that vendors print in their manuals."""
_FEWEST_BITS: Final = 3.0
"""Entropy a character: 20 random letters and digits have about 4, 32 random hexadecimal digits about 3.6."""
_FEWEST_BITS_ASSIGNED: Final = 3.8
_LONGEST_STAIR: Final = 6
API_KEY: Final = "<API_KEY>"


def has_api_key(text: str) -> bool:
    """Whether a text holds a key or token that may be real."""
    return bool(_spans(text))


def mask_api_keys(text: str) -> str:
    """The text with each key replaced by ``<API_KEY>``."""
    made: list[str] = []
    at = 0
    for start, end in _spans(text):
        if start >= at:
            made += [text[at:start], API_KEY]
            at = end
    return "".join((*made, text[at:])) if at else text


def _spans(text: str) -> list[tuple[int, int]]:
    found: list[tuple[int, int]] = []
    for mark, shape in _COMPILED:
        if mark in text:
            found += [match.span() for match in shape.finditer(text) if _is_random(match.group(), _FEWEST_BITS)]
    lower = text.lower() if len(text) < 2_000_000 else ""
    if any(word in lower for word in _ASSIGNING_WORDS):
        found += [match.span(1) for match in _ASSIGNED.finditer(text) if _is_assigned(match.group(1))]
    if "PRIVATE KEY" in text and _PRIVATE_KEY.search(text):
        found += [match.span() for match in _WHOLE_KEY.finditer(text) if _PLACEHOLDER.search(match.group()[:200]) is None]
    return sorted(found)


def _is_random(token: str, fewest_bits: float) -> bool:
    """Whether a token looks drawn by chance: neither a placeholder nor a manual's example nor a pattern."""
    if _PLACEHOLDER.search(token) or any(part in token for part in _PUBLISHED):
        return False
    rest = re.sub(r"^[A-Za-z0-9]{0,12}[-_.:=](?=.{12})", "", token)
    if not any(character.isdigit() for character in rest) and not (rest.lower() != rest and rest.upper() != rest):
        return False
    return _entropy(rest) >= fewest_bits and _longest_stair(rest) < _LONGEST_STAIR


def _is_assigned(token: str) -> bool:
    kinds = (str.isdigit, str.islower, str.isupper)
    num_kinds = sum(any(is_kind(character) for character in token) for is_kind in kinds)
    is_hex = re.fullmatch(r"[0-9a-f]{32,128}", token) is not None
    return (num_kinds == 3 or is_hex) and "/" not in token[:1] and _is_random(token, 3.2 if is_hex else _FEWEST_BITS_ASSIGNED)


def _entropy(text: str) -> float:
    """Shannon's, bits a character."""
    return -sum(count / len(text) * math.log2(count / len(text)) for count in Counter(text).values())


def _longest_stair(text: str) -> int:
    """Longest run in which each character is the next one of the code, up or down."""
    longest = up = down = 1
    for one, other in pairwise(text):
        step = ord(other) - ord(one)
        up, down = (up + 1 if step == 1 else 1), (down + 1 if step == -1 else 1)
        longest = max(longest, up, down)
    return longest
