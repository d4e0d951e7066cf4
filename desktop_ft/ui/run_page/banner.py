"""What went wrong with a run: title, what happened, what to do next, and the technical text once asked for."""

from __future__ import annotations

from PySide6.QtWidgets import QFrame, QWidget

from desktop_ft.core.errors import DesktopFtError
from desktop_ft.ui.kit.buttons import button
from desktop_ft.ui.kit.fonts import em
from desktop_ft.ui.kit.icons import IconLabel
from desktop_ft.ui.kit.layout import column, row
from desktop_ft.ui.kit.messages import copy_text, exact_text
from desktop_ft.ui.kit.text import Label


class ErrorBanner(QFrame):
    """Hidden while all is well.

    Attributes:
        offer: A way out of this very error, such as a smaller micro-batch; hidden while there is none.
    """

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setProperty("frame", "banner")
        self.setProperty("tone", "bad")
        self._error: DesktopFtError | None = None
        self._title, self._text = Label(weight=600), Label(tone="2", wrap=True, selectable=True)
        self._details = exact_text("", self.tr("Details of the error"))
        self._details.setFixedHeight(em(12))
        self._details.hide()
        self.toggle = button(self.tr("Details"), "link", on_click=self.toggle_details)
        self._copy = button(self.tr("Copy"), "link", on_click=self._on_copy_clicked)
        self.offer = button(self.tr("Resume with a smaller micro-batch"), icon_name="play")
        self.offer.hide()
        self._offer_text = Label("", tone="2", wrap=True)
        self._offer_text.hide()
        head = row((column(row(self._title, None, self.toggle, self._copy), self._text, self._offer_text, row(self.offer, None), gap=2), 1))
        icon = column(IconLabel("octagon-x", "bad", 20), None)
        self.setLayout(column(row(icon, (head, 1), gap=10), self._details, gap=8, pad=(12, 8, 8, 10)))
        self.hide()

    def show_error(self, error: DesktopFtError | None, details: str = "") -> None:
        """Say what happened, or disappear."""
        self.setVisible(error is not None)
        if error is None:
            self._error = None
            return
        if self._error is not error:
            self._error = error
            self._title.setText(error.title)
            self._text.setText(f"{error.message} {error.hint}".strip())
            self.setAccessibleName(error.title)
            self.setAccessibleDescription(self._text.text())
            self._show_details(False)
        if self._details.toPlainText() != details:
            self._details.setPlainText(details)
        self.toggle.setVisible(bool(details))

    def show_offer(self, words: str, meaning: str) -> None:
        """Offer a way out with what it means, or take the offer away."""
        if words:
            self.offer.setText(words)
            self._offer_text.setText(meaning)
        self.offer.setVisible(bool(words))
        self._offer_text.setVisible(bool(words))

    def offer_text(self) -> str:
        """What the offer means; empty while there is none."""
        return "" if self._offer_text.isHidden() else self._offer_text.text()

    def toggle_details(self) -> None:
        """Show or hide the technical text."""
        self._show_details(self._details.isHidden())

    def details(self) -> str:
        """The technical text, shown or not."""
        return self._details.toPlainText()

    def details_shown(self) -> bool:
        """Whether the technical text is open."""
        return not self._details.isHidden()

    def _show_details(self, shown: bool) -> None:
        self._details.setVisible(shown)
        self.toggle.setText(self.tr("Hide details") if shown else self.tr("Details"))

    def _on_copy_clicked(self) -> None:
        if self._error is not None:
            parts = (self._error.title, self._error.message, self._error.hint, self.details())
            copy_text("\n\n".join(part for part in parts if part))
