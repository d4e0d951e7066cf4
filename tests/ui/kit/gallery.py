"""Takes pictures of every part of the kit, to be put beside the design's mock-ups.

    QT_QPA_PLATFORM=offscreen python tests/ui/kit/gallery.py OUT [--font-size 16]

QT_SCALE_FACTOR=2 shows 200 %.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PySide6.QtCore import QRectF, Qt
from PySide6.QtGui import QFont, QPainter
from PySide6.QtWidgets import QApplication, QCheckBox, QLayout, QProgressBar, QSlider, QTabBar, QWidget

from desktop_ft.core.errors import DesktopFtError
from desktop_ft.ui.kit import layout as lay
from desktop_ft.ui.kit.buttons import SegmentedControl, button
from desktop_ft.ui.kit.chart_box import ChartBox
from desktop_ft.ui.kit.chips import Chip, VerdictChip
from desktop_ft.ui.kit.field_row import FieldRow
from desktop_ft.ui.kit.fields import BoolControl, ChoiceControl, FloatControl, IntControl, PathControl, TextControl
from desktop_ft.ui.kit.memory import GpuBar, MemoryBar, MemoryList, MemoryPart
from desktop_ft.ui.kit.messages import MessageAction, MessageStrip
from desktop_ft.ui.kit.plots import CurvePlot, SeriesMark
from desktop_ft.ui.kit.sparkline import paint_sparkline
from desktop_ft.ui.kit.tables import Column, ListModel, TableView
from desktop_ft.ui.kit.text import GIB, ElidedLabel, Label, ReadingLabel, format_gib, key_cap, number_label
from desktop_ft.ui.kit.theme import theme_manager


@dataclass(frozen=True)
class Run:
    name: str
    model: str
    status: tuple[str, str, str]
    loss: float
    ticked: bool


RUNS = [
    Run("support-tone-qwen3-8b", "Qwen3-8B", ("activity", "busy", "Training, 60 %"), 1.165, True),
    Run("support-tone-r32", "Qwen3-8B", ("circle-check", "good", "Finished"), 1.142, True),
    Run("long-context-try-with-a-very-long-name-that-is-cut-in-the-middle", "Qwen3-8B", ("octagon-x", "bad", "Out of memory"), 1.3, False),
    Run("first-steps", "Demo model", ("circle-stop", "2", "Stopped, kept"), 2.014, False),
]


def bill(activations: float) -> list[MemoryPart]:
    sizes = [
        ("other_programs", "Other programs", 1.3),
        ("cuda_context", "CUDA context", 0.6),
        ("weights", "Weights", 15.26),
        ("adapter", "Adapter", 0.17),
        ("gradients", "Gradients", 0.17),
        ("optimizer", "Optimizer", 0.34),
        ("activations", "Activations", activations),
        ("logits", "Logits", 1.2),
        ("buffers", "Buffers", 0.3),
    ]
    return [MemoryPart(key, name, int(gib * GIB), outside=key == "other_programs") for key, name, gib in sizes]


def memory_panel(activations: float, verdict: str) -> QWidget:
    parts = bill(activations)
    total = sum(p.num_bytes for p in parts[1:])
    chip = VerdictChip()
    chip.set_verdict(verdict)
    bar, table = MemoryBar(), MemoryList()
    bar.set_bill(parts, 24 * GIB, int(0.4 * GIB))
    table.set_parts(parts)
    head = lay.row(
        Label(format_gib(total, unit=False), "figure"), Label("± 0.4 GiB", tone="2"), None, number_label("22.7 GiB free", "2"), gap=6
    )
    items = (lay.row(Label("Memory", "section"), None, chip), head, bar, 4, table, lay.rule())
    note = Label("“Measure one step” runs the longest batch once, in about 20 s, and puts the real number here.", "caption", "2", wrap=True)
    return lay.frame(lay.column(*items, note, None, pad=(16, 16, 16, 16)), "panel")


def buttons() -> QWidget:
    disabled = button("Start", "primary")
    disabled.set_reason("The run does not fit")
    flat = button("Cancel", "flat")
    rows = (
        Label("Buttons", "section"),
        lay.row(button("&Start", "primary", "play"), disabled, button("&Pause", "", "pause"), flat, button("Details", "link"), None),
        lay.row(SegmentedControl(["On this computer", "Hugging Face Hub", "Folder"], name="Source"), None),
        lay.row(
            Chip("Training", "busy", "activity"),
            Chip("Finished", "good"),
            Chip("Tight", "warn"),
            Chip("Failed", "bad"),
            Chip("Stopped", "2"),
            None,
        ),
        lay.row(key_cap("U"), key_cap("1"), QCheckBox("Log scale"), QSlider(Qt.Orientation.Horizontal), None),
    )
    checked = QCheckBox("Only what fits")
    checked.setChecked(True)
    nav = button("Runs", "nav", "chart-line")
    nav.setChecked(True)
    tabs = QTabBar()
    for name in ("Curves", "Samples", "Events"):
        tabs.addTab(name)
    tabs.setExpanding(False)
    bar = QProgressBar()
    bar.setTextVisible(False)
    bar.setValue(60)
    side = lay.frame(lay.column(button("New run", "nav", "plus"), nav, gap=2, pad=(8, 12, 8, 12)), "sidebar")
    return lay_widget(lay.column(*rows, checked, tabs, bar, side, None))


def fields() -> QWidget:
    rank = FieldRow("Rank", IntControl(1, 1024), "Width of the adapter", note="of the adapter")
    rank.set_value(32)
    rank.set_default(16, "LoRA paper")
    number = FloatControl(0, 0.1, suggestion="2e-4")
    rate = FieldRow("Learning rate", number, "Step size")
    number.line_edit().setText("2")
    number.left.emit()
    off = FieldRow("Alpha", IntControl(), note="follows the rank")
    off.set_value(32)
    off.setEnabled(False)
    precision = FieldRow("Precision", ChoiceControl([("bf16", "bfloat16"), ("fp32", "float32")]))
    precision.set_value("fp32")
    dora = FieldRow("DoRA", BoolControl())
    dora.set_value(True)
    steps = FieldRow("Warmup", IntControl(0), unit="steps")
    steps.set_value(100)
    rows = (
        rank,
        off,
        rate,
        precision,
        dora,
        steps,
        FieldRow("Name", TextControl("support-tone")),
        FieldRow("Folder", PathControl("folder")),
    )
    return lay_widget(lay.column(Label("Fields", "section"), *rows, None))


def lay_widget(layout: QLayout) -> QWidget:
    widget = QWidget()
    widget.setLayout(layout)
    return widget


def messages() -> MessageStrip:
    strip = MessageStrip()
    strip.show_message(
        "support-tone-r32 is finished.", "Best eval loss 1.142 at step 1,050.", "good", action=MessageAction("Export…", print)
    )
    strip.show_message("The disk has 3.1 GiB left.", "The next checkpoint needs 0.6 GiB.", "warn")
    error = DesktopFtError(
        "hub_gated",
        "The Hub refused the download.",
        "This model asks you to accept its licence first.",
        "Open the model's page and accept.",
    )
    strip.show_error(error, MessageAction("Open licence", print))
    return strip


def loss_plot() -> CurvePlot:
    rng = np.random.default_rng(3)
    step = np.arange(1, 643)
    raw = 1.05 + 1.2 * np.exp(-step / 110) + rng.normal(0, 0.08, 642)
    raw[400] = np.nan
    plot = CurvePlot("Loss, nats per trained token")
    plot.add_series("train", "train", style="smoothed")
    plot.add_series("eval", "eval", colour=1, style="points")
    plot.set_data("train", step, raw)
    plot.set_data("eval", step[49::50], plot.smoothed_values("train")[49::50] + 0.04)
    plot.set_x_range(0, 1062)
    plot.set_crosshair(318)
    return plot


def small_plots() -> list[ChartBox]:
    x = np.arange(1063)
    rate = np.where(x < 32, x / 32, 0.5 * (1 + np.cos(np.pi * (x - 32) / 1030))) * 2
    schedule = CurvePlot("Learning rate", decimals=2, labels=False)
    schedule.add_series("past", "now", style="line")
    schedule.add_series("future", "planned", style="future")
    schedule.set_data("past", x[:643], rate[:643])
    schedule.set_data("future", x[642:], rate[642:])
    rng = np.random.default_rng(1)
    speed = CurvePlot("Tokens per second", decimals=0, labels=False)
    speed.add_series("speed", "tokens/s", colour=2, style="smoothed")
    speed.set_data("speed", x[:642], 3040 + rng.normal(0, 60, 642) - 700 * (x[:642] % 50 == 0))
    speed.set_y_floor(0)
    memory = CurvePlot("GPU memory, GiB", decimals=1, labels=False)
    memory.add_series("measured", "measured", colour=3)
    memory.set_data("measured", x[:642], 16.2 + np.minimum(x[:642] / 60, 1) * 4.7 + np.where(x[:642] > 210, 0.7, 0))
    memory.set_band(21.5, 22.1, label="predicted 21.8 ± 0.3")
    memory.set_reference(22.7, "free for this run 22.7")
    boxes = []
    for title, value, plot in (
        ("Learning rate, × 1e-4", "0.71", schedule),
        ("Tokens per second", "3,040", speed),
        ("GPU memory, GiB", "21.6", memory),
    ):
        plot.set_x_range(0, 1062)
        box = ChartBox(title, plot)
        box.set_value(value)
        boxes.append(box)
    return boxes


def runs_table() -> TableView:
    curve = (2.2 * np.exp(-np.arange(40) / 15) + 1).tolist()

    def draw(painter: QPainter, area: QRectF, row: Run) -> None:
        paint_sparkline(painter, area.adjusted(8, 8, -8, -8), curve, RUNS.index(row) if row.ticked else None)

    columns = [
        Column[Run]("", lambda r: "AB"[RUNS.index(r)] if r.ticked else "", width_em=4, checked=lambda r: r.ticked, bold=lambda _: True),
        Column[Run]("Name", lambda r: r.name, sort=lambda r: r.name, tone=""),
        Column[Run]("Model", lambda r: r.model, width_em=9, sort=lambda r: r.model),
        Column[Run]("Status", lambda r: r.status[2], width_em=11, icon=lambda r: r.status[:2]),
        Column[Run]("Loss", lambda r: "falling", width_em=8, paint=draw),
        Column[Run]("Eval loss", lambda r: f"{r.loss:.3f}", "right", width_em=7, sort=lambda r: r.loss),
    ]
    model = ListModel(columns, key=lambda r: r.name)
    model.set_rows(RUNS)
    view = TableView(model, name="Runs")
    model.setParent(view)
    view.select_key("support-tone-r32")
    view.fit_height()
    return view


def page() -> QWidget:
    gpu = GpuBar()
    gpu.set_use(24 * GIB, int(1.3 * GIB), 0, int(25.4 * GIB))
    legend = lay.row(SeriesMark(0), Label("A"), SeriesMark(1, dash=1), Label("B"), SeriesMark(2, dash=2), Label("C"), None)
    left = lay.column(buttons(), gpu, legend, None)
    content = lay.column(
        messages(),
        Label("The kit", "title"),
        lay.row((left, 1), (fields(), 1), memory_panel(3.79, "tight"), memory_panel(7.36, "does_not_fit"), gap=24),
        runs_table(),
        (
            lay.row(
                (ChartBox("Loss", loss_plot(), note="nats per trained token", main=True, tools=[button("Export", "flat", "download")]), 1)
            ),
            3,
        ),
        (lay.row(*((box, 1) for box in small_plots()), gap=12), 2),
        ReadingLabel("Oh no, that is our mistake, and there is still time.\n\nI hope she has a <lovely> birthday!"),
        ElidedLabel("A long sentence that is cut when there is no room for it. " * 8, tone="2"),
        lay.facts_grid(
            [("Parameters", "8.19 billion"), ("Licence", "Apache-2.0, not gated"), ("Context", "40,960 tokens"), ("Remote code", "off")]
        ),
        gap=12,
        pad=(24, 16, 24, 16),
    )
    return lay.VerticalScrollPage(content, name="Gallery")


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("out", type=Path)
    parser.add_argument("--font-size", type=int, default=13)
    parser.add_argument("--suffix", default="")
    chosen = parser.parse_args()
    app = QApplication([])
    body = QFont("Inter")
    body.setPixelSize(chosen.font_size)
    app.setFont(body)
    chosen.out.mkdir(parents=True, exist_ok=True)
    manager = theme_manager()
    manager.set_mode("light")
    window = page()
    window.resize(round(1280 * chosen.font_size / 13), round(1560 * chosen.font_size / 13))
    window.setMinimumWidth(window.minimumSizeHint().width())
    window.show()
    for mode in ("light", "dark"):
        manager.set_mode(mode)  # the same widgets: a live switch
        app.processEvents()
        app.processEvents()
        window.grab().save(str(chosen.out / f"kit-{mode}{chosen.suffix}.png"))


if __name__ == "__main__":
    main()
