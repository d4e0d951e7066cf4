"""Page 4: how much of the model to change, and how to train it."""

from __future__ import annotations

from typing import Final

from PySide6.QtCore import QCoreApplication, Qt
from PySide6.QtGui import QResizeEvent
from PySide6.QtWidgets import QButtonGroup, QWidget

from desktop_ft.core.config.defaults import METHODS, MethodName, changes_for, method_of
from desktop_ft.core.lr_finder import OFFLINE
from desktop_ft.core.memory.estimate import MemoryEstimate
from desktop_ft.jobs.new_run_model import NewRunModel
from desktop_ft.ui.kit.buttons import button
from desktop_ft.ui.kit.fonts import em
from desktop_ft.ui.kit.icons import STATE_ICONS, IconLabel
from desktop_ft.ui.kit.layout import column, row
from desktop_ft.ui.kit.text import Label, format_gib
from desktop_ft.ui.wizard.cards import ChoiceCard
from desktop_ft.ui.wizard.page import WizardPage, set_stacked
from desktop_ft.ui.wizard.rate_dialog import RateDialog
from desktop_ft.ui.wizard.settings_form import Disclosure, SettingRow, SettingsForm

_TONES: Final = {"fits": "good", "tight": "warn", "does_not_fit": "bad"}
TWO_COLUMNS_EM: Final = 46
CARDS_EM: Final = 40
"""From this width on the three cards stand beside each other."""
TRAINING_PATHS: Final = ("training.learning_rate", "training.num_train_epochs", "training.global_batch_size")
VARIANT_PATHS: Final = ("method.use_dora", "method.use_rslora", "method.init", "method.loraplus_lr_ratio")
ADAPTER_PATHS: Final = ("method.rank", *VARIANT_PATHS)
FULL_PATHS: Final = ("method.num_frozen_layers", "method.weight_updates")
QUANTIZATION_PATHS: Final = (
    "method.quantization.quant_type",
    "method.quantization.double_quant",
    "method.quantization.compute_dtype",
)
MORE_ADAPTER: Final = ("method.alpha", "method.dropout", "method.target_modules", "method.modules_to_save", "model.added_tokens")
MORE_TRAINING: Final = (
    "training.micro_batch_size",
    "training.activation_checkpointing",
    "training.checkpoint_every_n_layers",
    "training.offload_checkpoints",
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


class MethodCard(ChoiceCard):
    """One method with a plain line and what it costs in memory."""

    def __init__(self, kind: MethodName, title: str, line: str, parent: QWidget | None = None) -> None:
        self.kind: MethodName = kind
        self._icon = IconLabel("info", "2")
        self._need = Label("", tone="2", wrap=True)
        super().__init__(kind, title, line, row(column(self._icon, None), (self._need, 1)), parent=parent)

    def show_state(self, *, selected: bool, bill: MemoryEstimate | None) -> None:
        """Selected or not, and what the memory would be."""
        self.set_selected(selected)
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
    """LoRA, QLoRA or full fine-tuning, and the settings of each; what has no effect is not shown."""

    def __init__(self, model: NewRunModel) -> None:
        title = QCoreApplication.translate("MethodPage", "Choose the method")
        super().__init__("method", model, title)
        self.cards = self._new_cards()
        self.training = SettingsForm(model, TRAINING_PATHS)
        self.adapter = SettingsForm(model, ADAPTER_PATHS, VARIANT_PATHS)
        self.full_form = SettingsForm(model, FULL_PATHS, FULL_PATHS)
        self.quantization = SettingsForm(model, QUANTIZATION_PATHS)
        self.more_adapter, self.more_training = SettingsForm(model, MORE_ADAPTER), SettingsForm(model, MORE_TRAINING)
        self.go_on = SettingsForm(model, ("model.adapter",))
        self.forms = (
            self.training, self.adapter, self.full_form, self.quantization, self.more_adapter, self.more_training, self.go_on,
        )  # fmt: skip
        self.adapter_heading = Label(self.tr("Adapter"), "section")
        self.full_heading = Label(self.tr("Weights"), "section")
        self.quantization_heading = Label(self.tr("Quantization"), "section")
        self.more = Disclosure(self.tr("&More settings"), self._new_more())
        self.find_rate = button(self.tr("Find the learning &rate…"), "flat", "chart-line", on_click=self._on_find_rate)
        training = column(Label(self.tr("Training"), "section"), self.training, row(self.find_rate, None), gap=10)
        left = column(training, 4, self.quantization_heading, self.quantization, None, gap=10)
        right = column(self.adapter_heading, self.adapter, self.full_heading, self.full_form, None, gap=10)
        self._card_line = row(*((card, 1) for card in self.cards), gap=12)
        self._columns = row((left, 1), (right, 1), gap=32)
        self.set_content(column(self._card_line, self._columns, self.more, None, gap=14))
        for signal in (model.memory_changed, model.draft_changed):
            signal.connect(self._on_model_changed)
        self._on_model_changed()

    def _new_cards(self) -> tuple[MethodCard, ...]:
        self.lora = MethodCard(
            "lora",
            self.tr("&LoRA"),
            self.tr("Trains a small adapter beside the frozen model. Nearly always right: little memory, little is forgotten."),
        )
        self.qlora = MethodCard(
            "qlora",
            self.tr("&QLoRA"),
            self.tr("The same, with the frozen model kept in 4 bit: about a third of the memory, slower, a little less exact."),
        )
        self.full = MethodCard(
            "full",
            self.tr("&Full"),
            self.tr("Changes every weight. The last resort: needs many times the memory and thousands of examples."),
        )
        group = QButtonGroup(self)
        for card in (self.lora, self.qlora, self.full):
            group.addButton(card.radio)
            card.chosen.connect(self._on_method_chosen)
        return self.lora, self.qlora, self.full

    def _new_more(self) -> QWidget:
        more = QWidget()
        self._more_line = row((column(self.more_adapter, None), 1), (column(self.more_training, None), 1), gap=32)
        more.setLayout(column(self._more_line, self.go_on, gap=8))
        return more

    def set_narrow(self, narrow: bool) -> None:
        """The further settings in one column."""
        self._columns.setSpacing(12 if narrow else 32)
        set_stacked(self._more_line, narrow)

    def resizeEvent(self, event: QResizeEvent) -> None:
        """With a large font in a small window there is room for one column only."""
        super().resizeEvent(event)
        set_stacked(self._columns, self.width() < em(TWO_COLUMNS_EM))
        set_stacked(self._card_line, self.width() < em(CARDS_EM))

    def refresh(self) -> None:
        """Show the draft."""
        for form in self.forms:
            form.refresh()
        self._on_model_changed()

    def rows(self) -> dict[str, SettingRow]:
        """Every setting of the page by its path."""
        return {path: shown for form in self.forms for path, shown in form.rows.items()}

    def why_no_sweep(self) -> str:
        """Why no learning rate can be looked for now; empty where it can."""
        model = self.model
        if model.objective not in OFFLINE:
            return self.tr("The loss of this objective says nothing about the rate; watch reward and KL instead")
        blocked = (model.why_blocked("model"), model.why_blocked("objective"), model.why_blocked("data"), model.why_blocked("method"))
        return next((reason for reason in blocked if reason), "")

    def _on_find_rate(self) -> None:
        dialog = RateDialog(self.model.config(), self.model.device, self)
        dialog.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        dialog.rate_chosen.connect(lambda rate: self.model.set("training.learning_rate", rate))
        dialog.open()

    def _on_method_chosen(self, kind: str) -> None:
        self.model.set_method(next(method for method in METHODS if method == kind))
        self._on_model_changed()

    def _on_model_changed(self) -> None:
        kind, draft = method_of(self.model.draft), self.model.draft
        self.find_rate.set_reason(self.why_no_sweep())
        for card in self.cards:
            selected = card.kind == kind
            bill = self.model.estimate if selected else self.model.estimate_with(changes_for(draft, kind=card.kind))
            card.show_state(selected=selected, bill=bill)
        for form in (self.adapter, self.full_form, self.quantization, self.more_adapter, self.go_on):
            form.refresh()
        self.go_on.setVisible(kind != "full")
        for heading, form in (
            (self.adapter_heading, self.adapter),
            (self.full_heading, self.full_form),
            (self.quantization_heading, self.quantization),
        ):
            heading.setVisible(not form.is_empty())
            form.setVisible(not form.is_empty())
        self.more_adapter.setVisible(not self.more_adapter.is_empty())
