"""The table of runs: search, filter by state, open, resume, delete with undo. Comparing runs side by side is another page's work."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Final, cast

from PySide6.QtCore import QPoint, QRectF, Qt, Signal
from PySide6.QtGui import QIcon, QKeySequence, QPainter, QResizeEvent, QShortcut
from PySide6.QtWidgets import QComboBox, QLineEdit, QMenu, QStackedWidget, QWidget

from desktop_ft.core.config import DEMO
from desktop_ft.core.errors import DesktopFtError
from desktop_ft.core.run_summary import RunSummary
from desktop_ft.jobs.runs_service import RunsService
from desktop_ft.ui.folders import open_folder
from desktop_ft.ui.kit.buttons import button
from desktop_ft.ui.kit.fonts import em
from desktop_ft.ui.kit.icons import icon
from desktop_ft.ui.kit.layout import column, row
from desktop_ft.ui.kit.sparkline import paint_sparkline
from desktop_ft.ui.kit.tables import Column, ListModel, TableView
from desktop_ft.ui.kit.text import DASH, Label, format_duration, format_number
from desktop_ft.ui.objective_words import objective_short

NARROW_EM: Final = 80
_MODEL_COLUMN, _OBJECTIVE_COLUMN = 1, 3
_ICONS: Final = {
    "new": ("circle-dot", "2"),
    "starting": ("loader", "accent"),
    "running": ("activity", "accent"),
    "completed": ("circle-check", "good"),
    "stopped": ("circle-stop", "2"),
    "failed": ("octagon-x", "bad"),
    "crashed": ("octagon-x", "bad"),
}
_FILTERS: Final[tuple[frozenset[str], ...]] = (
    frozenset(_ICONS),
    frozenset({"starting", "running"}),
    frozenset({"completed"}),
    frozenset({"stopped", "new"}),
    frozenset({"failed", "crashed"}),
)


class RunsPage(QWidget):
    """All runs of the workspace.

    Args:
        service: Where they come from and who acts on them.
    """

    run_opened = Signal(object)
    """`RunSummary` to be shown."""
    export_requested = Signal(object)
    """`RunSummary` to be exported."""
    new_run_requested = Signal()
    error_raised = Signal(object)
    """`DesktopFtError`."""

    def __init__(self, service: RunsService, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._service = service
        self._model = ListModel[RunSummary](self._columns(), key=lambda summary: summary.run.path)
        self.table = TableView(self._model, name=self.tr("Runs"))
        self.table.activated_row.connect(self.run_opened)
        self.table.setContextMenuPolicy(Qt.ContextMenuPolicy.CustomContextMenu)
        self.table.customContextMenuRequested.connect(self._show_menu)
        self.search = self._new_search()
        self.states = self._new_states()
        self._stack = QStackedWidget()
        self._stack.addWidget(self.table)
        self._first_run = button(self.tr("&Set up a run with the demo"), "primary", "play", on_click=self.new_run_requested.emit)
        self._stack.addWidget(self._new_empty())
        self._none_found = Label("", tone="2")
        self._new_run = button(self.tr("&New run"), "primary", "plus", on_click=self.new_run_requested.emit)
        head = row(Label(self.tr("Runs"), "title"), None, self.search, self.states, self._new_run, gap=8)
        self.setLayout(column(head, self._none_found, (self._stack, 1), gap=12, pad=(24, 16, 24, 24)))
        service.runs_changed.connect(self.refresh)
        self.refresh()

    def _columns(self) -> tuple[Column[RunSummary], ...]:
        return (
            Column(self.tr("Name"), lambda s: s.name, sort=lambda s: s.name.lower(), tooltip=lambda s: s.problem or str(s.run.path)),
            Column(self.tr("Model"), _model_name, width_em=11, sort=_model_name),
            Column(self.tr("Method"), lambda s: s.method, width_em=10, sort=lambda s: s.method),
            Column(self.tr("Objective"), lambda s: objective_short(s.objective), width_em=7.5, sort=lambda s: s.objective),
            Column(self.tr("Status"), self.status_words, width_em=11, icon=lambda s: _ICONS[s.status], sort=lambda s: s.status),
            Column(self.tr("Loss"), lambda s: format_number(s.loss, 3), width_em=7.5, paint=_paint_losses),
            Column(
                self.tr("Eval loss"), lambda s: format_number(s.eval_loss, 3), align="right", width_em=7, sort=lambda s: s.eval_loss or 1e9
            ),
            Column(
                self.tr("Time"), lambda s: format_duration(s.seconds) if s.started else DASH, align="right", width_em=5.5,
                sort=lambda s: s.seconds,
            ),
        )  # fmt: skip

    def status_words(self, summary: RunSummary) -> str:
        """The state of a run in a word or two."""
        if summary.status == "running" and summary.num_steps:
            return self.tr("Training, {0} %").format(round(100 * summary.step / summary.num_steps))
        words = {
            "new": self.tr("Not started"),
            "starting": self.tr("Starting"),
            "running": self.tr("Training"),
            "completed": self.tr("Finished"),
            "stopped": self.tr("Stopped, kept"),
            "failed": self.tr("Failed"),
            "crashed": self.tr("Crashed"),
        }
        return words[summary.status]

    def _new_search(self) -> QLineEdit:
        field = QLineEdit()
        field.setPlaceholderText(self.tr("Search name, model, method"))
        field.setAccessibleName(self.tr("Search runs"))
        field.setClearButtonEnabled(True)
        field.addAction(QIcon(icon("search", "3")), QLineEdit.ActionPosition.LeadingPosition)
        field.setMinimumWidth(em(19))
        field.textChanged.connect(self.refresh)
        QShortcut(QKeySequence.StandardKey.Find, self, field.setFocus)
        return field

    def _new_states(self) -> QComboBox:
        box = QComboBox()
        box.addItems([self.tr("All states"), self.tr("Training"), self.tr("Finished"), self.tr("Stopped"), self.tr("Failed")])
        box.setAccessibleName(self.tr("Show runs of a state"))
        box.currentIndexChanged.connect(self.refresh)
        return box

    def _new_empty(self) -> QWidget:
        page = QWidget()
        words = self.tr("Runs stand here as soon as there are some: their curves, samples and results, also years later.")
        page.setLayout(column(None, row(None, Label(words, tone="2"), None), row(None, self._first_run, None), None, None, gap=12))
        return page

    def take_focus(self) -> None:
        """Put the keyboard on the table, or on the button that fills it."""
        target = self.table if self._stack.currentIndex() == 0 else self._first_run
        target.setFocus(Qt.FocusReason.OtherFocusReason)

    def refresh(self) -> None:
        """Take over the service's runs, searched and filtered."""
        every = self._service.runs()
        wanted, states = self.search.text().strip().lower(), _FILTERS[self.states.currentIndex()]
        shown = [summary for summary in every if summary.status in states and wanted in _searched(summary)]
        self._model.set_rows(shown)
        self._stack.setCurrentIndex(0 if every else 1)
        self._new_run.setVisible(bool(every))
        for control in (self.search, self.states):
            control.setEnabled(bool(every))
        self._none_found.setText(self.tr("No run matches.") if every and not shown else "")
        self._none_found.setVisible(bool(every) and not shown)

    def _show_menu(self, place: QPoint) -> None:
        summary = cast("RunSummary | None", self.table.current_row())
        if summary is None:
            return
        menu = self.menu_for(summary)
        menu.exec(self.table.viewport().mapToGlobal(place))
        menu.deleteLater()

    def menu_for(self, summary: RunSummary) -> QMenu:
        """What can be done to a run."""
        menu = QMenu(self)
        path, service = summary.run.path, self._service
        entries: tuple[tuple[str, bool, Callable[[], object]], ...] = (
            (self.tr("&Open"), True, lambda: self.run_opened.emit(summary)),
            (self.tr("&Resume"), summary.status in ("stopped", "failed", "crashed"), lambda: self._resume(summary)),
            (self.tr("&Export…"), not summary.is_live and _has_result(summary), lambda: self.export_requested.emit(summary)),
            (self.tr("Open &folder"), True, lambda: self._open_folder(path)),
            (self.tr("&Delete"), not summary.is_live, lambda: service.delete(path)),
        )
        for text, possible, act in entries:
            action = menu.addAction(text)
            action.setEnabled(possible)
            action.triggered.connect(lambda _checked=False, act=act: act())
        return menu

    def resizeEvent(self, event: QResizeEvent) -> None:
        """A narrow page leaves out what the name or the run's own page says too."""
        super().resizeEvent(event)
        narrow = event.size().width() < em(NARROW_EM)
        for at in (_MODEL_COLUMN, _OBJECTIVE_COLUMN):
            self.table.setColumnHidden(at, narrow)

    def _open_folder(self, path: Path) -> None:
        try:
            open_folder(path)
        except DesktopFtError as error:
            self.error_raised.emit(error)

    def _resume(self, summary: RunSummary) -> None:
        self._service.resume(summary.run.path)
        self.run_opened.emit(summary)


def _model_name(summary: RunSummary) -> str:
    return "Demo model" if summary.model == DEMO else summary.model.replace("\\", "/").rstrip("/").rpartition("/")[2]


def _searched(summary: RunSummary) -> str:
    return " ".join((summary.name, summary.model, summary.method, summary.objective)).lower()


def _has_result(summary: RunSummary) -> bool:
    run = summary.run
    return run.adapter.is_dir() or run.model.is_dir() or run.checkpoints.is_dir()


def _paint_losses(painter: QPainter, area: QRectF, summary: RunSummary) -> None:
    paint_sparkline(painter, area.adjusted(8, 8, -8, -8), summary.losses, 0 if summary.is_live else None)
