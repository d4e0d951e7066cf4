"""runs list, show and compare."""

from __future__ import annotations

import json
from pathlib import Path
from typing import cast

from desktop_ft.commands.options import checkpoint_step
from desktop_ft.core.best_checkpoint import BestCheckpoint, write_best
from desktop_ft.core.config import load_config, save_config, validate
from desktop_ft.core.eventlog import EventWriter
from desktop_ft.core.events import CheckpointSaved, ErrorRaised, EvaluationDone, GeneralLoss, RunFinished, RunStarted, SampleDone, StepDone
from desktop_ft.core.runs import RunDir, write_manifest
from tests.commands.conftest import MakeRun, Run


def finish(run: RunDir, *, status: str = "completed", loss: float = 1.25) -> RunDir:
    writer = EventWriter(run.events_file)
    writer.write(RunStarted(pid=1, num_steps=2))
    for step in (1, 2):
        writer.write(StepDone(step=step, epoch=step / 2, loss=loss))
    writer.write(EvaluationDone(step=2, loss=loss + 0.25))
    writer.write(SampleDone(step=2, index=0, prompt="Hello?", text="Hello [bold]."))
    writer.write(CheckpointSaved(step=2, path="checkpoints/step-000002"))
    if status == "failed":
        writer.write(ErrorRaised(code="out_of_memory", title="Out of memory", message="It needed 9 GiB.", hint="Lower the batch."))
    writer.write(RunFinished(status="failed" if status == "failed" else "completed", step=2))
    writer.close()
    return run


def test_an_empty_workspace_says_so(desktop_ft: Run) -> None:
    result = desktop_ft("runs", "list")
    assert (result.status, result.out) == (0, "")
    assert "desktop-ft demo" in result.err
    assert desktop_ft("runs", "list", "--json").json == {"runs": []}


def test_list_has_every_run_and_what_became_of_it(desktop_ft: Run, make_run: MakeRun) -> None:
    finish(make_run("one"))
    make_run("two")
    listed = desktop_ft("runs", "list", "--json").json["runs"]
    assert isinstance(listed, list)
    found = {run["name"]: (run["status"], run["step"], run["loss"], run["eval_loss"]) for run in listed}
    assert found == {"one": ("completed", 2, 1.25, 1.5), "two": ("new", 0, None, None)}
    shown = desktop_ft("runs", "list").out
    assert "1.2500" in shown
    assert "2/2" in shown


def test_a_damaged_run_does_not_stop_the_list(desktop_ft: Run, make_run: MakeRun) -> None:
    make_run("bad").config_file.write_text("- no\n- settings\n", encoding="utf-8")
    finish(make_run("good"))
    result = desktop_ft("runs", "list", "--json")
    problems = [bool(run["problem"]) for run in cast("list[dict[str, object]]", result.json["runs"])]
    assert sorted(problems) == [False, True]


def test_show_tells_losses_samples_and_health(desktop_ft: Run, make_run: MakeRun) -> None:
    run = finish(make_run("one"))
    found = desktop_ft("runs", "show", run.path.name, "--json").json
    assert found["evaluations"] == [{"step": 2, "loss": 1.5}]
    assert found["samples"] == [{"step": 2, "prompt": "Hello?", "text": "Hello [bold]."}]
    assert cast("dict[str, object]", found["settings"])["training.global_batch_size"] == 16
    assert found["error"] is None
    shown = desktop_ft("runs", "show", run.path).out
    assert "Hello [bold]." in shown


def test_show_names_the_best_checkpoint_and_what_was_forgotten(desktop_ft: Run, make_run: MakeRun) -> None:
    run = make_run("one")
    writer = EventWriter(run.events_file)
    writer.write(RunStarted(pid=1, num_steps=20))
    writer.write(GeneralLoss(step=0, loss=2.0, num_tokens=9))
    for step in range(1, 21):
        writer.write(StepDone(step=step, epoch=step / 20, loss=2.0 - step / 20))
    writer.write(GeneralLoss(step=20, loss=2.3, num_tokens=9))
    writer.write(RunFinished(status="completed", step=20))
    writer.close()
    for step in (10, 20):
        run.checkpoint(step).mkdir(parents=True)
        write_manifest(run.checkpoint(step), step)
    write_best(run, BestCheckpoint(10, "loss", 1.375))

    found = desktop_ft("runs", "show", run.path, "--json").json
    assert [(item["step"], item["is_best"]) for item in cast("list[dict[str, object]]", found["checkpoints"])] == [(10, True), (20, False)]
    assert found["best_checkpoint"] == {"step": 10, "metric": "loss", "value": 1.375}
    assert found["general_losses"] == [{"step": 0, "loss": 2.0}, {"step": 20, "loss": 2.3}]
    shown = desktop_ft("runs", "show", run.path).out
    assert "step 10 (the best: eval loss 1.3750), step 20" in shown
    assert "It forgets a little. On general text the loss rose from 2 to 2.3 (+15%)." in shown


def test_the_best_checkpoint_can_be_asked_for_by_name(desktop_ft: Run, make_run: MakeRun) -> None:
    run = make_run("one")
    assert desktop_ft("export", run.path, "--checkpoint", "best", "--json").error["code"] == "checkpoint_no_best"
    assert desktop_ft("export", run.path, "--checkpoint", "last", "--json").error["code"] == "usage"
    run.checkpoint(10).mkdir(parents=True)
    write_manifest(run.checkpoint(10), 10)
    write_best(run, BestCheckpoint(10, "loss", 1.375))
    assert checkpoint_step(run, "best") == 10
    assert checkpoint_step(run, "20") == 20
    assert checkpoint_step(run, None) is None


def test_show_tells_why_a_run_failed(desktop_ft: Run, make_run: MakeRun) -> None:
    run = finish(make_run("one"), status="failed")
    assert "It needed 9 GiB." in desktop_ft("runs", "show", run.path).out
    error = desktop_ft("runs", "show", run.path, "--json").json["error"]
    assert isinstance(error, dict)
    assert error["code"] == "out_of_memory"


def test_a_run_that_is_not_there_is_an_error_with_the_nearest_name(desktop_ft: Run, make_run: MakeRun) -> None:
    run = make_run("support tone")
    wrong = run.path.name.replace("support", "suport")
    result = desktop_ft("runs", "show", wrong, "--json")
    assert (result.status, result.error["code"]) == (2, "run_missing")
    assert run.path.name in str(result.error["hint"])


def test_compare_shows_the_settings_that_differ(desktop_ft: Run, make_run: MakeRun) -> None:
    first, second = finish(make_run("one")), finish(make_run("two"), loss=1.0)
    values = json.loads(load_config(second.config_file).model_dump_json())
    save_config(validate({**values, "method": {**values["method"], "rank": 32}}), second.config_file)
    result = desktop_ft("runs", "compare", first.path, second.path, "--json")
    assert result.json["differences"] == {"method.rank": [16, 32]}
    shown = desktop_ft("runs", "compare", first.path, second.path).out
    assert "method.rank" in shown
    assert "1.0000" in shown


def test_one_run_alone_cannot_be_compared(desktop_ft: Run, make_run: MakeRun, tmp_path: Path) -> None:
    assert tmp_path.is_dir()
    assert desktop_ft("runs", "compare", make_run().path).status == 2
