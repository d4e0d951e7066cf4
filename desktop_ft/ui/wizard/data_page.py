"""Page 3: what to learn from. The file, its rows as chat and as trained, what is wrong with it, and how long its rows are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final, cast

from PySide6.QtCore import QCoreApplication, QTimer
from PySide6.QtGui import QDragEnterEvent, QDropEvent, QResizeEvent
from PySide6.QtWidgets import QComboBox, QDialog, QFileDialog, QFrame, QProgressBar, QSizePolicy, QWidget

from desktop_ft.core.config import DEMO
from desktop_ft.core.data.read import SUFFIXES
from desktop_ft.core.data.signals import SIGNALS
from desktop_ft.core.preflight import resolve_data
from desktop_ft.jobs.column_preview import ColumnPreview
from desktop_ft.jobs.data_conversion import DataConversion
from desktop_ft.jobs.data_facts import DataFacts
from desktop_ft.jobs.new_run_model import VIEW_ROWS, NewRunModel
from desktop_ft.ui.kit.buttons import button
from desktop_ft.ui.kit.fonts import em
from desktop_ft.ui.kit.icons import IconLabel
from desktop_ft.ui.kit.layout import VerticalScrollPage, column, frame, row
from desktop_ft.ui.kit.text import ElidedLabel, Label, format_number, format_size
from desktop_ft.ui.objective_words import learns_from
from desktop_ft.ui.wizard.column_dialog import ColumnDialog, fitting_formats
from desktop_ft.ui.wizard.convert_dialog import ConvertDialog
from desktop_ft.ui.wizard.example_view import HEAD_EM, ExampleView
from desktop_ft.ui.wizard.findings import FindingsView, rows_words
from desktop_ft.ui.wizard.fix_dialog import FixDialog
from desktop_ft.ui.wizard.histogram import Histogram, Lengths
from desktop_ft.ui.wizard.notices import AdviceLine, ProblemBox
from desktop_ft.ui.wizard.page import WizardPage, see_through, set_stacked
from desktop_ft.ui.wizard.settings_form import SettingRow
from desktop_ft.ui.wizard.words import format_name

SHOW_WAITING_MS: Final = 300
"""Shorter reading shows nothing; the old content stays."""
TWO_COLUMNS_EM: Final = 48
_OPTIONS: Final = ("data.max_length", "data.assistant_only_loss", "data.split.fraction", "data.eval")


class SourceStrip(QFrame):
    """The file, its format and what can be done with it."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setProperty("frame", "box")
        self.name = ElidedLabel("", weight=600, middle=True)
        self.facts = ElidedLabel("", "caption", "2")
        self.format = QComboBox()
        self.format.setAccessibleName(self.tr("Format"))
        self.format.setSizePolicy(QSizePolicy.Policy.Maximum, QSizePolicy.Policy.Fixed)
        words = Label(self.tr("For&mat"), tone="2")
        words.setBuddy(self.format)
        self.columns = button(self.tr("C&olumns…"))
        self.convert = button(self.tr("Con&vert…"))
        self.convert.setToolTip(self.tr("Convert or export: write the examples in another format"))
        self.demo = button(self.tr("&Demo data"), "flat")
        self.replace = button(self.tr("&Replace…"), "flat")
        names = column(self.name, self.facts, gap=1)
        left = row(IconLabel("file-text", "2", 20), (names, 1), gap=10)
        right = row(words, self.format, self.columns, self.convert, None, self.demo, self.replace, gap=8)
        self._line = row((left, 1), right, gap=8, pad=(12, 8, 8, 8))
        self._file_line, self._tools_line = left, right
        self.setLayout(self._line)

    def set_narrow(self, narrow: bool) -> None:
        """The file on one line, what can be done with it on the next."""
        set_stacked(self._line, narrow)
        for tool in (self.demo, self.replace):
            (self._file_line if narrow else self._tools_line).addWidget(tool)

    def show_format(self, chosen: str, detected: str, formats: Sequence[str]) -> None:
        """Offer the formats that fit; the detected one is named as such."""
        self.format.blockSignals(True)
        self.format.clear()
        self.format.addItem(format_name(detected) if detected else self.tr("Detect"), "auto")
        for name in formats:
            if name != detected or chosen == name:
                self.format.addItem(format_name(name), name)
        self.format.setCurrentIndex(max(0, self.format.findData(chosen)))
        self.format.blockSignals(False)


