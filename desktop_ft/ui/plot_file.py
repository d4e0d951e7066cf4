"""The loss curve of a run as a picture, for the command line; needs no display. Run as ``python -m desktop_ft _plot RUN_DIR OUT.png``."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

from PySide6.QtCore import QPoint, QSize
from PySide6.QtWidgets import QApplication

from desktop_ft.core.errors import DesktopFtError
from desktop_ft.core.eventlog import EventTail
from desktop_ft.core.events import EvaluationDone, RunStarted, StepDone
from desktop_ft.core.runs import open_run
from desktop_ft.jobs.curves import CurveStore

_SIZE: Final = QSize(900, 480)


def render_loss_png(run_dir: Path, out: Path, *, dark: bool = False) -> None:
    """Draw train (raw and smoothed) and eval loss of a run's log; makes a QApplication without a display where there is none.

    Args:
        run_dir: The run's folder.
        out: The picture to write, 1800 x 960 pixels.
        dark: In the dark colours.

    Raises:
        DesktopFtError: ``run_missing``, ``events_unreadable``, ``events_too_new`` or ``export_not_written``.
    """
    curves, num_steps = _read_curves(run_dir)
    app = QApplication.instance()
    if app is None:
        os.environ["QT_QPA_PLATFORM"] = "offscreen"
        app = QApplication([])
    from desktop_ft.ui.kit.chart_box import ChartBox
    from desktop_ft.ui.kit.plot_export import write_png
    from desktop_ft.ui.kit.plots import CurvePlot
    from desktop_ft.ui.kit.theme import theme_manager
    from desktop_ft.ui.run_page.charts import add_loss_series, smoothing_of, usual_smoothing

    manager = theme_manager()
    before = manager.mode
    manager.set_mode("dark" if dark else "light")
    plot = CurvePlot("Loss, nats per trained token")
    box = ChartBox(_name_of(run_dir), plot, note="loss, nats per trained token, by step", main=True)
    try:
        box.resize(_SIZE)
        add_loss_series(plot)
        plot.set_smoothing(smoothing_of(usual_smoothing(num_steps)))
        plot.set_x_range(0.0, float(max(num_steps, 1)))
        plot.set_data("train", curves["loss"].steps, curves["loss"].values)
        plot.set_data("eval", curves["eval_loss"].steps, curves["eval_loss"].values)
        box.grab()  # lays everything out, as showing would
        write_png(out, _SIZE, 2.0, lambda painter: box.render(painter, QPoint(0, 0)))
    finally:
        box.deleteLater()
        manager.set_mode(before)


def _name_of(run_dir: Path) -> str:
    try:
        return open_run(run_dir).config().name
    except DesktopFtError:
        return run_dir.name


def _read_curves(run_dir: Path) -> tuple[CurveStore, int]:
    curves, num_steps = CurveStore(), 0
    steps: list[StepDone] = []
    for event in EventTail(open_run(run_dir).events_file).read_all():
        match event:
            case StepDone():
                steps.append(event)
            case RunStarted():
                curves.add_steps(steps)
                steps = []
                curves.cut(event.start_step)
                num_steps = event.num_steps
            case EvaluationDone():
                curves.add_evaluation(event)
            case _:
                pass
    curves.add_steps(steps)
    return curves, num_steps
