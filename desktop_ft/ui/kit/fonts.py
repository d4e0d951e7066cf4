"""Sizes as factors of the platform's font, so that a person's larger font enlarges everything. Two weights: 400 and 600."""

from __future__ import annotations

from typing import Literal

from PySide6.QtGui import QFont, QFontDatabase, QFontInfo
from PySide6.QtWidgets import QApplication

FontRole = Literal["caption", "body", "reading", "section", "figure", "title"]

FACTORS: dict[FontRole, float] = {"caption": 0.85, "body": 1.0, "reading": 1.15, "section": 1.08, "figure": 1.46, "title": 1.54}
SEMIBOLD_ROLES: frozenset[FontRole] = frozenset({"section", "figure", "title"})
MONO_FACTOR = 0.95


def base_pixels() -> float:
    """The platform's body size in logical pixels, whether it is set in points or in pixels."""
    font = QApplication.font()
    if font.pixelSize() > 0:
        return float(font.pixelSize())
    return float(QFontInfo(font).pixelSize())


def em(count: float) -> int:
    """A length in units of the platform's body size, in whole logical pixels."""
    return round(base_pixels() * count)


def font(role: FontRole = "body", *, mono: bool = False, weight: int | None = None) -> QFont:
    """A font for a role.

    Args:
        role: Which size; section, figure and title are semibold.
        mono: The platform's fixed font without ligatures, for exact text.
        weight: 400 or 600 instead of the role's own.
    """
    result = QFontDatabase.systemFont(QFontDatabase.SystemFont.FixedFont) if mono else QFont(QApplication.font())
    _scale(result, FACTORS[role] * (MONO_FACTOR if mono else 1.0))
    chosen = weight if weight is not None else 600 if role in SEMIBOLD_ROLES else 400
    result.setWeight(QFont.Weight(chosen))
    features = {"calt": 0, "liga": 0} if mono else {"tnum": 1}
    for name, value in features.items():
        result.setFeature(QFont.Tag(name), value)
    return result


def _scale(target: QFont, factor: float) -> None:
    """Fonts keep the unit that the platform chose: points follow the screen's resolution, pixels do not."""
    app = QApplication.font()
    if app.pixelSize() > 0:
        target.setPixelSize(max(1, round(app.pixelSize() * factor)))
    else:
        target.setPointSizeF(app.pointSizeF() * factor)
