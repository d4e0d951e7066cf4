"""The state behind the wizard, without a widget: the draft, what is known of model and data, the estimate that follows.

Reading a model or a data file happens in background tasks; the estimate is arithmetic and is made anew at once with every
change, so that the memory panel follows a control within a frame. Must not import widgets.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Final, Literal, cast

from PySide6.QtCore import QCoreApplication, QObject, QTimer, Signal

from desktop_ft.core.advice import Advice, advise
from desktop_ft.core.config import DEMO, SETTINGS, Draft, RunConfig
from desktop_ft.core.config.defaults import MethodName, changes_for, objective_of
from desktop_ft.core.config.ignored import why_ignored
from desktop_ft.core.config.objectives import ObjectiveName
from desktop_ft.core.demo import DEMO_NAME, demo_draft, demo_values
from desktop_ft.core.device import DeviceFacts
from desktop_ft.core.errors import ConfigError, DesktopFtError, Problem
from desktop_ft.core.memory import MemoryEstimate, Situation, changed_config
from desktop_ft.core.memory.corrections import Correction, estimate_here_in
from desktop_ft.core.models import ModelInfo, read_model, resolve_model
from desktop_ft.core.preflight import resolve_data
from desktop_ft.core.presets import Preset
from desktop_ft.core.resolve import Resolved, resolve
from desktop_ft.core.worker_client import run_task
from desktop_ft.jobs.background import IsCancelled, ReportProgress, TaskSlot
from desktop_ft.jobs.data_facts import DataFacts

PageName = Literal["model", "objective", "data", "method", "review"]
PAGES: Final[tuple[PageName, ...]] = ("model", "objective", "data", "method", "review")
VIEW_ROWS: Final = 50
_DATA_SECONDS: Final = 600.0
_REREAD_DELAY_MS: Final = 250
_REREAD_PATHS: Final = frozenset(
    {
        "objective.kind", "data.train", "data.eval", "data.format", "data.columns", "data.max_length", "data.assistant_only_loss",
        "data.fixes",
    }
)  # fmt: skip
_PAGE_SECTIONS: Final[Mapping[PageName, tuple[str, ...]]] = {
    "model": ("model.",),
    "objective": ("objective.",),
    "data": ("data.",),
    "method": ("method.", "training."),
    "review": ("name", "seed", "evaluation.", "output.", "training."),
}


class NewRunModel(QObject):
    """One run being set up.

    Args:
        device: What it would train on; update it with `set_device`.
        draft: What to start from; the demo unless given.
        parent: Qt's owner.
    """

    draft_changed = Signal()
    model_changed = Signal()
    """Facts, error or loading of the model changed."""
    data_changed = Signal()
    """Facts, error or loading of the data changed."""
    memory_changed = Signal()
    """The estimate, what autos resolve to, or the advice changed."""
    rows_viewed = Signal(str, object)
    """The rows that `view_finding` asked for: the finding's code, and a list as `DataFacts.rows`."""
    fix_previewed = Signal(object)
    """What `preview_fix` asked for, as `desktop_ft.core.data.fix_preview.FixPreview.to_dict` gives."""
    error_raised = Signal(object)
    """`DesktopFtError` that belongs to no place on the screen."""
    closed = Signal()
    """Nothing comes any more."""
    crashed = Signal(object)
    """Traceback (str) of an exception that nobody expected."""

    def __init__(self, device: DeviceFacts, draft: Draft | None = None, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self.device = device
        self.draft = self._first_draft = draft or demo_draft()
        self.model: ModelInfo | None = None
        self.model_error: DesktopFtError | None = None
        self.data: DataFacts | None = None
        self.data_error: DesktopFtError | None = None
        self.estimate: MemoryEstimate | None = None
        self.correction: Correction | None = None
        """How what was measured on this computer moved the estimate."""
        self.measurements_note = ""
        """What a person should know of the file of measurements."""
        self.estimate_error: DesktopFtError | None = None
        """Why there is no estimate though the model is known; it does not keep a run from starting."""
        self.notes: dict[str, str] = {}
        """By setting: that it changed with the method or the objective, in a sentence."""
        self.all_problems: tuple[Problem, ...] = self.draft.problems()
        """Everything that keeps the draft from being a configuration."""
        self._last_config: RunConfig | None = None
        self.resolved: Resolved | None = None
        self.advice: tuple[Advice, ...] = ()
        self._model_slot = TaskSlot(self, self.crashed)
        self._data_slot = TaskSlot(self, self.crashed)
        self._view_slot = TaskSlot(self, self.crashed)
        self._fix_slot = TaskSlot(self, self.crashed)
        self._viewed_code = ""
        self.workable = self._find_workable()
        """What the run would be, for memory and for what has an effect; a reward that is still missing keeps neither from being told."""
        self._last_config = self.workable
        self._reread = QTimer(self)
        self._reread.setSingleShot(True)
        self._reread.setInterval(_REREAD_DELAY_MS)
        self._reread.timeout.connect(self.read_data)

    # --- changing ----------------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Read the model and data that the draft names already."""
        self.read_model()
        self.read_data()

    @property
    def has_changes(self) -> bool:
        """Whether the person changed anything since the run began to be set up."""
        return any(self.draft.get(path) != self._first_draft.get(path) for path in SETTINGS)

    def set(self, path: str, value: object) -> None:
        """Change one setting."""
        self.set_values({path: value})

    def set_values(self, changes: Mapping[str, object]) -> None:
        """Change settings together; what depends on them follows."""
        changed = {path: value for path, value in changes.items() if self.draft.get(path) != value}
        if not changed:
            return
        self.draft = self.draft.with_values(changed)
        if any(path.startswith("model.") for path in changed):
            self.read_model()
        if _REREAD_PATHS & changed.keys():
            self._reread.start()
        self._compute()
        self.draft_changed.emit()
        self.memory_changed.emit()

    def set_device(self, device: DeviceFacts) -> None:
        """Take over what the device has free now."""
        if device != self.device:
            self.device = device
            self._recompute()

    def take_measurements(self) -> None:
        """Something was measured or forgotten."""
        self._recompute()

    def why_not_probed(self) -> str:
        """Why one step of the run cannot be measured now, in one sentence; a run that seems too large can be."""
        return next((reason for page in PAGES[:-1] if (reason := self.why_blocked(page))), "") or next(
            (problem.message for problem in self.all_problems), ""
        )

    def choose_model(self, source: str, revision: str = "main") -> None:
        """Train this model: a folder, a Hub id in the cache, or ``demo``."""
        if (source, revision) == (self.draft.get("model.source"), self.draft.get("model.revision")) and self.model_error is not None:
            self.read_model()
        self._choose({"model.source": source, "model.revision": revision})

    def choose_data(self, path: str) -> None:
        """Learn from this file; what was said about the columns of the last one is forgotten."""
        if path == self.draft.get("data.train"):
            self.read_data()
        self._choose({"data.train": path, "data.format": "auto", "data.columns": {}, "data.fixes": ()})

    def set_method(self, kind: MethodName) -> None:
        """Change how much of the model is trained; what is still the other method's default goes along."""
        if kind != self.draft.get("method.kind"):
            self._set_with_notes(changes_for(self.draft, kind=kind), self.tr("Changed with the method, from {0} to {1}."))

    def set_objective(self, kind: ObjectiveName) -> None:
        """Change what signal it is trained on; what is still the other objective's default goes along, and so does the demo's file."""
        if kind == self.draft.get("objective.kind"):
            return
        changes = changes_for(self.draft, objective=kind)
        changes = {**changes, **self._followers(self.draft.with_values(changes))}
        self._set_with_notes(changes, self.tr("Changed with the objective, from {0} to {1}."))

    def apply_preset(self, preset: Preset) -> None:
        """Take over every setting that a preset decides; the demo's file goes along."""
        changes = preset.changes()
        after = self.draft.with_values(changes)
        self.notes = {}
        self.set_values({**self._followers(after), **changes})

    def _set_with_notes(self, changes: Mapping[str, object], words: str) -> None:
        """Change settings together and say of each that went along where it was."""
        kinds = ("method.kind", "objective.kind", "evaluation.sample_prompts")
        self.notes = {
            path: words.format(_said(self.draft.get(path)), _said(value))
            for path, value in changes.items()
            if path not in kinds and self.draft.get(path) != value
        }
        self.set_values(changes)

    @property
    def objective(self) -> ObjectiveName:
        """The draft's objective."""
        return objective_of(self.draft)

    def is_ignored(self, path: str) -> bool:
        """Whether a setting would have no effect with the others as they are; as last known while the draft has problems."""
        return self._last_config is not None and bool(why_ignored(self._last_config, path))

    def set_fix(self, name: str, *, wanted: bool) -> None:
        """Leave rows out when reading, or take that back; the file stays as it is."""
        kept = tuple(fix for fix in cast("tuple[str, ...]", self.draft.get("data.fixes")) if fix != name)
        self.set("data.fixes", (*kept, name) if wanted else kept)

    def _choose(self, changes: Mapping[str, object]) -> None:
        """Set model or data with what follows from it: the demo's settings come and go, and so does a name that nobody typed."""
        named_by_us = self.draft.get("name") == self.suggested_name(self.draft)
        after = self.draft.with_values(changes)
        values = {**changes, **self._followers(after)}
        if named_by_us:
            values["name"] = self.suggested_name(after)
        self.set_values(values)

    def _followers(self, after: Draft) -> Mapping[str, object]:
        """The demo's settings as they should be afterwards; only those that nobody changed."""
        before = demo_values(self.draft)
        return {path: value for path, value in demo_values(after).items() if self.draft.get(path) == before[path]}

    def suggested_name(self, draft: Draft) -> str:
        """A run's name by its data and model."""
        source, train = str(draft.get("model.source") or ""), str(draft.get("data.train") or "")
        if source == DEMO and train == DEMO:
            return DEMO_NAME
        parts = (Path(train).name.split(".")[0], Path(source).name)
        return "-".join(part.lower().replace(" ", "-") for part in parts if part)[:60].strip(".-") or DEMO_NAME

    # --- reading -----------------------------------------------------------------------------------------------------

    @property
    def is_model_loading(self) -> bool:
        """Whether the model is being read."""
        return self._model_slot.is_busy

    @property
    def is_data_loading(self) -> bool:
        """Whether the data are being read; the last facts stay until then."""
        return self._data_slot.is_busy or self._reread.isActive()

    def read_model(self) -> None:
        """Read the facts of the draft's model in the background."""
        self._model_slot.drop()
        self.model, self.model_error = None, None
        source, revision = str(self.draft.get("model.source") or ""), str(self.draft.get("model.revision"))
        if source:

            def work(_cancelled: IsCancelled, _progress: ReportProgress) -> object:
                return read_model(resolve_model(source, revision))

            self._model_slot.start(work, self._on_model_read, self._on_model_failed)
        self.model_changed.emit()

    def read_data(self) -> None:
        """Inspect the draft's data in the worker child; with a model also as it will be trained."""
        self._reread.stop()
        self._data_slot.drop()
        self.data_error = None
        source = str(self.draft.get("data.train") or "")
        if source:
            payload = self._data_payload(source)
            # a row that cannot be read is a finding; it must not keep the others from being seen
            view_payload = {**payload, "rows": VIEW_ROWS, "fixes": list({*cast("list[str]", payload["fixes"]), "drop_malformed_rows"})}
            has_model = self.model is not None

            def work(cancelled: IsCancelled, _progress: ReportProgress) -> object:
                report = run_task("inspect", payload, _DATA_SECONDS, cancelled)
                if not has_model or not report["num_usable"]:
                    return DataFacts(report, None)
                return DataFacts(report, run_task("view", view_payload, _DATA_SECONDS, cancelled))

            self._data_slot.start(work, self._on_data_read, self._on_data_failed)
        else:
            self.data = None
        self.data_changed.emit()

    def view_finding(self, code: str) -> None:
        """Read the rows that a finding names; `rows_viewed` brings them."""
        if self.data is None or self.model is None:
            return
        finding = next((finding for finding in self.data.findings if finding["code"] == code), None)
        if finding is None:
            return
        payload = {
            **self._data_payload(str(self.draft.get("data.train"))),
            "rows": VIEW_ROWS,
            "only": cast("list[int]", finding["rows"])[:VIEW_ROWS],
        }

        def work(cancelled: IsCancelled, _progress: ReportProgress) -> object:
            return run_task("view", payload, _DATA_SECONDS, cancelled)["rows"]

        self._view_slot.drop()
        self._viewed_code = code
        self._view_slot.start(work, self._on_rows_viewed, self._on_view_failed)

    def preview_fix(self, name: str) -> None:
        """Ask what a fix would do; `fix_previewed` brings it."""
        payload = {**self._data_payload(str(self.draft.get("data.train"))), "fix": name}

        def work(cancelled: IsCancelled, _progress: ReportProgress) -> object:
            return run_task("preview_fix", payload, _DATA_SECONDS, cancelled)

        self._fix_slot.start(work, self.fix_previewed.emit, self._on_view_failed)

    def cancel_data(self) -> None:
        """Stop reading the data; the last facts stay."""
        self._reread.stop()
        self._data_slot.drop()
        self.data_changed.emit()

    def conversion_payload(self) -> dict[str, object] | None:
        """The draft's data as `DataConversion` takes them; None where nothing is known of them."""
        return None if self.data is None else self._data_payload(str(self.draft.get("data.train")))

    def _data_payload(self, source: str) -> dict[str, object]:
        draft = self.draft
        return {
            "path": str(resolve_data(source, self.objective)),
            "objective": self.objective,
            "eval_path": self._eval_file(),
            "model_dir": str(self.model.path) if self.model else None,
            "added_tokens": list(cast("tuple[str, ...]", draft.get("model.added_tokens"))),
            "max_length": draft.get("data.max_length"),
            "format": draft.get("data.format"),
            "columns": draft.get("data.columns"),
            "assistant_only_loss": draft.get("data.assistant_only_loss"),
            "fixes": list(cast("tuple[str, ...]", draft.get("data.fixes"))),
        }

    def _eval_file(self) -> str | None:
        """The evaluation file, once it is there: what a person is still typing is none."""
        source = str(self.draft.get("data.eval") or "")
        path = resolve_data(source, self.objective) if source else None
        return str(path) if path is not None and path.is_file() else None

    def _on_model_read(self, model: object) -> None:
        self.model = cast("ModelInfo", model)
        self.model_changed.emit()
        self._recompute()
        self.read_data()

    def _on_model_failed(self, error: object) -> None:
        self.model_error = cast("DesktopFtError", error)
        self.model_changed.emit()
        self._recompute()

    def _on_data_read(self, facts: object) -> None:
        self.data = cast("DataFacts", facts)
        self.data_changed.emit()
        self._recompute()

    def _on_data_failed(self, error: object) -> None:
        self.data, self.data_error = None, cast("DesktopFtError", error)
        self.data_changed.emit()
        self._recompute()

    def _on_rows_viewed(self, rows: object) -> None:
        self.rows_viewed.emit(self._viewed_code, rows)

    def _on_view_failed(self, error: object) -> None:
        self.error_raised.emit(error)

    def close(self) -> None:
        """End what runs in the background; nothing is emitted for it any more."""
        self._reread.stop()
        self._model_slot.drop()
        self._data_slot.drop()
        self._view_slot.drop()
        self._fix_slot.drop()
        self.closed.emit()

    # --- what follows ------------------------------------------------------------------------------------------------

    def config(self) -> RunConfig:
        """The configuration as it stands.

        Raises:
            ConfigError: Lists every problem.
        """
        return self.draft.validated()

    @property
    def num_examples(self) -> tuple[int, int]:
        """Examples to train on and to evaluate on, as far as known now."""
        total = self.data.num_usable if self.data else 0
        if self.draft.get("data.eval") is not None:
            return total, 0
        held_out = round(total * cast("float", self.draft.get("data.split.fraction")))
        return total - held_out, held_out

    def estimate_with(self, changes: Mapping[str, object]) -> MemoryEstimate | None:
        """What the memory would be with other settings; None where that cannot be said."""
        if self.model is None or self.model.shape is None or self.workable is None:
            return None
        try:
            config = changed_config(self.workable, changes)
        except ConfigError:
            return None
        return estimate_here_in(config, self.situation, is_brief=True).estimate

    @property
    def situation(self) -> Situation:
        """What an estimate depends on besides the settings."""
        assert self.model is not None, "there is no estimate without a model"
        return Situation(self.model, self.device, lengths=self.data.row_lengths if self.data else None)

    def _find_workable(self) -> RunConfig | None:
        if not self.all_problems:
            return self.config()
        if any(not problem.path.startswith("objective.rewards.") for problem in self.all_problems):
            return None
        stand_in = self.draft.with_values({"objective.rewards.rules": [{"kind": "exact_answer"}]})
        return None if stand_in.problems() else stand_in.validated()

    def _recompute(self) -> None:
        self._compute()
        self.memory_changed.emit()

    def _compute(self) -> None:
        """What follows from draft, model, data and device; before anyone is told, so that nobody sees half of a change."""
        self.estimate, self.estimate_error, self.resolved, self.advice = None, None, None, ()
        self.correction = None
        self.all_problems = self.draft.problems()
        config = self.workable = self._find_workable()
        self._last_config = config or self._last_config
        if self.model is not None and config is not None:
            longest = self.data.longest if self.data else None
            num_train, num_eval = self.num_examples
            self.resolved = resolve(config, self.model, self.device, max(num_train, 1), num_eval, longest)
            try:
                found = estimate_here_in(config, self.situation)
                self.estimate, self.correction = found.estimate, found.correction
                self.measurements_note = found.note or self.measurements_note
            except DesktopFtError as error:
                self.estimate_error = error
            over_length = self.data.num_rows_of("over_length") if self.data else 0
            self.advice = advise(
                config,
                num_train or None,
                num_over_length=over_length,
                dtype=self.resolved.config.model.dtype,
                num_parameters=self.model.num_parameters,
            )

    def problems(self, page: PageName) -> tuple[Problem, ...]:
        """Problems of the settings that stand on a page."""
        return tuple(problem for problem in self.all_problems if problem.path.startswith(_PAGE_SECTIONS[page]))

    def why_blocked(self, page: PageName) -> str:
        """Why one cannot go on from a page, in one sentence; empty where one can."""
        problems = self.problems(page)
        if page == "model":
            return self._why_model_blocks()
        if page == "data" and not problems:
            return self._why_data_blocks()
        if page == "review" and not problems:
            return self._why_start_blocks()
        return f"{problems[0].message} {problems[0].hint}" if problems else ""

    def _why_model_blocks(self) -> str:
        if self.model_error is not None:
            return self.model_error.title
        if self.is_model_loading:
            return self.tr("The model is being read")
        return "" if self.model is not None else self.tr("Choose a model first")

    def _why_data_blocks(self) -> str:
        if self.data_error is not None:
            return self.data_error.title
        if self.data is None:
            return self.tr("The data are being read") if self.is_data_loading else self.tr("Choose a file of examples first")
        errors = [finding for finding in self.data.findings if finding["severity"] == "error"]
        if errors:
            return f"{errors[0]['title']}: {errors[0]['fix']}"
        return "" if self.data.num_usable else self.tr("No row of this file can be trained on")

    def _why_start_blocks(self) -> str:
        for page in PAGES[:-1]:
            reason = self.why_blocked(page)
            if reason:
                return reason
        if self.estimate is not None and self.estimate.verdict == "does_not_fit":
            return self.tr("The run does not fit in memory")
        return ""


def _said(value: object) -> str:
    """A value in a sentence; small numbers as people type them, 5e-5."""
    if isinstance(value, bool):
        return QCoreApplication.translate("NewRunModel", "on") if value else QCoreApplication.translate("NewRunModel", "off")
    return f"{value:g}".replace("e-0", "e-") if isinstance(value, float) else str(value)
