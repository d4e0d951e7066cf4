"""Python's cyclic garbage is collected in the window's own thread.

The collector runs in whichever thread happens to allocate. A widget in a reference cycle would then be destroyed by a thread that
reads files, at the very moment when the window's thread uses Qt: a crash or, worse, a window that stands still for good.
"""

from __future__ import annotations

import gc
from typing import Final

from PySide6.QtCore import QObject, QTimer

_LOOK_MILLISECONDS: Final = 500


class GuiGarbage(QObject):
    """Switches the automatic collector off and does its work from a timer, generation by generation, at its own thresholds.

    Args:
        parent: Lives in the window's thread; when it goes, the automatic collector is switched on again.
    """

    def __init__(self, parent: QObject) -> None:
        super().__init__(parent)
        self._timer = QTimer(self)
        self._timer.timeout.connect(collect_due)
        self._timer.start(_LOOK_MILLISECONDS)
        gc.disable()
        gc.freeze()  # modules stay for good; without them a full collection takes milliseconds
        parent.destroyed.connect(gc.enable)


def collect_due() -> int:
    """Collect the oldest generation that is due, as the automatic collector would; objects found, 0 where none is due."""
    limits = zip(gc.get_count(), gc.get_threshold(), strict=True)
    due = [generation for generation, (count, most) in enumerate(limits) if most and count > most]
    return gc.collect(max(due)) if due else 0
