"""What the data check found, the worst first: each with its fixes as links, what was fixed already with its way back, and the score."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final, cast

from PySide6.QtCore import QCoreApplication, Signal
from PySide6.QtWidgets import QVBoxLayout, QWidget

from desktop_ft.core.data.fix_names import FIXES_OF, MALFORMED, MENDING
from desktop_ft.jobs.data_facts import DataFacts
from desktop_ft.ui.kit.buttons import Button, button
from desktop_ft.ui.kit.icons import STATE_ICONS, IconLabel
from desktop_ft.ui.kit.layout import clear, column, row, rule
from desktop_ft.ui.kit.text import Label, format_number

CHECKS: Final = (
    "malformed_rows", "empty_answers", "leakage", "api_keys", "cards", "emails", "phones", "mojibake", "tool_calls", "refusals",
    "language_mix", "html", "exact_duplicates", "near_duplicates", "over_length", "one_word_answers", "too_few_rows",
)  # fmt: skip
_LINKS_A_LINE: Final = 2
"""More do not fit with a large font."""
_TONES: Final = {"error": "bad", "warning": "warn", "info": "info"}
_NOT_SHOWABLE: Final = frozenset({"malformed_rows"})
"""Rows that cannot be read have no text to show."""


class FindingsView(QWidget):
    """The list.

    ``fix_requested`` carries a fix and whether it is wanted; ``preview_requested`` a fix to be looked at first; ``length_requested`` a
    new maximum length; ``rows_requested`` the code of the finding whose rows are to be shown.
    """

    fix_requested = Signal(str, bool)
    preview_requested = Signal(str)
    length_requested = Signal(int)
    rows_requested = Signal(str)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._lines = QVBoxLayout(self)
        self._lines.setContentsMargins(12, 10, 12, 10)
        self._lines.setSpacing(8)
        self._shown: object = None
        self._narrow = False
        self._captions: list[Label] = []
        self.setAccessibleName(self.tr("Data check"))

    def set_narrow(self, narrow: bool) -> None:
        """What a finding means goes into its tooltip."""
        self._narrow = narrow
        for caption in self._captions:
            caption.setVisible(not narrow)

    def set_facts(self, facts: DataFacts, fixes: Sequence[str], longest_allowed: int) -> None:
        """Show what was found.

        Args:
            facts: Of the data as the fixes leave them.
            fixes: What is left out.
            longest_allowed: The longest that the model can read; 0 where unknown.
        """
        shown = (facts, tuple(fixes), longest_allowed)
        if shown == self._shown:
            return
        self._shown = shown
        self._clear()
        lines = [self._finding(finding, facts, longest_allowed) for finding in facts.findings]
        lines += [self._fixed(fix, facts) for fix in fixes]
        lines.append(self._passed(facts))
        for at, line in enumerate(lines):
            if at:
                self._lines.addWidget(rule())
            self._lines.addWidget(line)
        self._lines.addStretch(1)

    def _clear(self) -> None:
        self._captions = []
        clear(self._lines)

    def _finding(self, finding: Mapping[str, object], facts: DataFacts, longest_allowed: int) -> QWidget:
        code, num_rows = str(finding["code"]), cast("int", finding["num_rows"])
        links = [self._fix_link(fix, code) for fix in FIXES_OF.get(code, ())]
        if code not in _NOT_SHOWABLE and links:
            gentlest = FIXES_OF[code][0]
            links.append(button(self.tr("Preview…"), "link", on_click=lambda: self.preview_requested.emit(gentlest)))
        longest = facts.longest or 0
        if code == "over_length" and longest and (not longest_allowed or longest <= longest_allowed):
            words = self.tr("Raise to {0}").format(format_number(longest))
            links.append(button(words, "link", on_click=lambda: self.length_requested.emit(longest)))
        can_show = num_rows and code not in _NOT_SHOWABLE
        show = button(self.tr("Show"), "link", on_click=lambda: self.rows_requested.emit(code)) if can_show else None
        title = f"{finding['title']}: {rows_words(num_rows)}" if num_rows else str(finding["title"])
        return self._line(_TONES[str(finding["severity"])], title, str(finding["message"]), links, show)

    def _fix_link(self, fix: str, code: str) -> Button:
        words = self.tr("Keep one") if code in ("exact_duplicates", "near_duplicates") else fix_words(fix)
        return button(words, "link", on_click=lambda: self.fix_requested.emit(fix, True))

    def _fixed(self, fix: str, facts: DataFacts) -> QWidget:
        undo = button(self.tr("Take back"), "link", "undo-2", on_click=lambda: self.fix_requested.emit(fix, False))
        look = button(self.tr("Preview…"), "link", on_click=lambda: self.preview_requested.emit(fix))
        words = self.tr("{0} mended") if fix in MENDING else self.tr("{0} left out")
        title = words.format(rows_words((facts.changed if fix in MENDING else facts.dropped).get(fix, 0)))
        return self._line("good", title, fixed_words(fix), [undo] if fix == MALFORMED else [undo, look])

    def _passed(self, facts: DataFacts) -> QWidget:
        found = {str(finding["code"]) for finding in facts.findings}
        num_passed = sum(code not in found for code in CHECKS)
        score = cast("int", facts.report["score"])
        reasons = cast("list[str]", facts.report["score_reasons"])
        title = self.tr("{0} of {1} checks passed, score {2} of 100").format(num_passed, len(CHECKS), score)
        return self._line("good" if score >= 60 else "warn", title, "\n".join(reasons), [])

    def _line(self, tone: str, title: str, text: str, links: Sequence[Button], show: Button | None = None) -> QWidget:
        line = QWidget()
        heading, caption = Label(title, weight=600, wrap=True), Label(text, "caption", "2", wrap=True)
        heading.setToolTip(text)
        if self._narrow:  # to show a label that has no parent yet would flash it as a window
            caption.hide()
        self._captions.append(caption)
        for link in (*links, *([show] if show else [])):
            link.setAccessibleName(f"{link.text()}: {title}")
        head = row((heading, 1), *([column(show, None)] if show else []), gap=4)
        words = column(head, caption, gap=2)
        for at in range(0, len(links), _LINKS_A_LINE):
            bar = row(gap=8)
            for link in links[at : at + _LINKS_A_LINE]:
                bar.addWidget(link)
            bar.addStretch(1)
            words.addLayout(bar)
        line.setLayout(row(column(IconLabel(STATE_ICONS[tone], tone), None), (words, 1), gap=8))
        return line


def rows_words(count: int) -> str:
    """A number of rows in words."""
    if count == 1:
        return QCoreApplication.translate("findings", "1 row")
    return QCoreApplication.translate("findings", "{0} rows").format(format_number(count))


def fix_words(fix: str) -> str:
    """What taking a fix does, on a link."""
    words = {
        "repair_mojibake": QCoreApplication.translate("findings", "Repair"),
        "strip_html": QCoreApplication.translate("findings", "Take out"),
        "mask_api_keys": QCoreApplication.translate("findings", "Mask"),
        "mask_cards": QCoreApplication.translate("findings", "Mask"),
        "mask_emails": QCoreApplication.translate("findings", "Mask"),
        "mask_phones": QCoreApplication.translate("findings", "Mask"),
    }
    return words.get(fix) or QCoreApplication.translate("findings", "Leave out")


def fixed_words(fix: str) -> str:
    """What was left out or mended, in a sentence."""
    return QCoreApplication.translate("findings", "{0} The file stays as it is.").format(_which_rows(fix))


def _which_rows(fix: str) -> str:  # one sentence for each fix
    words = {
        MALFORMED: QCoreApplication.translate("findings", "Those that cannot be read."),
        "drop_empty_answers": QCoreApplication.translate("findings", "Those without an answer."),
        "drop_exact_duplicates": QCoreApplication.translate("findings", "Those that repeat an earlier one."),
        "drop_near_duplicates": QCoreApplication.translate("findings", "Those that nearly repeat an earlier one."),
        "drop_over_length": QCoreApplication.translate("findings", "Those longer than the limit."),
        "drop_leakage": QCoreApplication.translate("findings", "Those that stand in the evaluation file too."),
        "drop_one_word_answers": QCoreApplication.translate("findings", "Those that answer with one word where more was asked for."),
        "drop_mojibake": QCoreApplication.translate("findings", "Those with broken characters."),
        "drop_html": QCoreApplication.translate("findings", "Those with debris of web pages."),
        "drop_refusals": QCoreApplication.translate("findings", "Those that refuse or speak of being a model."),
        "drop_api_keys": QCoreApplication.translate("findings", "Those with keys or tokens."),
        "drop_cards": QCoreApplication.translate("findings", "Those with card numbers."),
        "drop_emails": QCoreApplication.translate("findings", "Those with e-mail addresses."),
        "drop_phones": QCoreApplication.translate("findings", "Those with phone numbers."),
        "drop_tool_calls": QCoreApplication.translate("findings", "Those with calls of tools that cannot be read."),
        "drop_language_mix": QCoreApplication.translate("findings", "Those that answer in another language."),
        "drop_identical_pairs": QCoreApplication.translate("findings", "Those with the same answer twice."),
        "drop_swapped_pairs": QCoreApplication.translate("findings", "Those that stand in the file the other way round too."),
        "drop_label_conflicts": QCoreApplication.translate("findings", "Those with an answer marked both good and bad."),
        "repair_mojibake": QCoreApplication.translate("findings", "Those with broken characters that have an exact way back."),
        "strip_html": QCoreApplication.translate("findings", "Those with tags and entities, which are taken out."),
        "mask_api_keys": QCoreApplication.translate("findings", "Those with keys or tokens, now <API_KEY>."),
        "mask_cards": QCoreApplication.translate("findings", "Those with card numbers, now <CARD>."),
        "mask_emails": QCoreApplication.translate("findings", "Those with e-mail addresses, now <EMAIL>."),
        "mask_phones": QCoreApplication.translate("findings", "Those with phone numbers, now <PHONE>."),
    }
    return words[fix]
