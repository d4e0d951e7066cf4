"""What makes an answer good: rules as rows, each with its kind, weight and what it looks for; what is wrong with one stands below it."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Final, cast

from PySide6.QtCore import QCoreApplication, Signal
from PySide6.QtGui import QAction, QShowEvent
from PySide6.QtWidgets import QFrame, QMenu, QWidget

from desktop_ft.core.config.objectives import RewardRule
from desktop_ft.core.errors import DesktopFtError, Problem
from desktop_ft.core.run_summary import run_folders
from desktop_ft.core.runs import RunDir
from desktop_ft.core.workspace import Workspace, default_workspace
from desktop_ft.jobs.new_run_model import NewRunModel
from desktop_ft.ui.kit.buttons import button
from desktop_ft.ui.kit.field_row import FieldRow
from desktop_ft.ui.kit.fields import FloatControl, IntControl, TextControl
from desktop_ft.ui.kit.layout import column, row
from desktop_ft.ui.kit.text import Label
from desktop_ft.ui.wizard.notices import AdviceLine

RULES_PATH: Final = "objective.rewards.rules"
MODEL_PATH: Final = "objective.rewards.model"
KINDS: Final = ("exact_answer", "regex", "json_schema", "length")
_FIELDS: Final[Mapping[str, tuple[str, ...]]] = {
    "exact_answer": ("pattern",),
    "regex": ("pattern",),
    "json_schema": ("schema_source",),
    "length": ("min_tokens", "max_tokens"),
}
_STARTS: Final[Mapping[str, Mapping[str, object]]] = {"regex": {"pattern": "."}}
"""What a new rule of a kind begins with, where an empty one would be refused at once."""
_ENTRY: Final = re.compile(r"\bentry (\d+)")

Rule = dict[str, object]


def _tr(text: str) -> str:
    return QCoreApplication.translate("rewards_editor", text)


def kind_word(kind: str) -> str:
    """A kind of rule in words."""
    return {
        "exact_answer": _tr("Exact answer"),
        "regex": _tr("Pattern"),
        "json_schema": _tr("JSON"),
        "length": _tr("Length"),
    }[kind]


def kind_sentence(kind: str) -> str:
    """What a kind of rule looks at."""
    return {
        "exact_answer": _tr("1 where the answer is the row's own, spaces and case aside. With a pattern its first group is compared."),
        "regex": _tr("1 where the pattern (a regular expression) is found in the answer."),
        "json_schema": _tr("1 where the answer is JSON that the schema accepts; without a schema, any JSON."),
        "length": _tr("1 between the shortest and the longest good answer, falling to 0 outside."),
    }[kind]


def _field_word(name: str) -> str:
    return {
        "pattern": _tr("Pattern"),
        "schema_source": _tr("Schema, or its file"),
        "min_tokens": _tr("Shortest"),
        "max_tokens": _tr("Longest"),
    }[name]


def _default(name: str) -> object:
    return RewardRule.model_fields[name].default


class RuleRow(QFrame):
    """One rule."""

    changed = Signal()
    removed = Signal()

    def __init__(self, rule: Rule, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setProperty("frame", "box")
        self.kind = str(rule["kind"])
        self.setAccessibleName(kind_word(self.kind))
        self.weight = FieldRow(_tr("Weight"), FloatControl(), _tr("Multiplies the score; negative: the opposite is wanted."))
        self.fields = {name: FieldRow(_field_word(name), self._control(name), kind_sentence(self.kind)) for name in _FIELDS[self.kind]}
        self.remove = button(kind="flat", icon_name="x", name=_tr("Remove this rule"), on_click=self.removed.emit)
        self.problem = AdviceLine()
        head = row((Label(kind_word(self.kind), weight=600), 1), self.remove)
        sentence = Label(kind_sentence(self.kind), "caption", "2", wrap=True)
        self.setLayout(column(head, sentence, *self.fields.values(), self.weight, self.problem, gap=6, pad=(12, 4, 8, 8)))
        for name, field in {**self.fields, "weight": self.weight}.items():
            field.set_default(_default(name))
            field.set_value(rule.get(name, _default(name)))
            field.value_changed.connect(self.changed)

    def _control(self, name: str) -> TextControl:
        if name in {"min_tokens", "max_tokens"}:
            control = IntControl(0 if name == "min_tokens" else 1)
            control.set_unit(_tr("tokens"))
            return control
        return TextControl()

    def rule(self) -> Rule:
        """The rule as it stands, with what is typed where that is no number."""
        values: Rule = {"kind": self.kind, "weight": self._value(self.weight)}
        return {**values, **{name: self._value(field) for name, field in self.fields.items()}}

    def _value(self, field: FieldRow) -> object:
        value, control = field.value(), field.control
        return control.line_edit().text() if value is None and isinstance(control, TextControl) else value

    def show_problem(self, problem: Problem | None) -> None:
        """Say what is wrong with it, or nothing."""
        self.problem.show_words("" if problem is None else f"{problem.message} {problem.hint}", "bad")


def reward_runs(workspace: Workspace) -> list[RunDir]:
    """Runs that trained a reward model and have it, the newest first."""
    found: list[RunDir] = []
    for run in sorted(run_folders(workspace.runs), key=lambda run: run.path.name, reverse=True):
        try:
            kind = run.config().objective.kind
        except DesktopFtError:
            continue
        if kind == "reward" and (run.adapter.is_dir() or run.model.is_dir()):
            found.append(run)
    return found


class RewardsEditor(QWidget):
    """Picks the reward model of a run that has trained one; adds, changes and removes rules.

    Args:
        model: The run being set up.
        takes_model: Whether a reward model can be picked; RLHF trains its own.
    """

    def __init__(self, model: NewRunModel, *, takes_model: bool = True, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._model = model
        self._writing = False
        self.rows: list[RuleRow] = []
        self.menu = QMenu(self)
        for kind in KINDS:
            action = self.menu.addAction(kind_word(kind))
            action.setToolTip(kind_sentence(kind))
            action.triggered.connect(lambda _checked=False, kind=kind: self.add(kind))
        self.add_button = button(_tr("&Add a rule"), "", "plus", on_click=self._on_add_clicked)
        self.problem = AdviceLine()
        self.runs_menu = QMenu(self)
        self.pick = button(_tr("Take the reward model of a r&un…"), "flat", "history", on_click=self._on_pick_clicked)
        self.pick.setVisible(False)
        self._takes_model = takes_model
        self._list = column(gap=8)
        words = _tr("Each rule scores an answer from 0 to 1, times its weight; their sum is what the training raises.")
        head = column(Label(_tr("Rules"), "section"), Label(words, tone="2", wrap=True), gap=2)
        self.setLayout(column(row(self.pick, None), head, self._list, row(self.add_button, None), self.problem, gap=8))
        model.draft_changed.connect(self.refresh)
        self.refresh()

    def rules(self) -> list[Rule]:
        """The draft's rules."""
        return [dict(rule) for rule in cast("Sequence[Mapping[str, object]]", self._model.draft.get(RULES_PATH))]

    def add(self, kind: str) -> None:
        """Add a rule of a kind, and put the keyboard into it."""
        self._model.set(RULES_PATH, [*self.rules(), {"kind": kind, **_STARTS.get(kind, {})}])
        first = next(iter(self.rows[-1].fields.values()))
        first.control.focus_target().setFocus()

    def refresh(self) -> None:
        """Show the draft's rules; what is being typed stays."""
        rules = self.rules()
        if not self._writing and [rule["kind"] for rule in rules] != [line.kind for line in self.rows]:
            self._rebuild(rules)
        elif not self._writing:
            for line, rule in zip(self.rows, rules, strict=True):
                self._show(line, rule)
        self._show_problems()

    def _rebuild(self, rules: list[Rule]) -> None:
        for line in self.rows:
            self._list.removeWidget(line)
            line.hide()
            line.deleteLater()
        self.rows = [RuleRow(rule, self) for rule in rules]
        for place, line in enumerate(self.rows):
            self._list.addWidget(line)
            line.changed.connect(self._on_changed)
            line.removed.connect(lambda place=place: self._on_removed(place))

    def _show(self, line: RuleRow, rule: Rule) -> None:
        for name, field in {**line.fields, "weight": line.weight}.items():
            value = rule.get(name, _default(name))
            if field.value() != value:
                field.set_value(value)

    def _show_problems(self) -> None:
        found = [problem for problem in self._model.all_problems if problem.path.startswith(RULES_PATH)]
        by_place = {place: problem for problem in reversed(found) if (place := _place_of(problem)) is not None}
        for place, line in enumerate(self.rows):
            line.show_problem(by_place.get(place))
        general = next((problem for problem in found if _place_of(problem) is None), None)
        self.problem.show_words("" if general is None else f"{general.message} {general.hint}", "bad")

    def _on_changed(self) -> None:
        self._writing = True
        self._model.set(RULES_PATH, [line.rule() for line in self.rows])
        self._writing = False

    def _on_removed(self, place: int) -> None:
        rules = self.rules()
        self._model.set(RULES_PATH, [*rules[:place], *rules[place + 1 :]])
        self.add_button.setFocus()

    def showEvent(self, event: QShowEvent) -> None:
        """Which runs there are is looked up each time."""
        super().showEvent(event)
        self.pick.setVisible(self._takes_model and bool(self.list_runs()))

    def list_runs(self) -> list[QAction]:
        """Fill the menu with the runs that have a reward model; its actions."""
        self.runs_menu.clear()
        for run in reward_runs(default_workspace()) if self._takes_model else ():
            action = self.runs_menu.addAction(run.path.name)
            action.triggered.connect(lambda _checked=False, path=str(run.path): self._model.set(MODEL_PATH, path))
        return self.runs_menu.actions()

    def _on_pick_clicked(self) -> None:
        self.runs_menu.popup(self.pick.mapToGlobal(self.pick.rect().bottomLeft()))

    def _on_add_clicked(self) -> None:
        self.menu.popup(self.add_button.mapToGlobal(self.add_button.rect().bottomLeft()))


def _place_of(problem: Problem) -> int | None:
    """Which rule a problem is about, from 0; None where it is about all of them."""
    rest = problem.path.removeprefix(RULES_PATH).lstrip(".").partition(".")[0]
    if rest.isdigit():
        return int(rest)
    entry = _ENTRY.search(problem.message)
    return int(entry[1]) - 1 if entry else None
