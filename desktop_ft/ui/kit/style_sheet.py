"""The one style sheet, made from the theme. It touches only what Fusion dates; states are properties, never colours in code.

Menus, tooltips, spin boxes, sliders, splitters, trees and message boxes are left to Fusion and the palette. Radio buttons are not: Fusion
draws their ring darker than the window, which on a dark window cannot be seen.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from PySide6.QtWidgets import QWidget

from desktop_ft.core.resources import resources_dir

if TYPE_CHECKING:
    from desktop_ft.ui.kit.theme import Theme


def set_property(widget: QWidget, name: str, value: object) -> None:
    """Set a property that the sheet selects by, and let it take effect at once."""
    if widget.property(name) == value:
        return
    widget.setProperty(name, value)
    widget.style().unpolish(widget)
    widget.style().polish(widget)
    widget.update()


def svg_source(name: str, colour: str, stroke: float = 2.0) -> str:
    """An icon's SVG text with its colour and its stroke put in (stroke in units of the 24 x 24 drawing)."""
    text = (resources_dir() / "icons" / f"{name}.svg").read_text(encoding="utf-8")
    return text.replace("currentColor", colour).replace('stroke-width="2"', f'stroke-width="{stroke}"')


def build(theme: Theme, scratch: str) -> str:
    """The sheet for a theme.

    Args:
        theme: Its colours.
        scratch: A folder for the two pictures that a sheet can only name as files.
    """
    return _frames(theme) + _buttons(theme) + _fields(theme, scratch) + _views(theme)


def _picture(name: str, colour: str, folder: str) -> str:
    path = Path(folder) / f"{name}-{colour.lstrip('#')}.svg"
    path.write_text(svg_source(name, colour, 2.5), encoding="utf-8")
    return path.as_posix()


def _frames(t: Theme) -> str:
    soft = "".join(
        f'QFrame[frame="chip"][tone="{tone}"] {{ background: {t.soft(tone)}; border-radius: 4px; }}'
        f'QFrame[frame="strip"][tone="{tone}"] {{ background: {t.soft(tone)}; border-left: 3px solid {t.tone(tone)}; border-radius: 4px; }}'
        f'QFrame[frame="banner"][tone="{tone}"] {{ background: {t.soft(tone)}; border: 1px solid {t.tone(tone)}; border-radius: 6px; }}'
        for tone in ("good", "warn", "bad", "info", "busy", "2")
    )
    toned = ("2", "3", "accent", "info", "busy", "good", "warn", "bad")
    tones = "".join(f'QLabel[tone="{tone}"] {{ color: {t.tone(tone)}; }}' for tone in toned)
    return f"""
    QMenuBar {{ background: {t.window}; border-bottom: 1px solid {t.line}; padding: 1px 8px; }}
    QMenuBar::item {{ padding: 4px 8px; background: transparent; border-radius: 4px; }}
    QMenuBar::item:selected {{ background: {t.hover}; }}
    QFrame[frame="sidebar"] {{ background: {t.window}; border-right: 1px solid {t.line}; }}
    QFrame[frame="page"], QScrollArea[frame="page"], QWidget[frame="scrolled"] {{ background: {t.surface}; border: none; }}
    QFrame[frame="footer"] {{ background: {t.window}; border-top: 1px solid {t.line}; }}
    QFrame[frame="panel"] {{ background: {t.sunken}; border-left: 1px solid {t.line}; }}
    QFrame[frame="box"] {{ background: {t.surface}; border: 1px solid {t.line}; border-radius: 6px; }}
    QFrame[frame="well"] {{ background: {t.sunken}; border: 1px solid {t.line}; border-radius: 6px; }}
    QFrame[frame="rule"] {{ background: {t.line}; border: none; }}
    {soft} {tones}
    QLabel:disabled {{ color: {t.disabled}; }}
    QLabel[kind="key"] {{
        background: {t.surface}; color: {t.text_2}; border: 1px solid {t.line_strong}; border-radius: 3px; padding: 0 4px; }}
    """


