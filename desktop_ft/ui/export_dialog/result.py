"""After the export: the verdict, how each export compares with the trained model, remarks, and the command to try it."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from PySide6.QtWidgets import QFrame, QGridLayout, QWidget

from desktop_ft.core.config import RunConfig
from desktop_ft.ui.export_dialog.outcome import Check, Outcome, checks_of, remarks_of, target_name, try_command, verdict_of
from desktop_ft.ui.kit.buttons import button
from desktop_ft.ui.kit.fonts import em
from desktop_ft.ui.kit.icons import STATE_ICONS, IconLabel
from desktop_ft.ui.kit.layout import VerticalScrollPage, column, frame, grid, row, rule
from desktop_ft.ui.kit.messages import copy_text, exact_text
from desktop_ft.ui.kit.text import Label, breakable


class ResultPane(QWidget):
    """Made anew for each result; nothing in it changes."""

    def __init__(self, outcomes: Sequence[Outcome], config: RunConfig, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.verdict = verdict_of(outcomes)
        written = [outcome for outcome in outcomes if outcome.error is None]
        content = column(self._new_banner(), gap=14, pad=(0, 0, 4, 0))
        for outcome in outcomes:
            if outcome.details:
                details = exact_text(outcome.details, self.tr("Details of the error"))
                details.setFixedHeight(em(12))
                content.addWidget(details)
        if written:
            content.addWidget(self._new_table(written))
        for remark in remarks_of(outcomes):
            content.addLayout(row(column(IconLabel(STATE_ICONS["warn"], "warn"), None), (Label(remark, tone="2", wrap=True), 1)))
        for outcome in written:
            command = try_command(outcome, config)
            if command:
                content.addWidget(self._new_command(outcome, command))
        content.addStretch(1)
        self.setLayout(column(VerticalScrollPage(content, name=self.tr("Result of the export"))))

    def _new_banner(self) -> QFrame:
        tone, title, text = self.verdict
        words = column(Label(title, "section"), Label(text, tone="2", wrap=True, selectable=True), gap=2)
        banner = frame(
            row(column(IconLabel(STATE_ICONS[tone], tone, 24), None), (words, 1), gap=14, pad=(16, 10, 16, 12)), "banner", tone=tone
        )
        banner.setAccessibleName(f"{title}. {text}")
        return banner

    def _new_table(self, outcomes: Sequence[Outcome]) -> QFrame:
        table = grid(gap=16, line_gap=0, pad=(12, 4, 12, 6))
        table.setColumnStretch(0, 1)
        for place, outcome in enumerate(outcomes, start=1):
            table.addWidget(Label(target_name(outcome.to), tone="2"), 0, place)
            table.setColumnStretch(place, 1)
        checks = [checks_of(outcome) for outcome in outcomes]
        for number, name in enumerate(checks[0]):
            line = 2 * number + 1
            table.addWidget(rule(), line, 0, 1, len(outcomes) + 1)
            table.addWidget(_row_label(name), line + 1, 0)
            for place, found in enumerate(checks, start=1):
                _add_check(table, found[name], line + 1, place)
        return frame(table)

    def _new_command(self, outcome: Outcome, command: str) -> QWidget:
        words = Label(breakable(command), mono=True, wrap=True)  # the button copies it as it is
        copy = button(self.tr("Copy"), "link", on_click=partial(copy_text, command))
        box = QWidget()
        title = Label(self.tr("Try it: {0}").format(target_name(outcome.to)), tone="2")
        box.setLayout(column(row(title, None, copy), words, gap=2))
        return box


def _row_label(name: str) -> Label:
    label = Label(name)
    label.setMinimumHeight(em(2.2))
    return label


def _add_check(table: QGridLayout, check: Check, line: int, place: int) -> None:
    words = Label(check.text, tone="" if check.tone else "2")
    if not check.tone:
        table.addWidget(words, line, place)
        return
    table.addLayout(row(IconLabel(STATE_ICONS[check.tone], check.tone), words, None, gap=6), line, place)
