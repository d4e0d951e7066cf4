"""A chart as a file: picture, vectors, numbers."""

from __future__ import annotations

import csv
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from PySide6.QtCore import QBuffer, QByteArray, QRect, QSize
from PySide6.QtGui import QColor, QImage, QImageWriter, QPainter
from PySide6.QtSvg import QSvgGenerator

from desktop_ft.core.errors import DesktopFtError
from desktop_ft.ui.kit.plot_series import PlotSeries
from desktop_ft.ui.kit.theme import theme

Render = Callable[[QPainter], None]


def write_png(path: Path, size: QSize, scale: float, render: Render) -> None:
    """Paint into a picture with ``scale`` pixels per logical pixel."""
    image = QImage(size * scale, QImage.Format.Format_ARGB32)
    image.setDevicePixelRatio(scale)
    image.fill(QColor(theme().surface))
    painter = QPainter(image)
    try:
        render(painter)
    finally:
        painter.end()
    if not QImageWriter(str(path), QByteArray(b"png")).write(image):
        raise _not_written(path)


def write_svg(path: Path, size: QSize, title: str, render: Render) -> None:
    """Paint into vectors."""
    written = QBuffer()
    generator = QSvgGenerator()
    generator.setOutputDevice(written)
    generator.setSize(size)
    generator.setViewBox(QRect(0, 0, size.width(), size.height()))
    generator.setTitle(title)
    painter = QPainter(generator)
    try:
        render(painter)
    finally:
        painter.end()
    try:
        path.write_bytes(written.data().data())
    except OSError as error:
        raise _not_written(path, error) from error


def write_csv(path: Path, x_name: str, series: Sequence[PlotSeries]) -> None:
    """One row per x, one column per series, smoothed ones also as drawn; a gap is an empty cell."""
    columns: list[tuple[str, dict[float, float]]] = []
    for one in series:
        columns.append((one.label, dict(zip(one.x.tolist(), one.y.tolist(), strict=True))))
        if one.style == "smoothed":
            columns.append((f"{one.label} smoothed", dict(zip(one.x.tolist(), one.smooth.tolist(), strict=True))))
    places = sorted({x for _, values in columns for x in values})
    try:
        with path.open("w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file)
            writer.writerow([x_name, *(name for name, _ in columns)])
            for x in places:
                writer.writerow([int(x) if x == int(x) else x, *(_cell(values.get(x)) for _, values in columns)])
    except OSError as error:
        raise _not_written(path, error) from error


def _cell(value: float | None) -> str:
    return "" if value is None or not np.isfinite(value) else repr(value)


def _not_written(path: Path, error: OSError | None = None) -> DesktopFtError:
    reason = f": {error.strerror}." if error is not None and error.strerror else "."
    return DesktopFtError(
        "export_not_written",
        "The chart could not be written",
        f"{path} cannot be written{reason}",
        "Choose a folder that exists and that you may write to.",
    )
