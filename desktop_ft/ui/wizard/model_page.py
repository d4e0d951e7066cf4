"""Page 1: which model to change. The list of what is on this computer, its facts, and a folder of one's own."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from PySide6.QtCore import QCoreApplication
from PySide6.QtGui import QAction, QKeySequence, QShortcut
from PySide6.QtWidgets import QCheckBox, QFileDialog, QLineEdit, QProgressBar, QSizePolicy, QWidget

from desktop_ft.core.config import DEMO
from desktop_ft.core.models import ModelInfo
from desktop_ft.jobs.model_catalogue import ModelCatalogue, ModelEntry
from desktop_ft.jobs.new_run_model import NewRunModel
from desktop_ft.ui.kit.buttons import SegmentedControl, button
from desktop_ft.ui.kit.fonts import em
from desktop_ft.ui.kit.icons import STATE_ICONS, icon
from desktop_ft.ui.kit.layout import column, frame, row
from desktop_ft.ui.kit.tables import Column, ListModel, TableView
from desktop_ft.ui.kit.text import DASH, ElidedLabel, Label, format_gib, format_number, format_size
from desktop_ft.ui.wizard.notices import ProblemBox
from desktop_ft.ui.wizard.page import WizardPage

_VERDICT_TONES = {"fits": "good", "tight": "warn", "does_not_fit": "bad"}
_CONTEXT_COLUMN = 3
_FOLDER_SEGMENT = 1


class ModelPage(WizardPage):
    """Choose a model.

    Args:
        model: The run being set up.
        catalogue: What is on this computer.
    """

    def __init__(self, model: NewRunModel, catalogue: ModelCatalogue) -> None:
        title = QCoreApplication.translate("ModelPage", "Choose a model")
        sentence = QCoreApplication.translate(
            "ModelPage", "The model that will be changed. Start small: the demo model shows the whole way in two minutes."
        )
        super().__init__("model", model, title, sentence)
        self.catalogue = catalogue
        self.place = SegmentedControl([self.tr("&On this computer"), self.tr("&Folder")], name=self.tr("Where the model is"))
        self.only_fitting = QCheckBox(self.tr("Only what fi&ts"))
        self.only_fitting.setAccessibleName(self.tr("Only what fits"))
        self.filter = self._new_filter()
        self.choose_folder = button(self.tr("C&hoose folder…"), "", "folder-open", on_click=self._on_choose_folder_clicked)
        self.rows = ListModel(model_columns(), key=lambda entry: entry.key)
        self.table = TableView(self.rows, name=self.tr("Models on this computer"))
        self.table.setMinimumHeight(em(11))
        self.empty = Label("", tone="2", wrap=True)
        self.scanning = QWidget()
        bar = QProgressBar()
        bar.setRange(0, 0)
        bar.setMaximumWidth(em(9))
        bar.setAccessibleName(self.tr("Looking for models"))
        self.scanning.setLayout(row(Label(self.tr("Looking for models on this computer"), tone="2"), bar, None))
        self.facts = FactsBox()
        self.problem = ProblemBox()
        tools = row(self.place, None, self.choose_folder, self.only_fitting, self.filter, gap=12)
        self.set_content(column(tools, (self.table, 1), self.empty, self.scanning, self.facts, self.problem, gap=10))
        self._connect()
        self._on_catalogue_changed()
        self._on_model_changed()

    def set_narrow(self, narrow: bool) -> None:
        """The facts repeat the context."""
        self.table.setColumnHidden(_CONTEXT_COLUMN, narrow)
        self.filter.setMinimumWidth(em(8 if narrow else 11))

    def refresh(self) -> None:
        """Show what the catalogue and the model say."""
        self._on_catalogue_changed()
        self._on_model_changed()

    def _new_filter(self) -> QLineEdit:
        field = QLineEdit()
        field.setPlaceholderText(self.tr("Filter"))
        field.setAccessibleName(self.tr("Filter the models by name"))
        look = QAction(icon("search", "2"), "", field)
        field.addAction(look, QLineEdit.ActionPosition.LeadingPosition)
        field.setClearButtonEnabled(True)
        field.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Fixed)
        field.setMinimumWidth(em(11))
        field.setMaximumWidth(em(15))
        return field

    def _connect(self) -> None:
        self.place.current_changed.connect(self._on_catalogue_changed)
        self.only_fitting.toggled.connect(self._on_catalogue_changed)
        self.filter.textChanged.connect(self._on_catalogue_changed)
        self.table.current_changed.connect(self._on_row_chosen)
        self.table.activated_row.connect(self._on_row_activated)
        self.catalogue.changed.connect(self._on_catalogue_changed)
        self.model.model_changed.connect(self._on_model_changed)
        find = QShortcut(QKeySequence(QKeySequence.StandardKey.Find), self)
        find.activated.connect(self.filter.setFocus)

    def _on_catalogue_changed(self, *_: object) -> None:
        in_folders = self.place.current() == _FOLDER_SEGMENT
        self.choose_folder.setVisible(in_folders)
        self.only_fitting.setVisible(not in_folders)
        shown = [entry for entry in self.catalogue.entries if self._is_wanted(entry)]
        self.table.blockSignals(True)
        self.rows.set_rows(shown)
        self._select_current()
        self.table.blockSignals(False)
        self.scanning.setVisible(self.catalogue.is_scanning)
        self.filter.setPlaceholderText(self.tr("Filter {0}").format(len(self.catalogue.entries)))
        self.empty.setVisible(not shown)
        if not shown:
            self.empty.setText(self._why_empty())

    def _is_wanted(self, entry: ModelEntry) -> bool:
        if self.place.current() == _FOLDER_SEGMENT and entry.place != "folder":
            return False
        if (
            self.only_fitting.isVisibleTo(self)
            and self.only_fitting.isChecked()
            and (entry.need is None or entry.need.verdict == "does_not_fit")
        ):
            return False
        return self.filter.text().strip().lower() in entry_name(entry).lower()

    def _why_empty(self) -> str:
        if self.filter.text().strip() or self.only_fitting.isChecked():
            return self.tr("No model matches. Clear the filter to see all of them.")
        return self.tr("No folder was used yet. Choose one that holds config.json, safetensors files and a tokenizer.")

    def _select_current(self) -> None:
        draft = self.model.draft
        self.table.select_key((str(draft.get("model.source")), str(draft.get("model.revision"))))

    def _on_row_chosen(self, entry: object) -> None:
        if isinstance(entry, ModelEntry):
            self.model.choose_model(entry.source, entry.revision)

    def _on_row_activated(self, entry: object) -> None:
        self._on_row_chosen(entry)
        self.next_requested.emit()

    def _on_choose_folder_clicked(self) -> None:
        picked = QFileDialog.getExistingDirectory(self, self.tr("Choose the folder of a model"))
        if picked:
            self.open_folder(Path(picked))

    def open_folder(self, folder: Path) -> None:
        """Train the model of a folder; what is wrong with it is said below the list."""
        self.model.choose_model(str(folder))

    def _on_model_changed(self) -> None:
        model = self.model
        source = str(model.draft.get("model.source") or "")
        self.problem.show_error(model.model_error)
        self.facts.setVisible(model.model_error is None)
        if model.model is not None:
            self._remember(source, model.model)
            self.facts.show_info(model.model, self._place_words(source))
        elif model.model_error is None:
            self.facts.show_waiting(self.tr("The model is being read") if source else self.tr("Choose a model to see its facts."))
        self.table.blockSignals(True)
        self._select_current()
        self.table.blockSignals(False)

    def _remember(self, source: str, info: ModelInfo) -> None:
        if source == DEMO or not Path(source).is_dir() or any(entry.source == source for entry in self.catalogue.entries):
            return
        self.catalogue.remember(source, info)

    def _place_words(self, source: str) -> str:
        if source == DEMO:
            return self.tr("Comes with the program")
        return self.tr("In a folder") if Path(source).is_dir() else self.tr("In the Hugging Face cache")


class FactsBox(QWidget):
    """The facts of the chosen model that matter."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.name = ElidedLabel("", "section", middle=True)
        self.place = Label("", tone="2")
        names = (
            self.tr("Parameters"), self.tr("Chat template"), self.tr("Architecture"), self.tr("Licence"),
            self.tr("Context"), self.tr("Files"), self.tr("Stored as"), self.tr("Folder"),
        )  # fmt: skip
        self.values = [ElidedLabel("", middle=True) for _ in names]
        left, right = column(gap=6), column(gap=6)
        for at, (name, value) in enumerate(zip(names, self.values, strict=True)):
            words = Label(name, tone="2")
            words.setFixedWidth(em(7.3))
            (right if at % 2 else left).addLayout(row(words, (value, 1)))
        lines = row((left, 1), (right, 1), gap=16)
        box = frame(column(row((self.name, 1), self.place), lines, gap=10, pad=(16, 12, 16, 12)))
        self.setLayout(column(box, gap=0))

    def show_info(self, info: ModelInfo, place: str) -> None:
        """Show a model."""
        self.name.setText(QCoreApplication.translate("ModelPage", "Demo model") if info.name == DEMO else info.name)
        self.place.setText(place)
        count = len(info.weight_files)
        files = self.tr("1 safetensors file, {0}") if count == 1 else self.tr("{1} safetensors files, {0}")
        facts = (
            parameters_in_words(info.num_parameters),
            self.tr("present") if info.has_chat_template else self.tr("none: give it plain text or prompts"),
            info.architecture or DASH,
            info.license or self.tr("not stated"),
            self.tr("{0} tokens").format(format_number(info.context_length)) if info.context_length else DASH,
            files.format(format_size(info.num_weight_bytes), count),
            info.dtype or DASH,
            self.tr("built in") if info.name == DEMO else str(info.path),
        )
        for label, fact in zip(self.values, facts, strict=True):
            label.setText(fact)

    def show_waiting(self, words: str) -> None:
        """Say why there are no facts."""
        self.name.setText(words)
        self.place.setText("")
        for label in self.values:
            label.setText(DASH)


