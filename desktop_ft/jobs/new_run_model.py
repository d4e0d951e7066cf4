"""The state behind the wizard, without a widget: the draft, what is known of model and data, the estimate that follows.

Reading a model or a data file happens in background tasks; the estimate is arithmetic and is made anew at once with every
change, so that the memory panel follows a control within a frame. Must not import widgets.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final, Literal, cast

from PySide6.QtCore import QObject, QTimer, Signal

from desktop_ft.core.advice import Advice, advise
from desktop_ft.core.config import Draft, RunConfig
from desktop_ft.core.demo import demo_draft
from desktop_ft.core.device import DeviceFacts
from desktop_ft.core.errors import DesktopFtError, Problem
from desktop_ft.core.memory.estimate import MemoryEstimate, estimate
from desktop_ft.core.models import ModelInfo, read_model, resolve_model
from desktop_ft.core.preflight import resolve_data
from desktop_ft.core.resolve import Resolved, resolve
from desktop_ft.core.worker_client import run_task
from desktop_ft.jobs.background import BackgroundTask, IsCancelled, ReportProgress, Work

PageName = Literal["model", "objective", "data", "method", "review"]
PAGES: Final[tuple[PageName, ...]] = ("model", "objective", "data", "method", "review")
VIEW_ROWS: Final = 50
_DATA_SECONDS: Final = 600.0
_REREAD_DELAY_MS: Final = 250
_REREAD_PATHS: Final = frozenset(
    {"data.train", "data.eval", "data.format", "data.columns", "data.max_length", "data.assistant_only_loss", "data.fixes"}
)
_PAGE_SECTIONS: Final[Mapping[PageName, tuple[str, ...]]] = {
    "model": ("model.",),
    "objective": ("objective.",),
    "data": ("data.",),
    "method": ("method.", "training."),
    "review": ("name", "seed", "evaluation.", "output.", "training."),
}


@dataclass(frozen=True)
class DataFacts:
    """What the data worker found.

    Attributes:
        report: As ``data inspect --json``.
        view: As ``data view --json``; None until a model is known.
    """

    report: Mapping[str, object]
    view: Mapping[str, object] | None

    @property
    def num_usable(self) -> int:
        """Rows that can be trained on."""
        return cast("int", self.report["num_usable"])

    @property
    def findings(self) -> list[Mapping[str, object]]:
        """Worst first."""
        return cast("list[Mapping[str, object]]", self.report["findings"])

    def num_rows_of(self, code: str) -> int:
        """Rows that one finding names; 0 where it was not found."""
        return next((cast("int", finding["num_rows"]) for finding in self.findings if finding["code"] == code), 0)

    @property
    def longest(self) -> int | None:
        """Tokens of the longest row; None without a tokenizer."""
        lengths = cast("Mapping[str, object]", self.report.get("lengths") or {})
        longest = lengths.get("max")
        return longest if isinstance(longest, int) and longest > 0 else None


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
    crashed = Signal(object)
    """Traceback (str) of an exception that nobody expected."""

    def __init__(self, device: DeviceFacts, draft: Draft | None = None, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self.device = device
        self.draft = draft or demo_draft()
        self.model: ModelInfo | None = None
        self.model_error: DesktopFtError | None = None
        self.data: DataFacts | None = None
        self.data_error: DesktopFtError | None = None
        self.estimate: MemoryEstimate | None = None
        self.resolved: Resolved | None = None
        self.advice: tuple[Advice, ...] = ()
        self._model_task: BackgroundTask | None = None
        self._data_task: BackgroundTask | None = None
        self._reread = QTimer(self)
        self._reread.setSingleShot(True)
        self._reread.setInterval(_REREAD_DELAY_MS)
        self._reread.timeout.connect(self.read_data)

    # --- changing ----------------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Read the model and data that the draft names already."""
        self.read_model()
        self.read_data()

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
        self.draft_changed.emit()
        self._recompute()

    def set_device(self, device: DeviceFacts) -> None:
        """Take over what the device has free now."""
        if device != self.device:
            self.device = device
            self._recompute()

    def choose_model(self, source: str) -> None:
        """Train this model: a folder, a Hub id in the cache, or ``demo``."""
        self.set("model.source", source)

    def choose_data(self, path: str) -> None:
        """Learn from this file; what was said about the columns of the last one is forgotten."""
        self.set_values({"data.train": path, "data.format": "auto", "data.columns": {}, "data.fixes": ()})

    # --- reading -----------------------------------------------------------------------------------------------------

    @property
    def is_model_loading(self) -> bool:
        """Whether the model is being read."""
        return self._model_task is not None

    @property
    def is_data_loading(self) -> bool:
        """Whether the data are being read; the last facts stay until then."""
        return self._data_task is not None or self._reread.isActive()

    def read_model(self) -> None:
        """Read the facts of the draft's model in the background."""
        self._drop_model_task()
        self.model, self.model_error = None, None
        source, revision = str(self.draft.get("model.source") or ""), str(self.draft.get("model.revision"))
        if source:

            def work(_cancelled: IsCancelled, _progress: ReportProgress) -> object:
                return read_model(resolve_model(source, revision))

            self._model_task = self._run(work, self._on_model_read, self._on_model_failed)
        self.model_changed.emit()

    def read_data(self) -> None:
        """Inspect the draft's data in the worker child; with a model also as it will be trained."""
        self._reread.stop()
        self._drop_data_task()
        self.data_error = None
        source = str(self.draft.get("data.train") or "")
        if source:
            payload = self._data_payload(source)
            has_model = self.model is not None

            def work(cancelled: IsCancelled, _progress: ReportProgress) -> object:
                report = run_task("inspect", payload, _DATA_SECONDS, cancelled)
                if not has_model or not report["num_usable"]:
                    return DataFacts(report, None)
                return DataFacts(report, run_task("view", {**payload, "rows": VIEW_ROWS}, _DATA_SECONDS, cancelled))

            self._data_task = self._run(work, self._on_data_read, self._on_data_failed)
        else:
            self.data = None
        self.data_changed.emit()

    def _data_payload(self, source: str) -> dict[str, object]:
        draft = self.draft
        return {
            "path": str(resolve_data(source)),
            "model_dir": str(self.model.path) if self.model else None,
            "max_length": draft.get("data.max_length"),
            "format": draft.get("data.format"),
            "columns": draft.get("data.columns"),
            "assistant_only_loss": draft.get("data.assistant_only_loss"),
        }

    def _run(self, work: Work, succeeded: Callable[[object], None], failed: Callable[[object], None]) -> BackgroundTask:
        task = BackgroundTask(work, self)
        task.succeeded.connect(succeeded)
        task.failed.connect(failed)
        task.crashed.connect(self.crashed)
        task.start()
        return task

    def _drop_model_task(self) -> None:
        if self._model_task is not None:
            self._model_task.cancel()
        self._model_task = None

    def _drop_data_task(self) -> None:
        if self._data_task is not None:
            self._data_task.cancel()
        self._data_task = None

    def _on_model_read(self, model: object) -> None:
        self._model_task = None
        self.model = cast("ModelInfo", model)
        self.model_changed.emit()
        self._recompute()
        self.read_data()

    def _on_model_failed(self, error: object) -> None:
        self._model_task = None
        self.model_error = cast("DesktopFtError", error)
        self.model_changed.emit()
        self._recompute()

    def _on_data_read(self, facts: object) -> None:
        self._data_task = None
        self.data = cast("DataFacts", facts)
        self.data_changed.emit()
        self._recompute()

    def _on_data_failed(self, error: object) -> None:
        self._data_task = None
        self.data, self.data_error = None, cast("DesktopFtError", error)
        self.data_changed.emit()
        self._recompute()

    def close(self) -> None:
        """End what runs in the background; nothing is emitted for it any more."""
        self._reread.stop()
        self._drop_model_task()
        self._drop_data_task()

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

    def _recompute(self) -> None:
        self.estimate, self.resolved, self.advice = None, None, ()
        if self.model is not None and not self.draft.problems():
            config = self.config()
            longest = self.data.longest if self.data else None
            num_train, num_eval = self.num_examples
            try:
                self.estimate = estimate(config, self.model, self.device, longest)
                self.resolved = resolve(config, self.model, self.device, max(num_train, 1), num_eval)
            except DesktopFtError as error:
                self.model_error = error
            over_length = self.data.num_rows_of("over_length") if self.data else 0
            dtype = self.resolved.config.model.dtype if self.resolved else None
            self.advice = advise(config, num_train or None, num_over_length=over_length, dtype=dtype)
        self.memory_changed.emit()

    def problems(self, page: PageName) -> tuple[Problem, ...]:
        """Problems of the settings that stand on a page."""
        return tuple(problem for problem in self.draft.problems() if problem.path.startswith(_PAGE_SECTIONS[page]))

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
            return str(errors[0]["title"])
        return "" if self.data.num_usable else self.tr("No row of this file can be trained on")

    def _why_start_blocks(self) -> str:
        for page in PAGES[:-1]:
            reason = self.why_blocked(page)
            if reason:
                return reason
        if self.estimate is not None and self.estimate.verdict == "does_not_fit":
            return self.tr("The run does not fit in memory")
        return ""