class DataPage(WizardPage):
    """Choose the data and look at it."""

    def __init__(self, model: NewRunModel) -> None:
        super().__init__("data", model, QCoreApplication.translate("DataPage", "Choose the data"))
        self.learns = Label("", tone="2", wrap=True)
        self.strip = SourceStrip()
        self.assumed = AdviceLine()
        self.waiting = self._new_waiting()
        self.problem = ProblemBox()
        self.examples = ExampleView()
        self.findings = FindingsView()
        self.num_findings = Label("", tone="2")
        self.histogram = Histogram()
        self.median = Label("", tone="2")
        units = {"data.split.fraction": self.tr("of rows")}
        self.options = {path: SettingRow(model, path, unit=units.get(path)) for path in _OPTIONS}
        self.body = self._new_body()
        self.set_content(
            column(self.learns, self.strip, self.assumed, self.waiting, self.problem, (self.body, 1), self._new_options(), gap=10)
        )
        self.setAcceptDrops(True)
        self._delay = QTimer(self)
        self._delay.setSingleShot(True)
        self._delay.setInterval(SHOW_WAITING_MS)
        self._connect()
        self.refresh()

    def set_narrow(self, narrow: bool) -> None:
        """One block for the row, with a switch."""
        self.examples.set_narrow(narrow)
        self.findings.set_narrow(narrow)
        self.strip.set_narrow(narrow)
        self._options_line.setSpacing(6 if narrow else 24)
        set_stacked(self._options_line, narrow)

    def resizeEvent(self, event: QResizeEvent) -> None:
        """With a large font in a small window there is room for one column only."""
        super().resizeEvent(event)
        stacked = self.width() < em(TWO_COLUMNS_EM)
        set_stacked(self._body_line, stacked)
        self.body.setMinimumHeight(em(46 if stacked else 24))

    def refresh(self) -> None:
        """Show what the model knows about the data."""
        model = self.model
        facts = model.data
        self.learns.setText(learns_from(model.objective))
        self.examples.set_asks(SIGNALS[model.objective] == "prompts")
        self._show_source(facts)
        self.problem.show_error(model.data_error)
        self.body.setVisible(facts is not None)
        if model.is_data_loading:
            if not self._delay.isActive() and self.waiting.isHidden():
                self._delay.start()
        else:
            self._delay.stop()
            self.waiting.hide()
        if facts is not None:
            self._show_facts(facts)
        for option in self.options.values():
            option.refresh()

    def open_file(self, path: Path) -> None:
        """Learn from another file."""
        self.model.choose_data(str(path))

    def dragEnterEvent(self, event: QDragEnterEvent) -> None:
        """A file may be dropped anywhere on the page."""
        if any(url.isLocalFile() for url in event.mimeData().urls()):
            event.acceptProposedAction()

    def dropEvent(self, event: QDropEvent) -> None:
        """The first file that was dropped."""
        paths = [Path(url.toLocalFile()) for url in event.mimeData().urls() if url.isLocalFile()]
        if paths:
            event.acceptProposedAction()
            self.open_file(paths[0])

    def _new_waiting(self) -> QWidget:
        waiting = QWidget()
        self.waiting_words = ElidedLabel("", tone="2", middle=True)
        bar = QProgressBar()
        bar.setRange(0, 0)
        bar.setFixedWidth(em(9))
        bar.setAccessibleName(self.tr("Reading the data"))
        self.stop = button(self.tr("Stop reading"), "link", on_click=self.model.cancel_data)
        waiting.setLayout(row((self.waiting_words, 1), bar, self.stop, gap=12))
        waiting.hide()
        return waiting

    def _new_body(self) -> QWidget:
        found = VerticalScrollPage(column(self.findings, gap=0), name=self.findings.accessibleName())
        see_through(found)
        found.setMinimumHeight(em(10))
        check_head = row(Label(self.tr("Data check"), "section"), None, self.num_findings)
        check_head.addStrut(em(HEAD_EM))
        check_box = frame(column(found, gap=0, pad=(1, 1, 1, 1)))
        lengths_head = row(Label(self.tr("Tokens per row"), "section"), None, self.median)
        lengths_box = frame(column(self.histogram, gap=0, pad=(12, 10, 12, 6)))
        right = column(check_head, (check_box, 3), lengths_head, (lengths_box, 2), gap=8)
        body = QWidget()
        self._body_line = row((self.examples, 62), (right, 38), gap=16)
        body.setLayout(self._body_line)
        return body

    def _new_options(self) -> QWidget:
        box = QWidget()
        left = column(self.options["data.max_length"], self.options["data.split.fraction"], None, gap=6)
        right = column(self.options["data.assistant_only_loss"], self.options["data.eval"], None, gap=6)
        self._options_line = row((left, 1), (right, 1), gap=24)
        box.setLayout(column(Label(self.tr("What is learnt, what is held out"), "section"), self._options_line, gap=8))
        return box

    def _connect(self) -> None:
        model, strip = self.model, self.strip
        for signal in (model.draft_changed, model.data_changed, model.model_changed, model.memory_changed):
            signal.connect(self.refresh)
        model.rows_viewed.connect(self._on_rows_viewed)
        self._delay.timeout.connect(self.waiting.show)
        strip.format.activated.connect(self._on_format_chosen)
        strip.columns.clicked.connect(self._on_columns_clicked)
        strip.convert.clicked.connect(self._on_convert_clicked)
        strip.demo.clicked.connect(self._on_demo_clicked)
        strip.replace.clicked.connect(self._on_replace_clicked)
        self.examples.all_requested.connect(self._show_first_rows)
        self.findings.fix_requested.connect(self._on_fix_requested)
        self.findings.preview_requested.connect(model.preview_fix)
        model.fix_previewed.connect(self._on_fix_previewed)
        self.findings.length_requested.connect(self._on_length_requested)
        self.findings.rows_requested.connect(model.view_finding)

    def _show_source(self, facts: DataFacts | None) -> None:
        source = str(self.model.draft.get("data.train") or "")
        path = resolve_data(source, self.model.objective) if source else None
        self.strip.name.setText(self.tr("Demo data") if source == DEMO else path.name if path else self.tr("No file yet: drop one here"))
        self.waiting_words.setText(self.tr("Reading {0}").format(self.strip.name.text()))
        self.strip.demo.setVisible(source != DEMO)
        for tool in (self.strip.columns, self.strip.convert):
            tool.setEnabled(facts is not None)
        detected = str(facts.report["format"]) if facts else ""
        self.strip.show_format(str(self.model.draft.get("data.format")), detected, fitting_formats(self.model.objective))
        size = format_size(path.stat().st_size) if path is not None and path.is_file() else ""
        rows = rows_words(cast("int", facts.report["num_rows"])) if facts else ""
        self.strip.facts.setText(", ".join(part for part in (rows, size) if part))
        reason = str(facts.report["format_reason"]) if facts else ""
        self.strip.format.setToolTip(reason)
        self.assumed.show_words(reason if detected == "kto" and self.model.draft.get("data.format") == "auto" else "", "info")

    def _show_facts(self, facts: DataFacts) -> None:
        context = self.model.model.context_length if self.model.model else 0
        fixes = cast("tuple[str, ...]", self.model.draft.get("data.fixes"))
        self.findings.set_facts(facts, fixes, context)
        count = len(facts.findings)
        self.num_findings.setText(self.tr("1 finding") if count == 1 else self.tr("{0} findings").format(count) if count else "")
        if self.examples.all_rows.isHidden():
            self._show_first_rows()
        name = self.model.model.name if self.model.model else ""
        self.examples.set_template(self.tr("template of {0}").format(self.tr("the demo model") if name == DEMO else name) if name else "")
        lengths = cast("Mapping[str, object]", facts.report.get("lengths") or {})
        self.median.setText(self.tr("median {0}").format(format_number(cast("int", lengths["median"]))) if lengths else "")
        self.histogram.set_lengths(_lengths(lengths))

    def _show_first_rows(self) -> None:
        facts = self.model.data
        if facts is None:
            return
        shown = len(facts.rows)
        whole = facts.num_usable <= VIEW_ROWS
        self.examples.set_rows(facts.rows, format_number(shown) if whole else self.tr("the first {0}").format(shown))

    def _on_rows_viewed(self, code: str, rows: object) -> None:
        facts = self.model.data
        title = next((str(finding["title"]) for finding in facts.findings if finding["code"] == code), "") if facts else ""
        viewed = cast("Sequence[Mapping[str, object]]", rows)
        self.examples.set_rows(viewed, self.tr("{0}: {1}").format(len(viewed), title.lower()), of_finding=True)

    def _on_format_chosen(self, index: int) -> None:
        self.model.set_values({"data.format": str(self.strip.format.itemData(index)), "data.columns": {}})

    def _on_columns_clicked(self) -> None:
        facts = self.model.data
        if facts is None:
            return
        mapping = cast("Mapping[str, str]", self.model.draft.get("data.columns"))
        preview = ColumnPreview(resolve_data(str(self.model.draft.get("data.train")), self.model.objective))
        preview.crashed.connect(self.model.crashed)
        formats = fitting_formats(self.model.objective)
        dialog = ColumnDialog(facts.columns, str(facts.report["format"]), mapping, formats, preview, self)
        preview.setParent(dialog)
        if dialog.exec() == QDialog.DialogCode.Accepted:
            self.model.set_values({"data.format": dialog.format_name(), "data.columns": dialog.mapping()})
        dialog.deleteLater()

    def _on_convert_clicked(self) -> None:
        payload = self.model.conversion_payload()
        if payload is None:
            return
        conversion = DataConversion(payload)
        conversion.crashed.connect(self.model.crashed)
        dialog = ConvertDialog(Path(str(payload["path"])), conversion, self)
        conversion.setParent(dialog)
        dialog.exec()
        dialog.deleteLater()

    def _on_demo_clicked(self) -> None:
        self.model.choose_data(DEMO)

    def _on_replace_clicked(self) -> None:
        patterns = " ".join(f"*{suffix}" for suffix in SUFFIXES) + " *.gz *.zst"
        picked, _ = QFileDialog.getOpenFileName(self, self.tr("Choose the examples"), "", self.tr("Data ({0})").format(patterns))
        if picked:
            self.open_file(Path(picked))

    def _on_fix_requested(self, fix: str, wanted: bool) -> None:
        self.model.set_fix(fix, wanted=wanted)
        self._show_first_rows()

    def _on_fix_previewed(self, shown: object) -> None:
        preview = cast("Mapping[str, object]", shown)
        fix = str(preview["fix"])
        is_taken = fix in cast("tuple[str, ...]", self.model.draft.get("data.fixes"))
        dialog = FixDialog(preview, is_taken=is_taken, parent=self)
        if dialog.exec() == QDialog.DialogCode.Accepted:
            self._on_fix_requested(fix, not is_taken)
        dialog.deleteLater()

    def _on_length_requested(self, num_tokens: int) -> None:
        self.model.set("data.max_length", num_tokens)


def _lengths(report: Mapping[str, object]) -> Lengths | None:
    if not report:
        return None
    histogram = cast("Mapping[str, list[int]]", report["histogram"])
    limit = report.get("max_length")
    return Lengths(
        edges=histogram["bin_edges"],
        counts=histogram["counts"],
        limit=limit if isinstance(limit, int) else None,
        num_over=cast("int", report["num_over"]),
    )
