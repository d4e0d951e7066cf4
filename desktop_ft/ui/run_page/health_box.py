"""Beside the curves: what they say in words, and the newest sample."""

from __future__ import annotations

from collections.abc import Sequence

from PySide6.QtCore import QCoreApplication, Qt
from PySide6.QtWidgets import QFrame, QWidget

from desktop_ft.core.events import SampleDone
from desktop_ft.core.health import HealthNote
from desktop_ft.ui.kit.buttons import button
from desktop_ft.ui.kit.icons import STATE_ICONS, IconLabel
from desktop_ft.ui.kit.layout import VerticalScrollPage, column, row, rule
from desktop_ft.ui.kit.text import ElidedLabel, Label, format_number


class _NoteRow(QWidget):
    """One observation."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._note: HealthNote | None = None
        self.line = rule()
        self._icon = IconLabel(STATE_ICONS["good"], "good")
        self._title, self._text = Label(weight=600, wrap=True), Label("", "caption", "2", wrap=True)
        words = row(column(self._icon, None), (column(self._title, self._text, gap=2), 1))
        self.setLayout(column(self.line, words, gap=8))

    def show_note(self, note: HealthNote) -> None:
        if note == self._note:
            return
        self._note = note
        self._icon.set_icon(STATE_ICONS[note.tone], note.tone)
        self._title.setText(note.title)
        self._text.setText(note.message)
        self.setAccessibleName(f"{note.title}. {note.message}")


class HealthBox(QFrame):
    """Observations, the worst first; always at least one."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setProperty("frame", "box")
        self.setAccessibleName(self.tr("Health"))
        self._rows: list[_NoteRow] = []
        self._list = column(gap=8)
        self.setLayout(column(Label(self.tr("Health"), "section"), self._list, gap=6, pad=(12, 8, 12, 10)))

    def show_notes(self, notes: Sequence[HealthNote]) -> None:
        """Show other observations; rows are kept and only their words change."""
        while len(self._rows) < len(notes):
            made = _NoteRow()
            self._rows.append(made)
            self._list.addWidget(made)
        for place, line in enumerate(self._rows):
            if place < len(notes):
                line.show_note(notes[place])
                line.line.setVisible(place > 0)
            line.setVisible(place < len(notes))

    def titles(self) -> list[str]:
        """What is shown, in a few words each."""
        return [line.accessibleName().partition(".")[0] for line in self._rows if not line.isHidden()]


class SampleBox(QFrame):
    """The newest answer to one of the fixed prompts, and the answer before training."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setProperty("frame", "box")
        self._samples: list[tuple[SampleDone | None, SampleDone | None]] = []
        self._place = 0
        self.earlier = button(kind="flat", icon_name="chevron-left", name=self.tr("Previous prompt"), on_click=lambda: self._move(-1))
        self.later = button(kind="flat", icon_name="chevron-right", name=self.tr("Next prompt"), on_click=lambda: self._move(1))
        self._step = Label("", "caption", "2")
        self._prompt = Label(weight=600, wrap=True, selectable=True)
        self._text = Label(wrap=True, selectable=True)
        self._before_title = Label(self.tr("Before training"), "caption", "2", weight=600)
        self._before = Label(tone="2", wrap=True, selectable=True)
        for answer in (self._text, self._before):
            answer.setAlignment(Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignTop)
        self._line = rule()
        words = column(self._prompt, self._step, self._text, 2, self._line, self._before_title, self._before, None, gap=4, pad=(0, 0, 4, 0))
        scroll = VerticalScrollPage(words, name=self.tr("Latest sample"))
        head = row(Label(self.tr("Latest sample"), "section"), None, self.earlier, self.later, gap=4)
        self.setLayout(column(head, (scroll, 1), gap=4, pad=(12, 4, 8, 10)))
        self._show()

    def show_samples(self, samples: dict[str, list[SampleDone]]) -> None:
        """Take the first and the newest answer to each prompt."""
        self._samples = [_ends(found) for found in samples.values() if found]
        self._place = min(self._place, max(0, len(self._samples) - 1))
        self._show()

    def texts(self) -> tuple[str, str, str]:
        """Prompt, newest answer and the answer before training as shown; empty where there is none."""
        return self._prompt.text(), self._text.text(), "" if self._before.isHidden() else self._before.text()

    def _move(self, places: int) -> None:
        self._place = (self._place + places) % max(1, len(self._samples))
        self._show()

    def _show(self) -> None:
        can_move = len(self._samples) > 1
        self.earlier.setEnabled(can_move)
        self.later.setEnabled(can_move)
        before, newest = self._samples[self._place] if self._samples else (None, None)
        shown = newest or before
        _set(self._prompt, "" if shown is None else shown.prompt)
        self._prompt.setVisible(shown is not None)
        self._step.setVisible(shown is not None)
        if shown is None:
            _set(self._text, self.tr("None yet. Prompts named in the run's settings are answered before training and at every evaluation."))
        elif newest is None:
            _set(self._step, with_reward(self.tr("before training"), shown))
            _set(self._text, answer_of(shown))
        else:
            _set(self._step, with_reward(self.tr("step {0}").format(format_number(newest.step)), newest))
            _set(self._text, answer_of(newest))
        self._text.set_tone("" if shown is not None else "2")
        has_both = newest is not None and before is not None
        for widget in (self._line, self._before_title, self._before):
            widget.setVisible(has_both)
        if before is not None and has_both:
            _set(self._before, answer_of(before))


def _ends(samples: Sequence[SampleDone]) -> tuple[SampleDone | None, SampleDone | None]:
    """The first and the newest answer; of a scored pair those of the better one, which comes first."""
    found = [sample for sample in samples if sample.index == samples[0].index]
    before = found[0] if found[0].step == 0 else None
    newest = found[-1] if found[-1].step > 0 else None
    return before, newest


def answer_of(sample: SampleDone) -> str:
    """The answer as text; one that was cut at its longest ends in dots."""
    return sample.text if sample.finished else f"{sample.text} …"


def reward_of(sample: SampleDone) -> str:
    """What the answer scored; empty where nothing scores answers."""
    return "" if sample.reward is None else format_number(sample.reward, 2)


def with_reward(when: str, sample: SampleDone) -> str:
    """When it was written, and what it scored where something scores answers."""
    reward = reward_of(sample)
    return QCoreApplication.translate("run_page", "{0}, reward {1}").format(when, reward) if reward else when


def _set(label: Label | ElidedLabel, text: str) -> None:
    if label.text() != text:
        label.setText(text)
