"""Draws the curves of measured runs for the documentation: docs/measurements/smollm2_alpaca.json to docs/images/smollm2-loss.png.

Run it from the repository's root: ``python packaging/docs/draw_measurements.py``.
"""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path
from typing import cast

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from desktop_ft.core.config import validate  # noqa: E402 # the checkout comes first
from desktop_ft.core.eventlog import EventWriter  # noqa: E402 # the checkout comes first
from desktop_ft.core.events import EvaluationDone, RunStarted, StepDone  # noqa: E402 # the checkout comes first
from desktop_ft.core.runs import create_run  # noqa: E402 # the checkout comes first
from desktop_ft.ui.plot_file import render_loss_png  # noqa: E402 # the checkout comes first

Numbers = dict[str, float]


def draw(measurement: Path, out: Path) -> None:
    """Write the measurement as a run's event log and draw that as the program draws a run."""
    values = cast("dict[str, object]", json.loads(measurement.read_text(encoding="utf-8")))
    steps, evaluations = cast("list[Numbers]", values["steps"]), cast("list[Numbers]", values["evaluations"])
    with tempfile.TemporaryDirectory() as folder:
        config = validate({"model": {"source": str(values["model"])}, "data": {"train": str(values["data"])}})
        run = create_run(Path(folder) / "run", config)
        writer = EventWriter(run.events_file)
        writer.write(RunStarted(pid=0, num_steps=len(steps)))
        for step in steps:
            writer.write(StepDone(step=int(step["step"]), epoch=0.0, loss=step["loss"]))
        for evaluation in evaluations:
            writer.write(EvaluationDone(step=int(evaluation["step"]), loss=evaluation["loss"]))
        writer.close()
        render_loss_png(run.path, out)


if __name__ == "__main__":
    draw(ROOT / "docs" / "measurements" / "smollm2_alpaca.json", ROOT / "docs" / "images" / "smollm2-loss.png")
