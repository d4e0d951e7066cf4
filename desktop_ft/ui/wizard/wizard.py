"""The wizard's frame: steps above, a QWizard embedded as a plain widget, the memory panel beside it and the footer below."""

from __future__ import annotations

from collections.abc import Callable

from PySide6.QtCore import QCoreApplication, Qt, Signal
from PySide6.QtGui import QKeySequence, QResizeEvent, QShortcut
from PySide6.QtWidgets import QFrame, QVBoxLayout, QWidget, QWizard

from desktop_ft.core.errors import ConfigError
from desktop_ft.jobs.model_catalogue import ModelCatalogue
from desktop_ft.jobs.new_run_model import PAGES, NewRunModel, PageName
from desktop_ft.ui.kit.buttons import button
from desktop_ft.ui.kit.fonts import em
from desktop_ft.ui.kit.icons import IconLabel
from desktop_ft.ui.kit.layout import column, frame, row
from desktop_ft.ui.kit.text import ElidedLabel
from desktop_ft.ui.wizard.data_page import DataPage
from desktop_ft.ui.wizard.memory_panel import MemoryPanel
from desktop_ft.ui.wizard.method_page import MethodPage
from desktop_ft.ui.wizard.model_page import ModelPage
from desktop_ft.ui.wizard.objective_page import ObjectivePage
from desktop_ft.ui.wizard.page import MARGIN, WizardPage
from desktop_ft.ui.wizard.review_page import ReviewPage
from desktop_ft.ui.wizard.stepper import Stepper

NARROW_EM = 80
"""Below this width (in ems) pages leave out what another place says too."""
LAST = len(PAGES) - 1


class _PageHost(QWizard):
    """QWizard as a part of a window: no buttons, no window of its own, and nothing closes it."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent, Qt.WindowType.Widget)
        self.setWizardStyle(QWizard.WizardStyle.ModernStyle)
        self.setOptions(QWizard.WizardOption.NoDefaultButton | QWizard.WizardOption.NoCancelButton | QWizard.WizardOption.IgnoreSubTitles)
        self.setButtonLayout([])
        self.setSizeGripEnabled(False)

    def trim(self) -> None:
        """Take away the line and the margins of QWizard's own row of buttons, which has no buttons here."""
        for ground in self.findChildren(QWidget, options=Qt.FindChildOption.FindDirectChildrenOnly):
            layout = ground.layout()
            for at in range(layout.count() if layout is not None else 0):
                item = layout.itemAt(at) if layout is not None else None
                inner, widget = (item.layout(), item.widget()) if item is not None else (None, None)
                if inner is not None:
                    inner.setContentsMargins(0, 0, 0, 0)
                elif isinstance(widget, QFrame):
                    widget.setFrameShape(QFrame.Shape.NoFrame)
                elif widget is not None:
                    widget.setFixedHeight(0)

    def reject(self) -> None:
        """Esc never leaves the wizard."""

    def done(self, result: int) -> None:
        """A dialog would hide; a page of the window stays."""


