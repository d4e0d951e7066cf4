"""The page that tries a reward model, and the offer of a smaller micro-batch after a full memory."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
from pytestqt.qtbot import QtBot

from desktop_ft.core.errors import DesktopFtError
from desktop_ft.core.events import ErrorRaised, PhaseChanged, RunFinished, SampleDone
from desktop_ft.core.job import ScoreRequest, read_job
from desktop_ft.core.retry import RetryOffer
from desktop_ft.core.runs import RunDir
from desktop_ft.jobs.job_model import JobModel
from desktop_ft.jobs.kept_thread import end_threads
from desktop_ft.ui.run_page import RunPage
from desktop_ft.ui.run_page import actions as run_actions
from desktop_ft.ui.run_page.facts import RunFacts
from desktop_ft.ui.run_page.page import SCORER
from desktop_ft.ui.run_page.scorer_tab import MOST_ANSWERS, ScorerTab
from tests.helpers.clipping import clipped_texts
from tests.helpers.objective_runs import fold_objective
from tests.helpers.recording_service import RecordingService
from tests.helpers.synthetic_run import facts, fold
from tests.ui.run_page.test_page import SMALL, settle


@pytest.fixture
def page(service: RecordingService, qtbot: QtBot) -> Iterator[RunPage]:
    made = RunPage(service)
    made.resize(*SMALL)
    made.show()
    yield made
    qtbot.waitUntil(made.facts_are_read, timeout=5000)
    made.close()
    made.deleteLater()
    assert end_threads(5.0)


@pytest.fixture
def tab(service: RecordingService, tmp_path: Path, qtbot: QtBot, monkeypatch: pytest.MonkeyPatch) -> Iterator[ScorerTab]:
    """A tab whose jobs are made and never started."""

    def start(job: JobModel, environment: Mapping[str, str] | None = None) -> None:
        assert environment == {"CARD": "1"}
        job.status = "starting"

    monkeypatch.setattr(JobModel, "start", start)
    assert service is not None
    made = ScorerTab()
    made.resize(*SMALL)
    made.show()
    made.set_run(RunDir(tmp_path), {"CARD": "1"})
    yield made
    made.close()
    made.deleteLater()


def write_result(folder: Path) -> None:
    (folder / "adapter").mkdir()
    (folder / "adapter" / "adapter_model.safetensors").write_bytes(b"x")


def type_answers(tab: ScorerTab, *texts: str) -> None:
    for line, text in zip(tab.answers, texts, strict=False):
        line.text.setPlainText(text)


def test_only_a_finished_reward_run_can_be_tried(page: RunPage, tmp_path: Path, qtbot: QtBot) -> None:
    model = fold_objective("reward", tmp_path / "run")
    page.set_run(model)
    assert not page.tabs.isTabVisible(SCORER)
    write_result(tmp_path / "run")
    model.fold([RunFinished(status="completed", step=200)])
    assert page.tabs.isTabVisible(SCORER)
    qtbot.waitUntil(page.facts_are_read, timeout=5000)
    for _ in range(5):
        page.next_tab.trigger()
    assert page.tabs.currentIndex() == SCORER
    settle(page)
    assert clipped_texts(page) == []
    page.set_run(fold("completed", tmp_path / "sft"))
    assert (page.tabs.isTabVisible(SCORER), page.tabs.currentIndex()) == (False, 0)


def test_what_is_typed_is_asked_and_the_best_answer_is_marked(tab: ScorerTab) -> None:
    assert not tab.score.isEnabled()
    tab.prompt.setPlainText("Where is my parcel?")
    tab.add_answer()
    type_answers(tab, "It left this morning.", "", "No idea.")
    tab.score.click()
    job = tab.job
    assert job is not None
    assert not tab.score.isEnabled()
    request = read_job(job.folder)
    assert isinstance(request, ScoreRequest)
    assert (request.prompt, request.answers) == ("Where is my parcel?", ("It left this morning.", "No idea."))
    for index, (text, score) in enumerate((("It left this morning.", 1.25), ("No idea.", -0.5))):
        job.fold([SampleDone(step=0, index=index, prompt="Where is my parcel?", text=text, reward=score)])
    job.fold([RunFinished(status="completed")])
    assert [line.score() for line in tab.answers] == ["1.25", "–", "−0.50"]
    assert [line.accessibleDescription() for line in tab.answers] == ["the best of them", "", ""]
    assert tab.score.isEnabled()


def test_a_score_is_forgotten_when_its_text_changes(tab: ScorerTab) -> None:
    type_answers(tab, "One", "Two")
    tab.score.click()
    assert tab.job is not None
    tab.job.fold([SampleDone(step=0, index=0, prompt="", text="One", reward=1.0), RunFinished(status="completed")])
    assert tab.answers[0].score() == "1.00"
    tab.answers[0].text.setPlainText("Another")
    assert tab.answers[0].score() == "–"


def test_what_goes_wrong_is_said_in_place(tab: ScorerTab) -> None:
    type_answers(tab, "One")
    tab.score.click()
    assert tab.job is not None
    tab.job.fold(
        [
            ErrorRaised(code="reward_no_head", title="The reward model has no head", message="None is there.", hint="Pick another."),
            RunFinished(status="failed"),
        ]
    )
    assert tab.problem.text() == "The reward model has no head. None is there. Pick another."
    assert tab.problem.isVisible()
    assert tab.score.isEnabled()


def test_so_many_answers_and_no_more(tab: ScorerTab) -> None:
    while tab.add.isEnabled():
        tab.add.click()
    assert len(tab.answers) == MOST_ANSWERS


def test_a_full_memory_offers_half_the_micro_batch(
    page: RunPage, service: RecordingService, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, qtbot: QtBot
) -> None:
    model = fold("failed", tmp_path / "run")
    page.set_run(model)
    qtbot.waitUntil(page.facts_are_read, timeout=5000)
    assert page.banner.offer.isHidden()
    offer = RetryOffer(model.run, 100, 4, 2, 8, changes_loss=False)
    known = facts()
    page.set_facts(RunFacts(known.resolved, known.prediction, offer))
    page.refresh_now()
    assert page.banner.offer.text() == "Resume with micro-batch 2"
    assert "the global batch stays 16" in page.banner.offer_text()
    taken: list[Path] = []
    monkeypatch.setattr(run_actions, "apply_retry", lambda run: taken.append(run.path))
    page.banner.offer.click()
    assert taken == [model.run.path]
    assert service.asked == [("resume", model.run.path)]


def test_an_offer_that_cannot_be_taken_says_why_and_starts_nothing(
    page: RunPage, service: RecordingService, tmp_path: Path, qtbot: QtBot
) -> None:
    page.set_run(fold("failed", tmp_path / "run"))
    raised: list[object] = []
    page.error_raised.connect(raised.append)
    page.run_actions.retry_smaller()
    qtbot.waitUntil(page.facts_are_read, timeout=5000)
    assert [error.code for error in raised if isinstance(error, DesktopFtError)] == ["retry_not_possible"]
    assert service.asked == []


def test_both_answers_of_a_scored_pair_stand_side_by_side(page: RunPage, tmp_path: Path) -> None:
    model = fold_objective("reward", tmp_path / "run")
    model.fold(
        [
            SampleDone(step=at, index=index, prompt="Hello?", text=text, reward=score)
            for at, scores in ((0, (0.1, 0.2)), (50, (1.5, -1.0)))
            for index, (text, score) in enumerate(zip(("Good day!", "What?"), scores, strict=True))
        ]
    )
    model.fold([PhaseChanged(phase="train")])
    page.set_run(model)
    page.tabs.setCurrentIndex(1)
    assert page.samples.answers() == [("Good day!", "What?")]
    assert page.samples.titles() == [("Better answer, score 1.50", "Worse answer, score −1.00")]
