"""The card at the sidebar's foot: the GPU's name, who holds its memory, and how hard it works; without one, what the CPU means."""

from __future__ import annotations

from PySide6.QtCore import Qt
from PySide6.QtWidgets import QFrame, QVBoxLayout, QWidget

from desktop_ft.jobs.machine_model import MachineModel
from desktop_ft.ui.kit.icons import IconLabel
from desktop_ft.ui.kit.layout import column, row, rule
from desktop_ft.ui.kit.memory import GpuBar, Swatch
from desktop_ft.ui.kit.text import DASH, ElidedLabel, Label, format_gib, format_number, number_label


class _Line(QWidget):
    """A swatch, a word and a number of GiB."""

    def __init__(self, swatch: Swatch, name: str) -> None:
        super().__init__()
        self._number = number_label("", "2", "caption")
        self.setLayout(row(swatch, Label(name, "caption", "2"), None, self._number, gap=6))

    def set_bytes(self, num_bytes: int) -> None:
        """Show the number; a line of nothing is hidden by its owner."""
        self._number.setText(format_gib(num_bytes, unit=False))


class _Fact(QWidget):
    """A value above its word: load, temperature, power."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self._value = Label(DASH, "caption", weight=600)
        self.setLayout(column(self._value, Label(name, "caption", "2"), gap=0))

    def set_value(self, text: str) -> None:
        """Show another value."""
        self._value.setText(text)


class GpuCard(QFrame):
    """Shows a `MachineModel`; `set_predicted` adds the run being set up."""

    def __init__(self, machine: MachineModel, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._machine = machine
        self._predicted = 0
        self._full = self._new_full()
        self._rail = self._new_rail()
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self._full)
        layout.addWidget(self._rail)
        machine.changed.connect(self.refresh)
        self.set_compact(compact=False)
        self.refresh()

    def set_compact(self, *, compact: bool) -> None:
        """Between the card and the narrow rail."""
        self._full.setVisible(not compact)
        self._rail.setVisible(compact)

    def set_predicted(self, num_bytes: int) -> None:
        """What the run being set up would need; 0 for none."""
        if num_bytes != self._predicted:
            self._predicted = num_bytes
            self.refresh()

    def _new_full(self) -> QWidget:
        self._icon = IconLabel("gpu")
        self._name = ElidedLabel("", weight=600)
        self._total = number_label("", "2", "caption")
        self._bar = GpuBar()
        self._others = _Line(Swatch("other_programs", outside=True), self.tr("Other programs"))
        self._own = _Line(Swatch("weights"), self.tr("This program"))
        self._predicted_line = _Line(Swatch("predicted"), self.tr("Predicted run"))
        self._free = _Line(Swatch("free"), self.tr("Free"))
        self._load, self._heat, self._power = (_Fact(self.tr("load")), _Fact(self.tr("temp")), _Fact(self.tr("power")))
        self._facts = QWidget()
        self._facts.setLayout(column(rule(), row(self._load, None, self._heat, None, self._power), gap=8))
        self._note = Label("", "caption", "2", wrap=True)
        card = QWidget()
        card.setLayout(
            column(
                row(self._icon, (self._name, 1), self._total, gap=6),
                self._bar,
                column(self._others, self._own, self._predicted_line, self._free, gap=3),
                self._note,
                self._facts,
                gap=8,
                pad=(4, 8, 4, 8),
            )
        )
        return card

    def _new_rail(self) -> QWidget:
        self._rail_icon = IconLabel("gpu")
        self._rail_bar = GpuBar()
        self._rail_text = Label("", "caption", "2", align=Qt.AlignmentFlag.AlignHCenter)
        rail = QWidget()
        rail.setLayout(column(row(None, self._rail_icon, None), self._rail_bar, self._rail_text, gap=4, pad=(0, 8, 0, 8)))
        return rail

    def refresh(self) -> None:
        """Take over the machine's state."""
        machine = self._machine
        device, gpu = machine.device, machine.gpu
        picture = "gpu" if gpu is not None else "cpu"
        for icon in (self._icon, self._rail_icon):
            icon.set_icon(picture)
        self._name.setText(_short_name(device.name) if gpu is not None else self.tr("CPU"))
        self._total.setText(format_gib(device.total_bytes, 0))
        for bar in (self._bar, self._rail_bar):
            bar.set_use(device.total_bytes, machine.others_bytes, machine.own_bytes, self._predicted)
        self._others.set_bytes(machine.others_bytes)
        self._show_line(self._own, machine.own_bytes)
        self._show_line(self._predicted_line, self._predicted)
        self._free.set_bytes(device.free_bytes)
        used = machine.others_bytes + machine.own_bytes
        total = format_gib(device.total_bytes, 0, unit=False)
        self._rail_text.setText(self.tr("{0}\nof {1}").format(format_gib(used, unit=False), total))
        self._show_facts()
        self._show_note()
        self._rail.setToolTip(f"{device.name}\n{self._note.text()}".strip())
        self.setAccessibleName(self.tr("Device: {0}").format(device.name))
        self.setAccessibleDescription(self._note.text())

    def _show_line(self, line: _Line, num_bytes: int) -> None:
        line.setVisible(num_bytes > 0)
        line.set_bytes(num_bytes)

    def _show_facts(self) -> None:
        gpu = self._machine.gpu
        self._facts.setVisible(gpu is not None)
        if gpu is None:
            return
        self._load.set_value(DASH if gpu.utilisation_percent is None else f"{gpu.utilisation_percent} %")
        self._heat.set_value(DASH if gpu.temperature_celsius is None else f"{gpu.temperature_celsius} °C")
        self._power.set_value(DASH if gpu.power_watts is None else f"{format_number(gpu.power_watts)} W")

    def _show_note(self) -> None:
        machine = self._machine
        if machine.gpu is None:
            text = self.tr("Training will use the CPU: fine for the demo and small models; a 1\N{NO-BREAK SPACE}B model takes hours.")
            self._note.setToolTip(machine.problem)
        elif machine.num_gpus > 1:
            freest = self.tr("One of {0} cards, the one with the most free memory.")
            chosen = self.tr("One of {0} cards, chosen in Settings.")
            text = (chosen if machine.chosen else freest).format(machine.num_gpus)
        else:
            text = machine.problem
        self._note.setText(text)
        self._note.setVisible(bool(text))


def _short_name(name: str) -> str:
    """Without the maker's name, which leaves room for what tells cards apart."""
    return name.removeprefix("NVIDIA ").removeprefix("GeForce ")
