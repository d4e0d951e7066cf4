"""The memory chart: what the engine reserved, what its process was seen to hold, and the predicted band."""

from __future__ import annotations

from pathlib import Path

from pytestqt.qtbot import QtBot

from desktop_ft.core.events import RunStarted
from desktop_ft.core.run_prediction import Prediction
from desktop_ft.jobs.run_model import RunModel
from desktop_ft.ui.kit.text import GIB
from desktop_ft.ui.run_page.charts import Charts
from tests.helpers.synthetic_run import fold


def shown(qtbot: QtBot, model: RunModel) -> Charts:
    charts = Charts()
    qtbot.addWidget(charts)
    charts.resize(1100, 700)
    charts.show()
    charts.set_run(model)
    return charts


def test_own_use_is_drawn_beside_the_engines_word_and_within_the_band(qtbot: QtBot, tmp_path: Path) -> None:
    model = fold("training", tmp_path)
    charts = shown(qtbot, model)
    assert charts.memory.value_at("seen") is None
    model.note_own_bytes(22 * GIB)
    model.note_own_bytes(21 * GIB)
    charts.set_facts(None, Prediction(20 * GIB, 23 * GIB, 26 * GIB))
    assert charts.memory.value_at("seen") == 22
    assert charts.memory.series_keys() == ("memory", "seen")
    low, high = charts.memory.frame_now().y_range
    assert low < 20
    assert high > 26
    assert "in use" in charts.memory.accessibleDescription()


def test_a_run_that_goes_back_forgets_what_was_seen_after(tmp_path: Path) -> None:
    model = fold("training", tmp_path)
    model.note_own_bytes(22 * GIB)
    model.fold([RunStarted(pid=1, num_steps=model.num_steps, start_step=model.step - 1)])
    assert len(model.own_bytes) == 0
