"""A question before something that can't be taken back: two answers in words, the harmless one by default."""

from __future__ import annotations

from collections.abc import Callable

from PySide6.QtCore import Qt
from PySide6.QtWidgets import QMessageBox, QWidget


def ask(parent: QWidget, title: str, text: str, answers: tuple[str, str], on_yes: Callable[[], object]) -> QMessageBox:
    """Ask without blocking; Esc is the second answer.

    Args:
        parent: The window that waits for the answer.
        title: The question in a few words.
        text: What will happen, and how to undo it.
        answers: What to do, and what to do instead.
        on_yes: Called for the first answer.
    """
    box = QMessageBox(QMessageBox.Icon.Question, title, title, QMessageBox.StandardButton.NoButton, parent)
    box.setInformativeText(text)
    box.setTextFormat(Qt.TextFormat.PlainText)
    yes = box.addButton(answers[0], QMessageBox.ButtonRole.AcceptRole)
    no = box.addButton(answers[1], QMessageBox.ButtonRole.RejectRole)
    box.setDefaultButton(no)
    box.setEscapeButton(no)
    box.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
    box.setWindowModality(Qt.WindowModality.WindowModal)
    box.buttonClicked.connect(lambda clicked: on_yes() if clicked is yes else None)
    box.open()
    return box
