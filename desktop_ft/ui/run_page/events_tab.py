"""What happened, newest first: starts, warnings, errors, checkpoints, evaluations and requests. Steps are in the curves."""

from __future__ import annotations

from dataclasses import dataclass

from PySide6.QtCore import QCoreApplication
from PySide6.QtWidgets import QWidget

from desktop_ft.core.events import (
    CheckpointSaved,
    ControlDone,
    EvaluationDone,
    Event,
    RunFinished,
    RunStarted,
    StageStarted,
    WarningRaised,
)
from desktop_ft.jobs.run_model import RunModel
from desktop_ft.ui.kit.layout import column, row
from desktop_ft.ui.kit.tables import Column, ListModel, TableView
from desktop_ft.ui.kit.text import Label, format_duration, format_number, format_size
from desktop_ft.ui.run_page.words import clock_words, words_of_stage


def _tr(text: str) -> str:
    return QCoreApplication.translate("run_page.events", text)


@dataclass(frozen=True)
class EventRow:
    """One line of the table."""

    key: object
    time: float
    icon: tuple[str, str]
    title: str
    text: str


def event_rows(model: RunModel) -> list[EventRow]:
    """Everything worth a line, newest first."""
    evaluations = [event for event in model.evaluations if event.time]
    listed: list[Event] = [
        *model.stages,
        *_starts(model),
        *model.finishes,
        *model.warnings,
        *evaluations,
        *model.checkpoints.values(),
        *model.requests,
    ]
    rows = [_row(event) for event in sorted(listed, key=lambda event: (event.time, event.seq))]
    if model.error is not None and model.last_time is not None:
        text = f"{model.error.message} {model.error.hint}".strip()
        rows.append(EventRow("error", model.last_time, ("octagon-x", "bad"), model.error.title, text))
    return rows[::-1]


def _starts(model: RunModel) -> list[RunStarted]:
    """Starts of the engine; of a later stage of the same engine its own line tells."""
    before = [None, *(session.pid for session in model.sessions)]
    return [session for session, pid in zip(model.sessions, before, strict=False) if session.pid != pid or not model.stages]


def _row(event: Event) -> EventRow:
    icon, title, text = _words(event)
    return EventRow((event.kind, event.seq), event.time, icon, title, text)


def _words(event: Event) -> tuple[tuple[str, str], str, str]:
    match event:
        case RunStarted():
            return ("play", "2"), _tr("Resumed") if event.start_step else _tr("Started"), _start_words(event)
        case RunFinished():
            return _finish_words(event)
        case WarningRaised():
            return ("triangle-alert", "warn"), event.title, f"{event.message} {event.hint}".strip()
        case EvaluationDone():
            return ("gauge", "2"), _tr("Evaluation at step {0}").format(format_number(event.step)), _evaluation_words(event)
        case StageStarted():
            words = words_of_stage(event)
            return ("flag", "2"), words[:1].upper() + words[1:], _tr("from step {0} on").format(format_number(event.first_step))
        case CheckpointSaved():
            return (
                ("save", "2"),
                _tr("Checkpoint of step {0}").format(format_number(event.step)),
                f"{event.path}, {format_size(event.num_bytes)}",
            )
        case ControlDone():
            title = _tr("Request “{0}” carried out") if event.accepted else _tr("Request “{0}” refused")
            return ("circle-check", "good") if event.accepted else ("ban", "warn"), title.format(event.control), event.message
        case _:
            return ("info", "2"), event.kind, ""


def _seconds_words(seconds: float) -> str:
    return format_duration(seconds) if seconds >= 10 else _tr("{0} s").format(format_number(seconds, 1))


def _evaluation_words(event: EvaluationDone) -> str:
    """Its loss; where answers are rewarded and there is none, the reward."""
    reward = event.metrics.get("reward")
    if event.loss is None and reward is not None:
        words, value = _tr("reward {0} on {1} held-out prompts, in {2}"), reward
    else:
        words, value = _tr("loss {0} on {1} held-out examples, in {2}"), event.loss
    return words.format(format_number(value, 3), format_number(event.num_examples), _seconds_words(event.seconds))


def _start_words(event: RunStarted) -> str:
    words = _tr("{0}; {1} examples, {2} held out; {3} steps")
    counts = (format_number(event.num_train_examples), format_number(event.num_eval_examples), format_number(event.num_steps))
    return words.format(event.device, *counts)


def _finish_words(event: RunFinished) -> tuple[tuple[str, str], str, str]:
    icon, title = {
        "completed": (("circle-check", "good"), _tr("Finished")),
        "stopped": (("circle-stop", "2"), _tr("Stopped, kept")),
        "failed": (("octagon-x", "bad"), _tr("Failed")),
    }[event.status]
    return icon, title, _tr("after {0} of this session").format(format_duration(event.seconds))


class EventsTab(QWidget):
    """The table of events; the whole text of the chosen one stands below it."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        columns: list[Column[EventRow]] = [
            Column(self.tr("Time"), lambda line: clock_words(line.time), width_em=11, tone="2"),
            Column(self.tr("What"), lambda line: line.title, width_em=18, icon=lambda line: line.icon),
            Column(self.tr("Details"), lambda line: line.text),
        ]
        self.model = ListModel(columns, key=lambda line: line.key, parent=self)
        self.table = TableView(self.model, name=self.tr("Events of the run"))
        self.table.current_changed.connect(self._on_current_changed)
        self._text = Label(self.tr("Choose a line to read all of it."), tone="2", wrap=True, selectable=True)
        self.setLayout(column((self.table, 1), row((self._text, 1)), gap=8))

    def show_events(self, model: RunModel) -> None:
        """Show what there is now; the chosen line stays."""
        self.model.set_rows(event_rows(model))

    def _on_current_changed(self, line: object) -> None:
        if isinstance(line, EventRow):
            self._text.setText(f"{line.title}. {line.text}" if line.text else line.title)
