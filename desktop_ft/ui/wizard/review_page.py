"""Page 5: the whole run on one page, whether it fits, what it will take, and its name."""

from __future__ import annotations

import shlex
import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Final, cast

from PySide6.QtCore import QCoreApplication, Qt, Signal
from PySide6.QtGui import QGuiApplication
from PySide6.QtWidgets import QFileDialog, QFrame, QPlainTextEdit, QWidget

from desktop_ft.core.config import DEMO, SETTINGS, save_config
from desktop_ft.core.config.combinations import REWARDED
from desktop_ft.core.config.ignored import ignored_note
from desktop_ft.core.errors import ConfigError, DesktopFtError
from desktop_ft.core.forecast import forecast_disk, forecast_seconds
from desktop_ft.core.memory.estimate import MemoryEstimate
from desktop_ft.core.workspace import default_workspace, slug
from desktop_ft.jobs.new_run_model import NewRunModel, PageName
from desktop_ft.ui.kit.buttons import button
from desktop_ft.ui.kit.fields import TextControl
from desktop_ft.ui.kit.fonts import em
from desktop_ft.ui.kit.layout import column, frame, grid, row
from desktop_ft.ui.kit.text import DASH, ElidedLabel, Label, format_duration, format_gib, format_learning_rate, format_number, format_size
from desktop_ft.ui.objective_words import learns_from, objective_title
from desktop_ft.ui.run_page.words import adapter_options
from desktop_ft.ui.wizard.fit_list import FitList
from desktop_ft.ui.wizard.memory_panel import batch_words, longest_row
from desktop_ft.ui.wizard.model_page import parameters_in_words
from desktop_ft.ui.wizard.notices import AdviceLine, Banner
from desktop_ft.ui.wizard.page import WizardPage, set_stacked
from desktop_ft.ui.wizard.preset_dialog import PresetDialog
from desktop_ft.ui.wizard.probe_box import ProbeBox
from desktop_ft.ui.wizard.rewards_editor import kind_word
from desktop_ft.ui.wizard.settings_form import QUIET_TONES, Disclosure, SettingsForm

_MORE_LEFT: Final = ("evaluation.eval_steps", "output.save_steps", "seed", "evaluation.forgetting")
_MORE_RIGHT: Final = ("evaluation.sample_max_new_tokens", "output.save_total_limit", "output.keep_best")
_MOST_ADVICE: Final = 4
_LINES: Final[tuple[tuple[str, PageName | None], ...]] = (
    ("model", "model"),
    ("objective", "objective"),
    ("data", "data"),
    ("method", "method"),
    ("training", "method"),
    ("evaluation", None),
    ("output", None),
)
"""What each row is about, and the page that changes it; None: below on this page."""


