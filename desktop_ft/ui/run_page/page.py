"""The page of one run: what it is, how far it is, its curves and everything else about it, in every state.

The model's signals only mark what is out of date; a timer brings it up to date at most ten times a second.
"""

from __future__ import annotations

from typing import Final, cast

from PySide6.QtCore import QTimer, Signal
from PySide6.QtGui import QAction, QKeySequence
from PySide6.QtWidgets import QFrame, QStackedWidget, QTabBar, QWidget

from desktop_ft.core.events import ControlDone
from desktop_ft.jobs.background import BackgroundTask, IsCancelled, ReportProgress
from desktop_ft.jobs.run_model import RunModel
from desktop_ft.jobs.runs_service import RunsService
from desktop_ft.ui.kit.fonts import em
from desktop_ft.ui.kit.layout import VerticalScrollPage, column, row, rule
from desktop_ft.ui.kit.text import DASH, format_learning_rate, format_number
from desktop_ft.ui.kit.theme import theme_manager
from desktop_ft.ui.run_page.actions import RunActions
from desktop_ft.ui.run_page.banner import ErrorBanner
from desktop_ft.ui.run_page.charts import Charts, memory_words
from desktop_ft.ui.run_page.config_tab import ConfigTab
from desktop_ft.ui.run_page.events_tab import EventsTab
from desktop_ft.ui.run_page.facts import RunFacts, read_facts
from desktop_ft.ui.run_page.files_tab import FilesTab
from desktop_ft.ui.run_page.header import RunHeader
from desktop_ft.ui.run_page.health_box import HealthBox, SampleBox
from desktop_ft.ui.run_page.metrics import REWARDED, headline
from desktop_ft.ui.run_page.progress import Figures, ProgressLines
from desktop_ft.ui.run_page.samples_tab import SamplesTab
from desktop_ft.ui.run_page.scorer_tab import ScorerTab, has_result
from desktop_ft.ui.run_page.words import WRONG_STAGES, Stage, facts_line, objective_of, progress_words, stage_of

REFRESH_MS: Final = 100
HEALTH_MS: Final = 1000
CURVES, SAMPLES, EVENTS, CONFIGURATION, FILES, SCORER = range(6)
_SIDE_EM: Final = 21


