"""What the model answers: to the fixed prompts before training and at any step since, and what it was sampled for in training."""

from __future__ import annotations

from collections.abc import Sequence

from PySide6.QtCore import Qt
from PySide6.QtWidgets import QComboBox, QFrame, QStackedWidget, QWidget

from desktop_ft.core.events import SampleDone
from desktop_ft.ui.kit.buttons import Button, SegmentedControl, button
from desktop_ft.ui.kit.layout import VerticalScrollPage, column, grid, row
from desktop_ft.ui.kit.text import ElidedLabel, Label, format_number
from desktop_ft.ui.run_page.health_box import answer_of, reward_of, with_reward

_MOST_SHOWN = 50
"""Sampled answers that are shown; the newest."""


class _PromptBox(QFrame):
    """One prompt with two answers side by side."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setProperty("frame", "box")
        self._prompt = Label(weight=600, wrap=True, selectable=True)
        self._before, self._after = Label(tone="2", wrap=True, selectable=True), Label(wrap=True, selectable=True)
        for answer in (self._before, self._after):
            answer.setAlignment(Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignTop)
        self._before_title, self._after_title = Label("", "caption", "2", weight=600), Label("", "caption", "2", weight=600)
        answers = grid(gap=24, line_gap=2)
        answers.addWidget(self._before_title, 0, 0)
        answers.addWidget(self._after_title, 0, 1)
        answers.addWidget(self._before, 1, 0)
        answers.addWidget(self._after, 1, 1)
        answers.setColumnStretch(0, 1)
        answers.setColumnStretch(1, 1)
        answers.setRowStretch(2, 1)
        self.setLayout(column(self._prompt, answers, gap=8, pad=(12, 10, 12, 12)))

    def show_answers(self, prompt: str, before: SampleDone | None, after: SampleDone | None) -> None:
        nothing = self.tr("no answer")
        texts = {
            self._prompt: prompt,
            self._before: nothing if before is None else answer_of(before),
            self._after: nothing if after is None else answer_of(after),
            self._before_title: self.tr("Before training") if before is None else with_reward(self.tr("Before training"), before),
            self._after_title: "" if after is None else with_reward(self.tr("Step {0}").format(format_number(after.step)), after),
        }
        for label, text in texts.items():
            if label.text() != text:
                label.setText(text)
        self.setAccessibleName(prompt)

    def show_scores(self, prompt: str, better: SampleDone, worse: SampleDone) -> None:
        """A pair that a reward model scored."""
        self.show_answers(prompt, better, worse)
        self._before_title.setText(self.tr("Better answer, score {0}").format(reward_of(better)))
        self._after_title.setText(self.tr("Worse answer, score {0}").format(reward_of(worse)))

    def answers(self) -> tuple[str, str]:
        return self._before.text(), self._after.text()

    def titles(self) -> tuple[str, str]:
        return self._before_title.text(), self._after_title.text()


class _SampledBox(QFrame):
    """An answer that was sampled in training, with what it scored."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setProperty("frame", "box")
        self._prompt = ElidedLabel(weight=600)
        self._step = Label("", "caption", "2")
        self._reward = Label(weight=600)
        self._text = Label(wrap=True, selectable=True)
        head = row((self._prompt, 1), self._step, self._reward, gap=12)
        self.setLayout(column(head, self._text, gap=4, pad=(12, 8, 12, 10)))

    def show_sample(self, sample: SampleDone) -> None:
        reward = reward_of(sample)
        texts = (sample.prompt, self.tr("step {0}").format(format_number(sample.step)), answer_of(sample))
        for label, text in zip((self._prompt, self._step, self._text), texts, strict=True):
            if label.text() != text:
                label.setText(text)
        self._reward.setText(self.tr("reward {0}").format(reward) if reward else "")
        self.setAccessibleName(f"{sample.prompt}. {self._reward.text()}")

    def words(self) -> tuple[str, str, str]:
        return self._prompt.text(), self._text.text(), self._reward.text()


