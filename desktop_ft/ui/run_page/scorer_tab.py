"""Try the reward model: type a prompt and answers, and see what each of them scores."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from PySide6.QtCore import QCoreApplication, Signal
from PySide6.QtWidgets import QFrame, QPlainTextEdit, QProgressBar, QWidget

from desktop_ft.core.errors import DesktopFtError
from desktop_ft.core.job import ScoreRequest, create_job
from desktop_ft.core.runs import RunDir
from desktop_ft.jobs.job_model import JobModel
from desktop_ft.ui.kit.buttons import button
from desktop_ft.ui.kit.fonts import em
from desktop_ft.ui.kit.icons import IconLabel
from desktop_ft.ui.kit.layout import VerticalScrollPage, column, row
from desktop_ft.ui.kit.text import DASH, ElidedLabel, Label, format_number

FIRST_ANSWERS: Final = 2
MOST_ANSWERS: Final = 8


def _tr(text: str) -> str:
    return QCoreApplication.translate("run_page.scorer", text)


def has_result(run: RunDir) -> bool:
    """Whether the run has written what it trained."""
    return any(folder.is_dir() and any(folder.glob("*.safetensors")) for folder in (run.adapter, run.model))


def _text_box(name: str, height_em: float) -> QPlainTextEdit:
    box = QPlainTextEdit()
    box.setTabChangesFocus(True)
    box.setAccessibleName(name)
    box.setFixedHeight(em(height_em))
    return box


class AnswerRow(QFrame):
    """One answer and its score."""

    changed = Signal()

    def __init__(self, number: int, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setProperty("frame", "box")
        name = _tr("Answer {0}").format(number)
        self.text = _text_box(name, 5)
        self._best = IconLabel("circle-check", "good", 20)
        self._best.hide()
        self._score = Label(DASH, "figure")
        self._score.setAccessibleName(_tr("Score of answer {0}").format(number))
        self._place = Label("", "caption", "2")
        side = column(Label(_tr("Score"), "caption", "2"), row(self._score, self._best, None, gap=6), self._place, None, gap=0)
        holder = QWidget()
        holder.setLayout(side)
        holder.setFixedWidth(em(8))
        words = column(Label(name, "caption", "2", weight=600), self.text, gap=2)
        self.setLayout(row((words, 1), holder, gap=16, pad=(12, 8, 12, 10)))
        self.text.textChanged.connect(self.changed)

    def answer(self) -> str:
        """What is typed."""
        return self.text.toPlainText().strip()

    def show_score(self, score: float | None, *, is_best: bool = False) -> None:
        """Show what it scores; None: not known for what is typed now."""
        self._score.setText(format_number(score, 2))
        self._best.setVisible(is_best)
        self._place.setText(_tr("the best of them") if is_best else "")
        self.setAccessibleDescription(self._place.text())

    def score(self) -> str:
        """The score as shown."""
        return self._score.text()


class ScorerTab(QWidget):
    """Scores answers with the run's reward model, in a job of its own.

    Attributes:
        score: Starts it.
        cancel: Ends it.
    """

    error_raised = Signal(object)
    """`DesktopFtError`: the job could not be made."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._run: RunDir | None = None
        self._environment: Mapping[str, str] = {}
        self.job: JobModel | None = None
        self._asked: list[AnswerRow] = []
        self.prompt = _text_box(_tr("Prompt"), 4)
        self.answers: list[AnswerRow] = []
        self._list = column(gap=8)
        self.add = button(_tr("&Add an answer"), "flat", "plus", on_click=self.add_answer)
        self.score = button(_tr("S&core"), "", "gauge", on_click=self.start)
        self.cancel = button(_tr("&Cancel"), "flat", on_click=self._on_cancel)
        self.detail = ElidedLabel("", tone="2")
        self.bar = QProgressBar()
        self.bar.setTextVisible(False)
        self.bar.setAccessibleName(_tr("Progress of the scoring"))
        self.problem = Label("", tone="bad", wrap=True)
        words = Label(
            _tr("A score has no unit; only differences between answers to one prompt say something. Each scoring takes some seconds."),
            tone="2",
            wrap=True,
        )
        buttons = row(self.add, None, (self.detail, 1), self.cancel, self.score)
        prompt = column(Label(_tr("Prompt"), "caption", "2", weight=600), self.prompt, gap=2)
        content = column(words, prompt, self._list, buttons, self.bar, self.problem, None, gap=10, pad=(0, 0, 4, 0))
        self.setLayout(column(VerticalScrollPage(content, name=_tr("Try the reward model")), gap=0))
        for _ in range(FIRST_ANSWERS):
            self.add_answer()
        self.prompt.textChanged.connect(self._on_text_changed)
        self._show_state()

    def set_run(self, run: RunDir, environment: Mapping[str, str]) -> None:
        """Score with another run's reward model; what is typed stays."""
        if self._run is not None and self._run.path != run.path:
            self._drop_job()
            self._forget_scores()
        self._run, self._environment = run, environment
        self._show_state()

    def add_answer(self) -> None:
        """One more answer to compare."""
        line = AnswerRow(len(self.answers) + 1)
        line.changed.connect(self._on_text_changed)
        self.answers.append(line)
        self._list.addWidget(line)
        self.add.set_reason(_tr("That is enough to compare at once") if len(self.answers) >= MOST_ANSWERS else "")
        self._show_state()

    def start(self) -> None:
        """Score what is typed."""
        self._asked = [line for line in self.answers if line.answer()]
        if self._run is None or self.job is not None or not self._asked:
            return
        request = ScoreRequest(self._run.path, self.prompt.toPlainText().strip(), tuple(line.answer() for line in self._asked))
        try:
            folder = create_job(self._run, request).path
        except DesktopFtError as error:
            self.error_raised.emit(error)
            return
        job = self.job = JobModel(folder, self)
        for signal in (job.progress_changed, job.result_changed):
            signal.connect(self._on_job_changed)
        job.status_changed.connect(self._on_status_changed)
        self._forget_scores()
        job.start(self._environment)
        self._show_state()

    def show_scores(self, scores: list[float | None]) -> None:
        """Show the scores of the answers that were asked about, in their order."""
        known = [score for score in scores if score is not None]
        best = max(known) if len(known) == len(self._asked) > 1 else None
        for line, score in zip(self._asked, scores, strict=False):
            line.show_score(score, is_best=score is not None and score == best)

    def _on_job_changed(self) -> None:
        if self.job is None:
            return
        self.show_scores([sample.reward for sample in self.job.samples])
        self._show_state()

    def _on_status_changed(self) -> None:
        job = self.job
        if job is None or job.is_live:
            self._show_state()
            return
        self._on_job_changed()
        error = job.error
        job.remove_folder()
        self.job = None
        self._show_state()
        if error is not None:
            self.problem.setText(f"{error.title}. {error.message} {error.hint}")
            self.problem.show()

    def _on_cancel(self) -> None:
        if self.job is not None:
            self.job.cancel()

    def _drop_job(self) -> None:
        if self.job is not None:
            self.job.cancel()
            self.job.remove_folder()
            self.job = None

    def _on_text_changed(self) -> None:
        """A score belongs to the text that was scored."""
        if self.job is None:
            self._forget_scores()
        self._show_state()

    def _forget_scores(self) -> None:
        for line in self.answers:
            line.show_score(None)

    def _show_state(self) -> None:
        job = self.job
        typed = any(line.answer() for line in self.answers)
        self.score.set_reason(_tr("Scoring") if job is not None else "" if typed else _tr("Type an answer first"))
        self.cancel.setVisible(job is not None)
        self.bar.setVisible(job is not None)
        self.problem.setVisible(False)
        self.detail.setText("" if job is None else job.detail or _tr("Starting; its libraries take some seconds to load"))
        if job is not None:
            self.bar.setRange(0, job.total)
            self.bar.setValue(job.done)
