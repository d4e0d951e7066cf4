"""The menu bar. Every entry acts on what is in front and is grey where that cannot be."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from PySide6.QtCore import QObject
from PySide6.QtGui import QAction, QActionGroup, QKeySequence
from PySide6.QtWidgets import QMenu, QMessageBox

from desktop_ft import __version__
from desktop_ft.core.errors import DesktopFtError
from desktop_ft.core.settings import ThemeChoice
from desktop_ft.ui.folders import open_guide

if TYPE_CHECKING:
    from desktop_ft.ui.main_window import MainWindow


class MainMenu(QObject):
    """Makes the menus of a window and keeps their state."""

    def __init__(self, window: MainWindow) -> None:
        super().__init__(window)
        self._window = window
        bar = window.menuBar()
        bar.setNativeMenuBar(True)
        self._fill_file(bar.addMenu(self.tr("&File")))
        run_menu = bar.addMenu(self.tr("&Run"))
        self._run_actions = self._fill_run(run_menu)
        run_menu.aboutToShow.connect(self.refresh)
        self._fill_view(bar.addMenu(self.tr("&View")))
        self._fill_help(bar.addMenu(self.tr("&Help")))
        self.refresh()

    def _add(self, menu: QMenu, text: str, keys: str, run: Callable[[], object]) -> QAction:
        action = menu.addAction(text)
        if keys:
            action.setShortcut(QKeySequence(keys))
        action.triggered.connect(lambda: run())
        return action

    def _fill_file(self, menu: QMenu) -> None:
        window = self._window
        self._add(menu, self.tr("&New run"), "Ctrl+N", lambda: window.go_to("new"))
        self._add(menu, self.tr("&Open run folder…"), "Ctrl+O", window.open_run_folder)
        menu.addSeparator()
        self._add(menu, self.tr("&Settings"), "Ctrl+,", lambda: window.go_to("settings"))
        menu.addSeparator()
        self._add(menu, self.tr("&Quit"), "Ctrl+Q", window.close)

    def _fill_run(self, menu: QMenu) -> dict[str, QAction]:
        entries: tuple[tuple[str, str, str], ...] = (
            ("pause", self.tr("&Pause"), "Ctrl+P"),
            ("stop", self.tr("&Stop and keep…"), "Ctrl+."),
            ("save", self.tr("Save a &checkpoint now"), ""),
            ("sample", self.tr("Write s&amples now"), ""),
            ("export", self.tr("&Export…"), ""),
        )
        # Shown, not set: the run's page has the shortcuts, so that they work while a run is in front and are never ambiguous.
        return {key: self._add(menu, f"{text}\t{keys}", "", lambda key=key: self._act(key)) for key, text, keys in entries}

    def _act(self, key: str) -> None:
        if self._window.current_run() is not None:
            self._window.runs.run_actions()[key].trigger()

    def _fill_view(self, menu: QMenu) -> None:
        themes = menu.addMenu(self.tr("&Theme"))
        group = QActionGroup(self)
        choices: tuple[tuple[ThemeChoice, str], ...] = (
            ("system", self.tr("As the &system")),
            ("light", self.tr("&Light")),
            ("dark", self.tr("&Dark")),
        )
        self._themes: dict[ThemeChoice, QAction] = {}
        for choice, text in choices:
            action = self._add(themes, text, "", lambda choice=choice: self._window.choose_theme(choice))
            action.setCheckable(True)
            group.addAction(action)
            self._themes[choice] = action

    def _fill_help(self, menu: QMenu) -> None:
        self._add(menu, self.tr("&Guide"), "F1", self._show_guide)
        self._add(menu, self.tr("&About Desktop FT"), "", self._show_about)

    def run_actions(self) -> tuple[QAction, ...]:
        """The entries of the Run menu."""
        return tuple(self._run_actions.values())

    def refresh(self) -> None:
        """Grey out what cannot be done to the run in front."""
        actions = {} if self._window.current_run() is None else self._window.runs.run_actions()
        for key, action in self._run_actions.items():
            action.setEnabled(key in actions and actions[key].isEnabled())
        pause = actions["pause"].text() if actions else self.tr("&Pause")
        self._run_actions["pause"].setText(f"{pause}\tCtrl+P")
        self._themes[self._window.preferences.theme].setChecked(True)

    def _show_guide(self) -> None:
        try:
            open_guide()
        except DesktopFtError as error:
            self._window.show_error(error)

    def _show_about(self) -> None:
        text = self.tr("Desktop FT {0}\n\nFine-tune a language model on your own workstation.\nApache License 2.0. Icons: Lucide (ISC).")
        QMessageBox.about(self._window, self.tr("About Desktop FT"), text.format(__version__))
