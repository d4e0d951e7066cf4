"""What preference runs promise beyond TRL's numbers: every loss trains, accumulation, evaluations over rows, what is told."""

from __future__ import annotations

from pathlib import Path
from typing import get_args

import pytest

from desktop_ft.core.config.objectives import DpoLossName
from desktop_ft.core.events import ErrorRaised, EvaluationDone, StepDone, WarningRaised
from desktop_ft.core.runs import RunDir
from tests.engine.conftest import NewRun
from tests.engine.helpers import events_of, work
from tests.engine.objectives.conftest import chat_pair, judged_chat, write_rows

SMOOTHED = ("exo_pair", "robust", "aot", "aot_unpaired")


def run_of(new_run: NewRun, name: str, model: Path, data: Path, objective: str, changes: dict[str, object] | None = None) -> RunDir:
    settings: dict[str, object] = {
        "model.source": str(model),
        "data.train": str(data),
        "objective.kind": objective,
        "training.max_steps": 2,
        "training.activation_checkpointing": False,
    }
    run = new_run(name, {**settings, **(changes or {})})
    assert work(run) == 0, events_of(run, ErrorRaised)
    return run


@pytest.mark.parametrize("loss", get_args(DpoLossName))
def test_every_dpo_loss_trains(loss: str, tiny: Path, preference_files: dict[str, Path], new_run: NewRun) -> None:
    smoothing = 0.1 if loss in SMOOTHED else 0.0
    changes: dict[str, object] = {"objective.dpo.loss_type": loss, "objective.dpo.label_smoothing": smoothing}
    run = run_of(new_run, "run", tiny, preference_files["chat"], "dpo", changes)
    steps = events_of(run, StepDone)
    assert len(steps) == 2
    assert all(step.loss is not None and step.grad_norm for step in steps)


@pytest.mark.parametrize("objective", ["dpo", "reward"])
def test_accumulation_gives_the_gradient_of_the_whole_batch(
    objective: str, tiny: Path, preference_files: dict[str, Path], new_run: NewRun
) -> None:
    changes: dict[str, object] = {"training.max_steps": 4}
    one = run_of(new_run, "one", tiny, preference_files["chat"], objective, {**changes, "training.micro_batch_size": 4})
    four = run_of(new_run, "four", tiny, preference_files["chat"], objective, {**changes, "training.micro_batch_size": 1})
    whole, split = events_of(one, StepDone), events_of(four, StepDone)
    assert [step.loss for step in split] == pytest.approx([step.loss for step in whole], abs=1e-5)
    assert [step.grad_norm for step in split] == pytest.approx([step.grad_norm for step in whole], abs=1e-5)
    assert whole[-1].loss != pytest.approx(whole[0].loss, abs=1e-5)


@pytest.mark.parametrize("objective", ["dpo", "orpo", "kto", "reward"])
def test_an_evaluation_is_a_mean_over_rows(objective: str, tiny: Path, tmp_path: Path, new_run: NewRun) -> None:
    """Seven held-out rows in batches of 3, 3 and 1 give the means of seven batches of one; KTO's loss itself needs the same batches."""
    make = judged_chat if objective == "kto" else chat_pair
    data = write_rows(tmp_path / "train.jsonl", [make(number) for number in range(6)])
    held_out = write_rows(tmp_path / "eval.jsonl", [make(number) for number in range(100, 107)])
    changes: dict[str, object] = {"data.eval": str(held_out), "training.global_batch_size": 6, "evaluation.eval_steps": 2}
    if objective == "kto":
        changes["objective.kto.loss_type"] = "apo_zero_unpaired"
    three = run_of(new_run, "three", tiny, data, objective, {**changes, "training.micro_batch_size": 3})
    one = run_of(new_run, "one", tiny, data, objective, {**changes, "training.micro_batch_size": 1})
    first, other = events_of(three, EvaluationDone)[0], events_of(one, EvaluationDone)[0]
    over_rows = [name for name in first.metrics if not name.startswith(("logits/", "entropy", "mean_token_accuracy", "nll"))]
    assert len(over_rows) >= 4
    assert {name: first.metrics[name] for name in over_rows} == pytest.approx({name: other.metrics[name] for name in over_rows}, abs=1e-5)
    if objective != "orpo":  # whose supervised part is a mean over the batch's tokens
        assert first.loss == pytest.approx(other.loss, abs=1e-5)


def test_sorted_judgments_are_shuffled_and_said_unless_stock(tiny: Path, tmp_path: Path, new_run: NewRun) -> None:
    rows = sorted((judged_chat(number) for number in range(24)), key=lambda row: not row["label"])
    data = write_rows(tmp_path / "sorted.jsonl", rows)
    changes: dict[str, object] = {"data.split.fraction": 0.0}
    ours = run_of(new_run, "ours", tiny, data, "kto", {**changes, "training.kernels": "auto"})
    stock = run_of(new_run, "stock", tiny, data, "kto", {**changes, "training.kernels": "none"})
    for run, is_mixed in ((ours, True), (stock, False)):
        assert [warning.code for warning in events_of(run, WarningRaised)].count("kto_sorted") == 1
        assert ("rewards/rejected" in events_of(run, StepDone)[0].metrics) is is_mixed


def test_kto_says_which_weight_balances_the_answers(tiny: Path, tmp_path: Path, new_run: NewRun) -> None:
    rows = [{**judged_chat(number), "label": number % 4 == 0} for number in range(24)]
    run = run_of(new_run, "run", tiny, write_rows(tmp_path / "rows.jsonl", rows), "kto")
    hints = [warning.hint for warning in events_of(run, WarningRaised) if warning.code == "kto_balance"]
    assert hints == ["Set objective.kto.desirable_weight to 3.00."]


def test_rows_that_nothing_is_left_of_are_not_learnt(tiny: Path, tmp_path: Path, new_run: NewRun) -> None:
    """ORPO's loss is not a number where the prompt alone fills the length; such a row is left out and the rest trains."""
    rows = [chat_pair(number) for number in range(8)]
    prompt = [{"role": "user", "content": " ".join(["dog"] * 80)}]
    data = write_rows(tmp_path / "rows.jsonl", [*rows, {**chat_pair(9), "prompt": prompt}])
    for objective in ("dpo", "orpo"):
        run = run_of(new_run, objective, tiny, data, objective, {"training.max_steps": 3})
        assert all(step.loss is not None for step in events_of(run, StepDone))
        told = [warning.message for warning in events_of(run, WarningRaised) if warning.code in {"data_note", "rows_too_long"}]
        assert any(message.startswith("1 ") and "left out" in message for message in told)
