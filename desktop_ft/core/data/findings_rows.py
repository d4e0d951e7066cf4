"""The words for what may be wrong with single rows, and with rows beside each other: why it matters and what to do. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from desktop_ft.core.data.findings import Finding, num_rows


@dataclass(frozen=True)
class _Words:
    title: str
    what: str
    severity: str
    fix: str


_WORDS: Final[Mapping[str, _Words]] = {
    "empty_answers": _Words(
        "Empty answers",
        "have an answer without a word; the model would learn to say nothing.",
        "warning",
        "Write the answers, or remove these rows.",
    ),
    "leakage": _Words(
        "Evaluation examples among the training examples",
        "stand, word for word or nearly so, in the evaluation file too; the held-out loss then measures what was learnt by heart.",
        "warning",
        "Leave them out of the training file.",
    ),
    "api_keys": _Words(
        "Keys and tokens",
        "hold what looks like a real key or access token; a model can repeat it to anybody who asks.",
        "warning",
        "Replace them by <API_KEY>, or leave these rows out; a key that was real is to be revoked.",
    ),
    "cards": _Words(
        "Card numbers",
        "hold a number with the form and the check digit of a payment card; a model can repeat it to anybody who asks.",
        "warning",
        "Replace them by <CARD>, or leave these rows out.",
    ),
    "emails": _Words(
        "E-mail addresses",
        "hold an e-mail address that may be somebody's; a model learns such strings by heart and repeats them.",
        "warning",
        "Replace them by <EMAIL>, or leave these rows out; leave them if they are your own public ones.",
    ),
    "phones": _Words(
        "Phone numbers",
        "hold what looks like a phone number; a model learns such strings by heart and repeats them.",
        "warning",
        "Replace them by <PHONE>, or leave these rows out; leave them if they are your own public ones.",
    ),
    "mojibake": _Words(
        "Broken characters",
        "hold text that was read in the wrong encoding (such as Ã© for é) or lost characters; the model would learn to write it so.",
        "warning",
        "Repair what has an exact way back, leave out the rest, or export the file again as UTF-8.",
    ),
    "html": _Words(
        "Debris of web pages",
        "hold tags or entities in the middle of prose (such as <br> or &nbsp;); the model would learn to write them.",
        "warning",
        "Take them out.",
    ),
    "refusals": _Words(
        "Refusals and talk of being a model",
        "have an answer that refuses or says that a language model gives it; a few of those teach a model to refuse much.",
        "warning",
        "Leave them out, unless the model is to refuse just these.",
    ),
    "language_mix": _Words(
        "Answers in another language",
        "answer in another language than they are asked in, or than nearly all of the file; the model may switch languages unasked.",
        "warning",
        "Leave them out, or translate them. Where a request names the language, a row is not counted.",
    ),
    "tool_calls": _Words(
        "Tool calls that cannot be read",
        "hold a call of a tool that is no valid JSON with a name and arguments; the model would learn calls that no program understands.",
        "warning",
        "Mend them, or leave these rows out.",
    ),
    "near_duplicates": _Words(
        "Near duplicates",
        "nearly repeat an earlier one (word shingles 70% alike, no other number or subject); what stands often counts more than the rest.",
        "warning",
        "Keep the first of each.",
    ),
    "one_word_answers": _Words(
        "One-word answers",
        "answer with one word where more was asked for; the model turns terse. Labels, choices, names and yes or no are not counted.",
        "info",
        "Write whole answers, or leave these rows out.",
    ),
}


def finding_of(code: str, rows: Iterable[int]) -> Finding | None:
    """The finding about some rows, or None where there are none."""
    found = tuple(rows)
    if not found:
        return None
    words = _WORDS[code]
    return Finding(code, words.title, f"{num_rows(len(found))} {_agreeing(words.what, len(found))}", words.severity, found, words.fix)


def _agreeing(words: str, count: int) -> str:
    """The verb that begins the sentence, for one row."""
    verb, _, rest = words.partition(" ")
    if count != 1:
        return words
    return f"has {rest}" if verb == "have" else f"{verb}s {rest}" if verb != "nearly" else f"nearly repeats {rest.partition(' ')[2]}"