def parameters_in_words(count: int) -> str:
    """Parameters as people say them: 8.19 billion, 134.5 million."""
    if count >= 10**9:
        return QCoreApplication.translate("ModelPage", "{0} billion").format(format_number(count / 1e9, 2))
    return QCoreApplication.translate("ModelPage", "{0} million").format(format_number(count / 1e6, 1))


def entry_name(entry: ModelEntry) -> str:
    """An entry's name in the list."""
    return QCoreApplication.translate("ModelPage", "Demo model") if entry.source == DEMO else entry.name


def model_columns() -> list[Column[ModelEntry]]:
    """The columns of the list."""

    def tr(text: str) -> str:
        return QCoreApplication.translate("ModelPage", text)

    def info_text(words: Callable[[ModelInfo], str]) -> Callable[[ModelEntry], str]:
        return lambda entry: DASH if entry.info is None else words(entry.info)

    def context(info: ModelInfo) -> str:
        return f"{format_number(info.context_length / 1024)} k" if info.context_length >= 1024 else format_number(info.context_length)

    def size(entry: ModelEntry) -> float:
        return entry.info.num_parameters if entry.info else -1

    return [
        Column(tr("Model"), entry_name, sort=lambda entry: entry_name(entry).lower()),
        Column(tr("Parameters"), info_text(_short_parameters), "right", 8, sort=size),
        Column(tr("Licence"), info_text(lambda info: info.license or tr("not stated")), "left", 7.5),
        Column(tr("Context"), info_text(context), "right", 6, sort=lambda entry: entry.info.context_length if entry.info else -1),
        Column(tr("Needs on this device"), _need_text, "left", 12.5, icon=_need_icon, tooltip=_need_tooltip, sort=_need_bytes),
    ]


