"""The memory panel beside every page: number, uncertainty and limit, the bar, the bill, and what would change it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import cast

from PySide6.QtCore import QCoreApplication
from PySide6.QtWidgets import QVBoxLayout, QWidget

from desktop_ft.core.memory.estimate import Lever, MemoryEstimate
from desktop_ft.core.memory.limits import limits
from desktop_ft.jobs.new_run_model import NewRunModel, PageName
from desktop_ft.ui.kit.chips import VerdictChip
from desktop_ft.ui.kit.fonts import em
from desktop_ft.ui.kit.layout import VerticalScrollPage, clear, column, frame, row, rule
from desktop_ft.ui.kit.memory import MemoryBar, MemoryList, MemoryPart
from desktop_ft.ui.kit.text import GIB, ElidedLabel, Label, format_gib, format_number, number_label
from desktop_ft.ui.kit.theme import theme_manager
from desktop_ft.ui.wizard.exact_box import ExactBox
from desktop_ft.ui.wizard.memory_words import part_explanation, part_name, phase_name
from desktop_ft.ui.wizard.page import see_through
from desktop_ft.ui.wizard.spare_box import SpareBox
from desktop_ft.ui.wizard.words import choice_word, setting_name, value_at

WIDTH_EM = 22.0
NARROW_EM = 19.7


class PairList(QWidget):
    """Lines of words at the left and a number or fact at the right."""

    def __init__(self, title: str, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._lines = column(gap=6)
        self.setLayout(column(Label(title, "section"), self._lines, gap=8))
        self._pairs: tuple[tuple[str, str], ...] = ()

    def set_pairs(self, pairs: Sequence[tuple[str, str]]) -> None:
        """Show other lines; without any the whole list goes."""
        self.setVisible(bool(pairs))
        if tuple(pairs) == self._pairs:
            return
        self._pairs = tuple(pairs)
        clear(self._lines)
        for words, fact in pairs:
            line = QWidget()
            line.setLayout(row((ElidedLabel(words, tone="2"), 1), number_label(fact, "2"), gap=8))
            self._lines.addWidget(line)

    def pairs(self) -> tuple[tuple[str, str], ...]:
        """What is shown."""
        return self._pairs


class MemoryPanel(QWidget):
    """What the run will need, against what the device has. Never empty."""

    def __init__(self, model: NewRunModel, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._model = model
        self._page: PageName = "model"
        self._narrow = False
        self._parts: tuple[MemoryPart, ...] = ()
        self.setAccessibleName(self.tr("Memory"))
        self.chip = VerdictChip()
        self.figure = Label("", "figure")
        self.spread = Label("", tone="2")
        self.free = number_label("", "2")
        self.bar = MemoryBar()
        self.bill = MemoryList()
        self.peak_words, self.peak = Label(self.tr("This run, at its peak"), weight=600), number_label(weight=600)
        self.left_words, self.left = Label(), number_label()
        self.sentence = Label("", "caption", "2", wrap=True)
        self.levers = PairList(self.tr("What would change it"))
        self.sureness = PairList(self.tr("How sure is it?"))
        self.exact = ExactBox(model)
        self.spare = SpareBox()
        self.spare.apply_requested.connect(self._on_apply_requested)
        self._peak_box = QWidget()
        self._peak_box.setLayout(column(rule(), row(self.peak_words, None, self.peak), row(self.left_words, None, self.left), gap=8))
        content = column(
            row(Label(self.tr("Memory"), "section"), None, self.chip),
            row(self.figure, self.spread, None, self.free),
            self.bar, 4, self.bill, self._peak_box, self.sentence, 2, self.levers, self.sureness, self.exact, self.spare, None,
            gap=8, pad=(16, 16, 16, 16),
        )  # fmt: skip
        scroll = VerticalScrollPage(content, name=self.tr("Memory"))
        see_through(scroll)
        outer = QVBoxLayout(self)
        outer.setContentsMargins(0, 0, 0, 0)
        outer.addWidget(frame(column(scroll, gap=0), "panel"))
        for signal in (model.memory_changed, model.model_changed):
            signal.connect(self.refresh)
        theme_manager().changed.connect(self._on_theme_changed)
        self._on_theme_changed()
        self.refresh()

    def set_page(self, page: PageName) -> None:
        """Which page it stands beside."""
        self._page = page
        self.refresh()

    def set_narrow(self, narrow: bool) -> None:
        """Less width beside a narrow page."""
        self._narrow = narrow
        self._on_theme_changed()

    def _on_theme_changed(self) -> None:
        self.setFixedWidth(em(NARROW_EM if self._narrow else WIDTH_EM))

    def refresh(self) -> None:
        """Show the model's estimate, or the device as it is now."""
        model = self._model
        bill = model.estimate
        waiting = bill is None and model.is_model_loading and bool(self._parts)
        self.bill.set_stale(waiting)
        if waiting:
            self.chip.setVisible(True)
            self.chip.set_verdict("unknown")
            self.sentence.setText(self.tr("The model is being read; the numbers are those of before."))
        elif bill is None:
            self._show_device()
        else:
            self._show_bill(bill)
        at_review = self._page == "review"
        self.levers.set_pairs([] if bill is None or at_review else self._levers(bill))
        self.sureness.set_pairs([] if bill is None or not at_review else self._sureness(bill))
        self.exact.set_offered(at_review and bill is not None)
        self._show_spare(bill)

    def _show_spare(self, bill: MemoryEstimate | None) -> None:
        """On the pages where it can be spent; the limits, which take a search, on the last one only."""
        config = self._model.workable
        if bill is None or config is None or self._page not in ("method", "review"):
            self.spare.set_facts(None, None, 0)
            return
        found = limits(config, self._model.situation) if self._page == "review" else None
        self.spare.set_facts(bill, found, config.data.max_length)

    def _on_apply_requested(self, changes: object) -> None:
        self._model.set_values(cast("Mapping[str, object]", changes))

    def _show_device(self) -> None:
        device = self._model.device
        self.chip.setVisible(False)
        self.figure.setText(format_gib(device.free_bytes))
        self.spread.setText(self.tr("free"))
        self.free.setText(self.tr("of {0}").format(format_gib(device.total_bytes)))
        self._show_parts(other_parts(self._model), 0)
        self._peak_box.hide()
        error = self._model.estimate_error
        self.sentence.setText(error.message if error is not None else self._device_sentence())

    def _show_bill(self, bill: MemoryEstimate) -> None:
        needed, free = format_gib(bill.total_bytes), format_gib(bill.free_bytes)
        half = (bill.high_bytes - bill.low_bytes) // 2
        spoken = {"fits": self.tr("fits"), "tight": self.tr("tight"), "does_not_fit": self.tr("does not fit")}[bill.verdict]
        self.chip.setVisible(True)
        self.chip.set_verdict(bill.verdict, self.tr("Memory: {0}, {1} of {2}").format(spoken, needed, free))
        decimals = 2 if bill.total_bytes < GIB else 1
        self.figure.setText(format_gib(bill.total_bytes, decimals, unit=False))
        self.spread.setText(self.tr("± {0}").format(format_gib(half, decimals)))
        self.free.setText(self.tr("{0} free").format(free))
        own = [
            MemoryPart(term.key, part_name(term.key), term.num_bytes, explanation=part_explanation(term.key))
            for term in bill.terms
            if term.num_bytes > 0
        ]
        self._show_parts((*other_parts(self._model), *own), half)
        left = bill.free_bytes - bill.total_bytes
        on_cpu = self._model.device.kind == "cpu"
        self._peak_box.show()
        self.peak.setText(format_gib(bill.total_bytes, 2, unit=False))
        self.left_words.setText(self.tr("Missing") if left < 0 else self.tr("Left over") if on_cpu else self.tr("Left on the card"))
        self.left.setText(format_gib(abs(left), 2, unit=False))
        for label in (self.left_words, self.left):
            label.set_tone("bad" if left < 0 else "")
        self.sentence.setText(self._bill_sentence(bill))

    def _show_parts(self, parts: tuple[MemoryPart, ...], uncertainty_bytes: int) -> None:
        self._parts = parts
        self.bar.set_bill(parts, self._model.device.total_bytes, uncertainty_bytes)
        self.bill.set_parts(parts)

    def _device_sentence(self) -> str:
        device = self._model.device
        if device.kind == "cpu":
            return self.tr("Training will use the CPU: the bar is the main memory. Choose a model to see what it needs.")
        return self.tr("{0}. Choose a model to see what it needs.").format(device.name)

    def _bill_sentence(self, bill: MemoryEstimate) -> str:
        config = self._model.workable
        assert config is not None, "an estimate was made of it"
        micro, tokens = bill.choices.micro_batch_size, longest_row(self._model)
        if config.method.kind == "full":
            method = self.tr("Full fine-tuning")
        else:
            adapter = {"lora": "LoRA", "qlora": "QLoRA"}[config.method.kind]
            name = self.tr("{0} with DoRA").format(adapter) if config.method.use_dora else adapter
            method = self.tr("{0}, rank {1}").format(name, config.method.rank)
        text = self.tr("{0}; the longest batch decides: {1}.").format(method, batch_words(micro, tokens))
        if self._model.device.kind == "cpu":
            return text + " " + self.tr("Training will use the CPU, ten to a hundred times slower than a GPU.")
        return text

    def _levers(self, bill: MemoryEstimate) -> list[tuple[str, str]]:
        resolved = self._model.resolved

        def now(path: str) -> object:
            return self._model.draft.get(path) if resolved is None else value_at(resolved.config, path)

        return [
            (lever_words(lever, now), format_number(lever.num_bytes / GIB, 1, signed=True))
            for lever in bill.levers
            if abs(lever.num_bytes) >= GIB // 20
        ]

    def _sureness(self, bill: MemoryEstimate) -> list[tuple[str, str]]:
        known = self._model.data is not None and self._model.data.longest is not None
        source = self.tr("the longest row") if known else self.tr("the maximum length")
        between = self.tr("{0} to {1}").format(format_gib(bill.low_bytes, unit=False), format_gib(bill.high_bytes))
        return [
            (self.tr("Computed from"), source),
            (self.tr("Most likely"), between),
            (self.tr("Peak in"), phase_name(bill.phase)),
        ]


