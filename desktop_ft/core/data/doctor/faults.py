"""Which faults a single row has: the list of all checks that look at one row alone. Pure."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Final

from desktop_ft.core.data.doctor.answers import has_empty_answer, has_unfit_word
from desktop_ft.core.data.doctor.contact import card_spans, email_spans, phone_spans
from desktop_ft.core.data.doctor.html import has_html
from desktop_ft.core.data.doctor.mojibake import has_mojibake
from desktop_ft.core.data.doctor.secrets import has_api_key
from desktop_ft.core.data.doctor.texts import Seen
from desktop_ft.core.data.doctor.tool_calls import has_bad_call
from desktop_ft.core.data.doctor.wording import is_refusal

Check = Callable[[Seen], bool]


def _in_any_text(holds: Callable[[str], object]) -> Check:
    return lambda row: any(holds(text) for text in row.texts)


ROW_CHECKS: Final[Mapping[str, Check]] = {
    "empty_answers": has_empty_answer,
    "one_word_answers": has_unfit_word,
    "mojibake": _in_any_text(has_mojibake),
    "html": has_html,
    "refusals": is_refusal,
    "api_keys": _in_any_text(has_api_key),
    "emails": _in_any_text(email_spans),
    "phones": _in_any_text(phone_spans),
    "cards": _in_any_text(card_spans),
    "tool_calls": has_bad_call,
}
"""By the code of the finding."""


def faults_of(row: Seen, codes: Collection[str] = tuple(ROW_CHECKS)) -> tuple[str, ...]:
    """The codes of the row's faults, in the order of `ROW_CHECKS`."""
    return tuple(code for code, check in ROW_CHECKS.items() if code in codes and check(row))
