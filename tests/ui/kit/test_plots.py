"""Smoothing against the recursion, ticks, crosshair, keys, export, and a million points."""

from __future__ import annotations

import csv
import math
import time
from pathlib import Path

import numpy as np
import pyqtgraph
import pytest
from PySide6.QtCore import QPoint, Qt
from PySide6.QtWidgets import QApplication
from pytestqt.qtbot import QtBot

from desktop_ft.core.errors import DesktopFtError
from desktop_ft.ui.kit.chart_box import ChartBox, link_crosshairs
from desktop_ft.ui.kit.plot_math import Array, Smoother, linear_ticks, log_ticks, nearest_index, robust_range, spread, thin, trend
from desktop_ft.ui.kit.plots import CurvePlot
from desktop_ft.ui.kit.text import Label
from desktop_ft.ui.kit.theme import ThemeManager


def slow_mean(values: Array, keep: float) -> Array:
    mean, count = 0.0, 0
    result: list[float] = []
    for value in values:
        if not math.isfinite(value):
            result.append(math.nan)
            continue
        count += 1
        mean = keep * mean + (1 - keep) * value
        result.append(mean / (1 - keep**count))
    return np.array(result)


@pytest.mark.parametrize("keep", [0.0, 0.1, 0.5, 0.94, 0.999])
def test_smoothing_is_the_debiased_recursion_also_when_it_grows(keep: float) -> None:
    values = np.random.default_rng(0).normal(3, 1, 5000)
    values[[7, 100, 101]] = np.nan
    expected = slow_mean(values, keep)
    np.testing.assert_allclose(Smoother(keep).smooth(values), expected, rtol=1e-7)
    growing = Smoother(keep)
    for end in (1, 2, 90, 101, 3000, 5000):
        result = growing.smooth(values[:end])
    np.testing.assert_allclose(result, expected, rtol=1e-7)


def test_smoothing_starts_at_the_first_value_and_begins_anew_for_another_series() -> None:
    smoother = Smoother(0.9)
    assert smoother.smooth(np.array([5.0, 5.0, 5.0])).tolist() == pytest.approx([5, 5, 5])
    assert smoother.smooth(np.array([1.0, 1.0])).tolist() == pytest.approx([1, 1])


def test_ticks() -> None:
    values, decimals = linear_ticks(0.86, 2.36, 6)
    assert (values, decimals) == ([1.0, 1.25, 1.5, 1.75, 2.0, 2.25], 2)
    assert linear_ticks(0, 1062, 6) == ([0, 200, 400, 600, 800, 1000], 0)
    assert log_ticks(0.001, 10, 6) == [0.001, 0.01, 0.1, 1.0, 10.0]
    assert all(v > 0 for v in log_ticks(0.9, 2.4, 5))


def test_ranges_and_places() -> None:
    spiky = np.ones(1000)
    spiky[5] = 1e6
    assert robust_range(spiky) == (1.0, 1.0)
    assert robust_range(np.array([np.nan, np.inf])) is None
    assert [nearest_index(np.array([0.0, 10, 20]), at) for at in (-5, 4, 6, 99)] == [0, 0, 1, 2]
    assert spread([10, 11, 50], 10, 0, 100) == [10, 20, 50]
    assert spread([95, 96], 10, 0, 100) == [90, 100]
    assert trend(np.linspace(3, 1, 100)) == "falling"
    assert trend(np.ones(10)) == "level"
    assert trend(np.ones(2)) == "unknown"


def canvas_of(plot: CurvePlot) -> pyqtgraph.PlotWidget:
    """pyqtgraph's view inside a plot."""
    return plot.findChildren(pyqtgraph.PlotWidget)[0]


def item_of(plot: CurvePlot) -> pyqtgraph.PlotItem:
    """pyqtgraph's scene inside a plot."""
    item = canvas_of(plot).getPlotItem()
    assert item is not None
    return item


@pytest.fixture
def plot(themed: ThemeManager, qtbot: QtBot) -> CurvePlot:
    made = CurvePlot("Loss")
    qtbot.addWidget(made)
    made.add_series("train", "train", style="smoothed")
    made.add_series("eval", "eval", colour=1, style="points")
    made.set_data("train", np.arange(1, 101), np.linspace(2, 1, 100))
    made.set_data("eval", [50, 100], [1.6, 1.2])
    made.set_x_range(0, 200)
    made.resize(600, 300)
    made.show()
    return made


