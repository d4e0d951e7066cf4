"""Says which column of a file plays which role, when the names do not say it by themselves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from PySide6.QtWidgets import QComboBox, QDialog, QWidget

from desktop_ft.core.config.objectives import ObjectiveName
from desktop_ft.core.data.formats import roles_of
from desktop_ft.core.data.signals import SIGNALS, Signal
from desktop_ft.ui.kit.buttons import button
from desktop_ft.ui.kit.fonts import em
from desktop_ft.ui.kit.layout import column, grid, row
from desktop_ft.ui.kit.text import Label
from desktop_ft.ui.wizard.words import format_name

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


class ColumnDialog(QDialog):
    """A format, and for each of its roles a column.

    Args:
        columns: Names in the file.
        chosen: The format as it is now.
        mapping: Role to column as it is now.
        formats: What may be chosen.
    """

    def __init__(
        self, columns: Sequence[str], chosen: str, mapping: Mapping[str, str], formats: Sequence[str], parent: QWidget | None = None
    ) -> None:
        super().__init__(parent)
        self.setWindowTitle(self.tr("Columns"))
        self._columns = list(columns)
        self._mapping = dict(mapping)
        self.format = QComboBox()
        self.format.setAccessibleName(self.tr("Format"))
        for name in formats:
            self.format.addItem(format_name(name), name)
        self.format.setCurrentIndex(max(0, self.format.findData(chosen)))
        self.roles: dict[str, QComboBox] = {}
        self._roles_grid = grid(gap=12, line_gap=8)
        self._missing = Label("", "caption", "bad", wrap=True)
        self.use = button(self.tr("&Use these columns"), "primary", on_click=self.accept)
        self.use.setDefault(True)
        cancel = button(self.tr("&Cancel"), on_click=self.reject)
        words = Label(self.tr("Say what each column of the file is. Roles without a column are found by their name."), tone="2", wrap=True)
        head = row(Label(self.tr("Format"), tone="2"), (self.format, 1), gap=12)
        self.setLayout(
            column(words, head, self._roles_grid, self._missing, None, row(None, cancel, self.use), gap=12, pad=(16, 16, 16, 16))
        )
        self.format.currentIndexChanged.connect(self._on_format_changed)
        self.setMinimumWidth(em(30))
        self._on_format_changed()

    def format_name(self) -> str:
        """The chosen format."""
        return str(self.format.currentData())

    def mapping(self) -> dict[str, str]:
        """Role to column, for the roles that were given one."""
        return {role: str(combo.currentData()) for role, combo in self.roles.items() if combo.currentData()}

    def _on_format_changed(self, *_: object) -> None:
        while (item := self._roles_grid.takeAt(0)) is not None:
            if (widget := item.widget()) is not None:
                widget.hide()
                widget.deleteLater()
        needed, optional = roles_of(self.format_name())
        self.roles = {role: self._combo(role) for role in (*needed, *optional)}
        for line, (role, combo) in enumerate(self.roles.items()):
            words = role if role in needed else self.tr("{0} (may be missing)").format(role)
            self._roles_grid.addWidget(Label(words), line, 0)
            self._roles_grid.addWidget(combo, line, 1)
        self._check()

    def _combo(self, role: str) -> QComboBox:
        combo = QComboBox()
        combo.setAccessibleName(self.tr("Column of {0}").format(role))
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
        self.use.set_reason(self._missing.text())
