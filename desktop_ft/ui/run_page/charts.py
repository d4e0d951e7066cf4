"""The charts of a run: loss large, the others small below it; beside them those of the objective. One crosshair over all of them."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Final

import numpy as np
from PySide6.QtCore import QSignalBlocker, Qt, Signal
from PySide6.QtGui import QResizeEvent
from PySide6.QtWidgets import QCheckBox, QFileDialog, QMenu, QSlider, QWidget

from desktop_ft.core.errors import DesktopFtError
from desktop_ft.core.resolve import Resolved
from desktop_ft.core.run_prediction import Prediction
from desktop_ft.jobs.run_model import RunModel
from desktop_ft.ui.kit.buttons import SegmentedControl, button
from desktop_ft.ui.kit.chart_box import ChartBox, link_crosshairs
from desktop_ft.ui.kit.fonts import em
from desktop_ft.ui.kit.layout import column, grid
from desktop_ft.ui.kit.plots import CurvePlot
from desktop_ft.ui.kit.text import DASH, GIB, Label, format_gib, format_learning_rate, format_number
from desktop_ft.ui.run_page.metric_charts import MetricCharts
from desktop_ft.ui.run_page.metrics import REWARDED
from desktop_ft.ui.run_page.schedule import future_rates
from desktop_ft.ui.run_page.words import charts_word, loss_unit, objective_of

_STEPS_PER_WINDOW: Final = 20
_LONGEST_WINDOW: Final = 18.0
_WIDE_EM: Final = 66
"""From this width on four small charts fit beside each other."""
_MEDIUM_EM: Final = 47
"""From this width on three do."""
_NARROW_CHART_EM: Final = 15
"""Below this width a small chart has room for short words only."""


def smoothing_of(position: int) -> float:
    """The weight of the past in the mean for a slider position of 0 to 100: fine steps where the weight is near 1."""
    return 0.0 if position == 0 else 1 - 10 ** (-position / 48)


def usual_smoothing(num_steps: int) -> int:
    """The slider's position for a run of this length: a mean over a twentieth of it, at most 18 steps; short runs hardly need one."""
    window = min(_LONGEST_WINDOW, max(1.0, num_steps / _STEPS_PER_WINDOW))
    return round(48 * math.log10(window))


def add_loss_series(plot: CurvePlot) -> None:
    """The two series of a loss chart: train, and eval at its own steps."""
    plot.add_series("train", plot.tr("train"), colour=0, style="smoothed")
    plot.add_series("eval", plot.tr("eval"), colour=1, style="points")


