"""What a row looks like to the trainer, token by token: what is learnt, what is only read, what ends the turn, what is cut off."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import cast

from PySide6.QtCore import QPointF, QRectF, QSize, Qt
from PySide6.QtGui import QColor, QFont, QFontMetricsF, QPainter, QPaintEvent, QPen, QResizeEvent
from PySide6.QtWidgets import QSizePolicy, QWidget

from desktop_ft.ui.kit.fonts import em, font
from desktop_ft.ui.kit.theme import theme, theme_manager

LINE_EM = 1.65
NEWLINE = "↵"
_IGNORED = -100
_MOST_TOKENS = 3000
"""More than this is not painted; the count says how many there are."""


@dataclass(frozen=True)
class Token:
    """One token.

    Attributes:
        trained: Whether it is learnt.
        special: Whether no ordinary text gives it.
        cut: Whether it lies beyond the maximum length.
    """

    text: str
    trained: bool = False
    special: bool = False
    cut: bool = False


def tokens_of(row: Mapping[str, object]) -> list[Token]:
    """The tokens of a row as `desktop_ft.core.data.view` gives it; of a prompt, which has no labels, none is trained."""
    texts = cast("list[str]", row["tokens"])
    labels = cast("list[int]", row.get("labels") or [_IGNORED] * len(texts))
    special = cast("list[bool]", row["special"])
    kept = [Token(text, label != _IGNORED, mark) for text, label, mark in zip(texts, labels, special, strict=True)]
    return [*kept, *(Token(text, cut=True) for text in cast("list[str]", row.get("cut_tokens") or []))]


@dataclass(frozen=True)
class Piece:
    """A token, or a part of one that was broken over lines, where it stands."""

    area: QRectF
    text: str
    token: Token


class TokenView(QWidget):
    """Paints tokens as running text in the fixed font; as high as they need at its width."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        policy = QSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Minimum)
        policy.setHeightForWidth(True)
        self.setSizePolicy(policy)
        self.setAccessibleName(self.tr("What the model will be trained on"))
        self._tokens: tuple[Token, ...] = ()
        self._pieces: tuple[Piece, ...] = ()
        theme_manager().changed.connect(self._on_theme_changed)

    def set_tokens(self, tokens: Sequence[Token]) -> None:
        """Show other tokens."""
        self._tokens = tuple(tokens[:_MOST_TOKENS])
        self.setAccessibleDescription(spoken(self._tokens))
        self._arrange()

    def tokens(self) -> tuple[Token, ...]:
        """What is shown."""
        return self._tokens

    def pieces(self) -> tuple[Piece, ...]:
        """Where everything stands."""
        return self._pieces

    def sizeHint(self) -> QSize:
        """A column of text."""
        return QSize(em(24), self._height(em(24)))

    def minimumSizeHint(self) -> QSize:
        """Narrow enough for a small window."""
        return QSize(em(12), self.minimumHeight())

    def heightForWidth(self, width: int) -> int:
        """What the lines need."""
        return self._height(width)

    def resizeEvent(self, event: QResizeEvent) -> None:
        """Break the lines anew."""
        super().resizeEvent(event)
        if event.oldSize().width() != event.size().width():
            self._arrange()

    def paintEvent(self, event: QPaintEvent) -> None:
        """Ground, underline, outline and text of each piece."""
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        painter.setFont(_mono())
        for piece in self._pieces:
            if piece.area.bottom() >= event.rect().top() and piece.area.top() <= event.rect().bottom():
                _paint_piece(painter, piece)
        self._paint_cut(painter)
        painter.end()

    def _paint_cut(self, painter: QPainter) -> None:
        """A dashed edge where the maximum length ends."""
        first = next((piece for piece in self._pieces if piece.token.cut), None)
        if first is not None:
            painter.setPen(QPen(QColor(theme().bad), 1.5, Qt.PenStyle.DashLine))
            painter.drawLine(first.area.topLeft(), first.area.bottomLeft())

    def _arrange(self) -> None:
        self._pieces = tuple(arrange(self._tokens, max(self.width(), em(6))))
        wanted = self._height(self.width())
        if wanted != self.minimumHeight():
            self.setMinimumHeight(wanted)
        self.update()

    def _height(self, width: int) -> int:
        pieces = self._pieces if width == self.width() else tuple(arrange(self._tokens, max(width, em(6))))
        return round(pieces[-1].area.bottom()) + 4 if pieces else em(LINE_EM)

    def _on_theme_changed(self) -> None:
        self._arrange()
        self.updateGeometry()


def arrange(tokens: Sequence[Token], width: float) -> Iterator[Piece]:
    """Place tokens on lines; a line break in a token ends its line, and a token wider than a line is broken."""
    metrics = QFontMetricsF(_mono())
    high, pad = float(em(LINE_EM)), 4.0
    x = y = 0.0
    for token in tokens:
        for text, ends_line in _lines_of(token):
            for part in _parts(text, metrics, width):
                wide = metrics.horizontalAdvance(part) + (2 * pad if token.special else 1.0)
                if x > 0 and x + wide > width:
                    x, y = 0.0, y + high
                if part:
                    yield Piece(QRectF(x, y, wide, high), part, token)
                    x += wide
            if ends_line:
                x, y = 0.0, y + high


def _lines_of(token: Token) -> Iterator[tuple[str, bool]]:
    if token.special:
        yield token.text.replace("\n", NEWLINE), False
        return
    lines = token.text.expandtabs(4).split("\n")
    for at, line in enumerate(lines):
        last = at == len(lines) - 1
        yield line if last else f"{line}{NEWLINE}", not last


def _parts(text: str, metrics: QFontMetricsF, width: float) -> Iterator[str]:
    room = max(1, int((width - 10) / max(1.0, metrics.horizontalAdvance("m"))))
    for start in range(0, max(1, len(text)), room):
        yield text[start : start + room]


def _paint_piece(painter: QPainter, piece: Piece) -> None:
    token = piece.token
    box = piece.area.adjusted(0, 2, -1, -2)
    if token.trained:
        painter.fillRect(box, QColor(theme().accent_soft))
        painter.fillRect(QRectF(box.left(), box.bottom() - 2, box.width(), 2), QColor(theme().accent))
    if token.special:
        painter.setBrush(Qt.BrushStyle.NoBrush)
        painter.setPen(QPen(QColor(theme().accent if token.trained else theme().line_strong), 1))
        painter.drawRoundedRect(box.adjusted(0.5, 0.5, -0.5, -0.5), 3, 3)
    painter.setPen(QColor(theme().text_3 if token.cut else theme().text if token.trained else theme().text_2))
    align = Qt.AlignmentFlag.AlignVCenter | (Qt.AlignmentFlag.AlignHCenter if token.special else Qt.AlignmentFlag.AlignLeft)
    painter.drawText(box, align | Qt.TextFlag.TextDontClip, piece.text)
    if token.cut:
        middle = box.center().y() + 1
        painter.drawLine(QPointF(box.left(), middle), QPointF(box.right(), middle))


def spoken(tokens: Sequence[Token]) -> str:
    """Runs of tokens for a screen reader."""
    kinds = {(True, False): "trained", (False, False): "read only", (False, True): "cut off", (True, True): "cut off"}
    parts: list[str] = []
    for kind, group in groupby(tokens, key=lambda token: kinds[token.trained, token.cut]):
        parts.append(f"{kind}: {''.join(token.text for token in group)[:600]}")
    return "\n".join(parts)


def _mono() -> QFont:
    return font(mono=True)
