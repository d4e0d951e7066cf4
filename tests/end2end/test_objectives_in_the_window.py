"""The real window and the real engine on the demo: RLHF of both stages, a reward model that is tried, a sweep, a memory that is full."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path

import pytest
from PySide6.QtCore import Qt
from PySide6.QtWidgets import QWidget
from pytestqt.qtbot import QtBot

from desktop_ft.core.events import RunStarted, StageStarted, WarningRaised
from desktop_ft.core.launcher import ENGINE_VARIABLE
from desktop_ft.core.lr_finder import create_sweep
from desktop_ft.core.retry import RETRY_CODE
from desktop_ft.core.stages import checkpoints_of
from desktop_ft.core.workspace import default_workspace
from desktop_ft.jobs.kept_thread import end_threads
from desktop_ft.jobs.run_model import RunModel
from desktop_ft.ui.export_dialog.plan import weights_of
from desktop_ft.ui.main_window import MainWindow
from desktop_ft.ui.run_page.page import SCORER
from desktop_ft.ui.wizard import rate_dialog
from desktop_ft.ui.wizard.method_page import MethodPage
from desktop_ft.ui.wizard.rate_dialog import RateDialog
from tests.end2end.test_crash import events_of
from tests.helpers.clipping import clipped_texts

pytestmark = [pytest.mark.slow_bench, pytest.mark.timeout(600)]
LEFT = Qt.MouseButton.LeftButton
ENGINE_MS = 240_000
READING_MS = 30_000
SMALL: Mapping[str, object] = {
    "data.max_length": 128,
    "method.rank": 4,
    "method.use_dora": False,
    "training.global_batch_size": 4,
    "training.micro_batch_size": 4,
    "evaluation.forgetting": False,
    "evaluation.sample_prompts": (),
    "output.save_steps": 2,
}
PICTURES = os.environ.get("DESKTOP_FT_TEST_PICTURES", "")
"""A folder for pictures of what is seen on the way; none are taken without it."""


@pytest.fixture
def window(qtbot: QtBot) -> Iterator[MainWindow]:
    """The program's window over an empty workspace, as small as a small screen."""
    made = MainWindow(default_workspace())
    made.resize(1024, 700)
    made.show()
    made.start()
    yield made
    made.close_at_once()
    end_threads(10.0)
    made.deleteLater()
    qtbot.wait(50)


def look(widget: QWidget, name: str, qtbot: QtBot) -> None:
    """Nothing is cut; a picture where one is wanted."""
    qtbot.wait(200)
    assert clipped_texts(widget) == []
    if PICTURES:
        Path(PICTURES).mkdir(parents=True, exist_ok=True)
        widget.grab().save(str(Path(PICTURES) / f"{name}.png"))


def set_up(window: MainWindow, card: str, settings: Mapping[str, object], qtbot: QtBot) -> None:
    """Choose an objective's card and walk to the review page; the settings stand for what would be typed."""
    wizard = window.wizard.wizard
    wizard.go_to(1)
    qtbot.mouseClick(wizard.objective_page.cards[card].radio, LEFT)
    wizard.model.set_values(settings)
    qtbot.waitUntil(lambda: not wizard.model.why_blocked("data") and not wizard.model.is_data_loading, timeout=READING_MS)
    wizard.go_to(4)
    qtbot.waitUntil(wizard.footer.next.isEnabled, timeout=READING_MS)


def start(window: MainWindow, card: str, settings: Mapping[str, object], qtbot: QtBot) -> RunModel:
    """Set up and start a run; its model."""
    set_up(window, card, settings, qtbot)
    qtbot.mouseClick(window.wizard.wizard.footer.next, LEFT)
    model = window.current_run()
    assert model is not None
    return model


def finish(model: RunModel, qtbot: QtBot) -> None:
    """To its end, until its process is gone."""
    qtbot.waitUntil(lambda: model.status not in {"new", "starting", "running"} and model.engine is None, timeout=ENGINE_MS)


def test_a_sweep_from_the_method_page_ends_with_a_word_and_leaves_nothing(
    window: MainWindow, qtbot: QtBot, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rate_dialog, "create_sweep", partial(create_sweep, low=1e-4, high=1e-2, num_steps=3, num_rates=3))
    set_up(window, "&Supervised (SFT)", SMALL, qtbot)
    window.wizard.wizard.go_to(3)
    page = window.wizard.wizard.pages[3]
    assert isinstance(page, MethodPage)
    qtbot.mouseClick(page.find_rate, LEFT)
    (dialog,) = page.findChildren(RateDialog)
    qtbot.mouseClick(dialog.begin, LEFT)
    job = dialog.job
    assert job is not None
    look(dialog, "sweep-live", qtbot)
    qtbot.waitUntil(lambda: not job.is_live, timeout=ENGINE_MS)
    assert job.status == "completed", job.error
    assert [point.rate for point in job.points] == pytest.approx([1e-4, 1e-3, 1e-2])
    assert job.suggested is not None
    assert dialog.detail.text() == job.suggested.message
    look(dialog, "sweep-done", qtbot)
    suggested, folder = dialog.suggested(), job.folder
    if suggested is not None:
        qtbot.mouseClick(dialog.use, LEFT)
        assert window.wizard.model.draft.get("training.learning_rate") == suggested
    else:
        dialog.reject()
    qtbot.waitUntil(lambda: not folder.exists(), timeout=READING_MS)


