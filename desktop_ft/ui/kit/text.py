"""Labels that never clip, and numbers as people read them: true minus, thousands, GiB, durations, learning rates."""

from __future__ import annotations

import html
import math

from PySide6.QtCore import QCoreApplication, QLocale, QSize, Qt, QTimer
from PySide6.QtGui import QFontMetrics, QPainter, QPaintEvent, QResizeEvent
from PySide6.QtWidgets import QLabel, QSizePolicy, QWidget

from desktop_ft.ui.kit.fonts import FontRole, em, font
from desktop_ft.ui.kit.style_sheet import set_property
from desktop_ft.ui.kit.theme import theme_manager

MINUS = "−"
DASH = "–"
GIB = 2**30


def _tr(text: str) -> str:
    return QCoreApplication.translate("kit.text", text)


def _locale() -> QLocale:
    """The person's locale; the bare C locale would run digits together."""
    locale = QLocale()
    return QLocale(QLocale.Language.English) if locale.language() == QLocale.Language.C else locale


def format_number(value: float | None, decimals: int = 0, *, signed: bool = False) -> str:
    """A number with the locale's thousands and a true minus; an en dash where there is none.

    Args:
        value: What to show; ``None`` and non-finite values become a dash.
        decimals: Digits behind the point, always all of them.
        signed: Set the sign apart and always, as in "− 9.6" and "+ 0.7".
    """
    if value is None or not math.isfinite(value):
        return DASH
    digits = _locale().toString(abs(float(value)), "f", decimals)
    negative = value < 0 and any(c in "123456789" for c in digits)
    if signed:
        return f"{MINUS if negative else '+'} {digits}"
    return f"{MINUS}{digits}" if negative else digits


def format_gib(num_bytes: float | None, decimals: int = 1, *, unit: bool = True) -> str:
    """Bytes as GiB (2^30), with or without the unit."""
    if num_bytes is None or not math.isfinite(num_bytes):
        return DASH
    number = format_number(num_bytes / GIB, decimals)
    return f"{number} GiB" if unit else number


def format_size(num_bytes: float | None) -> str:
    """Bytes in the unit that keeps the number short: "172 MiB", "8.1 GiB"."""
    if num_bytes is None or not math.isfinite(num_bytes):
        return DASH
    size = float(num_bytes)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if abs(size) < 1024 or unit == "GiB":
            return f"{format_number(size, 1 if unit != 'B' and abs(size) < 100 else 0)} {unit}"
        size /= 1024
    raise AssertionError("unreachable: GiB is the last unit")


def format_duration(seconds: float | None) -> str:
    """A time span as said: "42 s", "39 min", "1 h 12", "2 d 3 h"."""
    if seconds is None or not math.isfinite(seconds):
        return DASH
    whole = max(0, round(seconds))
    if whole < 60:
        return _tr("{0} s").format(whole)
    minutes = round(whole / 60)
    if minutes < 60:
        return _tr("{0} min").format(minutes)
    hours, minutes = divmod(minutes, 60)
    if hours < 24:
        return _tr("{0} h {1:02d}").format(hours, minutes)
    days, hours = divmod(hours, 24)
    return _tr("{0} d {1} h").format(days, hours)


def breakable(text: str) -> str:
    """The same text for the eye, that a wrapped label may break after every part of a path; not to be copied."""
    for separator in ("/", "\\"):
        text = text.replace(separator, f"{separator}\u200b")
    return text


def format_learning_rate(value: float | None) -> str:
    """Two significant digits in the form that people type: 7.1e-5, 2e-4, 0.01."""
    if value is None or not math.isfinite(value):
        return DASH
    if value == 0 or abs(value) >= 0.01:
        return f"{value:.2g}"
    mantissa, exponent = f"{value:.1e}".split("e")
    return f"{mantissa.removesuffix('.0')}e{int(exponent)}"


