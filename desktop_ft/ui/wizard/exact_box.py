"""The link "Compute exactly": it lets a child take the run's steps without weights, and the number that comes of it."""

from __future__ import annotations

from PySide6.QtWidgets import QWidget

from desktop_ft.core.memory.dry_run import exact_verdict
from desktop_ft.jobs.dry_run import DryRunModel
from desktop_ft.jobs.new_run_model import NewRunModel
from desktop_ft.ui.kit.buttons import button
from desktop_ft.ui.kit.layout import column, row
from desktop_ft.ui.kit.text import GIB, Label, format_duration, format_gib, format_number, number_label


class ExactBox(QWidget):
    """Offered at Review, and wherever the arithmetic does not know the model.

    Args:
        model: The run that is being set up.
        parent: Qt's owner.
    """

    def __init__(self, model: NewRunModel, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._model = model
        self._is_offered = False
        self.state = DryRunModel(model, self)
        self.link = button(self.tr("Compute e&xactly"), "link", on_click=self.state.start)
        self.link.setToolTip(self.tr("Takes two steps of this run without weights and without the graphics card, in a few seconds."))
        self.stop = button(self.tr("Cancel"), "link", on_click=self.state.cancel)
        self.words, self.number = Label(self.tr("Exact"), weight=600), number_label(weight=600)
        self.detail = Label("", "caption", "2", wrap=True)
        self.setLayout(column(row(self.words, None, self.number), self.detail, row(self.link, self.stop, None), gap=6))
        self.state.changed.connect(self._show_state)
        model.memory_changed.connect(self._show_state)
        self._show_state()

    def set_offered(self, offered: bool) -> None:
        """Whether the page offers it for a model that the arithmetic knows."""
        self._is_offered = offered
        self._show_state()

    def _show_state(self) -> None:
        state, error = self.state, self._model.estimate_error
        is_unknown = error is not None and error.code == "model_architecture_unknown"
        self.setVisible(state.can_start and (self._is_offered or is_unknown))
        done = state.done
        self.link.setVisible(done is None and not state.is_live)
        self.stop.setVisible(state.is_live)
        for label in (self.words, self.number):
            label.setVisible(done is not None)
        self.detail.setText(self._detail())
        self.detail.setVisible(bool(self.detail.text()))
        if done is not None:
            self.number.setText(format_gib(done.total_bytes, 2))

    def _detail(self) -> str:
        state = self.state
        if state.is_live:
            return self.tr("Taking two steps without weights; the libraries take some seconds to load.")
        if state.error is not None:
            return f"{state.error.title}. {state.error.message} {state.error.hint}"
        done = state.done
        if done is None:
            return ""
        free = self._model.device.free_bytes
        verdict = {
            "fits": self.tr("It fits."),
            "tight": self.tr("It is tight: it may fit."),
            "does_not_fit": self.tr("It does not fit."),
        }[exact_verdict(done, free)]
        took = self.tr("From {0} of {1} blocks in {2}.").format(
            format_number(done.num_layers_run), format_number(done.num_layers), format_duration(done.seconds)
        )
        holes = (
            self.tr("Rows of different lengths can add {0}.").format(format_gib(done.holes_bytes)) if done.holes_bytes >= GIB // 20 else ""
        )
        return " ".join(filter(None, (verdict, holes, took)))