class Figure(QWidget):
    """A number with its name above and its measure behind."""

    def __init__(self, name: str, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.number = Label("", "figure")
        self.note = ElidedLabel("", tone="2")
        self.setLayout(column(Label(name, tone="2"), row(self.number, (self.note, 1)), gap=2))

    def show_words(self, number: str, note: str) -> None:
        """Show another number."""
        self.number.setText(number)
        self.note.setText(note)


class ReviewPage(WizardPage):
    """Look at everything once more, then start."""

    preset_saved = Signal(object)
    """The `Preset` that the person kept these settings as."""

    def __init__(self, model: NewRunModel) -> None:
        super().__init__("review", model, QCoreApplication.translate("ReviewPage", "Review and start"))
        self._saved_to: Path | None = None
        self.banner = Banner("bad")
        self.fits = AdviceLine()
        self.fit_heading = self._new_fit_heading()
        self.fit_list = FitList()
        self.probe = ProbeBox(model)
        self.name_field = TextControl()
        self.name_problem = AdviceLine()
        self.save = button(self.tr("Save as &file…"), "flat", "save", on_click=self._on_save_clicked)
        self.keep = button(self.tr("Save as &preset…"), "flat", "sliders-horizontal", on_click=self._on_keep_clicked)
        self.copy = button(self.tr("Copy command &line"), "flat", "terminal", on_click=self._on_copy_clicked)
        self.summary = self._new_summary()
        self.advice = [AdviceLine() for _ in range(_MOST_ADVICE)]
        self.ignored = AdviceLine()
        self.steps, self.disk, self.result = Figure(self.tr("Steps")), Figure(self.tr("Disk")), Figure(self.tr("Result"))
        self.prompts = self._new_prompts()
        self.left, self.right = SettingsForm(model, _MORE_LEFT), SettingsForm(model, _MORE_RIGHT)
        self.more = Disclosure(self.tr("&More settings"), self._new_more())
        figures = row((self.steps, 1), (self.disk, 1), (self.result, 1), gap=16)
        run_head = row(Label(self.tr("The run"), "section"), None, self.save, self.keep, self.copy, gap=4)
        self.set_content(
            column(
                self.banner,
                self.fits,
                self.fit_heading,
                self.fit_list,
                self.probe,
                run_head,
                self.summary,
                *self.advice,
                self.ignored,
                figures,
                self.more,
                None,
                gap=10,
            )
        )
        self.name_field.value_changed.connect(self._on_name_changed)
        self.fit_list.apply_requested.connect(self._on_apply_requested)
        for signal in (model.memory_changed, model.draft_changed, model.data_changed):
            signal.connect(self.refresh)
        self.refresh()

    def refresh(self) -> None:
        """Show the draft."""
        self._show_verdict(self.model.estimate)
        for key, values in self._facts().items():
            for label, text in zip(self.values[key], values, strict=True):
                label.setText(text)
        warnings = [item for item in self.model.advice if item.code not in QUIET_TONES]
        for place, line in enumerate(self.advice):
            line.show_advice(warnings[place] if place < len(warnings) else None)
        self.ignored.show_words("" if self.model.workable is None else ignored_note(self.model.workable), "info")
        self._show_figures()
        self._show_name()
        self._show_prompts()

    def first_focus(self) -> QWidget | None:
        """The best fix while the run does not fit."""
        return self.fit_list.best_button() if not self.fit_list.isHidden() else None

    def set_narrow(self, narrow: bool) -> None:
        """The second column of facts goes."""
        set_stacked(self._forms, narrow)
        for _, second in self.values.values():
            second.setVisible(not narrow)

    # --- parts -------------------------------------------------------------------------------------------------------

    def _new_fit_heading(self) -> QWidget:
        heading = QWidget()
        heading.setLayout(row(Label(self.tr("Make it fit"), "section"), Label(self.tr("one click each, cheapest first"), tone="2"), None))
        return heading

    def _new_summary(self) -> QFrame:
        lines = grid(gap=16, line_gap=4)
        names = {
            "model": self.tr("Model"), "objective": self.tr("Objective"), "data": self.tr("Data"), "method": self.tr("Method"),
            "training": self.tr("Training"), "evaluation": self.tr("Evaluation"), "output": self.tr("Output"),
        }  # fmt: skip
        self.values: dict[str, tuple[ElidedLabel, ElidedLabel]] = {}
        self.name_field.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        name_label = Label(self.tr("N&ame"), tone="2")
        name_label.setBuddy(self.name_field.focus_target())
        self.name_field.focus_target().setAccessibleName(self.tr("Name of the run"))
        self.name_field.focus_target().setToolTip(SETTINGS["name"].description)
        lines.addWidget(name_label, 0, 0)
        lines.addWidget(self.name_field, 0, 1, 1, 3)
        lines.addWidget(self.name_problem, 1, 1, 1, 3)
        for line, (key, page) in enumerate(_LINES, start=2):
            first, second = ElidedLabel("", middle=True), ElidedLabel("", tone="2")
            self.values[key] = (first, second)
            change = button(self.tr("Change"), "link", name=self.tr("Change"))
            change.setAccessibleName(self.tr("Change: {0}").format(names[key]))
            change.clicked.connect(self._changer(page))
            for at, widget in enumerate((Label(names[key], tone="2"), first, second, change)):
                lines.addWidget(widget, line, at)
        lines.setColumnStretch(1, 2)
        lines.setColumnStretch(2, 3)
        return frame(column(lines, gap=6, pad=(16, 10, 12, 8)))

    def _new_prompts(self) -> QPlainTextEdit:
        prompts = QPlainTextEdit()
        prompts.setTabChangesFocus(True)
        prompts.setPlaceholderText(self.tr("One prompt a line"))
        prompts.setAccessibleName(self.tr("Sample prompts, one a line"))
        prompts.setFixedHeight(em(7))
        prompts.textChanged.connect(self._on_prompts_changed)
        return prompts

    def _new_more(self) -> QWidget:
        words = self.tr("Sample prompts, one a line: the model answers them at every evaluation, so that the change can be read.")
        self._forms = row((column(self.left, None), 1), (column(self.right, None), 1), gap=32)
        more = QWidget()
        more.setLayout(column(self._forms, Label(words, tone="2", wrap=True), self.prompts, gap=8))
        return more

    # --- showing -----------------------------------------------------------------------------------------------------

    def _show_verdict(self, bill: MemoryEstimate | None) -> None:
        bad = bill is not None and bill.verdict != "fits"
        self.banner.setVisible(bad)
        self.fit_heading.setVisible(bad)
        self.fit_list.setVisible(bad)
        self.fits.setVisible(not bad)
        if bill is None:
            reason = self.model.estimate_error.message if self.model.estimate_error else self.tr("The memory is not known yet.")
            self.fits.show_words(reason, "info")
            return
        half = (bill.high_bytes - bill.low_bytes) // 2
        numbers = self.tr("It needs {0} ± {1}, and {2} are free.").format(
            format_gib(bill.total_bytes), format_gib(half), format_gib(bill.free_bytes)
        )
        if bill.verdict == "fits":
            self.fits.show_words(self.tr("This run fits. {0}").format(numbers), "good")
            return
        self.banner.set_tone("bad" if bill.verdict == "does_not_fit" else "warn")
        micro, longest = bill.choices.micro_batch_size, longest_row(self.model)
        decides = self.tr("The longest batch decides: {0}.").format(batch_words(micro, longest))
        title = self.tr("This run does not fit") if bill.verdict == "does_not_fit" else self.tr("This run fits only just")
        self.banner.show_words(title, f"{numbers} {decides}")
        self.fit_list.set_bill(bill)

    def _facts(self) -> Mapping[str, tuple[str, str]]:
        model, draft = self.model, self.model.draft
        info, data = model.model, model.data
        train, held_out = model.num_examples
        dtype = model.resolved.config.model.dtype if model.resolved else ""
        source = str(draft.get("data.train") or "")
        examples = self.tr("{0} to train, {1} to evaluate").format(format_number(train), format_number(held_out))
        if draft.get("data.eval") is not None:
            examples = self.tr("{0} to train, a file to evaluate").format(format_number(train))
        return {
            "model": (
                (self.tr("Demo model") if info.name == DEMO else info.name) if info else DASH,
                f"{parameters_in_words(info.num_parameters)}, {dtype}" if info else "",
            ),
            "objective": self._objective_words(),
            "data": (self.tr("Demo data") if source == DEMO else Path(source).name or DASH, examples if data else ""),
            "method": self._method_words(),
            "training": self._training_words(),
            "evaluation": self._evaluation_words(held_out > 0 or draft.get("data.eval") is not None),
            "output": self._output_words(),
        }

    def _method_words(self) -> tuple[str, str]:
        draft = self.model.draft
        if draft.get("method.kind") == "full":
            frozen = draft.get("method.num_frozen_layers")
            where = self.tr("every weight above layer {0}").format(frozen) if frozen else self.tr("every weight")
            return self.tr("Full fine-tuning"), where
        if draft.get("model.adapter") is not None:
            return self.tr("Goes on from an adapter"), str(draft.get("model.adapter"))
        adapter = "QLoRA" if draft.get("method.kind") == "qlora" else "LoRA"
        options = adapter_options(self.model.workable.method) if self.model.workable is not None else []
        name = self.tr("{0} with {1}").format(adapter, ", ".join(options)) if options else adapter
        modules = draft.get("method.target_modules")
        where = {"all-linear": self.tr("all linear layers"), "attention": self.tr("attention layers")}.get(str(modules))
        return self.tr("{0}, rank {1}").format(name, draft.get("method.rank")), where or ", ".join(cast("tuple[str, ...]", modules))

    def _objective_words(self) -> tuple[str, str]:
        draft, kind = self.model.draft, self.model.objective
        if kind == "sft":
            answers = self.tr("answers only") if draft.get("data.assistant_only_loss") else self.tr("whole conversations")
            return objective_title(kind), answers
        if kind == "rlhf":
            return objective_title(kind), self.tr("a reward model, then {0}").format(str(draft.get("objective.rlhf.policy")).upper())
        if kind in REWARDED:
            return objective_title(kind), self._rewards_words()
        return objective_title(kind), learns_from(kind)

    def _rewards_words(self) -> str:
        draft = self.model.draft
        rules = cast("Sequence[Mapping[str, object]]", draft.get("objective.rewards.rules"))
        parts = [self.tr("reward model {0}").format(Path(str(source)).name)] if (source := draft.get("objective.rewards.model")) else []
        return ", ".join([*parts, *(kind_word(str(rule["kind"])).lower() for rule in rules)]) or self.tr("nothing rewards an answer yet")

    def _training_words(self) -> tuple[str, str]:
        draft, resolved = self.model.draft, self.model.resolved
        epochs = draft.get("training.num_train_epochs")
        passes = epochs if isinstance(epochs, int | float) else 0
        count = format_number(resolved.num_steps) if resolved else DASH
        rate = draft.get("training.learning_rate")
        return (
            (self.tr("1 epoch, {1} steps") if epochs == 1 else self.tr("{0:g} epochs, {1} steps")).format(passes, count),
            self.tr("batch {0}, learning rate {1}, {2}").format(
                draft.get("training.global_batch_size"),
                format_learning_rate(rate) if isinstance(rate, int | float) else rate,
                draft.get("training.lr_scheduler_type"),
            ),
        )

    def _evaluation_words(self, has_eval: bool) -> tuple[str, str]:
        resolved = self.model.resolved
        prompts = cast("tuple[str, ...]", self.model.draft.get("evaluation.sample_prompts"))
        samples = self.tr("{0} sample prompts").format(len(prompts)) if prompts else self.tr("no sample prompts")
        if not has_eval or resolved is None:
            return self.tr("none: nothing is held out"), samples
        every = resolved.config.evaluation.eval_steps
        return (self.tr("every step") if every == 1 else self.tr("every {0} steps").format(every)), samples

    def _output_words(self) -> tuple[str, str]:
        draft = self.model.draft
        limit = draft.get("output.save_total_limit")
        kept = self.tr("and the last checkpoint") if limit == 1 else self.tr("and the last {0} checkpoints").format(limit)
        return (self.tr("the model") if draft.get("method.kind") == "full" else self.tr("the adapter")), kept

    def _show_figures(self) -> None:
        model = self.model
        resolved, bill, info = model.resolved, model.estimate, model.model
        number = format_number(resolved.num_steps) if resolved else DASH
        self.steps.show_words(number, self._time_words())
        if bill is None or info is None or model.workable is None:
            self.disk.show_words(DASH, "")
            self.result.show_words(DASH, "")
            return
        forecast = forecast_disk(model.workable, info, model.device, bill.choices)
        self.disk.show_words(format_size(forecast.run_bytes), self.tr("of {0} free").format(format_size(free_disk_bytes())))
        kind = self.tr("model") if model.draft.get("method.kind") == "full" else self.tr("adapter")
        self.result.show_words(format_size(forecast.result_bytes), kind)

    def _time_words(self) -> str:
        """How long the run takes, where its very plan was measured on this computer."""
        resolved, correction = self.model.resolved, self.model.correction
        if resolved is None or correction is None or correction.seconds_per_step is None:
            return self.tr("time is known after three")
        evaluation, every = correction.evaluation_seconds, resolved.config.evaluation.eval_steps
        num_evaluations = 0 if evaluation is None or not isinstance(every, int) else resolved.num_steps // every + 1
        seconds = forecast_seconds(resolved.num_steps, correction.seconds_per_step, num_evaluations, evaluation or 0.0)
        words = self.tr("at most {0}, measured here") if correction.is_worst_case else self.tr("about {0}, measured here")
        return words.format(format_duration(seconds))

    def _show_name(self) -> None:
        name = str(self.model.draft.get("name"))
        if str(self.name_field.line_edit().text()).strip() != name.strip():
            self.name_field.set_value(name)
        problem = next((found for found in self.model.draft.problems() if found.path == "name"), None)
        self.name_field.set_wrong(problem is not None)
        self.name_problem.show_words(f"{problem.message} {problem.hint}" if problem else "", "bad")

    def _show_prompts(self) -> None:
        prompts = cast("tuple[str, ...]", self.model.draft.get("evaluation.sample_prompts"))
        if self._typed_prompts() != prompts:
            self.prompts.blockSignals(True)
            self.prompts.setPlainText("\n".join(prompts))
            self.prompts.blockSignals(False)

    def _typed_prompts(self) -> tuple[str, ...]:
        return tuple(line.strip() for line in self.prompts.toPlainText().splitlines() if line.strip())

    # --- doing -------------------------------------------------------------------------------------------------------

    def _on_name_changed(self, name: object) -> None:
        self.model.set("name", str(name))

    def _on_prompts_changed(self) -> None:
        self.model.set("evaluation.sample_prompts", self._typed_prompts())

    def _on_apply_requested(self, changes: object) -> None:
        self.model.set_values(cast("Mapping[str, object]", changes))
        focus = self.first_focus()
        if focus is not None:
            focus.setFocus(Qt.FocusReason.OtherFocusReason)

    def _changer(self, page: PageName | None) -> Callable[[], None]:
        return lambda: self._on_change_clicked(page)

    def _on_change_clicked(self, page: PageName | None) -> None:
        if page is not None:
            self.page_requested.emit(page)
            return
        self.more.set_open(True)
        self.left.rows["evaluation.eval_steps"].field.control.setFocus(Qt.FocusReason.OtherFocusReason)
        if self.area is not None:
            self.area.ensureWidgetVisible(self.more)

    def _on_save_clicked(self) -> None:
        start = f"{slug(str(self.model.draft.get('name')))}.yaml"
        picked, _ = QFileDialog.getSaveFileName(self, self.tr("Save the run's settings"), start, self.tr("Runs (*.yaml)"))
        if picked:
            self.save_to(Path(picked))

    def save_to(self, path: Path) -> bool:
        """Write the run's file; whether that worked."""
        try:
            save_config(self.model.config(), path)
        except DesktopFtError as error:
            self.error_raised.emit(error)
            return False
        self._saved_to = path
        return True

    def _on_keep_clicked(self) -> None:
        try:
            config = self.model.config()
        except ConfigError as error:
            self.error_raised.emit(error)
            return
        dialog = PresetDialog(config, self)
        dialog.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        dialog.saved.connect(self.preset_saved)
        dialog.error_raised.connect(self.error_raised)
        dialog.open()

    def _on_copy_clicked(self) -> None:
        """The command needs a file: the one saved last, else one in the person's own folder."""
        name = slug(str(self.model.draft.get("name")))
        path = self._saved_to or default_workspace().home / "configs" / f"{name}.yaml"
        if self.save_to(path):
            QGuiApplication.clipboard().setText(command_line(path))
            self.copy.setText(self.tr("Copied"))


def command_line(path: Path) -> str:
    """What starts this run without the window."""
    return f"desktop-ft train {shlex.quote(path.as_posix())}"


def free_disk_bytes() -> int:
    """Free bytes where runs are written."""
    folder = default_workspace().home
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    return shutil.disk_usage(folder).free
