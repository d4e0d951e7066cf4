"""Says which column of a file plays which role, when the names do not say it by themselves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final, cast

from PySide6.QtCore import QSize
from PySide6.QtWidgets import QComboBox, QDialog, QWidget

from desktop_ft.core.config.objectives import ObjectiveName
from desktop_ft.core.data.formats import roles_of
from desktop_ft.core.data.signals import SIGNALS, Signal
from desktop_ft.core.errors import DesktopFtError
from desktop_ft.jobs.column_preview import ColumnPreview
from desktop_ft.ui.kit.buttons import button
from desktop_ft.ui.kit.fonts import em
from desktop_ft.ui.kit.layout import VerticalScrollPage, clear, column, frame, grid, row
from desktop_ft.ui.kit.text import Label
from desktop_ft.ui.wizard.column_words import format_help, line_word, role_help
from desktop_ft.ui.wizard.page import see_through
from desktop_ft.ui.wizard.words import format_name

_MOST_CHARACTERS: Final = 240
"""Of each text of a previewed row so much is shown."""
_PAIRS: Final = ("preference", "hh_rlhf", "ultrafeedback", "sharegpt_preference", "alpaca_preference", "ranked")
_ANSWERS: Final = ("messages", "sharegpt", "alpaca", "prompt_completion", "qa")
_FITTING: Final[Mapping[Signal, tuple[str, ...]]] = {
    "answers": (*_ANSWERS, "text", *_PAIRS, "kto"),
    "text": ("text",),
    "pairs": _PAIRS,
    "judgments": ("kto", *_PAIRS),
    "prompts": ("prompts", "rl", *_ANSWERS, *_PAIRS, "kto"),
}


def fitting_formats(objective: ObjectiveName) -> tuple[str, ...]:
    """The formats whose rows an objective can learn from, the usual one first."""
    return _FITTING[SIGNALS[objective]]


class PreviewList(QWidget):
    """The first rows as they would be read."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._lines = column(gap=6, pad=(12, 10, 12, 10))
        self.setLayout(self._lines)

    def set_preview(self, preview: Mapping[str, object]) -> None:
        """Show what the worker read."""
        self._clear()
        for one in cast("Sequence[Mapping[str, object]]", preview["rows"]):
            self._lines.addWidget(Label(self.tr("Row {0}").format(cast("int", one["row"]) + 1), "caption", "2"))
            if one["problem"]:
                self._lines.addWidget(Label(str(one["problem"]), tone="bad", wrap=True))
            for what, text in cast("Sequence[Sequence[str]]", one["lines"]):
                shown = text if len(text) <= _MOST_CHARACTERS else text[:_MOST_CHARACTERS] + "…"
                self._lines.addLayout(column(Label(line_word(what), "caption", weight=600), Label(shown, wrap=True), gap=0))
        self._lines.addStretch(1)

    def set_problem(self, error: DesktopFtError) -> None:
        """Say why nothing can be read so."""
        self._clear()
        self._lines.addWidget(Label(f"{error.title}. {error.message}", tone="bad", wrap=True))
        self._lines.addStretch(1)

    def texts(self) -> list[str]:
        """What is shown, from top to bottom."""
        return [label.text() for label in self.findChildren(Label) if not label.isHidden()]

    def _clear(self) -> None:
        clear(self._lines)


