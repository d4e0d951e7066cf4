"""Writes the examples of a file in another format and says what could not be converted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final, cast

from PySide6.QtWidgets import QComboBox, QDialog, QFileDialog, QProgressBar, QWidget

from desktop_ft.core.data.export import OUT_SUFFIXES
from desktop_ft.core.data.targets import TARGETS
from desktop_ft.core.errors import DesktopFtError
from desktop_ft.jobs.data_conversion import DataConversion
from desktop_ft.ui.kit.buttons import button
from desktop_ft.ui.kit.fonts import em
from desktop_ft.ui.kit.layout import VerticalScrollPage, column, frame, row
from desktop_ft.ui.kit.style_sheet import set_property
from desktop_ft.ui.kit.text import Label, format_number
from desktop_ft.ui.wizard.column_words import format_help
from desktop_ft.ui.wizard.page import see_through
from desktop_ft.ui.wizard.words import format_name

_MOST_PROBLEMS: Final = 20


class ConvertDialog(QDialog):
    """A target and a button that asks where to.

    Args:
        path: The file; the new one is offered beside it.
        conversion: Does the work.
        parent: Qt's owner.
    """

    def __init__(self, path: Path, conversion: DataConversion, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setWindowTitle(self.tr("Convert or export"))
        self._path, self._conversion = path, conversion
        self.target = QComboBox()
        self.target.setAccessibleName(self.tr("Format of the new file"))
        for name in TARGETS:
            self.target.addItem(format_name(name), name)
        self.explained = Label("", tone="2", wrap=True)
        self.bar = QProgressBar()
        self.bar.setRange(0, 0)
        self.bar.setAccessibleName(self.tr("Writing the new file"))
        self.outcome = Label("", wrap=True, selectable=True)
        self.problems = Label("", "caption", "2", wrap=True, selectable=True)
        self.save = button(self.tr("&Save as…"), "primary", on_click=self._on_save_clicked)
        self.close_button = button(self.tr("&Close"), on_click=self.reject)
        self._build()
        self.target.currentIndexChanged.connect(self._on_target_changed)
        conversion.converted.connect(self._on_converted)
        conversion.failed.connect(self._on_failed)
        self.finished.connect(conversion.cancel)
        self._on_target_changed()

    def write(self, out: Path) -> None:
        """Write the new file."""
        self._say("", "")
        self.bar.show()
        self.save.setEnabled(False)
        self.target.setEnabled(False)
        self._conversion.start(out, str(self.target.currentData()))

    def _build(self) -> None:
        words = Label(
            self.tr("The file itself stays as it is. Rows that cannot be converted are left out and listed."), tone="2", wrap=True
        )
        head = row(Label(self.tr("To"), tone="2"), (self.target, 1), gap=12)
        told = VerticalScrollPage(column(self.outcome, self.problems, None, gap=6, pad=(12, 10, 12, 10)), name=self.tr("What was written"))
        see_through(told)
        told.setMinimumHeight(em(6))
        self.bar.hide()
        box = frame(column(told, gap=0, pad=(1, 1, 1, 1)))
        buttons = row(None, self.close_button, self.save)
        self.setLayout(column(words, head, self.explained, self.bar, (box, 1), buttons, gap=10, pad=(16, 16, 16, 16)))
        self.resize(em(38), em(26))

    def _on_target_changed(self, *_: object) -> None:
        self.explained.setText(format_help(str(self.target.currentData())))

    def _on_save_clicked(self) -> None:
        start = self._path.with_name(f"{self._path.name.split('.')[0]}-{self.target.currentData()}.jsonl")
        kinds = ";;".join(f"{suffix[1:].upper()} (*{suffix})" for suffix in OUT_SUFFIXES)
        picked, kind = QFileDialog.getSaveFileName(self, self.tr("Save the new file"), str(start), kinds)
        if picked:
            out = Path(picked)
            suffix = next((suffix for suffix in OUT_SUFFIXES if f"*{suffix})" in kind), OUT_SUFFIXES[0])
            self.write(out if out.suffix else out.with_suffix(suffix))

    def _on_converted(self, result: object) -> None:
        found = cast("Mapping[str, object]", result)
        written, left_out = cast("int", found["num_written"]), cast("int", found["num_left_out"])
        unwanted = cast("int", found["num_unwanted"])
        said = [self.tr("{0} rows were written to {1}.").format(format_number(written), Path(str(found["path"])).name)]
        if left_out:
            said.append(self.tr("{0} could not be converted.").format(format_number(left_out)))
        if unwanted:
            said.append(self.tr("{0} say nothing in this format.").format(format_number(unwanted)))
        problems = cast("Sequence[Mapping[str, object]]", found["problems"])[:_MOST_PROBLEMS]
        lines = [self.tr("Row {0}: {1}").format(cast("int", problem["row"]) + 1, problem["reason"]) for problem in problems]
        self._say(" ".join(said), "\n".join(lines))

    def _on_failed(self, error: object) -> None:
        failed = cast("DesktopFtError", error)
        self._say(f"{failed.title}. {failed.message}", failed.hint, tone="bad")

    def _say(self, outcome: str, more: str, *, tone: str = "") -> None:
        self.bar.hide()
        self.save.setEnabled(True)
        self.target.setEnabled(True)
        set_property(self.outcome, "tone", tone)
        self.outcome.setText(outcome)
        self.problems.setText(more)
