"""The names of the fixes, and which finding each belongs to. Imports nothing, so that whoever shows them does not wait for the checks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

MALFORMED: Final = "drop_malformed_rows"
DUPLICATES: Final = "drop_exact_duplicates"
EMPTY: Final = "drop_empty_answers"
OVER_LENGTH: Final = "drop_over_length"
NEAR_DUPLICATES: Final = "drop_near_duplicates"
LEAKAGE: Final = "drop_leakage"

MENDING: Final = frozenset({"repair_mojibake", "strip_html", "mask_api_keys", "mask_cards", "mask_emails", "mask_phones"})
"""Those that change a row's text; the others leave rows out."""

FIXES_OF: Final[Mapping[str, tuple[str, ...]]] = {
    "malformed_rows": (MALFORMED,),
    "mojibake": ("repair_mojibake", "drop_mojibake"),
    "html": ("strip_html", "drop_html"),
    **{code: (f"mask_{code}", f"drop_{code}") for code in ("api_keys", "emails", "phones", "cards")},
    **{
        code: (f"drop_{code}",)
        for code in (
            "empty_answers", "one_word_answers", "refusals", "language_mix", "tool_calls", "identical_pairs", "swapped_pairs",
            "label_conflicts", "exact_duplicates", "near_duplicates", "leakage", "over_length",
        )
    },
}  # fmt: skip
"""The fixes of each finding, the gentlest first."""
