"""Page 2: what signal to change the model with, and how to decide that."""

from __future__ import annotations

from PySide6.QtCore import QCoreApplication
from PySide6.QtWidgets import QFrame, QWidget

from desktop_ft.jobs.new_run_model import NewRunModel
from desktop_ft.ui.kit.chips import Chip
from desktop_ft.ui.kit.icons import IconLabel
from desktop_ft.ui.kit.layout import column, frame, row, rule
from desktop_ft.ui.kit.text import Label
from desktop_ft.ui.wizard.page import WizardPage


class ObjectivePage(WizardPage):
    """Supervised fine-tuning is the objective; the page says when it is right and what comes after it."""

    def __init__(self, model: NewRunModel) -> None:
        title = QCoreApplication.translate("ObjectivePage", "Choose what to learn from")
        sentence = QCoreApplication.translate("ObjectivePage", "Three decisions make a fine-tune; this page is about the second.")
        super().__init__("objective", model, title, sentence)
        self.set_content(column(self._sft_card(), 4, self._decisions(), 4, self._order(), None, gap=12))

    def _sft_card(self) -> QFrame:
        card = frame(name="banner", tone="info")
        card.setAccessibleName(self.tr("Supervised (SFT), selected"))
        head = row(Label(self.tr("Supervised (SFT)"), "section"), None, Chip(self.tr("Selected"), "info", "check"))
        when = Label(
            self.tr(
                "The model learns to answer as your examples do. Use it for a new format, tone, task or field of knowledge: "
                "whenever you can write down, or collect, the answers that you want."
            ),
            wrap=True,
        )
        needs = Label(self.tr("Needs: some hundreds of good examples, each a question with the right answer."), tone="2", wrap=True)
        card.setLayout(
            row(
                column(IconLabel("message-square", "accent", 24), None), (column(head, when, needs, gap=6), 1), gap=14, pad=(16, 14, 16, 14)
            )
        )
        return card

    def _decisions(self) -> QFrame:
        lines = (
            (
                self.tr("1  How much of the model"),
                self.tr(
                    "A small adapter (LoRA) learns nearly everything that a few thousand examples can teach, forgets less and needs "
                    "a fraction of the memory. Changing every weight is the last resort."
                ),
            ),
            (
                self.tr("2  What signal"),
                self.tr("Examples of right answers teach a new form. Comparisons of two answers teach what is better."),
            ),
            (
                self.tr("3  Is the data good enough"),
                self.tr(
                    "The model learns what the rows say, faults included: a hundred careful rows beat ten thousand careless ones. "
                    "The next page checks them before they are trained on."
                ),
            ),
        )
        return self._listing(self.tr("The three decisions"), lines)

    def _order(self) -> QFrame:
        lines = (
            (
                self.tr("Start here: SFT"),
                self.tr("On clean examples, with LoRA. Most projects are done after it; judge the result on questions that it never saw."),
            ),
            (
                self.tr("Then DPO"),
                self.tr("When answers have the right form and you can tell the better of two: it learns from such pairs."),
            ),
            (
                self.tr("Last RLHF"),
                self.tr(
                    "When “better” itself is uncertain and has to be learnt from many judgments: a reward model, then training against it. "
                    "It takes the most data, time and care."
                ),
            ),
        )
        return self._listing(self.tr("The order that works: SFT, then DPO, then RLHF"), lines)

    def _listing(self, title: str, lines: tuple[tuple[str, str], ...]) -> QFrame:
        content = column(Label(title, "section"), gap=10, pad=(16, 12, 16, 12))
        for at, (name, text) in enumerate(lines):
            if at:
                content.addWidget(rule())
            words: list[QWidget] = [Label(name, weight=600), Label(text, tone="2", wrap=True)]
            content.addLayout(column(*words, gap=2))
        return frame(content)
