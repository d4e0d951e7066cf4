"""What is checked before a child is started follows the objective."""

from __future__ import annotations

from pathlib import Path

import pytest

from desktop_ft.core.config import DEMO, Draft
from desktop_ft.core.config.objectives import ObjectiveName
from desktop_ft.core.demo import demo_model_dir
from desktop_ft.core.errors import DesktopFtError
from desktop_ft.core.models import read_model
from desktop_ft.core.preflight import check_data, resolve_data


def _draft(objective: ObjectiveName, train: str = DEMO) -> Draft:
    return Draft().with_values({"model.source": DEMO, "data.train": train, "data.max_length": 256, "objective.kind": objective})


@pytest.mark.parametrize(
    ("objective", "name"),
    [("sft", "sft"), ("pretrain", "text"), ("dpo", "preferences"), ("kto", "preferences"), ("rlhf", "preferences"), ("ppo", "prompts")],
)
def test_the_demo_means_another_file_for_another_objective(objective: ObjectiveName, name: str) -> None:
    assert resolve_data(DEMO, objective).name == f"{name}.jsonl"
    assert resolve_data("~/mine.jsonl", objective) == Path.home() / "mine.jsonl"


@pytest.mark.parametrize(("objective", "num_examples"), [("dpo", 360), ("kto", 720)])
def test_the_data_are_counted_as_the_objective_learns_them(objective: ObjectiveName, num_examples: int) -> None:
    facts = check_data(_draft(objective).validated(), read_model(demo_model_dir()))
    assert (facts.format, facts.num_train_examples + facts.num_eval_examples) == ("preference", num_examples)
    assert facts.longest == 43


def test_the_wrong_file_is_refused_before_the_start(tmp_path: Path) -> None:
    path = tmp_path / "chats.jsonl"
    path.write_text('{"question": "Hi", "answer": "Hello"}\n', encoding="utf-8")
    with pytest.raises(DesktopFtError, match="dpo, orpo, reward, rlhf learn from preference pairs") as caught:
        check_data(_draft("dpo", str(path)).validated(), read_model(demo_model_dir()))
    assert caught.value.code == "data_wrong_for_objective"