def test_the_axis_is_as_long_as_the_run(plot: CurvePlot) -> None:
    assert plot.x_range() == (0, 200)
    place = plot.frame_now()
    assert place.x_pixel(0) == pytest.approx(place.area.left())
    assert place.x_pixel(200) == pytest.approx(place.area.right())
    assert place.x_value(place.x_pixel(77)) == pytest.approx(77)


@pytest.mark.parametrize("size", [(600, 300), (900, 500), (300, 160)])
def test_pyqtgraph_draws_where_we_paint(plot: CurvePlot, size: tuple[int, int]) -> None:
    plot.resize(*size)
    QApplication.processEvents()
    box = item_of(plot).getViewBox()
    assert box is not None
    seen = box.mapViewToScene(QPoint(100, 1))
    place = plot.frame_now()
    assert seen.x() == pytest.approx(place.x_pixel(100), abs=1.0)
    assert seen.y() == pytest.approx(place.y_pixel(1), abs=1.0)


def test_crosshair_box_names_raw_and_smoothed_and_evals_own_step(plot: CurvePlot) -> None:
    plot.set_crosshair(60.2)
    lines = [(line.text, line.note) for line in plot.crosshair_lines()]
    raw = np.linspace(2, 1, 100)
    smoothed = slow_mean(raw, 0.94)[59]
    assert lines == [("step 60", ""), (f"train {smoothed:.3f}", f"(raw {raw[59]:.3f})"), ("eval 1.600", "at 50")]
    plot.set_crosshair(20)
    assert [line.text.split()[0] for line in plot.crosshair_lines()] == ["step", "train"]
    plot.set_crosshair(None)
    assert plot.crosshair_lines() == []


def test_the_pointer_moves_linked_crosshairs(plot: CurvePlot, themed: ThemeManager, qtbot: QtBot) -> None:
    other = CurvePlot("Rate")
    qtbot.addWidget(other)
    link_crosshairs([plot, other])
    place = plot.frame_now()
    view = canvas_of(plot).viewport()
    with qtbot.waitSignal(plot.crosshair_moved, timeout=2000):
        qtbot.mouseMove(view, QPoint(round(place.x_pixel(100)), 100))
    assert plot.crosshair() == pytest.approx(100, abs=1)
    assert other.crosshair() == plot.crosshair()


def test_keys(plot: CurvePlot, qtbot: QtBot) -> None:
    qtbot.keyClick(plot, Qt.Key.Key_L)
    assert plot.is_log()
    qtbot.keyClick(plot, Qt.Key.Key_L)
    assert not plot.is_log()
    qtbot.keyClick(plot, Qt.Key.Key_Left)
    assert plot.crosshair() == 100
    qtbot.keyClick(plot, Qt.Key.Key_Left)
    assert plot.crosshair() == 99
    qtbot.keyClick(plot, Qt.Key.Key_Home)
    assert plot.crosshair() == 1
    qtbot.keyClick(plot, Qt.Key.Key_Plus)
    low, high = plot.x_range()
    assert high - low == pytest.approx(200 / 1.5)
    assert low >= 0
    qtbot.keyClick(plot, Qt.Key.Key_Minus)
    assert plot.x_range() == (0, 200)
    qtbot.keyClick(plot, Qt.Key.Key_Plus)
    qtbot.keyClick(plot, Qt.Key.Key_0)
    assert plot.x_range() == (0, 200)


def test_dragging_zooms_and_a_double_click_shows_the_whole(plot: CurvePlot, qtbot: QtBot) -> None:
    place, view = plot.frame_now(), canvas_of(plot).viewport()
    at = [QPoint(round(place.x_pixel(x)), 100) for x in (40, 80)]
    qtbot.mousePress(view, Qt.MouseButton.LeftButton, pos=at[0])
    qtbot.mouseMove(view, at[1])
    qtbot.mouseRelease(view, Qt.MouseButton.LeftButton, pos=at[1])
    assert plot.x_range() == pytest.approx((40, 80), abs=1)
    qtbot.mouseDClick(view, Qt.MouseButton.LeftButton, pos=at[0])
    assert plot.x_range() == (0, 200)


