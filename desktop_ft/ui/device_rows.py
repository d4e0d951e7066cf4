"""Two rows of the settings about this computer: which card trains, and what was measured on it."""

from __future__ import annotations

from PySide6.QtCore import QSignalBlocker, Signal
from PySide6.QtGui import QShowEvent
from PySide6.QtWidgets import QComboBox, QWidget

from desktop_ft.core.errors import DesktopFtError
from desktop_ft.core.memory.measured import forget_measurements, load_measurements
from desktop_ft.jobs.machine_model import MachineModel
from desktop_ft.ui.kit.buttons import button
from desktop_ft.ui.kit.layout import row
from desktop_ft.ui.kit.text import Label, format_gib, format_number


class CardChoice(QWidget):
    """Which of several cards trains; hidden where there is no choice.

    Args:
        machine: Which cards there are.
        chosen: UUID of the card that was chosen; empty for none.
    """

    card_chosen = Signal(str)
    """UUID; empty for the card with the most free memory."""

    def __init__(self, machine: MachineModel, chosen: str, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._machine = machine
        self._chosen = chosen
        self._cards: tuple[tuple[str, str], ...] = ()
        self.combo = QComboBox()
        self.combo.setAccessibleName(self.tr("Card to train on"))
        label = Label(self.tr("Train &on"), tone="2")
        label.setBuddy(self.combo)
        self.setLayout(row(label, self.combo, None, gap=12))
        self.combo.activated.connect(self._on_activated)
        machine.changed.connect(self.refresh)
        self.refresh()

    def set_chosen(self, uuid: str) -> None:
        """Show what was chosen elsewhere."""
        self._chosen = uuid
        self._select()

    def refresh(self) -> None:
        """Take over the cards that there are now; an open list is not torn away while they stay the same."""
        gpus = self._machine.gpus
        self.setVisible(len(gpus) > 1)
        cards = tuple((gpu.uuid, f"{gpu.name}, {format_gib(gpu.total_bytes, 0)}") for gpu in gpus)
        if cards == self._cards:
            return
        self._cards = cards
        with QSignalBlocker(self.combo):
            self.combo.clear()
            self.combo.addItem(self.tr("The card with the most free memory"), "")
            for number, (uuid, words) in enumerate(cards):
                self.combo.addItem(f"{number}: {words}", uuid)
        self._select()

    def _select(self) -> None:
        with QSignalBlocker(self.combo):
            self.combo.setCurrentIndex(max(0, self.combo.findData(self._chosen)))

    def _on_activated(self, _index: int) -> None:
        self._chosen = str(self.combo.currentData())
        self.card_chosen.emit(self._chosen)


class MeasurementsRow(QWidget):
    """How many measurements correct the estimates, and a button that forgets them."""

    forgotten = Signal()
    error_raised = Signal(object)
    """`DesktopFtError`."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.words = Label("", wrap=True)
        self.forget = button(self.tr("&Forget what was measured"), "", "trash-2", on_click=self._on_forget_clicked)
        self.setLayout(row((self.words, 1), self.forget, gap=12))
        self.refresh()

    def refresh(self) -> None:
        """Count anew."""
        count = len(load_measurements().all)
        if count == 1:
            self.words.setText(self.tr("1 measurement of memory and time corrects the estimates."))
        elif count:
            self.words.setText(self.tr("{0} measurements of memory and time correct the estimates.").format(format_number(count)))
        else:
            self.words.setText(self.tr("Nothing was measured yet: estimates are those of the formulas."))
        self.forget.set_reason("" if count else self.tr("Nothing was measured yet"))

    def showEvent(self, event: QShowEvent) -> None:
        """Runs may have ended since."""
        super().showEvent(event)
        self.refresh()

    def _on_forget_clicked(self) -> None:
        try:
            forget_measurements()
        except DesktopFtError as error:
            self.error_raised.emit(error)
        self.refresh()
        self.forgotten.emit()