class ColumnDialog(QDialog):
    """A format, for each of its roles a column, and the first rows as they would be read.

    Args:
        columns: Names in the file.
        chosen: The format as it is now.
        mapping: Role to column as it is now.
        formats: What may be chosen.
        preview: Reads the first rows; None: nothing is shown of them.
    """

    def __init__(
        self,
        columns: Sequence[str],
        chosen: str,
        mapping: Mapping[str, str],
        formats: Sequence[str],
        preview: ColumnPreview | None = None,
        parent: QWidget | None = None,
    ) -> None:
        super().__init__(parent)
        self.setWindowTitle(self.tr("Columns"))
        self._columns = list(columns)
        self._mapping = dict(mapping)
        self._preview = preview
        self.format = QComboBox()
        self.format.setAccessibleName(self.tr("Format"))
        for name in formats:
            self.format.addItem(format_name(name), name)
        self.format.setCurrentIndex(max(0, self.format.findData(chosen)))
        self.roles: dict[str, QComboBox] = {}
        self.explained = Label("", tone="2", wrap=True)
        self._roles_grid = grid(gap=12, line_gap=8)
        self._roles_grid.setColumnStretch(2, 1)
        self._missing = Label("", "caption", "bad", wrap=True)
        self.rows = PreviewList()
        self.use = button(self.tr("&Use these columns"), "primary", on_click=self.accept)
        self.use.setDefault(True)
        self._build(parent)
        self.format.currentIndexChanged.connect(self._on_format_changed)
        if preview is not None:
            preview.rows_read.connect(self.rows.set_preview)
            preview.failed.connect(self.rows.set_problem)
            self.finished.connect(preview.close)
        self._on_format_changed()

    def format_name(self) -> str:
        """The chosen format."""
        return str(self.format.currentData())

    def mapping(self) -> dict[str, str]:
        """Role to column, for the roles that were given one."""
        return {role: str(combo.currentData()) for role, combo in self.roles.items() if combo.currentData()}

    def _build(self, parent: QWidget | None) -> None:
        cancel = button(self.tr("&Cancel"), on_click=self.reject)
        words = Label(self.tr("Say what each column of the file is. Roles without a column are found by their name."), tone="2", wrap=True)
        head = row(Label(self.tr("Format"), tone="2"), (self.format, 1), gap=12)
        roles = VerticalScrollPage(column(self._roles_grid, None, gap=0), name=self.tr("Columns by role"))
        see_through(roles)
        roles.setMinimumHeight(em(6))
        read = VerticalScrollPage(column(self.rows, gap=0), name=self.tr("The first rows as they would be read"))
        see_through(read)
        read.setMinimumHeight(em(5))
        box = frame(column(read, gap=0, pad=(1, 1, 1, 1)))
        title = Label(self.tr("The first rows as they would be read"), "section")
        for widget in (title, box):
            widget.setVisible(self._preview is not None)
        buttons = row(None, cancel, self.use)
        lines = column(words, head, self.explained, (roles, 3), self._missing, title, (box, 4), buttons, gap=10, pad=(16, 16, 16, 16))
        self.setLayout(lines)
        window = parent.window().size() if parent is not None else QSize(1024, 700)
        self.resize(min(em(44), window.width() - 32), min(em(50), window.height() - 32))

    def _on_format_changed(self, *_: object) -> None:
        self._mapping |= self.mapping()
        clear(self._roles_grid)
        self.explained.setText(format_help(self.format_name()))
        needed, optional = roles_of(self.format_name())
        self.roles = {role: self._combo(role) for role in (*needed, *optional)}
        for line, (role, combo) in enumerate(self.roles.items()):
            words = role if role in needed else self.tr("{0} (may be missing)").format(role)
            self._roles_grid.addWidget(Label(words), line, 0)
            self._roles_grid.addWidget(combo, line, 1)
            self._roles_grid.addWidget(Label(role_help(role), "caption", "2", wrap=True), line, 2)
        self._check()

    def _combo(self, role: str) -> QComboBox:
        combo = QComboBox()
        combo.setAccessibleName(self.tr("Column of {0}").format(role))
        combo.setAccessibleDescription(role_help(role))
        combo.addItem(self.tr("by its name"), "")
        for name in self._columns:
            combo.addItem(name, name)
        chosen = self._mapping.get(role) or (role if role in self._columns else "")
        combo.setCurrentIndex(max(0, combo.findData(chosen)))
        combo.currentIndexChanged.connect(self._check)
        return combo

    def _check(self, *_: object) -> None:
        taken = list(self.mapping().values())
        twice = next((name for name in taken if taken.count(name) > 1), "")
        self._missing.setText(self.tr("Column {0} is used twice.").format(twice) if twice else "")
        self._missing.setVisible(bool(twice))
        self.use.set_reason(self._missing.text())
        if self._preview is not None:
            self._preview.ask(self.format_name(), self.mapping())
