"""A run being set up, without a widget: what changes with what, what blocks, what is read again."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import cast

import pytest
from pytestqt.qtbot import QtBot

from desktop_ft.core import worker
from desktop_ft.core.config import DEMO
from desktop_ft.core.demo import DEMO_SETTINGS
from desktop_ft.core.errors import DesktopFtError
from desktop_ft.jobs import new_run_model
from desktop_ft.jobs.kept_thread import end_threads
from desktop_ft.jobs.model_catalogue import ModelCatalogue
from desktop_ft.jobs.new_run_model import NewRunModel
from tests.jobs.conftest import WaitFor
from tests.ui.wizard.stand_ins import GPU, SMALL_GPU, write_faulty_data, write_model


def run_here(task: str, payload: Mapping[str, object], _seconds: float, _cancelled: object = None) -> dict[str, object]:
    """The worker's task in this process: the same code without a child's start."""
    return cast("dict[str, object]", worker.TASKS[task](payload))


@pytest.fixture
def model(qapp: object, monkeypatch: pytest.MonkeyPatch) -> Iterator[NewRunModel]:
    assert qapp is not None
    monkeypatch.setattr(new_run_model, "run_task", run_here)
    made = NewRunModel(GPU)
    yield made
    made.close()
    assert end_threads(10.0)


@pytest.fixture
def started(model: NewRunModel, wait_for: WaitFor) -> NewRunModel:
    model.start()
    wait_for(lambda: is_ready(model))
    return model


def is_ready(model: NewRunModel) -> bool:
    return not model.is_model_loading and not model.is_data_loading and model.data is not None and model.data.view is not None


def test_the_demo_is_ready_to_start_without_a_word_typed(started: NewRunModel) -> None:
    assert [started.why_blocked(page) for page in new_run_model.PAGES] == [""] * 5
    config = started.config()
    assert (config.name, config.model.source, config.data.train) == ("my-first-run", DEMO, DEMO)
    assert {path: started.draft.get(path) for path in DEMO_SETTINGS} == dict(DEMO_SETTINGS)
    assert len(config.evaluation.sample_prompts) == 4
    assert started.data is not None
    assert (started.data.num_usable, started.num_examples) == (400, (380, 20))
    assert started.estimate is not None
    assert started.estimate.verdict == "fits"


def test_another_model_takes_the_demos_settings_away_and_the_demo_brings_them_back(
    started: NewRunModel, tmp_path: Path, wait_for: WaitFor
) -> None:
    folder = str(write_model(tmp_path / "tiny"))
    started.choose_model(folder)
    assert started.why_blocked("model") == "The model is being read"
    wait_for(lambda: started.model is not None and is_ready(started))
    assert {path: started.draft.get(path) for path in DEMO_SETTINGS} == {
        "training.num_train_epochs": 1.0,
        "training.learning_rate": 2e-4,
        "data.max_length": 1024,
    }
    assert started.draft.get("name") == "demo-tiny"
    started.choose_model(DEMO)
    assert {path: started.draft.get(path) for path in DEMO_SETTINGS} == dict(DEMO_SETTINGS)
    assert started.draft.get("name") == "my-first-run"


def test_what_a_person_set_stays(model: NewRunModel, tmp_path: Path) -> None:
    model.set_values({"training.learning_rate": 3e-4, "name": "mine"})
    model.choose_model(str(write_model(tmp_path / "tiny")))
    assert (model.draft.get("training.learning_rate"), model.draft.get("name")) == (3e-4, "mine")


def test_the_rate_goes_along_with_the_method_only_while_it_is_a_default(model: NewRunModel) -> None:
    model.set("training.learning_rate", 2e-4)
    model.set_method("full")
    assert model.draft.get("training.learning_rate") == 1e-5
    assert model.notes["training.learning_rate"] == "Changed with the method, from 0.0002 to 1e-5."
    model.set_method("lora")
    assert model.draft.get("training.learning_rate") == 2e-4
    model.set("training.learning_rate", 7e-4)
    model.set_method("full")
    assert (model.draft.get("training.learning_rate"), "training.learning_rate" in model.notes) == (7e-4, False)


def test_the_estimate_follows_a_change_at_once(started: NewRunModel) -> None:
    assert started.estimate is not None
    before = started.estimate.total_bytes
    heard: list[bool] = []
    started.memory_changed.connect(lambda: heard.append(True))
    started.set("method.rank", 256)
    assert started.estimate.total_bytes > before
    assert heard == [True]
    started.set("method.rank", 256)
    assert heard == [True]


def test_a_wrong_value_blocks_its_page_and_the_start(started: NewRunModel) -> None:
    started.set("method.rank", 0)
    assert "0 is not allowed" in started.why_blocked("method")
    assert started.why_blocked("review") == started.why_blocked("method")
    assert started.why_blocked("data") == ""
    started.set("name", "a/b")
    started.set("method.rank", 8)
    assert "cannot name a folder" in started.why_blocked("review")


def test_a_folder_that_is_no_model_is_said_in_place(started: NewRunModel, tmp_path: Path, wait_for: WaitFor) -> None:
    folder = tmp_path / "empty"
    folder.mkdir()
    started.choose_model(str(folder))
    wait_for(lambda: started.model_error is not None)
    assert started.model_error is not None
    assert started.model_error.code == "model_config_missing"
    assert started.why_blocked("model") == started.model_error.title
    write_model(folder)
    started.choose_model(str(folder))
    wait_for(lambda: started.model is not None)
    assert started.model_error is None


def test_faults_block_until_they_are_left_out_and_come_back(started: NewRunModel, tmp_path: Path, wait_for: WaitFor) -> None:
    started.choose_data(str(write_faulty_data(tmp_path / "faulty.jsonl")))
    wait_for(lambda: is_ready(started) and started.data is not None and started.data.report["num_rows"] == 240)
    assert started.why_blocked("data") == "Malformed rows: Mend or remove these rows."
    assert started.data is not None
    assert (started.data.num_rows_of("malformed_rows"), started.data.num_usable, len(started.data.rows)) == (2, 238, 50)
    started.set_fix("drop_malformed_rows", wanted=True)
    assert started.is_data_loading
    wait_for(lambda: is_ready(started))
    assert started.why_blocked("data") == ""
    assert started.data.dropped == {"drop_malformed_rows": 2}
    assert started.config().data.fixes == ("drop_malformed_rows",)
    started.set_fix("drop_malformed_rows", wanted=False)
    wait_for(lambda: is_ready(started))
    assert started.why_blocked("data") == "Malformed rows: Mend or remove these rows."


def test_the_rows_of_a_finding_can_be_seen(started: NewRunModel, tmp_path: Path, wait_for: WaitFor, qtbot: QtBot) -> None:
    started.choose_data(str(write_faulty_data(tmp_path / "faulty.jsonl")))
    wait_for(lambda: is_ready(started) and started.data is not None and started.data.report["num_rows"] == 240)
    with qtbot.waitSignal(started.rows_viewed, timeout=20_000) as caught:
        started.view_finding("empty_answers")
    code, rows = cast("tuple[str, list[dict[str, object]]]", tuple(caught.args or ()))
    assert (code, [row["row"] for row in rows]) == ("empty_answers", [20, 21, 22])


def test_a_missing_file_is_an_error_of_the_data_page(started: NewRunModel, tmp_path: Path, wait_for: WaitFor) -> None:
    started.choose_data(str(tmp_path / "nothing.jsonl"))
    wait_for(lambda: started.data_error is not None)
    assert started.data_error is not None
    assert started.data_error.code == "data_file_missing"
    assert started.why_blocked("data") == started.data_error.title
    assert started.data is None


def test_reading_can_be_stopped(started: NewRunModel, tmp_path: Path) -> None:
    started.choose_data(str(write_faulty_data(tmp_path / "faulty.jsonl")))
    assert started.is_data_loading
    started.cancel_data()
    assert not started.is_data_loading


def test_what_does_not_fit_blocks_the_start_and_a_suggestion_frees_it(started: NewRunModel, tmp_path: Path, wait_for: WaitFor) -> None:
    started.set_device(SMALL_GPU)
    started.choose_model(str(write_model(tmp_path / "large", hidden=4096, layers=10)))
    wait_for(lambda: started.model is not None and is_ready(started))
    assert started.estimate is not None
    assert started.estimate.verdict == "does_not_fit"
    assert started.why_blocked("review") == "The run does not fit in memory"
    freeing = next(one for one in started.estimate.suggestions if started.estimate.total_bytes - one.saves_bytes < SMALL_GPU.free_bytes)
    started.set_values(freeing.set)
    assert started.why_blocked("review") == ""


def test_the_catalogue_finds_the_demo_and_folders_and_estimates_them(tmp_path: Path, qapp: object, wait_for: WaitFor) -> None:
    assert qapp is not None
    good, bad = write_model(tmp_path / "good"), tmp_path / "bad"
    bad.mkdir()
    catalogue = ModelCatalogue(GPU, (str(good), str(bad)), tmp_path / "no-cache")
    catalogue.scan()
    assert catalogue.is_scanning
    wait_for(lambda: catalogue.entries[0].need is not None)
    assert [(entry.name, entry.place, entry.problem is None) for entry in catalogue.entries] == [
        (DEMO, "demo", True),
        ("good", "folder", True),
        ("bad", "folder", False),
    ]
    assert isinstance(catalogue.entries[2].problem, DesktopFtError)
    assert [entry.need.verdict if entry.need else None for entry in catalogue.entries] == ["fits", "fits", None]
    catalogue.close()
    assert end_threads(10.0)
