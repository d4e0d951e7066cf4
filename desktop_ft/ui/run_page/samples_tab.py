"""What the model answers to the fixed prompts: before training, and at any step since."""

from __future__ import annotations

from PySide6.QtCore import Qt
from PySide6.QtWidgets import QComboBox, QFrame, QStackedWidget, QWidget

from desktop_ft.core.events import SampleDone
from desktop_ft.ui.kit.buttons import Button, button
from desktop_ft.ui.kit.layout import VerticalScrollPage, column, grid, row
from desktop_ft.ui.kit.text import Label, format_number
from desktop_ft.ui.run_page.health_box import answer_of


class _PromptBox(QFrame):
    """One prompt with two answers side by side."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setProperty("frame", "box")
        self._prompt = Label(weight=600, wrap=True, selectable=True)
        self._before, self._after = Label(tone="2", wrap=True, selectable=True), Label(wrap=True, selectable=True)
        for answer in (self._before, self._after):
            answer.setAlignment(Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignTop)
        self._after_title = Label("", "caption", "2", weight=600)
        answers = grid(gap=24, line_gap=2)
        answers.addWidget(Label(self.tr("Before training"), "caption", "2", weight=600), 0, 0)
        answers.addWidget(self._after_title, 0, 1)
        answers.addWidget(self._before, 1, 0)
        answers.addWidget(self._after, 1, 1)
        answers.setColumnStretch(0, 1)
        answers.setColumnStretch(1, 1)
        answers.setRowStretch(2, 1)
        self.setLayout(column(self._prompt, answers, gap=8, pad=(12, 10, 12, 12)))

    def show_answers(self, prompt: str, before: SampleDone | None, after: SampleDone | None) -> None:
        nothing = self.tr("no answer")
        title = "" if after is None else self.tr("Step {0}").format(format_number(after.step))
        texts = (prompt, nothing if before is None else answer_of(before), nothing if after is None else answer_of(after), title)
        for label, text in zip((self._prompt, self._before, self._after, self._after_title), texts, strict=True):
            if label.text() != text:
                label.setText(text)
        self.setAccessibleName(prompt)

    def answers(self) -> tuple[str, str]:
        return self._before.text(), self._after.text()


class SamplesTab(QWidget):
    """Every prompt with its answer before training and at the chosen step.

    Attributes:
        sample_now: Asks for answers at once.
    """

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._samples: dict[str, list[SampleDone]] = {}
        self._steps: list[int] = []
        self._boxes: list[_PromptBox] = []
        self.step = QComboBox()
        self.step.setAccessibleName(self.tr("Step whose answers are shown"))
        self.step.setMinimumContentsLength(14)
        self.step.currentIndexChanged.connect(self._refresh)
        self.sample_now: Button = button(self.tr("Write samples now"), icon_name="message-square")
        head = row(Label(self.tr("Answers at"), tone="2"), self.step, None, self.sample_now)
        self._list = column(gap=12)
        self._pages = QStackedWidget()
        self._pages.addWidget(self._empty())
        self._pages.addWidget(VerticalScrollPage(column(self._list, None, pad=(0, 0, 4, 0)), name=self.tr("Samples")))
        self.setLayout(column(head, (self._pages, 1), gap=12))

    def _empty(self) -> QWidget:
        page = QWidget()
        words = self.tr("Prompts named in the run's settings are answered before training and at every evaluation.")
        title = Label(self.tr("No samples yet"), "section")
        page.setLayout(column(24, title, Label(words, tone="2", wrap=True), None, gap=4))
        return page

    def show_samples(self, samples: dict[str, list[SampleDone]]) -> None:
        """Take the answers so far; the choice of the step stays, the newest follows."""
        self._samples = {prompt: found for prompt, found in samples.items() if found}
        steps = sorted({sample.step for found in self._samples.values() for sample in found if sample.step > 0}, reverse=True)
        if steps != self._steps or self.step.count() == 0:
            self._set_steps(steps)
        self._refresh()

    def _set_steps(self, steps: list[int]) -> None:
        chosen = self.chosen_step()
        self._steps = steps
        self.step.blockSignals(True)
        self.step.clear()
        self.step.addItem(self.tr("the newest step"), None)
        for step in steps:
            self.step.addItem(self.tr("step {0}").format(format_number(step)), step)
        self.step.setCurrentIndex(steps.index(chosen) + 1 if chosen in steps else 0)
        self.step.blockSignals(False)

    def chosen_step(self) -> int | None:
        """The step whose answers are shown; None: the newest of each prompt."""
        chosen: object = self.step.currentData()
        return chosen if isinstance(chosen, int) else None

    def answers(self) -> list[tuple[str, str]]:
        """Before and after, prompt by prompt, as shown."""
        return [box.answers() for box in self._boxes if not box.isHidden()]

    def _refresh(self) -> None:
        self._pages.setCurrentIndex(1 if self._samples else 0)
        while len(self._boxes) < len(self._samples):
            made = _PromptBox()
            self._boxes.append(made)
            self._list.addWidget(made)
        found = list(self._samples.items())
        for place, box in enumerate(self._boxes):
            box.setVisible(place < len(found))
            if place < len(found):
                prompt, samples = found[place]
                before = samples[0] if samples[0].step == 0 else None
                box.show_answers(prompt, before, _answer_at(samples, self.chosen_step()))


def _answer_at(samples: list[SampleDone], step: int | None) -> SampleDone | None:
    later = [sample for sample in samples if sample.step > 0]
    if step is None:
        return later[-1] if later else None
    return next((sample for sample in later if sample.step == step), None)