def test_rlhf_shows_both_of_its_stages_and_its_checkpoints_can_be_exported(window: MainWindow, qtbot: QtBot) -> None:
    settings = {
        **SMALL,
        "data.split.fraction": 0.1,
        "objective.rlhf.reward_num_train_epochs": 0.05,
        "objective.rollout.max_completion_length": 8,
        "objective.ppo.num_ppo_epochs": 1,
        "objective.ppo.num_mini_batches": 1,
        "training.max_steps": 4,
    }
    model = start(window, "RL&HF", settings, qtbot)
    qtbot.waitUntil(lambda: "accuracy" in model.curves.metrics, timeout=ENGINE_MS)
    look(window, "rlhf-reward", qtbot)
    qtbot.waitUntil(lambda: model.status != "running" or any(event.stage == "policy" for event in stages(model)), timeout=ENGINE_MS)
    finish(model, qtbot)
    assert model.status == "completed", model.error
    assert [event.stage for event in stages(model)] == ["reward", "policy"]
    assert {"accuracy", "reward"} <= set(model.curves.metrics)
    look(window, "rlhf-done", qtbot)
    reward = {weights.step for weights in weights_of(model.run, model.config) if weights.is_reward_model}
    last = stages(model)[-1].first_step
    assert reward
    assert all(step is not None and step < last for step in reward)
    assert len(checkpoints_of(model.run)) > len(reward)
    for tab in range(window.runs.run_page.tabs.count() - 1):
        window.runs.run_page.tabs.setCurrentIndex(tab)
        look(window, f"rlhf-tab-{tab}", qtbot)


def stages(model: RunModel) -> list[StageStarted]:
    return [event for event in events_of(model.run) if isinstance(event, StageStarted)]


def test_a_finished_reward_model_is_tried_on_its_page(window: MainWindow, qtbot: QtBot) -> None:
    model = start(window, "Re&ward model", {**SMALL, "training.max_steps": 3, "data.split.fraction": 0.05}, qtbot)
    finish(model, qtbot)
    assert model.status == "completed", model.error
    page = window.runs.run_page
    assert page.tabs.isTabVisible(SCORER)
    look(window, "reward-done", qtbot)
    page.tabs.setCurrentIndex(SCORER)
    tab = page.scorer
    tab.prompt.setPlainText("Which group of animals does a duck belong to?")
    for line, text in zip(tab.answers, ("A duck is a bird.", "Find out yourself."), strict=False):
        line.text.setPlainText(text)
    qtbot.mouseClick(tab.score, LEFT)
    look(window, "scorer-live", qtbot)
    qtbot.waitUntil(lambda: tab.job is None, timeout=ENGINE_MS)
    assert not tab.problem.isVisible(), tab.problem.text()
    scores = [float(line.score().replace("−", "-")) for line in tab.answers[:2]]
    assert scores[0] != scores[1]
    marked = [line.accessibleDescription() for line in tab.answers[:2]]
    assert marked[scores.index(max(scores))] == "the best of them"
    look(window, "scorer-done", qtbot)
    qtbot.waitUntil(lambda: not list(model.run.jobs.glob("score-*")), timeout=READING_MS)


def test_after_a_full_memory_one_click_goes_on_with_half_the_micro_batch(
    window: MainWindow, qtbot: QtBot, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(ENGINE_VARIABLE, "tests.fakes.full_memory_engine")
    settings = {**SMALL, "training.max_steps": 4, "output.save_steps": 1, "data.split.fraction": 0.0}  # an evaluation fills it too
    model = start(window, "&Supervised (SFT)", settings, qtbot)
    finish(model, qtbot)
    assert (model.status, model.error.code if model.error else "") == ("failed", "out_of_memory")
    offer = window.runs.run_page.banner.offer
    qtbot.waitUntil(offer.isVisible, timeout=READING_MS)
    assert offer.text() == "Resume with micro-batch 2"
    look(window, "memory-full", qtbot)
    qtbot.mouseClick(offer, LEFT)
    qtbot.waitUntil(lambda: model.is_live, timeout=READING_MS)
    finish(model, qtbot)
    assert model.status == "completed", model.error
    qtbot.waitUntil(lambda: not offer.isVisible(), timeout=READING_MS)
    started = [event for event in events_of(model.run) if isinstance(event, RunStarted)]
    assert [(event.start_step, event.micro_batch_size, event.gradient_accumulation_steps) for event in started] == [(0, 4, 1), (1, 2, 2)]
    assert [event.code for event in events_of(model.run) if isinstance(event, WarningRaised)].count(RETRY_CODE) == 1
    look(window, "memory-resumed", qtbot)
