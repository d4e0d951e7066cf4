"""E-mail addresses, phone numbers and card numbers of people. Pure."""

# ruff: noqa: E501, RUF001 (lists of words and patterns in many languages read better whole)

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Final

EMAIL: Final = "<EMAIL>"
PHONE: Final = "<PHONE>"
CARD: Final = "<CARD>"

_AT: Final = re.compile(r"(?<=[A-Za-z0-9_%+'.-])@(?=[A-Za-z0-9])")
_LOCAL: Final = re.compile(r"[A-Za-z0-9._%+'-]{1,64}$")
_DOMAIN: Final = re.compile(r"(?:[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?\.){1,6}([A-Za-z]{2,24})(?![A-Za-z0-9@_-])")
_EXAMPLE_DOMAIN: Final = re.compile(
    r"(?:^|\.)(?:example|test|invalid|localhost|local|internal|localdomain)$|(?:^|\.)example\.(?:com|org|net|edu|co\.uk|de|fr)$"
    r"|^(?:your|my|our|the)?-?(?:domain|company|email|mail|site|website|host|server|organi[sz]ation)(?:name)?\.(?:com|org|net)$",
    re.IGNORECASE,
)
"""RFC 2606 and RFC 6762, and the placeholders that manuals use."""
_REAL_MAIL: Final = frozenset({"mail.com", "email.com"})
_NO_TLD: Final = frozenset("png jpg jpeg gif svg webp pdf js ts css py json html htm md txt xml yml yaml zip sh".split())
_PLACEHOLDER_LOCAL: Final = re.compile(r"^(?:your|my)[._-]?(?:e-?mail|name|address|username)$|^x{3,}$", re.IGNORECASE)


def email_spans(text: str) -> list[tuple[int, int]]:
    """Where addresses stand that may be somebody's; reserved domains (``example.com``, ``.test``) are nobody's."""
    found: list[tuple[int, int]] = []
    for sign in _AT.finditer(text) if "@" in text else ():
        at = sign.start()
        local = _LOCAL.search(text[max(0, at - 65) : at])
        domain = _DOMAIN.match(text, at + 1)
        if local is not None and domain is not None and _is_address(text, at - len(local.group()), at, domain):
            found.append((at - len(local.group().lstrip("'.-+%")), domain.end()))
    return found


def _is_address(text: str, start: int, at: int, domain: re.Match[str]) -> bool:
    local, host = text[start:at], domain.group().lower()
    before, after = text[max(0, start - 3) : start], text[domain.end() : domain.end() + 2]
    if not any(character.isalnum() for character in local) or _PLACEHOLDER_LOCAL.match(local):
        return False
    if before.endswith(("@", "://", "/")) or (after[:1] == ":" and after[1:].strip() and not after[1:].isdigit()):
        return False  # a handle, a password in an address, a path on another machine
    if before.endswith(":") and "://" in text[max(0, start - 80) : start].rpartition(" ")[2]:
        return False
    return domain.group(1).lower() not in _NO_TLD and (host in _REAL_MAIL or _EXAMPLE_DOMAIN.search(host) is None)