def _buttons(t: Theme) -> str:
    return f"""
    QPushButton {{ background: {t.surface}; border: 1px solid {t.line_strong}; border-radius: 4px; padding: 5px 12px; color: {t.text}; }}
    QPushButton:hover {{ background: {t.hover}; }}
    QPushButton:pressed {{ background: {t.line}; }}
    QPushButton:focus {{ border: 2px solid {t.accent}; padding: 4px 11px; }}
    QPushButton[kind="primary"] {{ background: {t.accent_fill}; color: {t.on_accent}; border-color: {t.accent_fill}; font-weight: 600; }}
    QPushButton[kind="primary"]:hover, QPushButton[kind="primary"]:pressed {{ background: {t.accent_hover}; }}
    QPushButton[kind="primary"]:focus {{ border: 2px solid {t.text}; }}
    QPushButton:disabled, QPushButton[kind="primary"]:disabled {{ color: {t.disabled}; border-color: {t.line}; background: {t.window}; }}
    QPushButton[kind="flat"] {{ background: transparent; border-color: transparent; padding: 5px 8px; }}
    QPushButton[kind="flat"]:hover {{ background: {t.hover}; }}
    QPushButton[kind="flat"]:pressed {{ background: {t.line}; }}
    QPushButton[kind="flat"]:focus {{ border: 2px solid {t.accent}; padding: 4px 7px; }}
    QPushButton[kind="link"] {{
        background: transparent; border: none; color: {t.accent}; padding: 2px 4px; text-align: left; border-radius: 4px; }}
    QPushButton[kind="link"]:hover {{ text-decoration: underline; }}
    QPushButton[kind="link"]:focus {{ border: 2px solid {t.accent}; padding: 0 2px; }}
    QPushButton[kind="flat"]:disabled, QPushButton[kind="link"]:disabled {{
        color: {t.disabled}; background: transparent; border-color: transparent; }}
    QPushButton[kind="nav"] {{ background: transparent; border: none; border-radius: 4px; text-align: left; padding: 7px 10px; }}
    QPushButton[kind="nav"]:hover {{ background: {t.hover}; }}
    QPushButton[kind="nav"]:checked {{
        background: {t.accent_soft}; font-weight: 600; border-left: 3px solid {t.accent}; padding-left: 7px; }}
    QPushButton[kind="nav"]:focus {{ border: 2px solid {t.accent}; padding: 5px 8px; }}
    QPushButton[kind="nav"]:checked:focus {{ border: 2px solid {t.accent}; border-left: 3px solid {t.accent}; padding: 5px 8px 5px 7px; }}
    QPushButton[kind="segment"] {{ border-radius: 0; border-right-width: 0; padding: 5px 12px; }}
    QPushButton[kind="segment"][edge="first"] {{ border-top-left-radius: 4px; border-bottom-left-radius: 4px; }}
    QPushButton[kind="segment"][edge="last"] {{ border-top-right-radius: 4px; border-bottom-right-radius: 4px; border-right-width: 1px; }}
    QPushButton[kind="segment"][edge="only"] {{ border-radius: 4px; border-right-width: 1px; }}
    QPushButton[kind="segment"]:checked {{ background: {t.accent_soft}; font-weight: 600; }}
    QPushButton[kind="segment"]:focus {{ border: 2px solid {t.accent}; padding: 4px 11px 4px 11px; }}
    """