class Label(QLabel):
    """A label of a role and a tone. Wrapped, it holds the height that its text needs at its width, so that nothing is cut.

    Args:
        text: Plain text, always (model output is never read as HTML).
        role: Its size.
        tone: ``""``, ``2``, ``3``, ``accent`` or a verdict.
        wrap: Break lines.
        mono: The fixed font.
        weight: 400 or 600 instead of the role's own.
        align: Horizontal alignment.
        selectable: The text can be selected and copied with mouse and keyboard.
    """

    def __init__(
        self,
        text: str = "",
        role: FontRole = "body",
        tone: str = "",
        *,
        wrap: bool = False,
        mono: bool = False,
        weight: int | None = None,
        align: Qt.AlignmentFlag | None = None,
        selectable: bool = False,
        parent: QWidget | None = None,
    ) -> None:
        super().__init__(parent)
        self._role: FontRole = role
        self._mono = mono
        self._weight = weight
        self._measured: tuple[str, int, str] | None = None
        self.setTextFormat(Qt.TextFormat.PlainText)
        self.setProperty("tone", tone)
        self.setWordWrap(wrap)
        if align is not None:
            self.setAlignment(align | Qt.AlignmentFlag.AlignVCenter)
        if wrap:
            policy = QSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Minimum)
            policy.setHeightForWidth(True)
            self.setSizePolicy(policy)
        if selectable:
            self.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse | Qt.TextInteractionFlag.TextSelectableByKeyboard)
        self.setFont(font(role, mono=mono, weight=weight))
        self.setText(text)
        theme_manager().changed.connect(self._on_theme_changed)

    def setText(self, text: str) -> None:
        """Show other text, holding the height it needs."""
        super().setText(text)
        self._hold_height()

    def set_tone(self, tone: str) -> None:
        """Change the colour's role."""
        set_property(self, "tone", tone)

    def set_weight(self, weight: int | None) -> None:
        """Change between 400 and 600."""
        self._weight = weight
        self.setFont(font(self._role, mono=self._mono, weight=weight))

    def sizeHint(self) -> QSize:
        """A wrapped label that has a width wants the height for that width, not for the one that Qt would choose."""
        hint = super().sizeHint()
        known = self.wordWrap() and self.testAttribute(Qt.WidgetAttribute.WA_Resized) and self.width() > 0
        return QSize(hint.width(), self.heightForWidth(self.width())) if known else hint

    def minimumSizeHint(self) -> QSize:
        """A wrapped label may become as narrow as a few words; its height follows."""
        hint = super().minimumSizeHint()
        return QSize(min(hint.width(), em(6)), self.minimumHeight()) if self.wordWrap() else hint

    def resizeEvent(self, event: QResizeEvent) -> None:
        """Hold the height for the new width: nested layouts ask too late."""
        super().resizeEvent(event)
        self._hold_height()
        if self.wordWrap() and event.oldSize().width() != self.width():
            # the layouts around still count with the height of the earlier width, and do not listen while they are at work
            QTimer.singleShot(0, self, self.updateGeometry)

    def _on_theme_changed(self) -> None:
        wanted = font(self._role, mono=self._mono, weight=self._weight)
        if wanted != self.font():
            self.setFont(wanted)
            self._hold_height()

    def _hold_height(self) -> None:
        if not self.wordWrap() or self.width() <= 0 or not self.testAttribute(Qt.WidgetAttribute.WA_Resized):
            return
        measured = (self.text(), self.width(), self.font().key())
        if measured == self._measured:
            return
        self._measured = measured
        self.setMinimumHeight(0)  # QLabel never asks for less than its minimum, so that a shorter text could not give room back
        self.setMinimumHeight(max(0, self.heightForWidth(self.width())))


class ReadingLabel(Label):
    """Text to be read at length: larger, with a line height of about 1.45. Made from escaped plain text."""

    def __init__(self, text: str = "", tone: str = "", parent: QWidget | None = None) -> None:
        self._plain = ""
        super().__init__("", "reading", tone, wrap=True, selectable=True, parent=parent)
        self.setTextFormat(Qt.TextFormat.RichText)
        self.setText(text)

    def setText(self, text: str) -> None:
        """Show plain text; a blank line starts a paragraph."""
        self._plain = text
        paragraphs = (html.escape(part).replace("\n", "<br>") for part in text.split("\n\n"))
        super().setText("".join(f"<p style='line-height:120%; margin:0 0 10px 0'>{part}</p>" for part in paragraphs))

    def plain_text(self) -> str:
        """What was given to `setText`."""
        return self._plain


class ElidedLabel(Label):
    """One line that shortens instead of widening its window; the full text is in the tooltip when it is cut.

    Args:
        text: Plain text of one line.
        role: Its size.
        tone: As in `Label`.
        middle: Cut in the middle (names) instead of at the end (sentences).
        weight: As in `Label`.
        mono: As in `Label`.
    """

    def __init__(
        self,
        text: str = "",
        role: FontRole = "body",
        tone: str = "",
        *,
        middle: bool = False,
        weight: int | None = None,
        mono: bool = False,
        parent: QWidget | None = None,
    ) -> None:
        self._mode = Qt.TextElideMode.ElideMiddle if middle else Qt.TextElideMode.ElideRight
        super().__init__(text, role, tone, weight=weight, mono=mono, parent=parent)

    def minimumSizeHint(self) -> QSize:
        """Room for a few letters: a long text must not widen the window."""
        return QSize(min(em(3), self.sizeHint().width()), super().minimumSizeHint().height())

    def is_elided(self) -> bool:
        """Whether the text is cut at this width."""
        return QFontMetrics(self.font()).horizontalAdvance(self.text()) > self.contentsRect().width()

    def resizeEvent(self, event: QResizeEvent) -> None:
        """Offer the full text only where it is cut."""
        super().resizeEvent(event)
        self.setToolTip(self.text() if self.is_elided() else "")

    def setText(self, text: str) -> None:
        """Show other text."""
        super().setText(text)
        self.setToolTip(self.text() if self.is_elided() else "")

    def paintEvent(self, event: QPaintEvent) -> None:
        """Paint what fits."""
        area = self.contentsRect()
        shown = QFontMetrics(self.font()).elidedText(self.text(), self._mode, area.width())
        painter = QPainter(self)
        self.style().drawItemText(painter, area, int(self.alignment()), self.palette(), self.isEnabled(), shown, self.foregroundRole())
        painter.end()


def number_label(text: str = "", tone: str = "", role: FontRole = "body", weight: int | None = None) -> Label:
    """A number at the right of its column."""
    return Label(text, role, tone, weight=weight, align=Qt.AlignmentFlag.AlignRight)


def key_cap(text: str) -> Label:
    """A key as drawn on the labeling screen."""
    cap = Label(text, "caption", mono=True, align=Qt.AlignmentFlag.AlignHCenter)
    cap.setProperty("kind", "key")
    cap.setMinimumSize(em(1.4), em(1.4))
    cap.setSizePolicy(QSizePolicy.Policy.Maximum, QSizePolicy.Policy.Fixed)
    return cap