class Charts(QWidget):
    """All curves of one run.

    Attributes:
        loss: Train raw and smoothed, eval as points.
        learning_rate: With what is to come of its schedule.
        tokens_per_second: From 0.
        grad_norm: Before clipping.
        memory: Peak that the engine tells and what its process was seen to hold, with the predicted range and the limit.
        metrics: What the objective tells besides its loss.
        chooser: Which of the two is shown; hidden while there are no metrics.
    """

    error_raised = Signal(object)
    """`DesktopFtError`: an export of the chart could not be written."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._model: RunModel | None = None
        self._resolved: Resolved | None = None
        self._prediction: Prediction | None = None
        self._free_bytes: int | None = None
        self._prefers_gradients = False
        self._has_own_smoothing = False
        self._has_chosen = False
        self.metrics, self._training = MetricCharts(), QWidget()
        self.loss = CurvePlot(self.tr("Loss, nats per trained token"))
        self.learning_rate = CurvePlot(self.tr("Learning rate"), decimals=2, labels=False, box=False)
        self.tokens_per_second = CurvePlot(self.tr("Tokens per second"), decimals=0, labels=False, box=False)
        self.grad_norm = CurvePlot(self.tr("Gradient norm"), decimals=2, labels=False, box=False)
        self.memory = CurvePlot(self.tr("Memory, GiB"), decimals=2, labels=False, box=False)
        self._takers: dict[CurvePlot, Callable[[RunModel], None]] = {
            self.loss: self._take_loss,
            self.learning_rate: self._take_rate,
            self.grad_norm: self._take_norm,
            self.tokens_per_second: self._take_speed,
            self.memory: self._take_memory,
        }
        self._stale: list[CurvePlot] = []
        self._add_series()
        link_crosshairs(self.plots())
        for plot in self.plots():
            plot.crosshair_moved.connect(self._show_values)
            plot.crosshair_moved.connect(self.metrics.set_crosshair)
        self.metrics.crosshair_moved.connect(self._on_metric_crosshair)
        self.smoothing, self.log_scale = self._new_slider(), QCheckBox(self.tr("Log scale"))
        self.log_scale.toggled.connect(self.loss.set_log)
        self.loss.log_scale_changed.connect(self.log_scale.setChecked)
        self.export = button(self.tr("Export"), "flat", "download", on_click=self._on_export_clicked)
        self.export_menu = self._new_export_menu()
        self._loss_box = self._new_loss_box()
        self._small = self._new_small_boxes()
        self._grid = grid(gap=12, line_gap=12)
        self._arrangement: tuple[int, str] | None = None
        layout = column((self._loss_box, 62), gap=12)
        layout.addLayout(self._grid, 38)
        self._training.setLayout(layout)
        self.chooser = SegmentedControl([self.tr("&Training"), self.tr("&Objective")], 0, name=self.tr("Which curves are shown"))
        self.chooser.current_changed.connect(self._on_chosen)
        self.setLayout(column(self.chooser, (self._training, 1), (self.metrics, 1), gap=10))
        self._choose_small()
        self._show_chosen()
        self._smooth(self.smoothing.value())

    def plots(self) -> tuple[CurvePlot, ...]:
        """Every chart, the large one first."""
        return self.loss, self.learning_rate, self.grad_norm, self.tokens_per_second, self.memory

    # --- making ----------------------------------------------------------------------------------------------------------

    def _add_series(self) -> None:
        add_loss_series(self.loss)
        self.learning_rate.add_series("rate", self.tr("learning rate"), colour=0)
        self.learning_rate.add_series("future", self.tr("to come"), colour=0, style="future")
        self.tokens_per_second.add_series("speed", self.tr("tokens per second"), colour=2, style="smoothed")
        self.tokens_per_second.set_y_floor(0.0)
        self.grad_norm.add_series("norm", self.tr("gradient norm"), colour=4, style="smoothed")
        self.memory.add_series("memory", self.tr("memory"), colour=3)
        self.memory.add_series("seen", self.tr("in use"), colour=0, dash=1)
        self.memory.setToolTip(
            self.tr("Solid: the peak that the engine reserved. Dashed: what its process was seen to hold. Band: what was predicted.")
        )

    def _new_slider(self) -> QSlider:
        slider = QSlider(Qt.Orientation.Horizontal)
        slider.setRange(0, 100)
        slider.setPageStep(10)
        slider.setValue(usual_smoothing(1000))
        slider.setFixedWidth(em(6.8))
        slider.setAccessibleName(self.tr("Smoothing of the curves"))
        slider.valueChanged.connect(self._on_smoothing_changed)
        return slider

    def _new_export_menu(self) -> QMenu:
        menu = QMenu(self)
        for suffix, text in (("png", self.tr("Picture (&PNG)…")), ("svg", self.tr("Vectors (&SVG)…")), ("csv", self.tr("Numbers (&CSV)…"))):
            menu.addAction(text).triggered.connect(lambda _checked=False, kind=suffix: self._on_export_chosen(kind))
        return menu

    def _new_loss_box(self) -> ChartBox:
        self._smoothing_words = Label(self.tr("Smoothing"), tone="2")
        tools = (self._smoothing_words, self.smoothing, self.log_scale, self.export)
        return ChartBox(self.tr("Loss"), self.loss, note=self.tr("nats per trained token"), main=True, tools=tools)

    def _new_small_boxes(self) -> dict[str, ChartBox]:
        self.to_gradients = button(
            kind="flat", icon_name="chevron-right", name=self.tr("Show the gradient norm"), on_click=self._on_switched
        )
        self.to_rates = button(kind="flat", icon_name="chevron-left", name=self.tr("Show the learning rate"), on_click=self._on_switched)
        for switch in (self.to_gradients, self.to_rates):
            switch.setFixedSize(em(2), em(1.5))
        return {
            "learning_rate": ChartBox(self.tr("Learning rate"), self.learning_rate, tools=(self.to_gradients,), parent=self._training),
            "grad_norm": ChartBox(self.tr("Gradient norm"), self.grad_norm, tools=(self.to_rates,), parent=self._training),
            "tokens_per_second": ChartBox(self.tr("Tokens per second"), self.tokens_per_second, parent=self._training),
            "memory": ChartBox(self.tr("Memory, GiB"), self.memory, parent=self._training),
        }

    # --- three or four small charts ------------------------------------------------------------------------------------------

    def resizeEvent(self, event: QResizeEvent) -> None:
        """Four small charts where there is room; else learning rate and gradient norm share a place."""
        super().resizeEvent(event)
        self._choose_small()

    def _choose_small(self) -> None:
        """Four in a row, or three with a switch, or two rows of two in a narrow window with a large font."""
        is_row_of_three = em(_MEDIUM_EM) <= self.width() < em(_WIDE_EM)
        hidden = ("learning_rate" if self._prefers_gradients else "grad_norm") if is_row_of_three else ""
        arrangement = (2 if self.width() < em(_MEDIUM_EM) else 4, hidden)
        if arrangement != self._arrangement:
            self._arrangement = arrangement
            self._place_small(*arrangement)
        self.to_gradients.setVisible(is_row_of_three)
        self.to_rates.setVisible(is_row_of_three)
        self._smoothing_words.setVisible(self.width() >= em(_MEDIUM_EM))
        self._show_limits()

    def _place_small(self, num_columns: int, hidden: str) -> None:
        for box in self._small.values():
            self._grid.removeWidget(box)
        shown = [box for name, box in self._small.items() if name != hidden]
        for name, box in self._small.items():
            box.setVisible(name != hidden)
        for place, box in enumerate(shown):
            self._grid.addWidget(box, *divmod(place, num_columns))
        for column_number in range(4):
            self._grid.setColumnStretch(column_number, 1 if column_number < min(num_columns, len(shown)) else 0)

    def _on_switched(self) -> None:
        self._prefers_gradients = not self._prefers_gradients
        self._choose_small()
        (self.to_rates if self._prefers_gradients else self.to_gradients).setFocus(Qt.FocusReason.OtherFocusReason)

    # --- data --------------------------------------------------------------------------------------------------------------

    def set_run(self, model: RunModel) -> None:
        """Show another run: its whole length, from its first step."""
        self._model, self._resolved, self._prediction, self._free_bytes = model, None, None, None
        self._has_chosen = False
        self._choose(0)
        kind = objective_of(model)
        self.chooser.set_text(1, charts_word(kind))
        self._loss_box.set_note(loss_unit(kind))
        self.loss.setAccessibleName(self.tr("Loss, {0}").format(loss_unit(kind)))
        self.metrics.set_run(model)
        for plot in self.plots():
            plot.show_whole()
            plot.set_crosshair(None)
        self.memory.clear_band()
        self.memory.set_reference(None)
        self.learning_rate.set_data("future", [], [])
        self.refresh()

    def set_facts(self, resolved: Resolved | None, prediction: Prediction | None) -> None:
        """Show the schedule and the predicted memory."""
        self._resolved, self._prediction = resolved, prediction
        self.refresh()

    def set_free_bytes(self, num_bytes: int | None) -> None:
        """What the device has free for this run, with what the run holds itself; the limit in the memory chart."""
        self._free_bytes = num_bytes
        self._show_limits()

    def refresh(self) -> None:
        """Take the newest values from the model into every chart."""
        for plot in self.plots():
            self._refresh_plot(plot)
        self._stale.clear()
        self.metrics.refresh()
        self._show_chosen()
        self._show_values()

    def refresh_some(self) -> bool:
        """Take the newest values into the loss chart and the next of the small ones in turn, so that the window is never held up.

        Returns:
            Whether small charts are still behind.
        """
        if not self._stale:
            # behind another tab only what the figures above the tabs show
            self._stale = [plot for plot in self.plots()[1:] if plot.isVisible()] or [self.tokens_per_second]
        self._refresh_plot(self.loss)
        if self._stale:
            self._refresh_plot(self._stale.pop(0))
        self._show_chosen()
        is_behind = self.metrics.refresh_some() if self.metrics.isVisible() else False
        self._show_values()
        return bool(self._stale) or is_behind

    # --- which of the two ----------------------------------------------------------------------------------------------------

    def _show_chosen(self) -> None:
        """The objective's charts come to the front by themselves where the loss says nothing about how well it goes."""
        has_values = self.metrics.has_values()
        if has_values and not self._has_chosen and self._model is not None and objective_of(self._model) in REWARDED:
            self._choose(1)
        shows_metrics = has_values and self.chooser.current() == 1
        self.chooser.setVisible(has_values)
        self._training.setVisible(not shows_metrics)
        self.metrics.setVisible(shows_metrics)

    def _choose(self, index: int) -> None:
        """Show one of the two; the person has not chosen."""
        with QSignalBlocker(self.chooser):
            self.chooser.set_current(index)

    def _on_chosen(self) -> None:
        self._has_chosen = True
        self.metrics.refresh()
        self._show_chosen()

    def _on_metric_crosshair(self, x: float | None) -> None:
        for plot in self.plots():
            plot.set_crosshair(x)
        self.metrics.set_crosshair(x)
        self._show_values()

    def _refresh_plot(self, plot: CurvePlot) -> None:
        model = self._model
        if model is None:
            return
        with plot.updating():
            plot.set_x_range(0.0, float(max(model.num_steps, 1)))
            self._takers[plot](model)

    def _take_loss(self, model: RunModel) -> None:
        if not self._has_own_smoothing and model.num_steps:
            self._set_slider(usual_smoothing(model.num_steps))
        loss, evaluated = model.curves["loss"], model.curves["eval_loss"]
        self.loss.set_data("train", loss.steps, loss.values)
        self.loss.set_data("eval", evaluated.steps, evaluated.values)

    def _take_norm(self, model: RunModel) -> None:
        norm = model.curves["grad_norm"]
        self.grad_norm.set_data("norm", norm.steps, norm.values)

    def _take_speed(self, model: RunModel) -> None:
        speed = model.curves["tokens_per_second"]
        self.tokens_per_second.set_data("speed", speed.steps, speed.values)

    def _take_memory(self, model: RunModel) -> None:
        memory = model.curves["memory_bytes"]
        self.memory.set_data("memory", memory.steps, memory.values / GIB)
        seen = model.own_bytes
        self.memory.set_data("seen", seen.steps, seen.values / GIB)
        self._show_limits()

    def _take_rate(self, model: RunModel) -> None:
        curve = model.curves["learning_rate"]
        future_x, future_y = np.empty(0), np.empty(0)
        if self._resolved is not None and model.step < self._resolved.num_steps and model.status != "completed":
            future_x, future_y = future_rates(self._resolved, model.step, curve.last)
        self.learning_rate.set_data("rate", curve.steps, curve.values)
        self.learning_rate.set_data("future", future_x, future_y)

    def _show_limits(self) -> None:
        with self.memory.updating():
            self._set_limits()

    def _set_limits(self) -> None:
        found, is_narrow = self._prediction, self.memory.width() < em(_NARROW_CHART_EM)
        if found is not None:
            half = (found.high_bytes - found.low_bytes) / 2
            words = self.tr("{0} ± {1}") if is_narrow else self.tr("predicted {0} ± {1}")
            label = words.format(memory_words(found.total_bytes), format_number(half / GIB, 1 if half >= 0.1 * GIB else 2))
            self.memory.set_band(found.low_bytes / GIB, found.high_bytes / GIB, label=label)
        if self._free_bytes is not None:
            words = self.tr("free {0}") if is_narrow else self.tr("free for this run {0}")
            self.memory.set_reference(self._free_bytes / GIB, words.format(memory_words(self._free_bytes)))

    def _show_values(self) -> None:
        """Behind each small chart's name: the value at the crosshair, else the newest."""
        model = self._model
        if model is None:
            return
        memory = self.memory.value_at("memory")
        texts = {
            "learning_rate": format_learning_rate(self.learning_rate.value_at("rate")),
            "grad_norm": format_number(self.grad_norm.value_at("norm"), 2),
            "tokens_per_second": format_number(self.tokens_per_second.value_at("speed")),
            "memory": DASH if memory is None else memory_words(memory * GIB),
        }
        for name, text in texts.items():
            self._small[name].set_value("" if text == DASH else text)

    def small_value(self, name: str) -> str:
        """What stands behind the name of a small chart: learning_rate, grad_norm, tokens_per_second or memory."""
        return self._small[name].value()

    # --- tools -------------------------------------------------------------------------------------------------------------

    def _on_smoothing_changed(self, position: int) -> None:
        """The person moved it: it stays, also for the next run."""
        self._has_own_smoothing = True
        self._smooth(position)

    def _smooth(self, position: int) -> None:
        for plot in (self.loss, self.grad_norm, self.tokens_per_second):
            plot.set_smoothing(smoothing_of(position))
        self.metrics.set_smoothing(smoothing_of(position))
        self.smoothing.setAccessibleDescription(self.tr("{0} %").format(position))

    def _set_slider(self, position: int) -> None:
        if position == self.smoothing.value():
            return
        with QSignalBlocker(self.smoothing):
            self.smoothing.setValue(position)
        self._smooth(position)

    def _on_export_clicked(self) -> None:
        self.export_menu.popup(self.export.mapToGlobal(self.export.rect().bottomLeft()))

    def _on_export_chosen(self, kind: str) -> None:
        dialog = QFileDialog(self, self.tr("Export the loss chart"))
        dialog.setAcceptMode(QFileDialog.AcceptMode.AcceptSave)
        dialog.setDefaultSuffix(kind)
        dialog.setNameFilter(f"{kind.upper()} (*.{kind})")
        dialog.selectFile(f"loss.{kind}")
        dialog.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        dialog.fileSelected.connect(lambda path: self.export_to(kind, path))
        dialog.open()

    def export_to(self, kind: str, path: str) -> None:
        """Write the loss chart as ``png``, ``svg`` or ``csv``."""
        write = {"png": self.loss.export_png, "svg": self.loss.export_svg, "csv": self.loss.export_csv}[kind]
        try:
            write(Path(path))
        except DesktopFtError as error:
            self.error_raised.emit(error)


def memory_words(num_bytes: float) -> str:
    """Memory as a figure in GiB: two decimals where it is little, as for the demo on a CPU."""
    return format_gib(num_bytes, 1 if num_bytes >= 10 * GIB else 2, unit=False)