def test_labels_stand_behind_the_longest_line(plot: CurvePlot) -> None:
    assert [(label.text, label.x, label.mark) for label in plot.end_labels()][1] == ("eval 1.200", 100.0, "points")
    plot.zoom(4, 0)
    assert plot.end_labels() == []


def test_spoken_text(plot: CurvePlot) -> None:
    assert plot.accessibleDescription().startswith("train 1.")
    assert "at step 100, falling; eval 1.200 at step 100" in plot.accessibleDescription()


def test_log_scale_leaves_out_what_has_no_logarithm(plot: CurvePlot) -> None:
    plot.set_data("train", [1, 2, 3], [0.0, -1.0, 10.0])
    plot.set_log(True)
    assert plot.frame_now().y_range[0] > 0
    assert math.isfinite(plot.frame_now().y_pixel(10.0))


def test_export(plot: CurvePlot, tmp_path: Path) -> None:
    plot.set_data("train", [1, 2, 3], [2.0, math.nan, 1.0])
    plot.set_data("eval", [3], [1.5])
    plot.set_smoothing(0.5)
    plot.export_csv(tmp_path / "loss.csv")
    with (tmp_path / "loss.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.reader(file))
    assert rows[0] == ["step", "train", "train smoothed", "eval"]
    assert rows[1] == ["1", "2.0", "2.0", ""]
    assert rows[2] == ["2", "", "", ""]
    assert (rows[3][1], rows[3][3]) == ("1.0", "1.5")
    plot.export_png(tmp_path / "loss.png")
    plot.export_svg(tmp_path / "loss.svg")
    assert (tmp_path / "loss.png").read_bytes().startswith(b"\x89PNG")
    assert "<svg" in (tmp_path / "loss.svg").read_text(encoding="utf-8")
    for write in (plot.export_csv, plot.export_png, plot.export_svg):
        with pytest.raises(DesktopFtError, match="cannot be written"):
            write(tmp_path / "missing" / "x")


def test_a_million_points_grow_cheaply(plot: CurvePlot) -> None:
    x = np.arange(1_000_000, dtype=np.float64)
    y = np.random.default_rng(0).normal(2, 0.1, len(x))
    plot.set_x_range(0, 1_000_000)
    plot.set_data("train", x, y)
    shown = plot.smoothed_values("train")
    assert len(shown) == 1_000_000
    assert float(shown[-1]) == pytest.approx(2, abs=0.2)
    drawn = [len(item.getData()[0]) for item in item_of(plot).listDataItems() if item.getData()[0] is not None]
    assert 100 < max(drawn) <= 2 * plot.width()
    started = time.perf_counter()
    plot.set_data("train", x, y)
    assert not plot.grab().isNull()
    assert time.perf_counter() - started < 1.0, "0.06 s on two cores"


def test_thinning_keeps_extremes_gaps_and_edges() -> None:
    x = np.arange(100_000, dtype=np.float64)
    y = np.sin(x / 9000)
    y[51_234] = 9
    y[70_000:80_000] = np.nan
    thin_x, thin_y = thin(x, y, (50_000, 90_000), 100)
    assert len(thin_x) == len(thin_y) <= 202
    assert np.nanmax(thin_y) == 9
    assert np.isnan(thin_y).sum() >= 40
    assert thin_x[0] == 49_999
    mean_x, mean_y = thin(x, y, (0, 20_000), 100, mean=True)
    assert len(mean_x) == len(mean_y) <= 101
    assert mean_y[10] == pytest.approx(np.sin((mean_x[10] + 100) / 9000), abs=1e-3)
    few = thin(x, y, (10, 20), 100)
    assert few[0].tolist() == list(range(9, 22))


def test_the_box_shows_the_value_now(themed: ThemeManager, qtbot: QtBot) -> None:
    box = ChartBox("Loss", CurvePlot("Loss"))
    qtbot.addWidget(box)
    box.set_value("1.093")
    assert "1.093" in [label.text() for label in box.findChildren(Label) if not label.isHidden()]
