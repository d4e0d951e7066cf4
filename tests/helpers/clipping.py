"""Finds text that a person cannot read: cut by its own widget, by its parent or by the page; and lines that lie over each other.

problems = clipped_texts(window)
assert problems == []
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import combinations
from typing import TypeVar

from PySide6.QtCore import QPoint, QRect, QSize, Qt
from PySide6.QtGui import QFontMetrics
from PySide6.QtWidgets import (
    QAbstractButton,
    QAbstractScrollArea,
    QCheckBox,
    QComboBox,
    QHeaderView,
    QLabel,
    QLineEdit,
    QStyle,
    QStyleOptionComboBox,
    QWidget,
)

from desktop_ft.ui.kit.text import ElidedLabel

TOLERANCE = 1
"""Logical pixels; rounding at 125 % and 150 %."""

_W = TypeVar("_W", bound=QWidget)


def clipped_texts(root: QWidget) -> list[str]:
    """What is wrong on a shown widget, one line each; empty where all can be read."""
    problems: list[str] = []
    for label in _visible(root, QLabel):
        problems += _label_problems(label)
    for button in _visible(root, QAbstractButton):
        problems += _size_problems(button, _text_of(button), button.sizeHint())
    for combo in _visible(root, QComboBox):
        problems += _combo_problems(combo)
    for edit in _visible(root, QLineEdit):
        problems += _edit_problems(edit)
    for header in _visible(root, QHeaderView):
        problems += _header_problems(header)
    for area in _visible(root, QAbstractScrollArea):
        problems += _sideways_problems(area)
    texts: list[QWidget] = [widget for widget in _visible(root, QWidget) if _text_of(widget)]
    for widget in texts:
        problems += _cut_by_ancestor(widget, root)
    return problems + _overlaps(texts)


def _visible(root: QWidget, kind: type[_W]) -> list[_W]:
    return [widget for widget in root.findChildren(kind) if widget.isVisibleTo(root)]


def _text_of(widget: QWidget) -> str:
    if isinstance(widget, QLabel | QAbstractButton):
        return widget.text().replace("&", "").strip()
    return ""


def _name(widget: QWidget) -> str:
    text = _text_of(widget) or widget.accessibleName()
    return f"{type(widget).__name__} “{text[:60]}”"


def _label_problems(label: QLabel) -> Iterator[str]:
    if not label.text():
        return
    if isinstance(label, ElidedLabel):
        if label.is_elided() and not label.toolTip():
            yield f"{_name(label)} is elided without a tooltip"
        if label.height() + TOLERANCE < QFontMetrics(label.font()).height():
            yield f"{_name(label)} is {label.height()} px high, less than a line"
    elif label.wordWrap():
        wanted = label.heightForWidth(label.width())
        if wanted > label.height() + TOLERANCE:
            yield f"{_name(label)} needs {wanted} px of height and has {label.height()}"
        if label.textFormat() == Qt.TextFormat.PlainText:
            longest = max(
                (QFontMetrics(label.font()).horizontalAdvance(word) for word in label.text().replace("\u200b", " ").split()), default=0
            )
            if longest > label.contentsRect().width() + TOLERANCE:
                yield f"{_name(label)} has a word of {longest} px in {label.contentsRect().width()}"
    else:
        yield from _size_problems(label, label.text(), label.sizeHint())


def _size_problems(widget: QWidget, text: str, wanted: QSize) -> Iterator[str]:
    if not text:
        return
    if wanted.width() > widget.width() + TOLERANCE:
        yield f"{_name(widget)} needs {wanted.width()} px of width and has {widget.width()}"
    needed = QFontMetrics(widget.font()).height() if isinstance(widget, QLabel | QCheckBox) else wanted.height()
    if needed > widget.height() + TOLERANCE:
        yield f"{_name(widget)} needs {needed} px of height and has {widget.height()}"


def _combo_problems(combo: QComboBox) -> Iterator[str]:
    option = QStyleOptionComboBox()
    combo.initStyleOption(option)
    area = combo.style().subControlRect(QStyle.ComplexControl.CC_ComboBox, option, QStyle.SubControl.SC_ComboBoxEditField, combo)
    wanted = QFontMetrics(combo.font()).horizontalAdvance(combo.currentText())
    if wanted > area.width() + TOLERANCE:
        yield f"{_name(combo)} shows “{combo.currentText()}” of {wanted} px in {area.width()}"


def _edit_problems(edit: QLineEdit) -> Iterator[str]:
    metrics = QFontMetrics(edit.font())
    if edit.contentsRect().height() + TOLERANCE < metrics.height():
        yield f"{_name(edit)} is lower than its text"
    room = edit.contentsRect().width() - edit.textMargins().left() - edit.textMargins().right()
    if not edit.text() and metrics.horizontalAdvance(edit.placeholderText()) > room:
        yield f"{_name(edit)} cuts its placeholder “{edit.placeholderText()}”"
    if edit.text() and edit.minimumWidth() == edit.maximumWidth() and metrics.horizontalAdvance(edit.text()) > room:
        yield f"{_name(edit)} cuts its text “{edit.text()}”"


def _header_problems(header: QHeaderView) -> Iterator[str]:
    model = header.model()
    for section in range(header.count()):
        if header.isSectionHidden(section):
            continue
        title = str(model.headerData(section, header.orientation(), Qt.ItemDataRole.DisplayRole) or "")
        wanted = header.sectionSizeFromContents(section).width() if title else 0
        if wanted > header.sectionSize(section) + TOLERANCE:
            yield f"heading “{title}” needs {wanted} px and has {header.sectionSize(section)}"


def _sideways_problems(area: QAbstractScrollArea) -> Iterator[str]:
    if isinstance(area, QHeaderView):
        return
    hidden = area.horizontalScrollBar().maximum()
    if hidden > 0:
        yield f"{_name(area)} would have to scroll sideways by {hidden} px"


def _cut_by_ancestor(widget: QWidget, root: QWidget) -> Iterator[str]:
    """The widget has to lie inside every ancestor; from a scroll area's viewport on, only sideways."""
    scrolls = False
    parent = widget.parentWidget()
    while parent is not None:
        above = parent.parentWidget()
        scrolls = scrolls or (isinstance(above, QAbstractScrollArea) and above.viewport() is parent)
        area = QRect(widget.mapTo(parent, QPoint(0, 0)), widget.size())
        out_across = area.left() < -TOLERANCE or area.right() > parent.width() - 1 + TOLERANCE
        out_along = area.top() < -TOLERANCE or area.bottom() > parent.height() - 1 + TOLERANCE
        if out_across or (out_along and not scrolls):
            where = f"{area.left()}..{area.right()} of {parent.width()}, {area.top()}..{area.bottom()} of {parent.height()}"
            yield f"{_name(widget)} is cut by {_name(parent)} ({where})"
            return
        if parent is root:
            return
        parent = above


def _overlaps(texts: Sequence[QWidget]) -> list[str]:
    """Texts of one parent that lie over each other."""
    problems: list[str] = []
    by_parent: dict[int, list[QWidget]] = {}
    for widget in texts:
        by_parent.setdefault(id(widget.parentWidget()), []).append(widget)
    for siblings in by_parent.values():
        for one, other in combinations(siblings, 2):
            common = one.geometry().intersected(other.geometry())
            if common.width() > TOLERANCE and common.height() > TOLERANCE:
                problems.append(f"{_name(one)} and {_name(other)} lie over each other")
    return problems
