"""During the export: one line for each thing that is written, with what is being done and how far it is."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from PySide6.QtWidgets import QProgressBar, QWidget

from desktop_ft.core.job import ExportTarget
from desktop_ft.jobs.job_model import JobModel
from desktop_ft.ui.export_dialog.outcome import target_name
from desktop_ft.ui.kit.icons import IconLabel
from desktop_ft.ui.kit.layout import column, row
from desktop_ft.ui.kit.text import ElidedLabel, Label, format_number

_STEPS = 1000


class _JobRow(QWidget):
    """One export."""

    def __init__(self, to: ExportTarget, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._icon = IconLabel("clock")
        self.detail, self._count = ElidedLabel(self.tr("waiting"), tone="2"), Label(tone="2")
        self.bar = QProgressBar()
        self.bar.setRange(0, _STEPS)
        self.bar.setTextVisible(False)
        self.bar.setAccessibleName(self.tr("Progress of {0}").format(target_name(to)))
        head = row(self._icon, Label(target_name(to), weight=600), (self.detail, 1), self._count)
        self.setLayout(column(head, self.bar, gap=6))

    def show_state(self, icon: tuple[str, str], detail: str, done: int, total: int) -> None:
        self._icon.set_icon(*icon)
        self.detail.setText(detail)
        self._count.setText(self.tr("{0} of {1}").format(format_number(done), format_number(total)) if total else "")
        self.bar.setValue(round(_STEPS * done / total) if total else 0)
        self.bar.setAccessibleDescription(detail)


class RunningPane(QWidget):
    """How far the exports are."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._rows: dict[ExportTarget, _JobRow] = {}
        self._list = column(gap=20)
        note = Label(
            self.tr("The export is a program of its own; large models take some minutes. Nothing is left behind if you cancel."),
            tone="2",
            wrap=True,
        )
        self.setLayout(column(Label(self.tr("Writing"), "section"), self._list, note, None, gap=16))

    def set_targets(self, targets: Sequence[ExportTarget]) -> None:
        """Show these exports, all waiting."""
        for line in self._rows.values():
            self._list.removeWidget(line)
            line.deleteLater()
        self._rows = {to: _JobRow(to) for to in targets}
        for line in self._rows.values():
            self._list.addWidget(line)

    def show_job(self, to: ExportTarget, job: JobModel) -> None:
        """Show what an export does now."""
        detail = job.detail or self.tr("Starting; its libraries take some seconds to load")
        self._rows[to].show_state(("loader", "busy"), detail, job.done, job.total)

    def show_done(self, to: ExportTarget, state: Literal["good", "bad", "2"]) -> None:
        """Show that an export has ended."""
        words = {"good": self.tr("written"), "bad": self.tr("failed"), "2": self.tr("cancelled")}
        icons = {"good": "circle-check", "bad": "octagon-x", "2": "circle-stop"}
        self._rows[to].show_state((icons[state], state), words[state], 1 if state == "good" else 0, 1)

    def details(self) -> list[str]:
        """What is said of each export."""
        return [line.detail.text() for line in self._rows.values()]
