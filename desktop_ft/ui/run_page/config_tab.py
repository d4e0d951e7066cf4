"""Every setting of the run: as written in run.yaml, as used, and why."""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

from PySide6.QtCore import QCoreApplication
from PySide6.QtWidgets import QCheckBox, QLineEdit, QWidget

from desktop_ft.core.config import SETTINGS, RunConfig
from desktop_ft.core.resolve import Resolved
from desktop_ft.ui.kit.fonts import em
from desktop_ft.ui.kit.layout import column, row
from desktop_ft.ui.kit.tables import Column, ListModel, TableView
from desktop_ft.ui.kit.text import DASH, format_learning_rate


def _tr(text: str) -> str:
    return QCoreApplication.translate("run_page.config", text)


@dataclass(frozen=True)
class SettingRow:
    """One setting.

    Attributes:
        path: Dotted, as in run.yaml.
        written: Its value in run.yaml.
        used: Its value with every ``auto`` decided; a dash before the engine did.
        why: The reason of a decided ``auto``, or where the value comes from.
        is_own: The person chose another value than the default.
        help: What the setting means.
    """

    path: str
    written: str
    used: str
    why: str
    is_own: bool
    help: str


def setting_rows(config: RunConfig, resolved: Resolved | None) -> list[SettingRow]:
    """All settings in the order of run.yaml."""
    return [_row(path, config, resolved) for path in SETTINGS if path != "schema_version"]


def _row(path: str, config: RunConfig, resolved: Resolved | None) -> SettingRow:
    info = SETTINGS[path]
    value = _value(config, path)
    is_own = info.required or value != info.default
    used = DASH if value == "auto" else value_words(value)
    reason = ""
    if resolved is not None:
        used = value_words(_value(resolved.config, path))
        reason = resolved.reasons.get(path, "")
    why = reason or (_tr("set for this run") if is_own else info.source or _tr("default"))
    return SettingRow(path, value_words(value), used, why, is_own, info.description)


def _value(config: RunConfig, path: str) -> object:
    value: object = config
    for part in path.split("."):
        value = cast("object", getattr(value, part))
    return value


def value_words(value: object) -> str:
    """A value as run.yaml spells it, short."""
    match value:
        case None:
            return DASH
        case bool():
            return _tr("yes") if value else _tr("no")
        case float():
            return format_learning_rate(value) if 0 < abs(value) < 0.01 else f"{value:g}"
        case tuple():
            parts = cast("tuple[object, ...]", value)
            return "; ".join(str(part) for part in parts) if parts else DASH
        case dict():
            pairs = cast("dict[str, str]", value)
            return ", ".join(f"{key}: {name}" for key, name in pairs.items()) if pairs else DASH
        case _:
            return str(value)


class ConfigTab(QWidget):
    """The table of settings with a search.

    Attributes:
        search: Filters by path, value and reason.
        own_only: Shows only what differs from the defaults, and what was decided.
    """

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._rows: list[SettingRow] = []
        self.search = QLineEdit()
        self.search.setPlaceholderText(self.tr("Search settings"))
        self.search.setAccessibleName(self.tr("Search settings"))
        self.search.setClearButtonEnabled(True)
        self.search.setMinimumWidth(em(18))
        self.search.textChanged.connect(self._refresh)
        self.own_only = QCheckBox(self.tr("Only what differs from the defaults or was decided"))
        self.own_only.toggled.connect(self._refresh)
        columns: list[Column[SettingRow]] = [
            Column(self.tr("Setting"), lambda line: line.path, width_em=20, tooltip=lambda line: line.help, bold=lambda line: line.is_own),
            Column(self.tr("As written"), lambda line: line.written, width_em=11, tone=""),
            Column(self.tr("In use"), lambda line: line.used, width_em=11, tone=""),
            Column(self.tr("Why"), lambda line: line.why),
        ]
        self.model = ListModel(columns, key=lambda line: line.path, parent=self)
        self.table = TableView(self.model, name=self.tr("Settings of the run"))
        self.setLayout(column(row(self.search, self.own_only, None, gap=12), (self.table, 1), gap=12))

    def show_config(self, config: RunConfig | None, resolved: Resolved | None) -> None:
        """Show the settings of a run; none where run.yaml can't be read."""
        self._rows = [] if config is None else setting_rows(config, resolved)
        self._refresh()

    def _refresh(self) -> None:
        words = self.search.text().lower().split()
        shown = [line for line in self._rows if not self.own_only.isChecked() or line.is_own or line.written != line.used]
        self.model.set_rows([line for line in shown if all(word in _searched(line) for word in words)])


def _searched(line: SettingRow) -> str:
    return f"{line.path} {line.written} {line.used} {line.why} {line.help}".lower()
