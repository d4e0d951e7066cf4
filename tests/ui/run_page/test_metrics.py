"""What an objective tells besides its loss: which charts it gets, in which order, and what the page shows of a run's rewards."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from PySide6.QtCore import Qt
from PySide6.QtWidgets import QApplication
from pytestqt.qtbot import QtBot

from desktop_ft.core.config.objectives import ObjectiveName
from desktop_ft.core.events import StageStarted, StepDone
from desktop_ft.jobs.kept_thread import end_threads
from desktop_ft.jobs.run_model import RunModel
from desktop_ft.ui.run_page import RunPage
from desktop_ft.ui.run_page.metrics import charts_for, headline
from desktop_ft.ui.run_page.words import facts_line, progress_words
from tests.helpers.clipping import clipped_texts
from tests.helpers.objective_runs import config, fold_objective, metrics
from tests.helpers.recording_service import RecordingService
from tests.ui.run_page.test_page import SMALL, settle, with_font

Show = Callable[[ObjectiveName], tuple[RunPage, RunModel]]


@pytest.fixture
def show(service: RecordingService, qtbot: QtBot, tmp_path: Path) -> Iterator[Show]:
    pages: list[RunPage] = []

    def make(kind: ObjectiveName) -> tuple[RunPage, RunModel]:
        page = RunPage(service)
        pages.append(page)
        page.resize(*SMALL)
        page.show()
        model = fold_objective(kind, tmp_path / kind)
        page.set_run(model)
        qtbot.waitUntil(page.facts_are_read, timeout=5000)
        QApplication.processEvents()
        return page, model

    yield make
    while pages:
        pages[0].close()
        pages.pop(0).deleteLater()
    assert end_threads(5.0)


def keys(kind: ObjectiveName) -> list[str]:
    return [words.key for words in charts_for(kind, metrics(kind, 0.5, 0.0))]


def test_the_charts_of_each_objective_the_most_telling_first() -> None:
    assert keys("dpo") == ["preference_rewards", "margins", "accuracies", "logps", "logits"]
    assert keys("reward") == ["accuracy", "margin", "scores"]
    assert keys("grpo") == ["reward", "rules_0", "kl", "entropy", "length", "clip", "cut", "spread"]
    assert keys("ppo") == ["reward", "rules_0", "kl", "entropy", "length", "clip", "cut", "value_loss", "explained", "spread"]


def test_a_metric_that_nobody_knows_gets_a_chart_under_its_own_name() -> None:
    charts = charts_for("dpo", ["rewards/margins", "something/new", "rewards/one/std"])
    assert [(words.key, words.title) for words in charts] == [("margins", "Reward margin"), ("something/new", "something/new")]


def test_one_reward_alone_is_not_drawn_twice_and_many_are_split_where_labels_end() -> None:
    assert [words.key for words in charts_for("grpo", ["reward", "rewards/regex/mean"])] == ["reward"]
    many = charts_for("grpo", ["reward", *(f"rewards/r{at}/mean" for at in range(5))])
    assert [[label for _, label in words.series] for words in many[1:]] == [["r0", "r1", "r2"], ["r3", "r4"]]


def test_every_chart_is_explained_in_a_sentence() -> None:
    for kind in ("dpo", "orpo", "kto", "reward", "ppo", "grpo"):
        for words in charts_for(kind, metrics(kind, 0.5, 0.0)):
            assert words.meaning.endswith("."), words.key


def test_the_numbers_that_say_most() -> None:
    assert headline("dpo", ["rewards/accuracies", "rewards/margins"]) == [("Accuracy", "rewards/accuracies"), ("Margin", "rewards/margins")]
    assert headline("ppo", ["reward", "kl"]) == [("Reward", "reward"), ("KL", "kl")]
    assert headline("sft", ["entropy", "mean_token_accuracy"]) == []


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("pretrain", "continued pretraining"),
        ("kto", "judgments by KTO"),
        ("reward", "reward model"),
        ("rloo", "rewards by RLOO"),
        ("rlhf", "RLHF by PPO"),
    ],
)
def test_the_line_of_facts_names_the_objective(kind: ObjectiveName, words: str) -> None:
    assert facts_line(config(kind), None) == f"Qwen3-8B, LoRA with DoRA (rank 16), {words}, pairs.jsonl."


def test_a_run_on_rewards_opens_on_its_rewards_and_one_on_pairs_on_its_loss(show: Show) -> None:
    page, _ = show("ppo")
    assert (page.charts.metrics.isVisible(), page.charts.loss.isVisible(), page.charts.chooser.isVisible()) == (True, False, True)
    assert page.figures.loss.value() == "0.880"
    page, _ = show("dpo")
    assert (page.charts.metrics.isVisible(), page.charts.loss.isVisible()) == (False, True)
    page.charts.chooser.segments()[1].click()
    assert (page.charts.metrics.isVisible(), page.charts.loss.isVisible()) == (True, False)
    assert page.figures.eval_loss.value() == "0.887"


def test_new_steps_reach_the_charts_and_bring_new_ones(show: Show, qtbot: QtBot) -> None:
    page, model = show("grpo")
    charts = page.charts.metrics
    before = [chart.words.key for chart in charts.charts()]
    model.fold([StepDone(step=151, epoch=0.8, loss=0.1, metrics={**metrics("grpo", 0.75, 0.0), "brand_new": 3.0})])
    qtbot.waitUntil(lambda: len(charts.charts()) == len(before) + 1, timeout=5000)
    reward = charts.charts()[0]
    qtbot.waitUntil(lambda: len(reward.plot.smoothed_values("reward")) == 151, timeout=5000)
    assert charts.charts()[-1].title() == "brand_new"


def test_the_crosshair_goes_through_the_metrics_too(show: Show) -> None:
    page, model = show("ppo")
    reward, kl = page.charts.metrics.charts()[0], page.charts.metrics.charts()[2]
    reward.plot.crosshair_moved.emit(100.0)
    assert (kl.plot.crosshair(), page.charts.loss.crosshair()) == (100.0, 100.0)
    assert kl.value() == f"{kl.plot.smoothed_values('kl')[99]:.3f}"
    assert model.curves.metrics["kl"].at(100) is not None


def test_sampled_answers_stand_with_their_rewards_newest_first(show: Show, qtbot: QtBot) -> None:
    page, _ = show("ppo")
    page.tabs.setCurrentIndex(1)
    tab = page.samples
    assert tab.sampled.words()[:2] == [
        ("Where is my parcel?", "It left our depot, thanks! (2)", "reward 0.70"),
        ("Where is my parcel?", "It left our depot, thanks! (1)", "reward 0.60"),
    ]
    assert tab.sampled.isVisible()
    qtbot.mouseClick(tab.kind.segments()[0], Qt.MouseButton.LeftButton)
    assert not tab.sampled.isVisible()


def test_the_stage_of_a_run_of_two_stands_in_the_progress(tmp_path: Path) -> None:
    model = fold_objective("rlhf", tmp_path / "run")
    assert progress_words(model, "training").note.startswith("stage 2 of 2: policy")
    model.fold([StageStarted(stage="policy", number=1, total=1)])
    assert "stage" not in progress_words(model, "training").note


@pytest.mark.parametrize("font_size", [13, 16])
@pytest.mark.parametrize("kind", ["dpo", "ppo"])
def test_no_text_of_the_metrics_is_cut(show: Show, kind: ObjectiveName, font_size: int, qapp: QApplication) -> None:
    with_font(qapp, font_size)
    try:
        page, _ = show(kind)
        page.charts.chooser.segments()[1].click()
        settle(page)
        assert page.width() <= SMALL[0]
        for tab in range(2):
            page.tabs.setCurrentIndex(tab)
            settle(page)
            assert clipped_texts(page) == [], f"tab {tab}"
    finally:
        with_font(qapp, 13)
