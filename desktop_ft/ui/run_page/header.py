"""The top of the run page: name, state, what can be done, and one line of facts."""

from __future__ import annotations

from PySide6.QtCore import QPoint
from PySide6.QtGui import QAction
from PySide6.QtWidgets import QMenu, QWidget

from desktop_ft.ui.kit.buttons import Button, ButtonKind, button, spoken
from desktop_ft.ui.kit.chips import Chip
from desktop_ft.ui.kit.layout import column, row
from desktop_ft.ui.kit.text import ElidedLabel
from desktop_ft.ui.run_page.actions import RunActions
from desktop_ft.ui.run_page.words import LIVE_STAGES, Stage, chip_of


class ActionButton(Button):
    """A button that is an action: its words, whether it can be used, and what it does.

    Args:
        action: What it stands for.
        kind: As of `Button`.
        icon_name: As of `Button`.
    """

    def __init__(self, action: QAction, kind: ButtonKind = "", icon_name: str = "") -> None:
        super().__init__(action.text(), kind, icon_name, on_click=action.trigger)
        self._action = action
        action.changed.connect(self._on_action_changed)
        self._on_action_changed()

    def _on_action_changed(self) -> None:
        self.setText(self._action.text())
        self.setEnabled(self._action.isEnabled())
        if not self._action.isEnabled():
            self.setToolTip(self._action.whatsThis())
            return
        keys = self._action.shortcut().toString()
        self.setToolTip(f"{spoken(self._action.text())} ({keys})" if keys else "")


class RunHeader(QWidget):
    """Name, state chip, buttons, the menu of the rest, and the facts.

    Args:
        actions: What the buttons do.
    """

    def __init__(self, actions: RunActions, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._name = ElidedLabel(role="title", middle=True)
        self._facts = ElidedLabel(tone="2")
        self._chip = Chip()
        self.back = button(kind="flat", icon_name="chevron-left", name=self.tr("Back to the runs"))
        self.pause = ActionButton(actions.pause, "", "pause")
        self.stop = ActionButton(actions.stop, "", "square")
        self.resume = ActionButton(actions.pause, "primary", "play")
        self.export_plain = ActionButton(actions.export, "", "upload")
        self.export = ActionButton(actions.export, "primary", "upload")
        self.menu = self._new_menu(actions)
        self.more = button(kind="flat", icon_name="ellipsis", name=self.tr("More for this run"), on_click=self._on_more_clicked)
        self.go_on = button(self.tr("&Go on with…"), "", "arrow-right", on_click=lambda: self._show_below(actions.go_on, self.go_on))
        self.go_on.setToolTip(self.tr("Set up a run that starts from what this one has learnt"))
        self.go_on.hide()  # before a state is known all buttons together would widen the window
        buttons = (self.go_on, self.pause, self.stop, self.export_plain, self.resume, self.export)
        name = row(self._name, self._chip, gap=12)
        top = row(self.back, (name, 1), *buttons, self.more)
        top.setStretch(1, 1)
        name.addStretch(1)
        self.setLayout(column(top, self._facts, gap=4))

    def _new_menu(self, actions: RunActions) -> QMenu:
        menu = QMenu(self)
        menu.addActions([actions.save, actions.sample])
        menu.addSeparator()
        menu.addActions([actions.open_folder, actions.copy_command])
        menu.addSeparator()
        menu.addAction(actions.discard)
        return menu

    def _on_more_clicked(self) -> None:
        """A menu of the button itself would bring an arrow beside the dots."""
        below = self.more.mapToGlobal(self.more.rect().bottomRight())
        self.menu.popup(below - QPoint(self.menu.sizeHint().width(), 0))

    def _show_below(self, menu: QMenu, place: QWidget) -> None:
        menu.popup(place.mapToGlobal(place.rect().bottomLeft()))

    def set_name(self, name: str) -> None:
        """Show the run's name."""
        self._name.setText(name)

    def set_facts(self, facts: str) -> None:
        """Show the line of facts."""
        self._facts.setText(facts)

    def chip(self) -> Chip:
        """The state."""
        return self._chip

    def show_stage(self, stage: Stage) -> None:
        """Show the state and the buttons that go with it; one of them is primary once the run has ended."""
        self._chip.set_state(*chip_of(stage))
        is_live = stage in LIVE_STAGES
        self.pause.setVisible(is_live)
        self.stop.setVisible(is_live)
        self.resume.setVisible(not is_live and stage != "completed")
        self.export.setVisible(stage == "completed")
        self.go_on.setVisible(stage in {"completed", "stopped"})
        self.go_on.setEnabled(self.export.isEnabled())
        self.export_plain.setVisible(not is_live and stage not in {"completed", "new"})