_RUN: Final = re.compile(
    r"(?<![\w.,:;#$€£@=&^~_\\-])(?<!\w[/(+])(?:(?:\+|\(\+)\(?|(?<!\d )\(?)\d(?:[ \u00a0().\-/–‑]{0,3}\d){6,20}(?![\w%$€£°=])(?![.,:/-]\d)(?!-[A-Za-z])"
)
_LONE: Final = re.compile(r"[^\d]")
_DATE: Final = re.compile(
    r"\b(?:19|20)\d\d[-/. ](?:0?[1-9]|1[0-2])[-/. ](?:0?[1-9]|[12]\d|3[01])\b|\b(?:0?[1-9]|[12]\d|3[01])[-/. ](?:0?[1-9]|[12]\d|3[01])[-/. ](?:19|20)\d\d\b"
)
_DOTTED: Final = re.compile(r"\d{1,3}(?:\.\d{1,4}){2,}$")
_AMERICAN: Final = re.compile(r"(?:\+?1[ .\-‑]{0,2})?(?:\([2-9]\d\d\)|[2-9]\d\d)[ .\-‑]{0,2}[2-9]\d\d[ .\-‑]\d{4}$")
_AMERICAN_SPACES: Final = re.compile(r"[2-9]\d\d [2-9]\d\d \d{4}$")
_AREA_IN_BRACKETS: Final = re.compile(r"\(0?\d{2,5}\)[ ]?\d{2,5}(?:[ -]?\d{2,5}){1,3}$")
_NATIONAL: Final = re.compile(r"\(?0[1-9]\d{0,4}\)?[ ./\-]{1,3}\d{2,9}(?:[ .\-]\d{2,8}){0,4}$")
_PHONE_WORDS: Final = re.compile(
    r"\b(?:phones?|tel(?:ephone)?|call(?:ed|ing)?|mobile|cell(?:ular)?|fax|whats ?app|dial|ring|text (?:me|us|him|her)|texted|sms|reach(?:ed|able)?|contact|hotline|helpline|landline"
    r"|telefon\w*|tél(?:éphone)?|teléfono|telefone|telefono|handy\w*|rufnummer|portable|móvil|celular|cellulare|numéro|signal)\b",
    re.IGNORECASE,
)
_OTHER_WORDS: Final = re.compile(
    r"\b(?:orders?|invoices?|tickets?|ref(?:erence)?|case|tracking|serial|part|model|sku|isbn(?:-1[03])?|issn|id|item|batch|polic(?:y|ies)|claims?|confirmation|version"
    r"|account|customer|product|iban|imei|ean|upc|vin|patent|parcel|shipment|article|transaction|booking|reservation|code|articles?|zip|date|doi|rfc|bestell\w*|rechnung\w*"
    r"|commande|facture|pedido|factura)\b",
    re.IGNORECASE,
)
_CUE: Final = 48
_COUNTRY: Final = re.compile(
    r"1[2-9]|7[3-9]|20|27|3[0-4]|36|39|4[013-9]|5[1-8]|6[0-6]|8[1246]|9[0-58]|21[1-368]|22\d|23\d|24\d|25[0-8]|26\d|29[0179]|35\d|37\d|38[0-35-79]|42[013]|50\d|59\d|67\d|68\d|69[0-2]|85[02356]|88[068]|96\d|97\d|99[2-68]"
)


def phone_spans(text: str) -> list[tuple[int, int]]:
    """Where phone numbers stand: international, or national in a usual shape; other runs of digits only behind a word that says so.

    Dates, IP addresses, versions and numbers behind a word such as "order" or "invoice" are none.
    """
    return [found.span() for found in _RUN.finditer(text) if _is_phone(text, found)]


def _is_phone(text: str, found: re.Match[str]) -> bool:
    run = found.group()
    digits = _LONE.sub("", run)
    before = text[max(0, found.start() - _CUE) : found.start()]
    cue = _cue(before)
    if (
        cue == "other"
        or not 7 <= len(digits) <= 15
        or (_DATE.search(run) and not run.startswith("+"))
        or re.search(r"\b[A-Z]{2}\d{2} ?$", before)
    ):
        return False
    if len(set(digits)) <= 1:
        return False
    if run.startswith(("+", "(+")):
        return len(digits) >= 8 and _COUNTRY.match(digits) is not None
    if re.match(r"00[1-9]", digits) and len(digits) >= 10:
        return _COUNTRY.match(digits[2:]) is not None and (cue == "phone" or digits != run)
    return _is_national(run, digits, is_named=cue == "phone")


def _is_national(run: str, digits: str, *, is_named: bool) -> bool:
    is_american = _AMERICAN.match(run) is not None
    if _DOTTED.match(run) and not (is_american or re.fullmatch(r"0[1-9](?:\.\d\d){4}", run)):
        return False
    if is_american:
        return is_named or _AMERICAN_SPACES.match(run) is None
    if 9 <= len(digits) <= 12 and digits != run and (_NATIONAL.match(run) or _AREA_IN_BRACKETS.match(run)):
        return True
    return is_named and len(digits) <= 13 and not (len(digits) == 8 and re.match(r"(?:19|20)\d\d\D(?:19|20)\d\d$", run))


def _cue(before: str) -> str:
    """What the nearest word before a number says that it is: ``phone``, ``other`` or nothing."""
    phone = max((found.end() for found in _PHONE_WORDS.finditer(before)), default=0)
    other = max((found.end() for found in _OTHER_WORDS.finditer(before)), default=0)
    if phone == other:
        return ""
    if phone > other:
        return "phone"
    return (
        "other" if len(before) - other <= 28 and "." not in before[other:].replace("No.", "").replace("no.", "").replace("nr.", "") else ""
    )


