"""What a fix does, before it is taken or taken back: the first rows that it touches, before and after."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final, cast

from PySide6.QtCore import QCoreApplication, Qt
from PySide6.QtWidgets import QDialog, QListWidget, QPlainTextEdit, QWidget

from desktop_ft.ui.kit.buttons import button
from desktop_ft.ui.kit.fonts import em
from desktop_ft.ui.kit.layout import column, row
from desktop_ft.ui.kit.text import Label, format_number
from desktop_ft.ui.wizard.findings import fix_words, fixed_words, rows_words

_MOST_CHARACTERS: Final = 20_000
"""Of one row; a longer one is shown from its beginning."""


class FixDialog(QDialog):
    """The rows that a fix touches, one at a time.

    Accepted: the fix is to be taken, or taken back where it is taken already.

    Args:
        preview: As `desktop_ft.core.data.fix_preview.FixPreview.to_dict` gives.
        is_taken: Whether the fix is among those of the run.
        parent: Qt's owner.
    """

    def __init__(self, preview: Mapping[str, object], *, is_taken: bool, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setWindowTitle(self.tr("Preview of a fix"))
        self._touched = cast("Sequence[Mapping[str, object]]", preview["rows"])
        fix = str(preview["fix"])
        self.list = QListWidget()
        self.list.setAccessibleName(self.tr("Rows"))
        self.list.addItems([self.tr("Row {0}").format(format_number(cast("int", one["row"]) + 1)) for one in self._touched])
        self.list.setFixedWidth(em(8))
        self.before, self.after = _text_box(self.tr("Before")), _text_box(self.tr("After"))
        self.left_out = Label(self.tr("This row is left out."), tone="2", wrap=True)
        sides = row(
            self.list,
            (column(Label(self.tr("Before"), "section"), (self.before, 1), gap=6), 1),
            (column(Label(self.tr("After"), "section"), (self.after, 1), self.left_out, gap=6), 1),
            gap=12,
        )
        self.act = button(self.tr("&Take back") if is_taken else _action(fix), "primary", on_click=self.accept)
        self.act.setDefault(True)
        close = button(self.tr("&Close"), on_click=self.reject)
        heading = Label(self._counts(preview), weight=600, wrap=True)
        words = Label(fixed_words(fix), tone="2", wrap=True)
        self.setLayout(column(heading, words, (sides, 1), row(None, close, self.act), gap=12, pad=(16, 16, 16, 16)))
        self.list.currentRowChanged.connect(self._show)
        self.resize(em(64), em(36))
        self._show(-1)
        self.list.setCurrentRow(0)

    def _counts(self, preview: Mapping[str, object]) -> str:
        num_dropped, num_changed = cast("int", preview["num_dropped"]), cast("int", preview["num_changed"])
        if not num_dropped and not num_changed:
            return self.tr("No row is touched")
        if num_changed:
            return self.tr("{0} mended").format(rows_words(num_changed))
        return self.tr("{0} left out").format(rows_words(num_dropped))

    def _show(self, place: int) -> None:
        one = self._touched[place] if 0 <= place < len(self._touched) else None
        after = one["after"] if one is not None else None
        self.before.setPlainText(_text_of(one["before"]) if one is not None else "")
        self.after.setPlainText(_text_of(after))
        self.after.setVisible(after is not None or one is None)
        self.left_out.setVisible(after is None and one is not None)
        self.left_out.setAlignment(Qt.AlignmentFlag.AlignTop)


def _action(fix: str) -> str:
    words = fix_words(fix)
    return QCoreApplication.translate("FixDialog", "{0} ({1})").format(words, QCoreApplication.translate("FixDialog", "file unchanged"))


def _text_box(name: str) -> QPlainTextEdit:
    box = QPlainTextEdit()
    box.setReadOnly(True)
    box.setTabChangesFocus(True)
    box.setAccessibleName(name)
    return box


def _text_of(turns: object) -> str:
    said = [f"{turn['role']}:\n{turn['content']}" for turn in cast("Sequence[Mapping[str, str]]", turns or ())]
    return "\n\n".join(said)[:_MOST_CHARACTERS]
