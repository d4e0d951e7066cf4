"""The settings of one objective: the main ones, the rewards where it has some, and the rest behind "More settings"."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from PySide6.QtWidgets import QWidget

from desktop_ft.core.config import SETTINGS
from desktop_ft.core.config.combinations import REWARDED
from desktop_ft.core.config.ignored import PARTS
from desktop_ft.core.config.objectives import ObjectiveName
from desktop_ft.jobs.new_run_model import NewRunModel
from desktop_ft.ui.kit.layout import column
from desktop_ft.ui.kit.text import Label
from desktop_ft.ui.wizard.rewards_editor import RULES_PATH, RewardsEditor
from desktop_ft.ui.wizard.settings_form import Disclosure, SettingRow, SettingsForm

_POLICIES: Final = ("ppo", "rloo", "grpo")


def paths_of(objective: ObjectiveName) -> Iterator[str]:
    """Every setting below ``objective`` that it may read; of RLHF those of each policy, of which one counts."""
    parts = (*PARTS[objective], *(_POLICIES if objective == "rlhf" else ()))
    for path in SETTINGS:
        section, _, rest = path.partition(".")
        if section == "objective" and rest.partition(".")[0] in parts and path != RULES_PATH:
            yield path


class ObjectiveSettings(QWidget):
    """A form over one objective; settings without an effect are hidden by their rows.

    Args:
        model: The run being set up.
        objective: Whose settings.
    """

    def __init__(self, model: NewRunModel, objective: ObjectiveName, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        paths = [path for path in paths_of(objective) if not (objective == "rlhf" and path == "objective.rewards.model")]
        main = [path for path in paths if not SETTINGS[path].advanced]
        self.main = SettingsForm(model, main, main)
        self.rest = SettingsForm(model, [path for path in paths if SETTINGS[path].advanced])
        self.rewards = RewardsEditor(model, takes_model=objective != "rlhf") if objective in (*REWARDED, "rlhf") else None
        self.more = Disclosure(self.tr("&More settings"), self.rest)
        self.heading = Label(self.tr("Settings"), "section")
        extra: list[QWidget] = [] if self.rewards is None else [self.rewards]
        self.setLayout(column(self.heading, self.main, *extra, self.more, gap=10))
        model.draft_changed.connect(self.refresh)
        self.refresh()

    def rows(self) -> dict[str, SettingRow]:
        """Every setting by its path."""
        return {**self.main.rows, **self.rest.rows}

    def refresh(self) -> None:
        """Show the draft."""
        self.main.refresh()
        self.rest.refresh()
        self.heading.setVisible(not self.main.is_empty())
        self.more.setVisible(not self.rest.is_empty())