def _fields(t: Theme, scratch: str) -> str:
    fields = "QLineEdit, QComboBox, QPlainTextEdit, QTextEdit"
    return f"""
    {fields} {{ background: {t.surface}; border: 1px solid {t.line_strong}; border-radius: 4px; padding: 4px 8px; }}
    QPlainTextEdit, QTextEdit {{ padding: 4px; }}
    QLineEdit:focus, QComboBox:focus {{ border: 2px solid {t.accent}; padding: 3px 7px; }}
    QPlainTextEdit:focus, QTextEdit:focus {{ border: 2px solid {t.accent}; padding: 3px; }}
    QLineEdit[wrong="true"], QComboBox[wrong="true"], QPlainTextEdit[wrong="true"] {{ border: 2px solid {t.bad}; padding: 3px 7px; }}
    QLineEdit:disabled, QComboBox:disabled, QPlainTextEdit:disabled {{
        color: {t.disabled}; border-color: {t.line}; background: {t.window}; }}
    QComboBox::drop-down {{ border: none; width: 24px; }}
    QComboBox::down-arrow {{ image: url("{_picture("chevron-down", t.text_2, scratch)}"); width: 14px; height: 14px; }}
    QCheckBox {{ spacing: 8px; border: 2px solid transparent; border-radius: 4px; }}
    QCheckBox:focus {{ border-color: {t.accent}; }}
    QCheckBox:disabled {{ color: {t.disabled}; }}
    QCheckBox::indicator, QTableView::indicator {{
        width: 14px; height: 14px; border: 1px solid {t.line_strong}; border-radius: 3px; background: {t.surface}; }}
    QCheckBox::indicator:hover {{ background: {t.hover}; }}
    QCheckBox::indicator:checked, QTableView::indicator:checked {{
        background: {t.accent_fill}; border-color: {t.accent_fill}; image: url("{_picture("check", t.on_accent, scratch)}"); }}
    QRadioButton {{ spacing: 8px; border: 2px solid transparent; border-radius: 4px; }}
    QRadioButton:focus {{ border-color: {t.accent}; }}
    QRadioButton:disabled {{ color: {t.disabled}; }}
    QRadioButton::indicator {{ width: 14px; height: 14px; border: 1px solid {t.line_strong}; border-radius: 8px; background: {t.surface}; }}
    QRadioButton::indicator:checked {{ width: 6px; height: 6px; border: 5px solid {t.accent_fill}; background: {t.on_accent}; }}
    QRadioButton::indicator:disabled {{ background: {t.window}; border-color: {t.line}; }}
    QCheckBox::indicator:disabled {{ background: {t.window}; border-color: {t.line}; }}
    QCheckBox::indicator:checked:disabled {{ background: {t.disabled}; border-color: {t.disabled}; }}
    """


def _views(t: Theme) -> str:
    return f"""
    QTableView {{ background: {t.surface}; border: 1px solid {t.line}; border-radius: 6px; gridline-color: transparent; outline: none; }}
    QTableView::item {{ padding: 0 8px; border-bottom: 1px solid {t.line}; }}
    QTableView::item:hover {{ background: {t.hover}; }}
    QTableView::item:selected {{ background: {t.accent_soft}; color: {t.text}; }}
    QTableView QTableCornerButton::section {{ background: {t.surface}; border: none; }}
    QHeaderView {{ background: transparent; }}
    QHeaderView::section {{ background: {t.surface}; color: {t.text_2}; border: none; border-bottom: 1px solid {t.line_strong};
        padding: 6px 11px; font-weight: 400; }}
    QProgressBar {{ background: {t.hover}; border: none; border-radius: 3px; max-height: 6px; min-height: 6px; }}
    QProgressBar::chunk {{ background: {t.accent_fill}; border-radius: 3px; }}
    QScrollBar:vertical {{ background: transparent; width: 12px; margin: 0; }}
    QScrollBar::handle:vertical {{ background: {t.line_strong}; border-radius: 3px; margin: 3px; min-height: 32px; }}
    QScrollBar::add-line, QScrollBar::sub-line {{ height: 0; width: 0; }}
    QScrollBar::add-page, QScrollBar::sub-page {{ background: transparent; }}
    QTabWidget::pane {{ border: none; border-top: 1px solid {t.line}; }}
    QTabBar {{ qproperty-drawBase: 0; }}
    QTabBar::tab {{ padding: 7px 6px; margin-right: 8px; border-bottom: 2px solid transparent; color: {t.text_2}; }}
    QTabBar::tab:selected {{ color: {t.text}; border-bottom-color: {t.accent}; font-weight: 600; }}
    QTabBar::tab:hover {{ color: {t.text}; }}
    QTabBar:focus {{ border: none; }}
    QTabBar::tab:selected:focus {{ padding: 5px 4px; border: 2px solid {t.accent}; border-radius: 4px; }}
    """
