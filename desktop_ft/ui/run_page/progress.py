"""The progress bar with its line, and the six figures below it. Heights never change between states."""

from __future__ import annotations

from PySide6.QtWidgets import QGridLayout, QProgressBar, QWidget

from desktop_ft.ui.kit.layout import column, row
from desktop_ft.ui.kit.text import DASH, ElidedLabel, Label
from desktop_ft.ui.run_page.words import ProgressWords

_BAR_STEPS = 1000


class ProgressLines(QWidget):
    """How far the run is and when it will be done."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.bar = QProgressBar()
        self.bar.setRange(0, _BAR_STEPS)
        self.bar.setTextVisible(False)
        self.bar.setAccessibleName(self.tr("Progress of the run"))
        policy = self.bar.sizePolicy()
        policy.setRetainSizeWhenHidden(True)
        self.bar.setSizePolicy(policy)
        self._done, self._note = Label(weight=600), ElidedLabel(tone="2")
        self._left, self._until = ElidedLabel(weight=600), Label(tone="2")
        line = row(self._done, (self._note, 1), self._left, self._until, gap=12)
        self.setLayout(column(self.bar, line, gap=6))

    def show_words(self, words: ProgressWords) -> None:
        """Show how far it is."""
        for label, text in ((self._done, words.done), (self._note, words.note), (self._left, words.left), (self._until, words.until)):
            if label.text() != text:
                label.setText(text)
        self._until.setVisible(bool(words.until))
        self.bar.setVisible(words.share is not None)
        self.bar.setValue(round(_BAR_STEPS * (words.share or 0.0)))
        self.bar.setAccessibleDescription(", ".join(part for part in (words.done, words.note, words.left, words.until) if part))

    def texts(self) -> tuple[str, str, str, str]:
        """What stands there now: done, note, left, until."""
        return self._done.text(), self._note.text(), self._left.text(), self._until.text()


class Figure(QWidget):
    """A number with its name above and what kind of number it is behind."""

    def __init__(self, name: str, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._name, self._value, self._note = ElidedLabel(name, "caption", "2"), Label(DASH, "figure"), ElidedLabel("", "caption", "2")
        line = row(self._value, (self._note, 1), gap=6)
        self.setLayout(column(self._name, line, gap=0))
        self.setMinimumWidth(0)

    def show_value(self, value: str, note: str = "") -> None:
        """Show another number."""
        if self._value.text() != value:
            self._value.setText(value)
        if self._note.text() != note:
            self._note.setText(note)

    def set_name(self, name: str) -> None:
        """Call it something else."""
        self._name.setText(name)

    def value(self) -> str:
        """The number shown."""
        return self._value.text()

    def note(self) -> str:
        """What stands behind it."""
        return self._note.text()


class Figures(QWidget):
    """The six figures of a run in equal columns.

    Attributes:
        loss: Smoothed; of a run that raises a reward the reward.
        eval_loss: The best so far; of a run on preferences or for a reward the number that says more.
        learning_rate: Of the last step.
        grad_norm: Of the last step, before clipping.
        tokens_per_second: Smoothed.
        memory: The peak, GiB.
    """

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.loss = Figure(self.tr("Loss"))
        self.eval_loss = Figure(self.tr("Eval loss"))
        self.learning_rate = Figure(self.tr("Learning rate"))
        self.grad_norm = Figure(self.tr("Gradient norm"))
        self.tokens_per_second = Figure(self.tr("Tokens per second"))
        self.memory = Figure(self.tr("Memory"))
        layout = QGridLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setHorizontalSpacing(12)
        all_figures = (self.loss, self.eval_loss, self.learning_rate, self.grad_norm, self.tokens_per_second, self.memory)
        for place, figure in enumerate(all_figures):
            layout.addWidget(figure, 0, place)
            layout.setColumnStretch(place, 1)
