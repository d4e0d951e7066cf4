"""Samples, events, configuration and files, each alone."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
from pytestqt.qtbot import QtBot

from desktop_ft.core.events import ControlDone, EvaluationDone, RunStarted, SampleDone, StageStarted
from desktop_ft.core.runs import RunDir
from desktop_ft.jobs.kept_thread import end_threads
from desktop_ft.jobs.run_model import RunModel
from desktop_ft.ui.run_page.config_tab import ConfigTab
from desktop_ft.ui.run_page.events_tab import EventsTab, event_rows
from desktop_ft.ui.run_page.files_tab import FilesTab, scan_files
from desktop_ft.ui.run_page.health_box import SampleBox
from desktop_ft.ui.run_page.samples_tab import SamplesTab
from tests.helpers.synthetic_run import PROMPTS, config, fold, resolved

pytestmark = pytest.mark.usefixtures("themed")


def sample(step: int, text: str, prompt: str = "Hello?") -> SampleDone:
    return SampleDone(step=step, index=0, prompt=prompt, text=text)


def test_the_latest_sample_and_the_one_before_training(qtbot: QtBot, tmp_path: Path) -> None:
    box = SampleBox()
    qtbot.addWidget(box)
    box.show()
    assert "answered before training" in box.texts()[1]
    box.show_samples(fold("training", tmp_path / "run").samples)
    prompts = list(PROMPTS)
    assert box.texts() == (prompts[0], PROMPTS[prompts[0]][1], PROMPTS[prompts[0]][0])
    box.later.click()
    assert box.texts()[0] == prompts[1]
    box.earlier.click()
    box.earlier.click()
    assert box.texts()[0] == prompts[2]


def test_model_output_is_never_markup(qtbot: QtBot) -> None:
    box = SampleBox()
    qtbot.addWidget(box)
    box.show_samples({"Hello?": [sample(0, "<b>bold</b>"), sample(5, "<img src='x'>")]})
    assert box.texts() == ("Hello?", "<img src='x'>", "<b>bold</b>")


def test_samples_at_the_newest_and_at_a_chosen_step(qtbot: QtBot) -> None:
    tab = SamplesTab()
    qtbot.addWidget(tab)
    tab.show()
    tab.show_samples(
        {"Hello?": [sample(0, "before"), sample(10, "ten"), sample(20, "twenty")], "Only before": [sample(0, "x", "Only before")]}
    )
    assert tab.answers() == [("before", "twenty"), ("x", "no answer")]
    tab.step.setCurrentIndex(2)
    assert tab.chosen_step() == 10
    assert tab.answers()[0] == ("before", "ten")
    tab.show_samples({"Hello?": [sample(0, "before"), sample(10, "ten"), sample(20, "twenty"), sample(30, "thirty")]})
    assert tab.chosen_step() == 10
    tab.step.setCurrentIndex(0)
    assert tab.answers() == [("before", "thirty")]


def test_events_newest_first_with_controls_and_errors(qtbot: QtBot, tmp_path: Path) -> None:
    tab = EventsTab()
    qtbot.addWidget(tab)
    model = fold("failed", tmp_path / "run")
    model.fold([ControlDone(number=1, control="save", accepted=False, message="The engine is evaluating.", time=model.last_time or 0.0)])
    tab.show_events(model)
    titles = [line.title for line in tab.model.rows()]
    assert titles[0] == "The graphics card ran out of memory"
    assert "Request “save” refused" in titles
    assert titles[-1] in {"Started", "31 examples are cut", "Evaluation at step 0"}
    assert titles.count("Checkpoint of step 100") == 1
    assert {"Started", "Failed", "31 examples are cut", "Evaluation at step 100"} <= set(titles)


def test_configuration_as_written_as_used_and_why(qtbot: QtBot) -> None:
    tab = ConfigTab()
    qtbot.addWidget(tab)
    tab.show_config(config(), resolved())
    rows = {line.path: line for line in tab.model.rows()}
    assert (rows["model.dtype"].written, rows["model.dtype"].used) == ("auto", "bfloat16")
    assert rows["model.dtype"].why == "The device computes in bfloat16."
    assert (rows["training.learning_rate"].written, rows["training.learning_rate"].is_own) == ("2e-4", False)
    assert rows["training.num_train_epochs"].why == "set for this run"
    tab.search.setText("batch largest")
    assert [line.path for line in tab.model.rows()] == ["training.micro_batch_size"]
    tab.search.clear()
    tab.own_only.click()
    paths = [line.path for line in tab.model.rows()]
    assert "training.micro_batch_size" in paths
    assert "seed" not in paths
    tab.show_config(None, None)
    assert tab.model.rows() == ()


def test_files_with_their_sizes(qtbot: QtBot, tmp_path: Path) -> None:
    run = fold("new", tmp_path / "run").run
    weights = run.checkpoint(100) / "adapter.safetensors"
    weights.parent.mkdir(parents=True)
    weights.write_bytes(bytes(2048))
    (run.path / ".lock").write_text("", encoding="utf-8")
    found = {line.name: line for line in scan_files(run.path)}
    assert set(found) == {"checkpoints/step-000100", "run.yaml"}
    assert (found["checkpoints/step-000100"].num_bytes, found["checkpoints/step-000100"].what) == (2048, "a checkpoint to resume from")
    tab = FilesTab()
    qtbot.addWidget(tab)
    tab.set_run(run)
    tab.refresh()
    qtbot.waitUntil(lambda: len(tab.model.rows()) == 2, timeout=5000)
    assert end_threads(5.0)


def test_the_stages_of_rlhf_are_told_as_what_they_are(tmp_path: Path, qtbot: QtBot) -> None:
    """The second stage is no resume, and its evaluations have a reward in place of a loss."""
    model = RunModel(RunDir(tmp_path))
    events = [
        StageStarted(stage="reward", number=1, total=2),
        RunStarted(pid=7, num_steps=30, device="CPU"),
        EvaluationDone(step=30, loss=0.3, num_examples=8, seconds=1.0),
        StageStarted(stage="policy", number=2, total=2, first_step=31),
        RunStarted(pid=7, num_steps=40, start_step=30, device="CPU"),
        EvaluationDone(step=40, loss=None, num_examples=9, seconds=1.0, metrics={"reward": 1.25}),
        RunStarted(pid=8, num_steps=40, start_step=40, device="CPU"),
    ]
    model.fold([dataclasses.replace(event, time=float(number), seq=number) for number, event in enumerate(events, start=1)])
    rows = [(row.title, row.text) for row in event_rows(model)][::-1]
    assert [title for title, _ in rows] == [
        "Stage 1 of 2: reward model",
        "Started",
        "Evaluation at step 30",
        "Stage 2 of 2: policy",
        "Evaluation at step 40",
        "Resumed",
    ]
    assert rows[3][1] == "from step 31 on"
    assert rows[4][1] == "reward 1.250 on 9 held-out prompts, in 1.0 s"
