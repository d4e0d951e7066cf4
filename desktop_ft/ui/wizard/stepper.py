"""The five steps on one line: what is done (outline and check, to click), what is now (filled), what comes later (outline)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from PySide6.QtCore import QRectF, QSize, Qt, Signal
from PySide6.QtGui import QColor, QFontMetrics, QPainter, QPaintEvent, QPen
from PySide6.QtWidgets import QAbstractButton, QHBoxLayout, QSizePolicy, QWidget

from desktop_ft.ui.kit.fonts import em, font
from desktop_ft.ui.kit.icons import paint_icon
from desktop_ft.ui.kit.layout import rule
from desktop_ft.ui.kit.theme import theme, theme_manager

StepState = Literal["done", "now", "later"]
_GAP = 8
_RING = 3
"""Room for the focus ring."""


class Step(QAbstractButton):
    """One step: a numbered circle and its word."""

    def __init__(self, number: int, word: str, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._number = number
        self._state: StepState = "later"
        self.setText(word)
        self.setSizePolicy(QSizePolicy.Policy.Fixed, QSizePolicy.Policy.Fixed)
        theme_manager().changed.connect(self._on_theme_changed)
        self.set_state("later")

    def set_state(self, state: StepState) -> None:
        """Show another state; only a step that is done can be clicked."""
        self._state = state
        spoken = {"done": self.tr("done"), "now": self.tr("now"), "later": self.tr("later")}[state]
        self.setAccessibleName(self.tr("Step {0}: {1}, {2}").format(self._number, self.text(), spoken))
        self.setEnabled(state == "done")
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus if state == "done" else Qt.FocusPolicy.NoFocus)
        self.setCursor(Qt.CursorShape.PointingHandCursor if state == "done" else Qt.CursorShape.ArrowCursor)
        self.setToolTip(self.tr("Back to {0}").format(self.text()) if state == "done" else "")
        self.update()

    def state(self) -> StepState:
        """The state shown."""
        return self._state

    def sizeHint(self) -> QSize:
        """Circle, gap and the word as wide as it is while it is the current one."""
        wide = QFontMetrics(font(weight=600)).horizontalAdvance(self.text())
        return QSize(self._side() + _GAP + wide + 2 * _RING + 2, self._side() + 2 * _RING)

    def minimumSizeHint(self) -> QSize:
        """Never less than its word."""
        return self.sizeHint()

    def paintEvent(self, event: QPaintEvent) -> None:
        """Circle, number or check, word, and the ring of the focus."""
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        side = self._side()
        circle = QRectF(_RING + 0.75, _RING + 0.75, side - 1.5, side - 1.5)
        self._paint_circle(painter, circle)
        now = self._state == "now"
        painter.setFont(font(weight=600 if now else 400))
        painter.setPen(QColor(theme().text if now or (self.underMouse() and self.isEnabled()) else theme().text_2))
        words = QRectF(_RING + side + _GAP, 0, self.width() - side - _GAP - _RING, self.height())
        painter.drawText(words, Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter, self.text())
        if self.hasFocus():
            painter.setBrush(Qt.BrushStyle.NoBrush)
            painter.setPen(QPen(QColor(theme().accent), 2))
            painter.drawRoundedRect(QRectF(self.rect()).adjusted(1, 1, -1, -1), 4, 4)
        painter.end()

    def _paint_circle(self, painter: QPainter, circle: QRectF) -> None:
        if self._state == "now":
            painter.setPen(Qt.PenStyle.NoPen)
            painter.setBrush(QColor(theme().accent_fill))
            painter.drawEllipse(circle)
        else:
            painter.setBrush(Qt.BrushStyle.NoBrush)
            painter.setPen(QPen(QColor(theme().accent if self._state == "done" else theme().line_strong), 1.5))
            painter.drawEllipse(circle)
        if self._state == "done":
            inset = circle.width() * 0.22
            paint_icon(painter, "check", circle.adjusted(inset, inset, -inset, -inset), "accent")
            return
        painter.setFont(font("caption", weight=600 if self._state == "now" else 400))
        painter.setPen(QColor(theme().on_accent if self._state == "now" else theme().text_2))
        painter.drawText(circle, Qt.AlignmentFlag.AlignCenter, str(self._number))

    def _side(self) -> int:
        return em(20 / 13)

    def _on_theme_changed(self) -> None:
        self.updateGeometry()
        self.update()


class Stepper(QWidget):
    """All steps in order. ``step_clicked`` carries the index of a step that is done."""

    step_clicked = Signal(int)

    def __init__(self, words: Sequence[str], parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setAccessibleName(self.tr("Steps"))
        self._steps = [Step(number, word) for number, word in enumerate(words, start=1)]
        layout = QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(8)
        for index, step in enumerate(self._steps):
            step.clicked.connect(lambda _checked=False, at=index: self.step_clicked.emit(at))
            layout.addWidget(step)
            if index + 1 < len(self._steps):
                line = rule()
                line.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
                line.setMaximumWidth(em(42 / 13))
                line.setMinimumWidth(4)
                layout.addWidget(line, 1)
        layout.addStretch(1)

    def steps(self) -> Sequence[Step]:
        """The buttons."""
        return tuple(self._steps)

    def set_current(self, index: int, farthest: int) -> None:
        """Show where one is; steps up to ``farthest`` were seen before and count as done."""
        for at, step in enumerate(self._steps):
            step.set_state("now" if at == index else "done" if at <= farthest else "later")