_CARD_RUN: Final = re.compile(r"(?<![\w.,-])(?<!\d )\d(?:[ -]?\d){12,18}(?![\w-])(?!\.\d)(?! \d)")
_GROUPS: Final = re.compile(r"\d{13,19}$|\d{4}([ -])\d{4}\1\d{4}\1\d{4}(?:\1\d{1,3})?$|\d{4}([ -])\d{6}\2\d{4,5}$")
_ISSUERS: Final = (
    (re.compile(r"4"), (13, 16, 19)),
    (re.compile(r"5[1-5]|222[1-9]|22[3-9]|2[3-6]|27[01]|2720"), (16,)),
    (re.compile(r"3[47]"), (15,)),
    (re.compile(r"6011|65|64[4-9]"), (16, 19)),
    (re.compile(r"35(?:2[89]|[3-8])"), (16,)),
    (re.compile(r"3(?:0[0-5]|[689])"), (14,)),
    (re.compile(r"62"), (16, 17, 18, 19)),
)
"""What numbers begin with and how long they are: Visa, Mastercard, American Express, Discover, JCB, Diners Club, UnionPay."""
TEST_CARDS: Final = frozenset(
    """
    4242424242424242 4111111111111111 4012888888881881 4000056655665556 4222222222222 4000000000000002 4000000000009995 4000002500003155
    4000000000000077 4000000000003220 4917610000000000 4444333322221111 4005519200000004 4009348888881881 4012000033330026 4012000077777777
    4217651111111119 4500600000000061 5555555555554444 5105105105105100 5200828282828210 2223003122003222 5454545454545454 5431111111111111
    2223000048400011 2222400070000005 5555341244441115 378282246310005 371449635398431 378734493671000 374245455400126 343434343434343
    6011111111111117 6011000990139424 6011981111111113 6011000000000004 30569309025904 38520000023237 36227206271667 3056930009020004
    3530111333300000 3566002020360505 6200000000000005 6205500000000000004 6212345678901232
    """.split()
)
"""Numbers that payment services publish for tests; they belong to nobody and count as look-alikes."""
_NO_CARD: Final = re.compile(
    r"\b(?:orders?|invoices?|tracking|serial|imei|iccid|parcel|shipment|isbn|ean|gtin|upc|ref(?:erence)?|iban|transaction|ticket|timestamp)\b",
    re.IGNORECASE,
)
_CARD_WORDS: Final = re.compile(
    r"\b(?:cards?|visa|master ?card|amex|american express|credit|debit|discover|jcb|diners|unionpay|cc)\b|karte\w*|tarjeta|carte\b|cartão",
    re.IGNORECASE,
)


def card_spans(text: str) -> list[tuple[int, int]]:
    """Where payment cards' numbers stand: an issuer's beginning and length, the check digit of Luhn, no published test number."""
    return [found.span() for found in _CARD_RUN.finditer(text) if _is_card(text, found)]


def _is_card(text: str, found: re.Match[str]) -> bool:
    run = found.group()
    digits = _LONE.sub("", run)
    if not _GROUPS.match(run) or digits in TEST_CARDS or not _has_issuer(digits) or not passes_luhn(digits) or len(set(digits)) < 3:
        return False
    before = text[max(0, found.start() - _CUE) : found.start()]
    card = max((one.end() for one in _CARD_WORDS.finditer(before)), default=0)
    other = max((one.end() for one in _NO_CARD.finditer(before)), default=0)
    return card >= other and not re.search(r"\b[A-Z]{2}\d{2} ?$", before)


def _has_issuer(digits: str) -> bool:
    return any(begin.match(digits) and len(digits) in lengths for begin, lengths in _ISSUERS)


def passes_luhn(digits: str) -> bool:
    """Whether the last digit is the check digit of the others. Source: ISO/IEC 7812-1, annex B."""
    total = 0
    for place, digit in enumerate(reversed(digits)):
        value = int(digit) * (2 if place % 2 else 1)
        total += value - 9 if value > 9 else value
    return total % 10 == 0


def masked(text: str, spans: Sequence[tuple[int, int]], mask: str) -> str:
    """The text with each span replaced."""
    return "".join(_pieces(text, spans, mask)) if spans else text


def _pieces(text: str, spans: Sequence[tuple[int, int]], mask: str) -> Iterator[str]:
    at = 0
    for start, end in spans:
        if start >= at:
            yield text[at:start]
            yield mask
            at = end
    yield text[at:]
