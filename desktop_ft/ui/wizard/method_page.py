"""Page 4: how much of the model to change, and how to train it."""

from __future__ import annotations

from typing import Final, Literal

from PySide6.QtCore import QCoreApplication, Qt, Signal
from PySide6.QtGui import QMouseEvent, QResizeEvent
from PySide6.QtWidgets import QButtonGroup, QFrame, QRadioButton, QWidget

from desktop_ft.core.config.defaults import DEFAULT_RATES
from desktop_ft.core.memory.estimate import MemoryEstimate
from desktop_ft.jobs.new_run_model import NewRunModel
from desktop_ft.ui.kit.fonts import em
from desktop_ft.ui.kit.icons import STATE_ICONS, IconLabel
from desktop_ft.ui.kit.layout import column, row
from desktop_ft.ui.kit.style_sheet import set_property
from desktop_ft.ui.kit.text import Label, format_gib
from desktop_ft.ui.wizard.page import WizardPage, set_stacked
from desktop_ft.ui.wizard.settings_form import Disclosure, SettingRow, SettingsForm

Kind = Literal["lora", "full"]
_TONES: Final = {"fits": "good", "tight": "warn", "does_not_fit": "bad"}
TWO_COLUMNS_EM: Final = 46
ADAPTER_PATHS: Final = ("method.rank", "method.use_dora", "method.use_rslora")
TRAINING_PATHS: Final = ("training.learning_rate", "training.num_train_epochs", "training.global_batch_size")
MORE_ADAPTER: Final = ("method.alpha", "method.dropout", "method.init", "method.target_modules")
MORE_TRAINING: Final = (
    "training.micro_batch_size",
    "training.activation_checkpointing",
    "training.max_steps",
    "training.lr_scheduler_type",
    "training.warmup_steps",
    "training.weight_decay",
    "training.max_grad_norm",
    "training.optim",
    "training.kernels",
    "model.dtype",
    "model.attention",
    "data.packing",
)


class MethodCard(QFrame):
    """One method with a plain line and what it costs in memory; the whole card can be clicked."""

    chosen = Signal(str)

    def __init__(self, kind: Kind, title: str, line: str, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.kind: Kind = kind
        self.setProperty("frame", "box")
        self.radio = QRadioButton(title)
        self.radio.setAccessibleDescription(line)
        self.radio.setAccessibleName(title.replace("&", ""))
        self._icon = IconLabel("info", "2")
        self._need = Label("", tone="2", wrap=True)
        need = row(column(self._icon, None), (self._need, 1))
        self.setLayout(column(self.radio, Label(line, tone="2", wrap=True), need, None, gap=6, pad=(14, 12, 14, 12)))
        self.radio.clicked.connect(lambda: self.chosen.emit(self.kind))

    def mousePressEvent(self, event: QMouseEvent) -> None:
        """The whole card chooses."""
        if event.button() == Qt.MouseButton.LeftButton:
            self.radio.setFocus(Qt.FocusReason.MouseFocusReason)
            self.chosen.emit(self.kind)

    def show_state(self, *, selected: bool, bill: MemoryEstimate | None) -> None:
        """Selected or not, and what the memory would be."""
        self.radio.setChecked(selected)
        set_property(self, "frame", "banner" if selected else "box")
        set_property(self, "tone", "info" if selected else "")
        if bill is None:
            self._icon.set_icon("memory-stick", "2")
            self._need.setText(self.tr("Memory is not known yet"))
            return
        tone = _TONES[bill.verdict]
        self._icon.set_icon(STATE_ICONS[tone], tone)
        words = {"fits": self.tr("fits"), "tight": self.tr("tight"), "does_not_fit": self.tr("does not fit")}[bill.verdict]
        self._need.setText(
            self.tr("{0} at its peak: {1}").format(format_gib(bill.total_bytes, 1 if bill.total_bytes >= 2**30 else 2), words)
        )


class MethodPage(WizardPage):
    """LoRA or full fine-tuning, and the settings of both."""

    def __init__(self, model: NewRunModel) -> None:
        title = QCoreApplication.translate("MethodPage", "Choose the method")
        super().__init__("method", model, title)
        self.lora = MethodCard(
            "lora",
            self.tr("&LoRA"),
            self.tr("Trains a small adapter beside the frozen model. Nearly always right: little memory, little is forgotten."),
        )
        self.full = MethodCard(
            "full",
            self.tr("&Full"),
            self.tr("Changes every weight. The last resort: needs many times the memory and thousands of examples."),
        )
        group = QButtonGroup(self)
        for card in (self.lora, self.full):
            group.addButton(card.radio)
            card.chosen.connect(self._on_method_chosen)
        self.adapter = SettingsForm(model, ADAPTER_PATHS)
        self.training = SettingsForm(model, TRAINING_PATHS)
        self.adapter_heading = Label(self.tr("Adapter"), "section")
        self.more_adapter = SettingsForm(model, MORE_ADAPTER)
        self.more_training = SettingsForm(model, MORE_TRAINING)
        more = QWidget()
        self._more_line = row((column(self.more_adapter, None), 1), (column(self.more_training, None), 1), gap=32)
        self.go_on = SettingsForm(model, ("model.adapter",))
        more.setLayout(column(self._more_line, self.go_on, gap=8))
        self.more = Disclosure(self.tr("&More settings"), more)
        left = column(Label(self.tr("Training"), "section"), self.training, None, gap=10)
        right = column(self.adapter_heading, self.adapter, None, gap=10)
        cards = row((self.lora, 1), (self.full, 1), gap=12)
        self._columns = row((left, 1), (right, 1), gap=32)
        self.set_content(column(cards, self._columns, self.more, None, gap=14))
        for signal in (model.memory_changed, model.draft_changed):
            signal.connect(self._on_model_changed)
        self._on_model_changed()

    def set_narrow(self, narrow: bool) -> None:
        """The further settings in one column."""
        self._columns.setSpacing(12 if narrow else 32)
        set_stacked(self._more_line, narrow)

    def resizeEvent(self, event: QResizeEvent) -> None:
        """With a large font in a small window there is room for one column only."""
        super().resizeEvent(event)
        set_stacked(self._columns, self.width() < em(TWO_COLUMNS_EM))

    def refresh(self) -> None:
        """Show the draft."""
        self._on_model_changed()
        for form in (self.adapter, self.training, self.more_adapter, self.more_training, self.go_on):
            form.refresh()

    def rows(self) -> dict[str, SettingRow]:
        """Every setting of the page by its path."""
        return {**self.training.rows, **self.adapter.rows, **self.more_adapter.rows, **self.more_training.rows, **self.go_on.rows}

    def _on_method_chosen(self, kind: str) -> None:
        self.model.set_method("full" if kind == "full" else "lora")
        self._on_model_changed()

    def _on_model_changed(self) -> None:
        kind = str(self.model.draft.get("method.kind"))
        for card in (self.lora, self.full):
            selected = card.kind == kind
            bill = self.model.estimate if selected else self.model.estimate_with({"method.kind": card.kind})
            card.show_state(selected=selected, bill=bill)
        for part in (self.adapter, self.adapter_heading, self.more_adapter, self.go_on):
            part.setVisible(kind == "lora")
        rate = self.training.rows["training.learning_rate"]
        rate.set_default(DEFAULT_RATES[kind])
