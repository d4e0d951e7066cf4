"""Page 2: what signal to change the model with: by purpose, by advice or by card, and the settings of what is chosen."""

from __future__ import annotations

from typing import Final

from PySide6.QtCore import QCoreApplication
from PySide6.QtGui import QResizeEvent
from PySide6.QtWidgets import QButtonGroup, QVBoxLayout

from desktop_ft.core.config.objectives import ObjectiveName
from desktop_ft.jobs.new_run_model import NewRunModel
from desktop_ft.ui.kit.buttons import SegmentedControl
from desktop_ft.ui.kit.fonts import em
from desktop_ft.ui.kit.layout import column, grid, row
from desktop_ft.ui.kit.text import Label
from desktop_ft.ui.objective_words import Family, families, family_of, learns_from, objective_title, variant_sentence
from desktop_ft.ui.wizard.advisor_box import AdvisorBox
from desktop_ft.ui.wizard.cards import ChoiceCard
from desktop_ft.ui.wizard.notices import AdviceLine
from desktop_ft.ui.wizard.objective_settings import ObjectiveSettings
from desktop_ft.ui.wizard.page import WizardPage
from desktop_ft.ui.wizard.preset_box import PresetBox
from desktop_ft.ui.wizard.words import setting_name

THREE_EM: Final = 54
TWO_EM: Final = 34


class ObjectivePage(WizardPage):
    """Six cards; of a family with several objectives a choice among them; below it the settings."""

    def __init__(self, model: NewRunModel) -> None:
        title = QCoreApplication.translate("ObjectivePage", "Choose what to learn from")
        super().__init__("objective", model, title)
        self.presets = PresetBox(model)
        self.presets.error_raised.connect(self.error_raised)
        self.advisor = AdvisorBox(model)
        self.cards = self._new_cards()
        self.variants: dict[str, SegmentedControl] = {
            family.title: self._new_variants(family) for family in families() if _has_choice(family)
        }
        self.variant_words = Label("", tone="2", wrap=True)
        self.data_words = Label("", tone="2", wrap=True)
        self.changed = AdviceLine()
        self.settings: dict[ObjectiveName, ObjectiveSettings] = {}
        self._settings_place = QVBoxLayout()
        self._card_grid = grid(gap=12, line_gap=12)
        self._num_columns = 0
        variants = row(*self.variants.values(), None)
        about = column(variants, self.variant_words, self.data_words, self.changed, gap=6)
        self.set_content(column(self.presets, self._card_grid, about, self._settings_place, self.advisor, None, gap=14))
        for signal in (model.draft_changed, model.data_changed, model.memory_changed):
            signal.connect(self.refresh)
        self._arrange()
        self.refresh()

    def _new_cards(self) -> dict[str, ChoiceCard]:
        group = QButtonGroup(self)
        cards: dict[str, ChoiceCard] = {}
        for family in families():
            card = ChoiceCard(family.members[0], family.title, family.sentence)
            card.chosen.connect(lambda _key, family=family: self._on_family_chosen(family))
            group.addButton(card.radio)
            cards[family.title] = card
        return cards

    def _new_variants(self, family: Family) -> SegmentedControl:
        names = [objective_title(kind) for kind in family.members]
        variants = SegmentedControl(names, 0, name=family.title.replace("&", ""))
        variants.current_changed.connect(lambda at: self.model.set_objective(family.members[at]))
        return variants

    def resizeEvent(self, event: QResizeEvent) -> None:
        """As many cards beside each other as can be read."""
        super().resizeEvent(event)
        self._arrange()

    def refresh(self) -> None:
        """Show the draft."""
        objective = self.model.objective
        chosen = family_of(objective)
        for family in families():
            self.cards[family.title].set_selected(family is chosen)
        for name, variants in self.variants.items():
            variants.setVisible(name == chosen.title)
            if name == chosen.title:
                variants.blockSignals(True)
                variants.set_current(chosen.members.index(objective))
                variants.blockSignals(False)
        self._show_words(objective)
        self._show_settings(objective)
        self.presets.refresh()
        if self.isVisible():
            self.advisor.refresh()

    def initializePage(self) -> None:
        """Entered: the advice is judged anew."""
        super().initializePage()
        self.presets.tell_damaged()
        self.advisor.refresh()

    def _show_words(self, objective: ObjectiveName) -> None:
        sentence = variant_sentence(objective)
        self.variant_words.setText(sentence)
        self.variant_words.setVisible(bool(sentence))
        self.data_words.setText(learns_from(objective))
        notes = [f"{setting_name(path)}: {words}" for path, words in self.model.notes.items()]
        self.changed.show_words(" ".join(notes), "info")

    def _show_settings(self, objective: ObjectiveName) -> None:
        """Forms are made when their objective is chosen first."""
        if objective not in self.settings:
            made = self.settings[objective] = ObjectiveSettings(self.model, objective)
            self._settings_place.addWidget(made)
        for kind, form in self.settings.items():
            form.setVisible(kind == objective)

    def _arrange(self) -> None:
        num_columns = 3 if self.width() >= em(THREE_EM) else 2 if self.width() >= em(TWO_EM) else 1
        if num_columns == self._num_columns:
            return
        self._num_columns = num_columns
        for place, card in enumerate(self.cards.values()):
            self._card_grid.removeWidget(card)
            self._card_grid.addWidget(card, *divmod(place, num_columns))
        for at in range(3):
            self._card_grid.setColumnStretch(at, 1 if at < num_columns else 0)

    def current_settings(self) -> ObjectiveSettings:
        """The form that is shown."""
        return self.settings[self.model.objective]

    def _on_family_chosen(self, family: Family) -> None:
        """A card that is chosen already keeps its variant."""
        if family is not family_of(self.model.objective):
            self.model.set_objective(family.members[0])
        self.refresh()


def _has_choice(family: Family) -> bool:
    return len(family.members) > 1