class Footer(QFrame):
    """Cancel at the left; why one cannot go on, Back and Next at the right."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setProperty("frame", "footer")
        self.cancel = button(self.tr("&Cancel"), "flat")
        self.reason_icon = IconLabel("info", "2")
        self.reason = ElidedLabel("", tone="2", middle=False)
        self.back = button(self.tr("&Back"))
        self.next = button(self.tr("&Next"), "primary")
        items = (self.cancel, None, self.reason_icon, self.reason, 6, self.back, self.next)
        self.setLayout(row(*items, gap=8, pad=(MARGIN, 10, MARGIN, 10)))

    def show_reason(self, reason: str, tone: str) -> None:
        """Say why Next is disabled; nothing where it is not."""
        self.reason.setText(reason)
        self.reason_icon.setVisible(bool(reason))
        self.reason_icon.set_icon({"bad": "octagon-x", "busy": "loader"}.get(tone, "info"), tone)
        self.next.set_reason(reason)


class NewRunWizard(QWidget):
    """Set up a run in five pages.

    Args:
        model: The run; its owner calls `NewRunModel.start`, `set_device` and `close`.
        parent: Qt's owner.
        catalogue: What models are on this computer; one that knows no folders unless given.
    """

    start_requested = Signal(object)
    """The finished `RunConfig`."""
    cancelled = Signal()
    error_raised = Signal(object)
    """`DesktopFtError` for the message strip."""
    crashed = Signal(object)
    """Traceback (str)."""

    def __init__(self, model: NewRunModel, parent: QWidget | None = None, *, catalogue: ModelCatalogue | None = None) -> None:
        super().__init__(parent)
        self.model = model
        self.catalogue = catalogue or ModelCatalogue(model.device, parent=self)
        self.setAccessibleName(self.tr("New run"))
        self._farthest = 0
        self.review = ReviewPage(model)
        self.objective_page = ObjectivePage(model)
        self.pages: tuple[WizardPage, ...] = (
            ModelPage(model, self.catalogue), self.objective_page, DataPage(model), MethodPage(model), self.review,
        )  # fmt: skip
        self.stepper = Stepper([self.page_word(name) for name in PAGES])
        self.host = _PageHost()
        self.panel = MemoryPanel(model)
        self.footer = Footer()
        for at, page in enumerate(self.pages):
            self.host.setPage(at, page)
        self._lay_out()
        self._connect()
        self._add_shortcuts()
        self.host.restart()
        self.host.trim()
        self._on_page_changed()
        self.catalogue.scan()

    @staticmethod
    def page_word(name: PageName) -> str:
        """A page's word in the stepper."""
        words = {
            "model": QCoreApplication.translate("NewRunWizard", "Model"),
            "objective": QCoreApplication.translate("NewRunWizard", "Objective"),
            "data": QCoreApplication.translate("NewRunWizard", "Data"),
            "method": QCoreApplication.translate("NewRunWizard", "Method"),
            "review": QCoreApplication.translate("NewRunWizard", "Review"),
        }
        return words[name]

    def current(self) -> int:
        """Index of the page shown."""
        return max(0, self.host.currentId())

    def go_to(self, index: int) -> None:
        """Walk to a page; forward only past pages where nothing blocks."""
        while self.current() > index:
            self.host.back()
        while self.current() < index and not self.model.why_blocked(PAGES[self.current()]):
            self.host.next()

    def go_to_page(self, name: str) -> None:
        """Walk to a page by its name."""
        self.go_to([str(page) for page in PAGES].index(name))

    def go_back(self) -> None:
        """One page back."""
        self.go_to(max(0, self.current() - 1))

    def go_next(self) -> None:
        """One page on; on the last one, start."""
        if self.current() == LAST:
            self.start()
        else:
            self.go_to(self.current() + 1)

    def start(self) -> None:
        """Ask for the run to be started, if nothing keeps it from that."""
        if self.current() != LAST or self.model.why_blocked("review"):
            return
        try:
            config = self.model.config()
        except ConfigError as error:
            self.error_raised.emit(error)
            return
        self.start_requested.emit(config)

    def resizeEvent(self, event: QResizeEvent) -> None:
        """Below a width, pages and panel become narrow."""
        super().resizeEvent(event)
        narrow = self.width() < em(NARROW_EM)
        self.panel.set_narrow(narrow)
        for page in self.pages:
            page.set_narrow(narrow)

    def _lay_out(self) -> None:
        head = row(self.stepper, pad=(MARGIN, 14, MARGIN, 6))
        left = frame(column(head, (self.host, 1), gap=0), "page")
        outer = QVBoxLayout(self)
        outer.setContentsMargins(0, 0, 0, 0)
        outer.setSpacing(0)
        outer.addLayout(row((left, 1), self.panel, gap=0), 1)
        outer.addWidget(self.footer)

    def _connect(self) -> None:
        model, footer = self.model, self.footer
        model.memory_changed.connect(self._on_memory_changed)
        model.closed.connect(self.catalogue.close)
        self.host.currentIdChanged.connect(self._on_page_changed)
        self.stepper.step_clicked.connect(self.go_to)
        footer.cancel.clicked.connect(self.cancelled)
        footer.back.clicked.connect(self.go_back)
        footer.next.clicked.connect(self.go_next)
        for signal in (model.draft_changed, model.model_changed, model.data_changed, model.memory_changed):
            signal.connect(self._refresh_footer)
        for page in self.pages:
            page.page_requested.connect(self.go_to_page)
            page.next_requested.connect(self.go_next)
            page.error_raised.connect(self.error_raised)
        self.review.preset_saved.connect(self.objective_page.presets.take)
        model.error_raised.connect(self.error_raised)
        for source in (model.crashed, self.catalogue.crashed):
            source.connect(self.crashed)

    def _add_shortcuts(self) -> None:
        actions: dict[str, Callable[[], None]] = {
            "Alt+Left": self.go_back,
            "Alt+Right": self._go_next_page,
            "Ctrl+Return": self.start,
            "Ctrl+Enter": self.start,
        }
        for keys, action in actions.items():
            shortcut = QShortcut(QKeySequence(keys), self)
            shortcut.activated.connect(action)
        self.footer.back.setToolTip(self.tr("Alt+Left"))

    def _on_memory_changed(self) -> None:
        self.catalogue.set_device(self.model.device)

    def _go_next_page(self) -> None:
        if self.current() < LAST:
            self.go_next()

    def _on_page_changed(self, *_: object) -> None:
        at = self.current()
        self._farthest = max(self._farthest, at)
        self.stepper.set_current(at, self._farthest)
        self.panel.set_page(PAGES[at])
        self._refresh_footer()
        self.take_focus()

    def take_focus(self) -> None:
        """Put the keyboard where the page wants it, else on Next; on the page itself while Next is disabled."""
        page = self.pages[self.current()]
        focus = page.first_focus() or (self.footer.next if self.footer.next.isEnabled() else page.area)
        if focus is not None:
            focus.setFocus(Qt.FocusReason.OtherFocusReason)

    def _keep_focus(self, *, had_focus: bool, enabled: bool) -> None:
        """A Next that is disabled for a moment gets the focus back, unless the person went elsewhere meanwhile."""
        place = self.pages[self.current()].area
        if had_focus and not enabled and place is not None:
            place.setFocus(Qt.FocusReason.OtherFocusReason)
        elif enabled and place is not None and place.hasFocus():
            self.footer.next.setFocus(Qt.FocusReason.OtherFocusReason)

    def _refresh_footer(self) -> None:
        at = self.current()
        reason = self.model.why_blocked(PAGES[at])
        waiting = self.model.is_model_loading or (at >= PAGES.index("data") and self.model.is_data_loading)
        had_focus = self.footer.next.hasFocus()
        self.footer.show_reason(reason, "busy" if waiting else "bad")
        self._keep_focus(had_focus=had_focus, enabled=not reason)
        self.footer.back.set_reason(self.tr("This is the first page") if at == 0 else "")
        if at == LAST:
            self.footer.next.setText(self.tr("&Start"))
        else:
            self.footer.next.setText(self.tr("&Next: {0}").format(self.page_word(PAGES[at + 1])))
