"""The loss on general text, before and after: the number itself, where it is told, and that it leaves the training alone."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import pytest
import torch

from desktop_ft.core.control import send_control
from desktop_ft.core.events import Event, GeneralLoss, PhaseChanged, RunFinished, StepDone
from desktop_ft.core.general_text import general_texts
from desktop_ft.core.runs import RunDir, sha256_of
from desktop_ft.engine.forgetting import MAX_PIECE_TOKENS, token_losses
from tests.engine.conftest import NewRun
from tests.engine.helpers import all_events, at_look, events_of, work

if TYPE_CHECKING:
    from transformers import PreTrainedModel

WEIGHTS = "adapter_model.safetensors"


@pytest.fixture
def settings(tiny: Path, pairs: Path) -> dict[str, object]:
    return {
        "model.source": str(tiny),
        "data.train": str(pairs),
        "method.dropout": 0.3,
        "training.max_steps": 4,
        "training.micro_batch_size": 2,
        "training.learning_rate": 1e-2,
        "evaluation.forgetting": True,
    }


def loss_of(model: Any, tokenizer: Any) -> tuple[float, int]:  # noqa: ANN401 - transformers' classes
    """By transformers' own loss of each piece, weighted by its tokens."""
    total, count = 0.0, 0
    for piece in general_texts():
        ids = torch.tensor([tokenizer(piece.text)["input_ids"][:MAX_PIECE_TOKENS]])
        with torch.no_grad():
            total += float(model(input_ids=ids, labels=ids).loss) * (ids.shape[1] - 1)
        count += ids.shape[1] - 1
    return total / count, count


def is_told(event: Event) -> bool:
    return isinstance(event, GeneralLoss | StepDone | RunFinished)


def test_the_loss_is_that_of_the_base_before_and_of_the_trained_model_after(
    new_run: NewRun, settings: dict[str, object], tiny: Path
) -> None:
    from peft import PeftModel
    from transformers import AutoModelForCausalLM, AutoTokenizer

    run = new_run("told", settings)
    assert work(run) == 0
    before, after = events_of(run, GeneralLoss)
    assert [type(event).__name__ for event in all_events(run) if is_told(event)] == [
        "GeneralLoss",
        *["StepDone"] * 4,
        "GeneralLoss",
        "RunFinished",
    ]
    assert (before.step, after.step) == (0, 4)

    tokenizer: Any = AutoTokenizer.from_pretrained(tiny)
    base: Any = AutoModelForCausalLM.from_pretrained(tiny, dtype=torch.float32).eval()
    expected, num_tokens = loss_of(base, tokenizer)
    assert before.loss == pytest.approx(expected, abs=1e-5)
    assert before.num_tokens == after.num_tokens == num_tokens
    trained = PeftModel.from_pretrained(base, str(run.adapter)).eval()
    assert after.loss == pytest.approx(loss_of(trained, tokenizer)[0], abs=1e-5)
    assert after.loss != pytest.approx(before.loss, abs=1e-3)


def test_training_is_not_disturbed(new_run: NewRun, settings: dict[str, object]) -> None:
    loud, silent = new_run("loud", settings), new_run("silent", {**settings, "evaluation.forgetting": False})
    assert work(loud) == 0
    assert work(silent) == 0
    assert events_of(silent, GeneralLoss) == []
    assert sha256_of(loud.adapter / WEIGHTS) == sha256_of(silent.adapter / WEIGHTS)


def test_a_resumed_run_measures_the_end_alone(new_run: NewRun, settings: dict[str, object], monkeypatch: pytest.MonkeyPatch) -> None:
    run = new_run("stopped", settings)
    with monkeypatch.context() as patch:
        at_look(patch, 4, lambda: send_control(run.path, "stop"))
        assert work(run) == 0
    assert [event.step for event in events_of(run, GeneralLoss)] == [0]
    assert work(run) == 0
    assert [event.step for event in events_of(run, GeneralLoss)] == [0, 4]


@pytest.mark.parametrize("precision", ["bfloat16", "float32"])
def test_full_fine_tuning_and_bfloat16(precision: str, new_run: NewRun, settings: dict[str, object]) -> None:
    run = new_run("full", {**settings, "method.kind": "full", "method.dropout": 0.0, "model.dtype": precision, "training.max_steps": 1})
    assert work(run) == 0
    assert [event.loss is not None for event in events_of(run, GeneralLoss)] == [True, True]


def test_it_is_said_what_happens(new_run: NewRun, settings: dict[str, object]) -> None:
    run: RunDir = new_run("said", {**settings, "training.max_steps": 1})
    assert work(run) == 0
    assert [event.detail for event in events_of(run, PhaseChanged) if event.phase == "evaluate"] == [
        "Reading general text to see what is forgotten"
    ] * 2


def test_every_token_but_the_first_counts(tiny: Path) -> None:
    from transformers import AutoModelForCausalLM

    model = cast("PreTrainedModel", AutoModelForCausalLM.from_pretrained(tiny, dtype=torch.float32).eval())
    ids = [5, 9, 14, 3, 77]
    with torch.no_grad():
        found = token_losses(model, ids)
        scores = cast("torch.Tensor", model(torch.tensor([ids])).logits)[0].log_softmax(-1)
    assert found.tolist() == pytest.approx([-float(scores[place, ids[place + 1]]) for place in range(4)], abs=1e-5)
