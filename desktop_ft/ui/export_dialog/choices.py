"""Before the export: at the left what to write, with sizes and the disk; at the right how."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final, cast

from PySide6.QtCore import Qt, Signal
from PySide6.QtWidgets import QCheckBox, QComboBox, QFileDialog, QFrame, QLayout, QWidget

from desktop_ft.core.config.schema import DtypeName
from desktop_ft.core.job import ExportTarget
from desktop_ft.ui.export_dialog.outcome import target_name
from desktop_ft.ui.export_dialog.plan import TARGETS, Choice, Plans, Weights
from desktop_ft.ui.kit.buttons import button
from desktop_ft.ui.kit.fonts import em
from desktop_ft.ui.kit.icons import STATE_ICONS, IconLabel
from desktop_ft.ui.kit.layout import VerticalScrollPage, column, row, rule
from desktop_ft.ui.kit.text import ElidedLabel, Label, format_number, format_size, number_label

_DTYPES: Final[tuple[DtypeName, ...]] = ("auto", "bfloat16", "float16", "float32")
_ICONS: Final[dict[ExportTarget, str]] = {"adapter": "puzzle", "merged": "package"}


class _FormatRow(QWidget):
    """One thing that can be written."""

    def __init__(self, to: ExportTarget, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.tick = QCheckBox(target_name(to))
        self.caption = Label("", "caption", "2", wrap=True)
        line = row(self.tick, None, IconLabel(_ICONS[to]))
        self.setLayout(column(line, row(em(1.9), (self.caption, 1), gap=0), gap=2))

    def set_caption(self, text: str) -> None:
        if self.caption.text() != text:
            self.caption.setText(text)
        self.tick.setAccessibleDescription(text)


class FormatPanel(QFrame):
    """What to write, how much that is, and where it goes.

    Attributes:
        ticks: A check box for each export.
    """

    changed = Signal()
    """A tick or the folder."""

    def __init__(self, folder: Path, *, has_adapter: bool, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setProperty("frame", "well")
        self._folder, self._plans, self._has_adapter = folder, None, has_adapter
        self._rows: dict[ExportTarget, _FormatRow] = {to: _FormatRow(to) for to in TARGETS}
        self.ticks: dict[ExportTarget, QCheckBox] = {to: line.tick for to, line in self._rows.items()}
        self.ticks["merged"].setChecked(True)
        self.ticks["adapter"].setEnabled(has_adapter)
        for tick in self.ticks.values():
            tick.toggled.connect(self._on_ticked)
        self._disk = number_label()
        self._where = ElidedLabel(str(folder), middle=True)
        self.browse = button(self.tr("&Browse…"), icon_name="folder-open", on_click=self._on_browse_clicked)
        disk = row(Label(self.tr("Disk"), tone="2"), None, self._disk)
        where = column(Label(self.tr("Folder"), tone="2"), self._where, self.browse, gap=4)
        title = Label(self.tr("What to write"), "section")
        self.setLayout(column(title, 4, *self._rows.values(), None, rule(), disk, where, gap=12, pad=(16, 14, 16, 14)))
        self.show_plans(None)

    def chosen(self) -> tuple[ExportTarget, ...]:
        """What is ticked."""
        return tuple(to for to, tick in self.ticks.items() if tick.isChecked() and tick.isEnabled())

    def folder(self) -> Path:
        """Where it goes."""
        return self._folder

    def set_folder(self, folder: Path) -> None:
        """Write somewhere else."""
        self._folder = folder
        self._where.setText(str(folder))
        self.changed.emit()

    def set_locked(self, locked: bool) -> None:
        """Nothing can be changed while it is written, nor afterwards."""
        self.browse.setEnabled(not locked)
        for to, tick in self.ticks.items():
            tick.setEnabled(not locked and (to != "adapter" or self._has_adapter))

    def show_plans(self, plans: Plans | None) -> None:
        """Sizes and the disk; None: they are being computed."""
        self._plans = plans
        for to, line in self._rows.items():
            line.set_caption(self._caption(to, plans))
        self._show_disk()

    def _caption(self, to: ExportTarget, plans: Plans | None) -> str:
        what = {"adapter": self.tr("needs the base model"), "merged": self.tr("a whole model, safetensors")}[to]
        if to == "adapter" and not self._has_adapter:
            return self.tr("Full fine-tuning has none: every weight was changed")
        if plans is None:
            return self.tr("computing the size, {0}").format(what)
        size = plans.num_bytes(to)
        return what if size is None else self.tr("at most {0}, {1}").format(format_size(size), what)

    def _show_disk(self) -> None:
        if self._plans is None:
            self._disk.setText("")
            return
        needed = sum(self._plans.num_bytes(to) or 0 for to in self.chosen())
        self._disk.setText(self.tr("{0} of {1} free").format(format_size(needed), format_size(self._plans.free_bytes)))
        self._disk.set_tone("bad" if needed > self._plans.free_bytes else "")

    def _on_ticked(self) -> None:
        self._show_disk()
        self.changed.emit()

    def _on_browse_clicked(self) -> None:
        dialog = QFileDialog(self, self.tr("Folder for the exports"), str(self._folder.parent))
        dialog.setFileMode(QFileDialog.FileMode.Directory)
        dialog.setOption(QFileDialog.Option.ShowDirsOnly)
        dialog.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        dialog.fileSelected.connect(lambda path: self.set_folder(Path(path)))
        dialog.open()


class OptionsPane(QWidget):
    """How to write it: which weights, and their number format.

    Attributes:
        checkpoint: Final state or one of the checkpoints.
        dtype: Number format of merged weights.
    """

    changed = Signal()

    def __init__(self, weights: Sequence[Weights], parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._weights = weights
        self.checkpoint = QComboBox()
        self.checkpoint.setAccessibleName(self.tr("Weights to export"))
        for found in weights:
            self.checkpoint.addItem(self._words(found), found.step)
        self.dtype = QComboBox()
        self.dtype.setAccessibleName(self.tr("Number format of the merged model"))
        for name in _DTYPES:
            self.dtype.addItem(self.tr("as the base model") if name == "auto" else name, name)
        self._checks = Label("", tone="2", wrap=True)
        for box in (self.checkpoint, self.dtype):
            box.setMinimumWidth(em(18))
            box.currentIndexChanged.connect(self.changed)
        self.checkpoint.currentIndexChanged.connect(self._show_checks)
        self._problem, self._icon = Label(wrap=True, selectable=True), IconLabel(STATE_ICONS["bad"], "bad")
        self.setLayout(column(VerticalScrollPage(self._new_content(), name=self.tr("Options of the export"))))
        self.show_problem("")
        self._show_checks()

    def _words(self, weights: Weights) -> str:
        if weights.step is None:
            return self.tr("the final state")
        words = self.tr("checkpoint of step {0}").format(format_number(weights.step))
        is_of_a_stage = weights.is_reward_model != self._weights[0].is_reward_model
        notes = [self.tr("reward model")] if is_of_a_stage else [self.tr("the best")] if weights.is_best else []
        return ", ".join((words, *notes))

    def is_reward_model(self) -> bool:
        """Whether the chosen weights score texts and write none."""
        return self._weights[self.checkpoint.currentIndex()].is_reward_model

    def _show_checks(self) -> None:
        if self.is_reward_model():
            text = self.tr("The merged reward model is loaded again and scores held-out texts beside the trained one: the same scores.")
        else:
            text = self.tr(
                "The merged model is loaded again and reads held-out texts beside the trained model: the same next tokens, the same "
                "chat template, the same sign for the end."
            )
        self._checks.setText(self.tr("{0} An export that is not whole is never left behind.").format(text))

    def _new_content(self) -> QLayout:
        weights = column(
            Label(self.tr("Which weights"), "section"),
            row(self.checkpoint, None),
            Label(
                self.tr("The final state is what the last step left; an earlier checkpoint can be better if the eval loss rose."),
                tone="2",
                wrap=True,
            ),
            gap=6,
        )
        merged = column(
            Label(self.tr("Merged model: number format"), "section"),
            row(self.dtype, None),
            Label(
                self.tr("16 bit (bfloat16 or float16) is what other programs expect. float32 doubles the size and rounds nothing."),
                tone="2",
                wrap=True,
            ),
            gap=6,
        )
        checks = column(
            Label(self.tr("What is checked"), "section"),
            self._checks,
            gap=6,
        )
        problem = row(column(self._icon, None), (self._problem, 1), gap=8)
        return column(weights, merged, checks, problem, None, gap=20, pad=(0, 0, 4, 0))

    def choice(self, folder: Path) -> Choice:
        """What is chosen, for exports below a folder."""
        step: object = self.checkpoint.currentData()
        return Choice(folder, step if isinstance(step, int) else None, cast("DtypeName", self.dtype.currentData()))

    def show_problem(self, text: str) -> None:
        """Why nothing can be written as chosen; empty where it can."""
        if self._problem.text() != text:
            self._problem.setText(text)
        self._problem.setVisible(bool(text))
        self._icon.setVisible(bool(text))

    def problem(self) -> str:
        """What `show_problem` was given."""
        return self._problem.text()

    def set_merged_enabled(self, enabled: bool) -> None:
        """The number format matters only for a merged model."""
        self.dtype.setEnabled(enabled)
