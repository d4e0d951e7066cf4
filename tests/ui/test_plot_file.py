"""The loss curve as a picture, made by a process without a display."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from desktop_ft.core.runs import create_run
from tests.conftest import ROOT
from tests.helpers.synthetic_run import config, events_of, write_log

SCRIPT = """
import sys
from pathlib import Path
from desktop_ft.ui.plot_file import render_loss_png
render_loss_png(Path(sys.argv[1]), Path(sys.argv[2]), dark=bool(sys.argv[3]))
"""


@pytest.mark.usefixtures("qapp")
@pytest.mark.parametrize(("dark", "surface", "train"), [("", "#ffffff", "#2b62d9"), ("1", "#1f2226", "#6e9dff")])
def test_a_png_without_a_display(dark: str, surface: str, train: str, tmp_path: Path) -> None:
    from PySide6.QtGui import QImage

    run = create_run(tmp_path / "run", config())
    write_log(run, events_of("completed", 212))
    out = tmp_path / "loss.png"
    hidden = {"DISPLAY", "WAYLAND_DISPLAY", "QT_QPA_PLATFORM"}
    environment = {name: value for name, value in os.environ.items() if name not in hidden}
    command = [sys.executable, "-c", SCRIPT, str(run.path), str(out), dark]
    answer = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False, timeout=120)
    assert answer.returncode == 0, answer.stderr
    image = QImage(str(out))
    assert (image.width(), image.height()) == (1800, 960)
    assert image.pixelColor(40, 500).name() == surface
    columns = {x for x in range(0, 1800, 3) for y in range(0, 960, 3) if image.pixelColor(x, y).name() == train}
    assert max(columns) - min(columns) > 1200  # the smoothed line goes over the whole chart
