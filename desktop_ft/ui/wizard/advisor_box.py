"""The advisor: what to pick for these data, this model and this card, with the reasons, and one click that does it."""

from __future__ import annotations

from PySide6.QtWidgets import QFrame, QWidget

from desktop_ft.core.advisor import Recommendation, recommend, sketch_of
from desktop_ft.core.config import DEMO
from desktop_ft.jobs.new_run_model import NewRunModel
from desktop_ft.ui.kit.buttons import button
from desktop_ft.ui.kit.icons import IconLabel
from desktop_ft.ui.kit.layout import column, row
from desktop_ft.ui.kit.text import Label
from desktop_ft.ui.objective_words import objective_title


class AdvisorBox(QFrame):
    """Says what to pick and why; before there are data it says in which order to try.

    Args:
        model: The run being set up.
    """

    def __init__(self, model: NewRunModel, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._model = model
        self.setProperty("frame", "box")
        self.recommendation: Recommendation | None = None
        self.title = Label("", "section", wrap=True)
        self.reasons = Label("", tone="2", wrap=True)
        self.others = Label("", tone="2", wrap=True)
        self.use = button(self.tr("&Use this"), "", "check", on_click=self._on_use_clicked)
        words = column(self.title, self.reasons, self.others, gap=4)
        side = column(self.use, None)
        self.setLayout(row(column(IconLabel("wand-sparkles", "accent", 20), None), (words, 1), side, gap=12, pad=(14, 10, 12, 12)))

    def refresh(self) -> None:
        """Judge anew."""
        model = self._model
        if model.data is None or model.draft.get("data.train") == DEMO or not model.data.num_usable:
            self.recommendation = None
            self._show_order()
            return
        found = self.recommendation = recommend(sketch_of(model.data.report), model.model, model.device)
        methods = {"lora": "LoRA", "qlora": "QLoRA", "full": self.tr("full fine-tuning")}
        self.title.setText(self.tr("For these data: {0} with {1}").format(objective_title(found.objective), methods[found.method]))
        self.reasons.setText("\n".join(found.reasons))
        others = [self.tr("{0}: {1}").format(objective_title(other.objective), other.when) for other in found.alternatives]
        self.others.setText(self.tr("Otherwise:") + "\n" + "\n".join(others))
        self.others.setVisible(bool(others))
        picked = all(model.draft.get(path) == value for path, value in found.settings.items())
        self.use.setVisible(True)
        self.use.set_reason(self.tr("These settings are chosen already") if picked else "")
        self.setAccessibleName(self.title.text())
        self.setAccessibleDescription(self.reasons.text())

    def _show_order(self) -> None:
        self.title.setText(self.tr("The order that works: SFT, then preferences, then RLHF"))
        self.reasons.setText(
            self.tr(
                "Start with SFT on clean examples, with LoRA; most projects are done after it. When answers have the right form and "
                "you can tell the better of two, go on with DPO. RLHF comes last: it takes the most data, time and care. "
                "Once your own data are chosen, the advice for them stands here."
            )
        )
        self.others.hide()
        self.use.hide()
        self.setAccessibleName(self.title.text())

    def _on_use_clicked(self) -> None:
        if self.recommendation is not None:
            self._model.set_values(self.recommendation.settings)