class SampledList(QWidget):
    """The newest answers that were sampled in training, newest first."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._boxes: list[_SampledBox] = []
        self._shown: list[SampleDone] = []
        self._list = column(gap=8)
        self.setLayout(column(self._list, None, pad=(0, 0, 4, 0)))

    def show_samples(self, samples: Sequence[SampleDone]) -> None:
        """Take the answers so far."""
        newest = list(samples[: -_MOST_SHOWN - 1 : -1])
        if newest == self._shown:
            return
        self._shown = newest
        while len(self._boxes) < len(newest):
            made = _SampledBox()
            self._boxes.append(made)
            self._list.addWidget(made)
        for place, box in enumerate(self._boxes):
            box.setVisible(place < len(newest))
            if place < len(newest):
                box.show_sample(newest[place])

    def words(self) -> list[tuple[str, str, str]]:
        """Prompt, answer and reward as shown."""
        return [box.words() for box in self._boxes if not box.isHidden()]


class SamplesTab(QWidget):
    """Every prompt with its answer before training and at the chosen step.

    Attributes:
        sample_now: Asks for answers at once.
        kind: The fixed prompts, or what was sampled in training; hidden where nothing is sampled.
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
        kinds = [self.tr("&Fixed prompts"), self.tr("Sa&mpled in training")]
        self.kind = SegmentedControl(kinds, 0, name=self.tr("Which answers are shown"))
        self.kind.current_changed.connect(self._refresh)
        self.kind.hide()
        self.sampled = SampledList()
        self._at = Label(self.tr("Answers at"), tone="2")
        head = row(self.kind, self._at, self.step, None, self.sample_now)
        self._list = column(gap=12)
        self._pages = QStackedWidget()
        self._pages.addWidget(self._empty())
        self._pages.addWidget(VerticalScrollPage(column(self._list, None, pad=(0, 0, 4, 0)), name=self.tr("Samples")))
        self._pages.addWidget(VerticalScrollPage(column(self.sampled, gap=0), name=self.tr("Sampled in training")))
        self.setLayout(column(head, (self._pages, 1), gap=12))

    def _empty(self) -> QWidget:
        page = QWidget()
        words = self.tr("Prompts named in the run's settings are answered before training and at every evaluation.")
        title = Label(self.tr("No samples yet"), "section")
        page.setLayout(column(24, title, Label(words, tone="2", wrap=True), None, gap=4))
        return page

    def show_samples(self, samples: dict[str, list[SampleDone]], sampled: Sequence[SampleDone] = ()) -> None:
        """Take the answers so far; the choice of the step stays, the newest follows.

        Args:
            samples: To the fixed prompts, by prompt.
            sampled: In training, oldest first.
        """
        if sampled and self.kind.isHidden() and not any(samples.values()):
            self.kind.set_current(1)
        self.kind.setVisible(bool(sampled))
        self.sampled.show_samples(sampled)
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

    def titles(self) -> list[tuple[str, str]]:
        """What stands above the answers, prompt by prompt."""
        return [box.titles() for box in self._boxes if not box.isHidden()]

    def _refresh(self) -> None:
        shows_sampled = not self.kind.isHidden() and self.kind.current() == 1
        for widget in (self._at, self.step):
            widget.setVisible(not shows_sampled)
        self._pages.setCurrentIndex(2 if shows_sampled else 1 if self._samples else 0)
        while len(self._boxes) < len(self._samples):
            made = _PromptBox()
            self._boxes.append(made)
            self._list.addWidget(made)
        found = list(self._samples.items())
        for place, box in enumerate(self._boxes):
            box.setVisible(place < len(found))
            if place < len(found):
                self._show_box(box, *found[place])

    def _show_box(self, box: _PromptBox, prompt: str, samples: list[SampleDone]) -> None:
        pair = _pair_at(samples, self.chosen_step())
        if pair is not None:
            box.show_scores(prompt, *pair)
            return
        before = samples[0] if samples[0].step == 0 else None
        box.show_answers(prompt, before, _answer_at(samples, self.chosen_step()))


def _answer_at(samples: list[SampleDone], step: int | None) -> SampleDone | None:
    later = [sample for sample in samples if sample.step > 0]
    if step is None:
        return later[-1] if later else None
    return next((sample for sample in later if sample.step == step), None)


def _pair_at(samples: list[SampleDone], step: int | None) -> tuple[SampleDone, SampleDone] | None:
    """The two answers that a reward model scored at a step (None: the newest); None where the answers are the model's own."""
    at = samples[-1].step if step is None else step
    scored = [sample for sample in samples if sample.step == at and sample.reward is not None]
    return (scored[0], scored[1]) if len(scored) == 2 else None
