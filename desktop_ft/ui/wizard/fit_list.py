"""Make it fit: the changes that would, the cheapest first, each with its gain, its price, what it leads to, and one click."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from PySide6.QtCore import QCoreApplication, Signal
from PySide6.QtWidgets import QFrame, QVBoxLayout, QWidget

from desktop_ft.core.memory.estimate import MemoryEstimate, Suggestion
from desktop_ft.core.memory.terms import Verdict
from desktop_ft.ui.kit.buttons import Button, button
from desktop_ft.ui.kit.fonts import em
from desktop_ft.ui.kit.icons import STATE_ICONS, IconLabel
from desktop_ft.ui.kit.layout import clear, column, row, rule
from desktop_ft.ui.kit.text import GIB, ElidedLabel, Label, format_gib, format_number, number_label

MOST: Final = 4
SAME_RESULT: Final = frozenset(
    {
        "training.micro_batch_size",
        "training.activation_checkpointing",
        "training.checkpoint_every_n_layers",
        "training.offload_checkpoints",
        "model.attention",
    }
)
"""Settings that change how a step is computed, not what it computes."""
_TONES: Final = {"fits": "good", "tight": "warn", "does_not_fit": "bad"}


class FitList(QFrame):
    """Suggestions as rows. ``apply_requested`` carries the changes of the one that was clicked."""

    apply_requested = Signal(object)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setProperty("frame", "box")
        self.setAccessibleName(self.tr("Make it fit"))
        self._lines = QVBoxLayout(self)
        self._lines.setContentsMargins(16, 8, 12, 8)
        self._lines.setSpacing(6)
        self._shown: object = None
        self.buttons: list[Button] = []

    def set_bill(self, bill: MemoryEstimate) -> None:
        """Show the suggestions of an estimate."""
        suggestions = to_show(bill)
        shown = (suggestions, bill.total_bytes, bill.free_bytes)
        if shown == self._shown:
            return
        self._shown = shown
        clear(self._lines)
        self.buttons = []
        best = best_of(suggestions, bill)
        for at, suggestion in enumerate(suggestions):
            if at:
                self._lines.addWidget(rule())
            self._lines.addWidget(self._line(suggestion, bill, is_best=suggestion is best))
        if not suggestions:
            words = self.tr("No single setting would help. Choose a smaller model, or close other programs that use the device.")
            self._lines.addWidget(Label(words, wrap=True))

    def best_button(self) -> Button | None:
        """The Apply of the best fix."""
        return next((made for made in self.buttons if made.property("kind") == "primary"), None)

    def _line(self, suggestion: Suggestion, bill: MemoryEstimate, *, is_best: bool) -> QWidget:
        after = bill.total_bytes - suggestion.saves_bytes
        judged = judge(after, bill)
        head = row((ElidedLabel(suggestion.title, weight=600), 0), gap=10)
        if suggestion.set.keys() <= SAME_RESULT:
            head.addWidget(IconLabel("equal", "good", 14))
            head.addWidget(Label(self.tr("same result"), tone="good"))
        head.addStretch(1)
        words = column(head, ElidedLabel(price_words(suggestion), "caption", "2"), gap=2)
        gain = number_label(f"{format_number(-suggestion.saves_bytes / GIB, 1, signed=True)} GiB", weight=600)
        gain.setFixedWidth(em(6.5))
        leads = Label(self.tr("{0}, {1}").format(format_gib(after), verdict_word(judged)), tone="2")
        leads.setFixedWidth(em(10))
        apply = button(self.tr("Apply"), "primary" if is_best else "", on_click=lambda: self.apply_requested.emit(suggestion.set))
        apply.setAccessibleName(self.tr("Apply: {0}").format(suggestion.title))
        self.buttons.append(apply)
        line = QWidget()
        line.setLayout(row((words, 1), gain, IconLabel(STATE_ICONS[_TONES[judged]], _TONES[judged]), leads, apply, gap=10))
        return line


def to_show(bill: MemoryEstimate) -> tuple[Suggestion, ...]:
    """The first few; a set of changes that is enough together comes before them."""
    sets = tuple(one for one in bill.suggestions if one.is_set)
    single = tuple(one for one in bill.suggestions if not one.is_set)
    return (*sets, *single)[:MOST]


def best_of(suggestions: Sequence[Suggestion], bill: MemoryEstimate) -> Suggestion | None:
    """The first that makes the run fit; else the one that saves most."""
    enough = (one for one in suggestions if judge(bill.total_bytes - one.saves_bytes, bill) != "does_not_fit")
    return next(enough, None) or max(suggestions, key=lambda one: one.saves_bytes, default=None)


def judge(total_bytes: int, bill: MemoryEstimate) -> Verdict:
    """The verdict on another total with the same uncertainty."""
    if total_bytes + (bill.high_bytes - bill.total_bytes) <= bill.free_bytes:
        return "fits"
    return "tight" if total_bytes <= bill.free_bytes else "does_not_fit"


def verdict_word(verdict: Verdict) -> str:
    """A verdict in lower case."""
    words: Mapping[str, str] = {
        "fits": QCoreApplication.translate("fit_list", "fits"),
        "tight": QCoreApplication.translate("fit_list", "tight"),
        "does_not_fit": QCoreApplication.translate("fit_list", "too much"),
    }
    return words[verdict]


def price_words(suggestion: Suggestion) -> str:
    """What a suggestion costs."""
    percent = round(abs(suggestion.slowdown - 1) * 100)
    if percent < 2:
        return QCoreApplication.translate("fit_list", "As fast as now.")
    if suggestion.slowdown > 1:
        return QCoreApplication.translate("fit_list", "A step takes about {0} % longer.").format(percent)
    return QCoreApplication.translate("fit_list", "A step takes about {0} % less time.").format(percent)
