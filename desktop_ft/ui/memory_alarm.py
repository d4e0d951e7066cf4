"""Says in the message strip that another program takes memory which a run will still need, and takes it back when that is over."""

from __future__ import annotations

from typing import cast

from PySide6.QtCore import QObject, Signal

from desktop_ft.jobs.machine_model import MachineModel
from desktop_ft.jobs.run_memory import RunMemoryWatch, Shortage
from desktop_ft.jobs.run_model import RunModel
from desktop_ft.jobs.runs_service import RunsService
from desktop_ft.ui.kit.messages import MessageAction, MessageStrip
from desktop_ft.ui.kit.text import format_gib


class MemoryAlarm(QObject):
    """Watches the service's runs.

    Args:
        machine: The card's readings.
        service: Whose runs.
        strip: Where it is said.
        parent: Qt's owner.

    Attributes:
        watch: Says when there is a shortage.
    """

    show_requested = Signal(object)
    """`RunModel` whose page is asked for."""
    crashed = Signal(object)
    """Traceback (str)."""

    def __init__(self, machine: MachineModel, service: RunsService, strip: MessageStrip, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._strip = strip
        self.watch = RunMemoryWatch(machine, service.opened, self)
        self.watch.shortage_began.connect(self._on_began)
        self.watch.shortage_ended.connect(self._on_ended)
        self.watch.crashed.connect(self.crashed)

    def close_down(self) -> None:
        """Watch no more."""
        self.watch.close()

    def _on_began(self, shortage: object) -> None:
        found = cast("Shortage", shortage)
        model = found.model
        name = model.run.path.name if model.config is None else model.config.name
        text = self.tr("It will still need about {0}; {1} are free.").format(
            format_gib(found.needed_bytes, 1), format_gib(found.free_bytes, 1)
        )
        if found.program:
            text += " " + self.tr("Most of what others hold is {0}'s.").format(found.program)
        self._strip.show_message(
            self.tr("Another program takes memory that {0} needs.").format(name),
            text,
            "warn",
            hint=self.tr(
                "Close programs that use the graphics card. If the memory runs out, the run ends at its last checkpoint and can be "
                "resumed, also with a smaller micro-batch; to be safe, save a checkpoint now or pause the run."
            ),
            action=MessageAction(self.tr("Show"), lambda: self.show_requested.emit(model)),
            key=_key(model),
        )

    def _on_ended(self, model: object) -> None:
        self._strip.dismiss(_key(cast("RunModel", model)))


def _key(model: RunModel) -> str:
    return f"memory:{model.run.path.name}"