def longest_row(model: NewRunModel) -> int:
    """Tokens of the longest row that training will see; the limit where the data are not read yet."""
    assert model.workable is not None, "an estimate was made of it"
    limit = model.workable.data.max_length
    longest = model.data.longest if model.data else None
    return min(limit, longest or limit)


def batch_words(num_rows: int, num_tokens: int) -> str:
    """The size of a batch."""
    if num_rows == 1:
        return QCoreApplication.translate("memory_panel", "1 row of {0} tokens").format(format_number(num_tokens))
    return QCoreApplication.translate("memory_panel", "{0} rows of {1} tokens").format(num_rows, format_number(num_tokens))


def other_parts(model: NewRunModel) -> tuple[MemoryPart, ...]:
    """What others hold on the device."""
    device = model.device
    held = device.other_programs_bytes or max(0, device.total_bytes - device.free_bytes)
    name, why = QCoreApplication.translate("memory_panel", "Other programs"), part_explanation("other_programs")
    return (MemoryPart("other_programs", name, held, outside=True, explanation=why),)


def lever_words(lever: Lever, now: Callable[[str], object]) -> str:
    """A lever in few words: "Rank 16 → 8", "DoRA off"; the whole sentence is its title."""
    path = next(iter(lever.set))
    before, after = now(path), lever.set[path]
    name = setting_name(path)
    if isinstance(after, bool):
        return f"{name} {choice_word('on' if after else 'off')}"
    shown = [format_number(value) if isinstance(value, int | float) else str(value) for value in (before, after)]
    return f"{name} {shown[0]} → {shown[1]}"
