"""What the data check found, the worst first: each with its fixes as links, what was fixed already with its way back, and the score."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final, cast

from PySide6.QtCore import QCoreApplication, Signal
from PySide6.QtWidgets import QVBoxLayout, QWidget

from desktop_ft.jobs.data_facts import DataFacts
from desktop_ft.ui.kit.buttons import Button, button
from desktop_ft.ui.kit.icons import STATE_ICONS, IconLabel
from desktop_ft.ui.kit.layout import column, row, rule
from desktop_ft.ui.kit.text import Label, format_number

FIX_OF: Final[Mapping[str, str]] = {
    "malformed_rows": "drop_malformed_rows",
    "empty_answers": "drop_empty_answers",
    "exact_duplicates": "drop_exact_duplicates",
    "over_length": "drop_over_length",
}
CHECKS: Final = (*FIX_OF, "one_word_answers", "too_few_rows")
_TONES: Final = {"error": "bad", "warning": "warn", "info": "info"}
_SHOWABLE: Final = frozenset({"empty_answers", "exact_duplicates", "over_length", "one_word_answers"})


class FindingsView(QWidget):
    """The list.

    ``fix_requested`` carries a fix and whether it is wanted; ``length_requested`` a new maximum length; ``rows_requested`` the code of
    the finding whose rows are to be shown.
    """

    fix_requested = Signal(str, bool)
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
        lines += [self._fixed(fix, facts.dropped.get(fix, 0)) for fix in fixes]
        lines.append(self._passed(facts))
        for at, line in enumerate(lines):
            if at:
                self._lines.addWidget(rule())
            self._lines.addWidget(line)
        self._lines.addStretch(1)

    def _clear(self) -> None:
        self._captions = []
        while (item := self._lines.takeAt(0)) is not None:
            if (widget := item.widget()) is not None:
                widget.hide()
                widget.deleteLater()

    def _finding(self, finding: Mapping[str, object], facts: DataFacts, longest_allowed: int) -> QWidget:
        code, num_rows = str(finding["code"]), cast("int", finding["num_rows"])
        links: list[Button] = []
        if code in FIX_OF:
            fix = FIX_OF[code]
            words = self.tr("Keep one of each") if code == "exact_duplicates" else self.tr("Leave out")
            links.append(button(words, "link", on_click=lambda: self.fix_requested.emit(fix, True)))
        longest = facts.longest or 0
        if code == "over_length" and longest and (not longest_allowed or longest <= longest_allowed):
            words = self.tr("Raise to {0}").format(format_number(longest))
            links.append(button(words, "link", on_click=lambda: self.length_requested.emit(longest)))
        show = button(self.tr("Show"), "link", on_click=lambda: self.rows_requested.emit(code)) if code in _SHOWABLE else None
        title = f"{finding['title']}: {rows_words(num_rows)}" if num_rows else str(finding["title"])
        return self._line(_TONES[str(finding["severity"])], title, str(finding["message"]), links, show)

    def _fixed(self, fix: str, num_rows: int) -> QWidget:
        code = next(code for code, name in FIX_OF.items() if name == fix)
        undo = button(self.tr("Take back"), "link", "undo-2", on_click=lambda: self.fix_requested.emit(fix, False))
        title = self.tr("{0} left out").format(rows_words(num_rows))
        return self._line("good", title, fixed_words(code), [undo])

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
        if links:
            bar = row(gap=8)
            for link in links:
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


def fixed_words(code: str) -> str:
    """What was left out, in a sentence."""
    words = {
        "malformed_rows": QCoreApplication.translate("findings", "Those that cannot be read. The file stays as it is."),
        "empty_answers": QCoreApplication.translate("findings", "Those without an answer. The file stays as it is."),
        "exact_duplicates": QCoreApplication.translate("findings", "Those that repeat an earlier one. The file stays as it is."),
        "over_length": QCoreApplication.translate("findings", "Those longer than the limit. The file stays as it is."),
    }
    return words[code]