class RunPage(QFrame):
    """Shows one run at a time.

    Args:
        service: Carries out what the buttons ask for.

    Attributes:
        actions: Everything that can be done with the run, for the window's menu.
        next_tab: Ctrl+Tab.
        previous_tab: Ctrl+Shift+Tab.
    """

    export_requested = Signal(object)
    """`RunDir`."""
    error_raised = Signal(object)
    """`DesktopFtError` that does not belong to the run itself."""
    notice_raised = Signal(str)
    """A request was answered, in a sentence."""
    crashed = Signal(object)
    """Traceback (str) of an exception that nobody expected in a background task."""
    continue_requested = Signal(object, str)
    """`RunDir`, and the objective of a new run that goes on from it."""
    back_requested = Signal()

    def __init__(self, service: RunsService, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setProperty("frame", "page")
        self._model: RunModel | None = None
        self._facts = RunFacts()
        self._facts_task: BackgroundTask | None = None
        self.run_actions = RunActions(service, self)
        self.header = RunHeader(self.run_actions)
        self.banner = ErrorBanner()
        self.progress, self.figures = ProgressLines(), Figures()
        self.charts, self.health, self.sample = Charts(), HealthBox(), SampleBox()
        self.samples, self.events, self.config, self.files = SamplesTab(), EventsTab(), ConfigTab(), FilesTab()
        self.scorer = ScorerTab()
        self.tabs, self._stack = self._new_tabs()
        self._lay_out()
        self._refresh_timer = self._new_timer(REFRESH_MS, self._on_refresh_due)
        self._health_timer = self._new_timer(HEALTH_MS, self._refresh_health)
        self._connect()

    # --- making ----------------------------------------------------------------------------------------------------------

    def _new_tabs(self) -> tuple[QTabBar, QStackedWidget]:
        tabs, stack = QTabBar(), QStackedWidget()
        tabs.setDrawBase(False)
        tabs.setExpanding(False)
        tabs.setUsesScrollButtons(False)
        tabs.setAccessibleName(self.tr("Parts of the run"))
        names = (self.tr("Curves"), self.tr("Samples"), self.tr("Events"), self.tr("Configuration"), self.tr("Files"), self.tr("Try it"))
        for name, page in zip(names, (self._new_curves(), self.samples, self.events, self.config, self.files, self.scorer), strict=True):
            tabs.addTab(name)
            stack.addWidget(page)
        tabs.currentChanged.connect(self._on_tab_changed)
        return tabs, stack

    def _new_curves(self) -> QWidget:
        side = QWidget()
        side.setLayout(column(self.health, (self.sample, 1), gap=12))
        side.setFixedWidth(em(_SIDE_EM))
        self._side = side
        theme_manager().changed.connect(self._hold_side_width)
        return VerticalScrollPage(row((self.charts, 1), side, gap=12), name=self.tr("Curves"))

    def _hold_side_width(self) -> None:
        """The side column is sized in ems of the font."""
        self._side.setFixedWidth(em(_SIDE_EM))

    def _lay_out(self) -> None:
        top = column(self.header, self.banner, self.progress, self.figures, 2, gap=10)
        self.setLayout(column(top, self.tabs, rule(), 8, (self._stack, 1), gap=0, pad=(24, 16, 24, 16)))

    def _new_timer(self, milliseconds: int, on_timeout: object) -> QTimer:
        timer = QTimer(self)
        timer.setSingleShot(True)
        timer.setInterval(milliseconds)
        timer.timeout.connect(on_timeout)
        return timer

    def _connect(self) -> None:
        self.run_actions.export_requested.connect(self.export_requested)
        self.run_actions.error_raised.connect(self.error_raised)
        self.run_actions.continue_requested.connect(self.continue_requested)
        self.run_actions.discarded.connect(self.back_requested)
        self.charts.error_raised.connect(self.error_raised)
        self.files.crashed.connect(self.crashed)
        self.scorer.error_raised.connect(self.error_raised)
        self.banner.offer.clicked.connect(self.run_actions.retry_smaller)
        self.files.open_folder.clicked.connect(self.run_actions.open_folder.trigger)
        self.samples.sample_now.clicked.connect(self.run_actions.sample.trigger)
        self.header.back.clicked.connect(self.back_requested)
        self.next_tab = self._new_tab_action(self.tr("Next tab of the run"), "Ctrl+Tab", 1)
        self.previous_tab = self._new_tab_action(self.tr("Previous tab of the run"), "Ctrl+Shift+Tab", -1)

    def _new_tab_action(self, text: str, keys: str, places: int) -> QAction:
        action = QAction(text, self)
        action.setShortcut(QKeySequence(keys))
        action.triggered.connect(lambda: self._go_to_tab(places))
        self.addAction(action)
        return action

    def _go_to_tab(self, places: int) -> None:
        shown = [at for at in range(self.tabs.count()) if self.tabs.isTabVisible(at)]
        self.tabs.setCurrentIndex(shown[(shown.index(self.tabs.currentIndex()) + places) % len(shown)])

    # --- the run ---------------------------------------------------------------------------------------------------------

    def set_run(self, model: RunModel) -> None:
        """Show another run."""
        if self._model is not None:
            self._disconnect(self._model)
        self._model, self._facts = model, RunFacts()
        model.status_changed.connect(self._on_status_changed)
        for signal in (
            model.progress_changed,
            model.curves_changed,
            model.samples_changed,
            model.messages_changed,
            model.checkpoints_changed,
        ):
            signal.connect(self._on_changed)
        model.request_answered.connect(self._on_request_answered)
        self.run_actions.set_run(model)
        self.header.set_name(model.run.path.name if model.config is None else model.config.name)
        self.charts.set_run(model)
        self.files.set_run(model.run)
        self.scorer.set_run(model.run, self.run_actions.environment)
        self._show_scorer(model)
        self._read_facts()
        self.refresh_now()
        self._refresh_health()
        self._on_tab_changed()

    def current_run(self) -> RunModel | None:
        """The run shown."""
        return self._model

    def _disconnect(self, model: RunModel) -> None:
        model.status_changed.disconnect(self._on_status_changed)
        for signal in (
            model.progress_changed,
            model.curves_changed,
            model.samples_changed,
            model.messages_changed,
            model.checkpoints_changed,
        ):
            signal.disconnect(self._on_changed)
        model.request_answered.disconnect(self._on_request_answered)

    def stage(self) -> Stage:
        """Where the run shown is."""
        return "new" if self._model is None else stage_of(self._model, was_paused=self.run_actions.was_paused())

    # --- facts read in a thread ----------------------------------------------------------------------------------------------

    def _read_facts(self) -> None:
        model = self._model
        if model is None or (self._facts_task is not None and self._facts_task.isRunning()):
            return
        run, config = model.run, model.config

        def work(_cancelled: IsCancelled, _progress: ReportProgress) -> tuple[object, RunFacts]:
            return run, read_facts(run, config)

        self._facts_task = BackgroundTask(work, self)
        self._facts_task.succeeded.connect(self._on_facts_read)
        self._facts_task.crashed.connect(self.crashed)
        self._facts_task.start()

    def _on_facts_read(self, result: object) -> None:
        run, facts = cast("tuple[object, RunFacts]", result)
        if self._model is None:
            return
        if run != self._model.run:
            self._read_facts()
            return
        self.set_facts(facts)

    def facts_are_read(self) -> bool:
        """Whether the thread that reads resolved settings has nothing left to do."""
        return self._facts_task is None or self._facts_task.isFinished()

    def set_facts(self, facts: RunFacts) -> None:
        """Show resolved settings and prediction; called by the page itself once they are read."""
        model = self._model
        assert model is not None, "set_run comes first"
        self._facts = facts
        if facts.resolved is not None and isinstance(facts.resolved.config.evaluation.eval_steps, int):
            model.pace.pause_steps = facts.resolved.config.evaluation.eval_steps
        model.predicted_bytes = None if facts.prediction is None else facts.prediction.total_bytes
        self.charts.set_facts(facts.resolved, facts.prediction)
        self.config.show_config(model.config, facts.resolved)
        self._show_health(model)

    def set_free_bytes(self, num_bytes: int | None) -> None:
        """What the device has free for this run, with what the run holds itself; None where that is not known."""
        self.charts.set_free_bytes(num_bytes)

    # --- up to date ------------------------------------------------------------------------------------------------------

    def _on_status_changed(self) -> None:
        """A state shows at once."""
        if self._facts.resolved is None or (self._model is not None and self._model.status == "failed"):
            self._read_facts()
        if self._model is not None:
            self._show_scorer(self._model)
        self.refresh_now()

    def _on_changed(self) -> None:
        if not self._refresh_timer.isActive():
            self._refresh_timer.start()
        if not self._health_timer.isActive():
            self._health_timer.start()

    def _on_refresh_due(self) -> None:
        """Words and the loss chart at once, the small charts one after the other."""
        is_behind = self.charts.refresh_some()
        self._refresh_words()
        if is_behind and not self._refresh_timer.isActive():
            self._refresh_timer.start()

    def refresh_now(self) -> None:
        """Bring everything that is seen up to date."""
        self._refresh_timer.stop()
        if self._model is not None:
            self.charts.refresh()
            self._refresh_words()

    def _refresh_words(self) -> None:
        """Widgets are kept, only their words and values change."""
        model = self._model
        if model is None:
            return
        stage = self.stage()
        self.run_actions.show_stage(stage)
        self.header.show_stage(stage)
        self.header.set_facts(facts_line(model.config, model.started_time))
        self.samples.sample_now.set_reason("" if self.run_actions.sample.isEnabled() else self.run_actions.sample.whatsThis())
        self.progress.show_words(progress_words(model, stage))
        self.banner.show_error(model.error if stage in WRONG_STAGES else None, model.error_details)
        offer = self._facts.offer if stage == "failed" else None
        self.banner.show_offer(
            "" if offer is None else self.tr("Resume with micro-batch {0}").format(offer.micro_batch_size),
            "" if offer is None else offer.message,
        )
        self._refresh_tab(model)
        self._refresh_figures(model)

    def _show_scorer(self, model: RunModel) -> None:
        """Answers can be scored once a reward run has a result."""
        can_score = objective_of(model) == "reward" and not model.is_live and has_result(model.run)
        if not can_score and self.tabs.currentIndex() == SCORER:
            self.tabs.setCurrentIndex(CURVES)
        self.tabs.setTabVisible(SCORER, can_score)

    def _refresh_tab(self, model: RunModel) -> None:
        match self.tabs.currentIndex():
            case 0:
                self.sample.show_samples(model.samples)
            case 1:
                self.samples.show_samples(model.samples, model.sampled)
            case 2:
                self.events.show_events(model)
            case _:
                pass

    def _refresh_figures(self, model: RunModel) -> None:
        self._refresh_first_figures(model)
        self.figures.learning_rate.show_value(format_learning_rate(model.curves["learning_rate"].last))
        self.figures.grad_norm.show_value(format_number(model.curves["grad_norm"].last, 2))
        speeds = self.charts.tokens_per_second.smoothed_values("speed")
        self.figures.tokens_per_second.show_value(format_number(float(speeds[-1]) if len(speeds) else None))
        peak = model.curves["memory_bytes"].last
        note = "" if peak is None else self.tr("GiB, peak")
        self.figures.memory.show_value(DASH if peak is None else memory_words(peak), note)

    def _refresh_first_figures(self, model: RunModel) -> None:
        """Loss and eval loss, or what says more: both for a run that raises a reward, the second for one on preferences."""
        kind = objective_of(model)
        telling = headline(kind, tuple(model.curves.metrics))
        places = [self.figures.loss, self.figures.eval_loss] if kind in REWARDED else [self.figures.eval_loss]
        shown = dict(zip(places, telling, strict=False))
        for figure, (name, metric) in shown.items():
            figure.set_name(name)
            figure.show_value(format_number(model.curves.metrics[metric].last, 3))
        if self.figures.loss not in shown:
            self._refresh_loss(model)
        if self.figures.eval_loss not in shown:
            self._refresh_eval_loss(model)

    def _refresh_loss(self, model: RunModel) -> None:
        self.figures.loss.set_name(self.tr("Loss"))
        losses = self.charts.loss.smoothed_values("train")
        has_loss = len(losses) > 0 and model.curves["loss"].last is not None
        self.figures.loss.show_value(format_number(float(losses[-1]), 3) if has_loss else DASH, self.tr("smoothed") if has_loss else "")

    def _refresh_eval_loss(self, model: RunModel) -> None:
        self.figures.eval_loss.set_name(self.tr("Eval loss"))
        best = model.best_evaluation
        note = "" if best is None else self.tr("best so far") if model.is_live else self.tr("at step {0}").format(format_number(best.step))
        self.figures.eval_loss.show_value(DASH if best is None else format_number(best.loss, 3), note)

    def _refresh_health(self) -> None:
        model = self._model
        if model is None:
            return
        self._health_timer.stop()
        if self._facts.resolved is None and model.status == "running":
            self._read_facts()
        self._show_health(model)

    def _show_health(self, model: RunModel) -> None:
        prediction = self._facts.prediction
        self.health.show_notes(model.health(None if prediction is None else prediction.high_bytes))

    def _on_tab_changed(self) -> None:
        self._stack.setCurrentIndex(self.tabs.currentIndex())
        if self._model is None:
            return
        if self.tabs.currentIndex() == CURVES:
            self.charts.refresh()
        self._refresh_tab(self._model)
        if self.tabs.currentIndex() == CONFIGURATION:
            self.config.show_config(self._model.config, self._facts.resolved)
        if self.tabs.currentIndex() == FILES:
            self.files.refresh()

    def _on_request_answered(self, answer: object) -> None:
        if not isinstance(answer, ControlDone) or answer.control == "stop":
            return
        if not answer.accepted:
            self.notice_raised.emit(answer.message or self.tr("The engine refused the request."))