def _short_parameters(info: ModelInfo) -> str:
    count = info.num_parameters
    return f"{format_number(count / 1e9, 2)} B" if count >= 10**8 else f"{format_number(count / 1e6, 1)} M"


def _need_text(entry: ModelEntry) -> str:
    if entry.problem is not None:
        return QCoreApplication.translate("ModelPage", "cannot be trained")
    if entry.need is None:
        unknown = entry.info is not None and entry.info.shape is None
        return QCoreApplication.translate("ModelPage", "not known") if unknown else DASH
    return format_gib(entry.need.total_bytes)


def _need_icon(entry: ModelEntry) -> tuple[str, str] | None:
    if entry.problem is not None:
        return "ban", "2"
    if entry.need is None:
        return None
    tone = _VERDICT_TONES[entry.need.verdict]
    return STATE_ICONS[tone], tone


def _need_tooltip(entry: ModelEntry) -> str:
    if entry.problem is not None:
        return f"{entry.problem.title}. {entry.problem.message}"
    if entry.need is None:
        return QCoreApplication.translate("ModelPage", "Not estimated")
    words = {
        "fits": QCoreApplication.translate("ModelPage", "Fits with the default settings"),
        "tight": QCoreApplication.translate("ModelPage", "Tight with the default settings"),
        "does_not_fit": QCoreApplication.translate("ModelPage", "Does not fit with the default settings"),
    }
    return words[entry.need.verdict]


def _need_bytes(entry: ModelEntry) -> float:
    return entry.need.total_bytes if entry.need else -1
