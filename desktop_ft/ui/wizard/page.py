"""What every page of the wizard has: a title and a sentence that stay, and content below that scrolls down when it must."""

from __future__ import annotations

from PySide6.QtCore import Signal
from PySide6.QtWidgets import QBoxLayout, QLayout, QVBoxLayout, QWidget, QWizardPage

from desktop_ft.jobs.new_run_model import NewRunModel, PageName
from desktop_ft.ui.kit.layout import VerticalScrollPage, column
from desktop_ft.ui.kit.style_sheet import set_property
from desktop_ft.ui.kit.text import Label

MARGIN = 24


def see_through(area: VerticalScrollPage) -> None:
    """Let the ground of what a scroll area stands on show through it."""
    inner = area.widget()
    for part in (area, area.viewport(), inner):
        if part is not None:
            set_property(part, "frame", "")
            part.setAutoFillBackground(False)


def set_stacked(line: QBoxLayout, stacked: bool) -> None:
    """Lay a row's items below each other, or side by side again."""
    line.setDirection(QBoxLayout.Direction.TopToBottom if stacked else QBoxLayout.Direction.LeftToRight)


class WizardPage(QWizardPage):
    """A page over the model. Subclasses build their content, give it to `set_content` and fill it in `refresh`.

    Args:
        name: Which part of the draft it is about.
        model: The run being set up.
        title: Its heading.
        sentence: At most one, below the heading.
    """

    page_requested = Signal(str)
    """Another page, by name."""
    next_requested = Signal()
    error_raised = Signal(object)
    """`DesktopFtError` for the message strip."""

    def __init__(self, name: PageName, model: NewRunModel, title: str, sentence: str = "") -> None:
        super().__init__()
        self.name: PageName = name
        self.model = model
        self.setAccessibleName(title)
        heading = column(Label(title, "title"), gap=4, pad=(MARGIN, 4, MARGIN, 10))
        if sentence:
            heading.addWidget(Label(sentence, tone="2", wrap=True))
        self.area: VerticalScrollPage | None = None
        self._outer = QVBoxLayout(self)
        self._outer.setContentsMargins(0, 0, 0, 0)
        self._outer.setSpacing(0)
        self._outer.addLayout(heading)

    def set_content(self, content: QLayout) -> None:
        """Put the content below the heading."""
        content.setContentsMargins(MARGIN, 0, MARGIN, 16)
        self.area = VerticalScrollPage(content, name=self.accessibleName())
        # below its content's own width the page turns narrow; only a minimum of its own lets the window get there
        self.area.setMinimumWidth(1)
        self._outer.addWidget(self.area, 1)

    def set_narrow(self, narrow: bool) -> None:
        """Less width: leave out what another place says too."""

    def refresh(self) -> None:
        """Show the model's state; called when the page is entered."""

    def first_focus(self) -> QWidget | None:
        """Who takes the focus when the page is entered; None leaves it on the footer's button."""
        return None

    def isComplete(self) -> bool:
        """Whether one can go on."""
        return not self.model.why_blocked(self.name)

    def validatePage(self) -> bool:
        """As `isComplete`: the wizard asks before it goes on."""
        return self.isComplete()

    def initializePage(self) -> None:
        """Entered."""
        self.refresh()
