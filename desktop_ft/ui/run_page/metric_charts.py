"""Small charts of what the objective tells besides its loss: only those that have values, the most telling first."""

from __future__ import annotations

from typing import Final

from PySide6.QtCore import Signal
from PySide6.QtGui import QResizeEvent
from PySide6.QtWidgets import QWidget

from desktop_ft.jobs.run_model import RunModel
from desktop_ft.ui.kit.chart_box import ChartBox
from desktop_ft.ui.kit.fonts import em
from desktop_ft.ui.kit.layout import column, grid
from desktop_ft.ui.kit.plot_series import value_text
from desktop_ft.ui.kit.plots import CurvePlot
from desktop_ft.ui.run_page.metrics import ChartWords, charts_for

_THREE_EM: Final = 66
_TWO_EM: Final = 34
_COLOURS: Final = (0, 1, 2)
_EVAL: Final = "eval "
"""Before a metric's name: its values on the held-out examples."""


class MetricChart(ChartBox):
    """One chart. A single line also shows the evaluations; several lines are told apart by their labels.

    Args:
        words: What it shows.
    """

    def __init__(self, words: ChartWords, parent: QWidget | None = None) -> None:
        plot = CurvePlot(words.title, decimals=words.decimals, labels=len(words.series) > 1)
        super().__init__(words.title, plot, parent=parent)
        self.words = words
        self.set_meaning(words.meaning)
        self.setMinimumHeight(em(13))
        if words.starts_at_zero:
            plot.set_y_floor(0.0)
        for place, (name, label) in enumerate(words.series):
            plot.add_series(name, label, colour=_COLOURS[place], style="smoothed")
        if len(words.series) == 1:
            plot.add_series(_EVAL + words.series[0][0], self.tr("eval"), colour=1, style="points")

    def refresh(self, model: RunModel) -> None:
        """Take the newest values."""
        with self.plot.updating():
            self.plot.set_x_range(0.0, float(max(model.num_steps, 1)))
            for key in self.plot.series_keys():
                is_eval = key.startswith(_EVAL)
                curves = model.curves.eval_metrics if is_eval else model.curves.metrics
                curve = curves.get(key.removeprefix(_EVAL) if is_eval else key)
                if curve is not None:
                    self.plot.set_data(key, curve.steps, curve.values)
        self.show_value()

    def show_value(self) -> None:
        """Behind the name of a single line: the value at the crosshair, else the newest."""
        if len(self.words.series) != 1:
            return
        value = self.plot.value_at(self.words.series[0][0])
        self.set_value("" if value is None else value_text(value, self.words.decimals))


class MetricCharts(QWidget):
    """The charts of one run's metrics; they come with the first values and keep their places."""

    crosshair_moved = Signal(object)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._model: RunModel | None = None
        self._charts: list[MetricChart] = []
        self._stale: list[MetricChart] = []
        self._keep = 0.94
        self._columns = 0
        self._grid = grid(gap=12, line_gap=12)
        self.setLayout(column(self._grid, None, gap=0))

    def charts(self) -> list[MetricChart]:
        """What is shown, in order."""
        return self._charts

    def set_run(self, model: RunModel) -> None:
        """Show another run."""
        self._model = model
        self._replace([])
        self.refresh()

    def set_smoothing(self, keep: float) -> None:
        """Weight of the past in the mean of every chart."""
        self._keep = keep
        for chart in self._charts:
            chart.plot.set_smoothing(keep)

    def set_crosshair(self, x: float | None) -> None:
        """Put the crosshair of every chart at a step."""
        for chart in self._charts:
            chart.plot.set_crosshair(x)
            chart.show_value()

    def has_values(self) -> bool:
        """Whether there is anything to show."""
        return self._model is not None and bool(self._model.curves.metrics or self._model.curves.eval_metrics)

    def refresh(self) -> None:
        """Take the newest values into every chart."""
        self._follow_metrics()
        self._stale.clear()
        if self._model is not None:
            for chart in self._charts:
                chart.refresh(self._model)

    def refresh_some(self) -> bool:
        """Take the newest values into the next chart in turn.

        Returns:
            Whether others are still behind.
        """
        self._follow_metrics()
        if not self._stale:
            self._stale = list(self._charts)
        if self._stale and self._model is not None:
            self._stale.pop(0).refresh(self._model)
        return bool(self._stale)

    def resizeEvent(self, event: QResizeEvent) -> None:
        """As many beside each other as there is room for."""
        super().resizeEvent(event)
        self._arrange()

    def _follow_metrics(self) -> None:
        """A metric that is told for the first time brings its chart; the others stay as they are."""
        if self._model is None:
            return
        config, curves = self._model.config, self._model.curves
        wanted = charts_for("sft" if config is None else config.objective.kind, (*curves.metrics, *curves.eval_metrics))
        if [chart.words for chart in self._charts] != wanted:
            self._replace(wanted)

    def _replace(self, wanted: list[ChartWords]) -> None:
        kept = {chart.words: chart for chart in self._charts}
        shown = [kept.pop(words, None) or self._new_chart(words) for words in wanted]
        for chart in kept.values():
            self._grid.removeWidget(chart)
            chart.hide()
            chart.deleteLater()
        self._charts, self._stale, self._columns = shown, [], 0
        self._arrange()

    def _new_chart(self, words: ChartWords) -> MetricChart:
        chart = MetricChart(words, self)
        chart.plot.set_smoothing(self._keep)
        chart.plot.crosshair_moved.connect(self.crosshair_moved)
        if self._model is not None:
            chart.refresh(self._model)
        return chart

    def _arrange(self) -> None:
        columns = 3 if self.width() >= em(_THREE_EM) else 2 if self.width() >= em(_TWO_EM) else 1
        if columns == self._columns:
            return
        self._columns = columns
        for chart in self._charts:
            self._grid.removeWidget(chart)
        for place, chart in enumerate(self._charts):
            self._grid.addWidget(chart, *divmod(place, columns))
            chart.show()
        for at in range(3):
            self._grid.setColumnStretch(at, 1 if at < columns else 0)
