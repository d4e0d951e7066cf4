"""Rules and a reward model score the same answers, each by its own name; what cannot score is refused before the start."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest
import torch

from desktop_ft.core.config import problems_of, set_value
from desktop_ft.core.config.objectives import RewardRule
from desktop_ft.core.data.records import Message
from desktop_ft.core.eventlog import EventTail, EventWriter
from desktop_ft.core.events import ErrorRaised, EvaluationDone, SampleDone, StepDone, WarningRaised
from desktop_ft.core.rewards.rules import make_rules
from desktop_ft.engine.device import detect_device
from desktop_ft.engine.reward_model import load_reward_model
from desktop_ft.engine.rewards import Rewards, SampledAnswer, Turns
from tests.engine.conftest import MARKED, NewRun, make_tokenizer, sentence
from tests.engine.helpers import events_of, work
from tests.engine.objectives.online_runs import SETTINGS, prompt_rows, write_rows


class LengthOfPrompt:
    """A reward model of the test: what it is asked, and in batches of what size."""

    def __init__(self) -> None:
        self.asked: list[list[tuple[Turns, str]]] = []

    def score(self, prompts: Sequence[Turns], answers: Sequence[str]) -> torch.Tensor:
        self.asked.append(list(zip(prompts, answers, strict=True)))
        return torch.tensor([float(len(answer)) for answer in answers])


@pytest.fixture
def log(tmp_path: Path) -> EventWriter:
    return EventWriter(tmp_path / "events.jsonl")


def make(log: EventWriter, rules: Sequence[RewardRule], model: LengthOfPrompt | None = None) -> Rewards:
    return Rewards(make_rules(rules), model, 0.5, make_tokenizer(MARKED), 2, log)


def test_the_weighted_sum_of_rules_and_model(log: EventWriter) -> None:
    model = LengthOfPrompt()
    rules = [RewardRule(kind="regex", pattern="b", weight=3.0), RewardRule(kind="exact_answer", weight=-1.0)]
    rewards = make(log, rules, model)
    turns = (Message("user", "?"),)
    answers = [SampledAnswer(turns, "ab", 2, "ab"), SampledAnswer(turns, "acd", 3, "ab"), SampledAnswer("text", "b", 1)]

    scores = rewards.scores(answers)

    assert rewards.names == ("reward_model", "regex", "exact_answer")
    assert scores[:, :2].tolist() == [[2.0, 1.0], [3.0, 0.0], [1.0, 1.0]]
    assert scores[:2, 2].tolist() == [1.0, 0.0]
    assert scores[2, 2].isnan()
    assert rewards.total(scores).tolist() == [1.0 + 3.0 - 1.0, 1.5, 0.5 + 3.0]
    assert model.asked == [[(turns, "ab"), (turns, "acd")], [("text", "b")]]


def test_a_slow_pattern_is_told_once(log: EventWriter, tmp_path: Path) -> None:
    rewards = make(log, [RewardRule(kind="regex", pattern="(a|aa)+$")])
    slow = SampledAnswer("text", "a" * 60 + "b", 60)
    assert rewards.scores([slow]).tolist() == [[0.0]]
    assert rewards.scores([slow, SampledAnswer("text", "aa", 2)]).tolist() == [[0.0], [1.0]]
    told = [event for event in EventTail(tmp_path / "events.jsonl").read_all() if isinstance(event, WarningRaised)]
    assert [event.code for event in told] == ["reward_rule_slow"]
    assert told[0].message == "The search of regex in an answer was given up after 0.5 s; such an answer scores 0."


@pytest.fixture(scope="module")
def prompts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_rows(tmp_path_factory.mktemp("data") / "prompts.jsonl", prompt_rows())


def online(tiny: Path, prompts: Path, kind: str = "grpo") -> dict[str, object]:
    return {
        **SETTINGS,
        "model.source": str(tiny),
        "data.train": str(prompts),
        "objective.kind": kind,
        f"objective.{kind}.num_generations": 4,
        "training.max_steps": 2,
    }


@pytest.mark.parametrize("kind", ["grpo", "rloo"])
def test_a_reward_run_and_a_rule_score_together(kind: str, tiny: Path, prompts: Path, new_run: NewRun, tmp_path: Path) -> None:
    pairs = [{"prompt": sentence(n, 4), "chosen": sentence(n, 5), "rejected": sentence(n + 1, 3)} for n in range(8)]
    judge = new_run(
        "judge",
        {
            "model.source": str(tiny),
            "data.train": str(write_rows(tmp_path / "pairs.jsonl", pairs)),
            "objective.kind": "reward",
            "training.max_steps": 1,
        },
    )
    assert work(judge) == 0, [event.message for event in events_of(judge, ErrorRaised)]
    run = new_run(
        "policy",
        {
            **online(tiny, prompts, kind),
            "objective.rewards.model": str(judge.path),
            "objective.rewards.model_weight": 2.0,
            "objective.rewards.rules": [{"kind": "length", "min_tokens": 20}],
            "data.split.fraction": 0.3,
        },
    )

    assert work(run) == 0, [event.message for event in events_of(run, ErrorRaised)]

    metrics = events_of(run, StepDone)[0].metrics
    expected = 2 * metrics["rewards/reward_model/mean"] + metrics["rewards/length/mean"]
    assert metrics["reward"] == pytest.approx(expected, abs=1e-6)
    assert metrics["rewards/length/mean"] == pytest.approx(metrics["completions/mean_length"] / 20)
    told = [event for event in events_of(run, SampleDone) if event.sampled and event.step == 1]
    assert [event.index for event in told] == [0, 1, 2]
    assert {event.prompt for event in told} <= {str(row["prompt"]) for row in prompt_rows()}
    scorer = load_reward_model(judge.path, detect_device())
    scores = scorer.score([(Message("user", event.prompt),) for event in told], [event.text for event in told]).tolist()
    # A character that was cut off in sampling reads otherwise when it is written down, so only whole texts compare.
    lengths = [(event.reward or 0.0) - 2 * score for event, score in zip(told, scores, strict=True) if "\ufffd" not in event.text]
    assert all(min(abs(length - count / 20) for count in range(1, 9)) < 1e-5 for length in lengths)
    assert [event.step for event in events_of(run, EvaluationDone)] == [0, 1, 2]
    assert all("reward" in event.metrics for event in events_of(run, EvaluationDone))


def test_an_evaluation_is_a_mean_over_prompts(tiny: Path, new_run: NewRun, tmp_path: Path) -> None:
    held_out = [{"prompt": sentence(n, 3), "answer": "q"} for n in range(11)]
    run = new_run(
        "run",
        {
            **online(tiny, write_rows(tmp_path / "prompts.jsonl", prompt_rows()), "grpo"),
            "data.eval": str(write_rows(tmp_path / "held-out.jsonl", held_out)),
            "objective.rewards.rules": [{"kind": "regex", "pattern": "[aeiou].*[aeiou]"}],
            "training.max_steps": 1,
        },
    )
    assert work(run) == 0
    for event in events_of(run, EvaluationDone):
        assert event.num_examples == 11
        assert event.metrics["reward"] * 11 == pytest.approx(round(event.metrics["reward"] * 11), abs=1e-4)


@pytest.mark.parametrize(
    ("change", "path", "message"),
    [
        ({"objective.rewards.rules": []}, "objective.rewards.model", "nothing says what makes an answer good, and grpo raises a reward."),
        (
            {"objective.rewards.rules": [{"kind": "regex", "pattern": "("}]},
            "objective.rewards.rules.0.pattern",
            "rule 1 (regex): '(' is no regular expression: missing ) at position 1.",
        ),
        (
            {"training.global_batch_size": 10, "training.micro_batch_size": 10},
            "training.global_batch_size",
            "grpo samples 4 answers to each prompt, and 10 sampled answers a step are no multiple of that.",
        ),
    ],
)
def test_contradictions_are_refused(change: dict[str, object], path: str, message: str, tiny: Path, prompts: Path) -> None:
    values: dict[str, object] = {}
    for name, value in {**online(tiny, prompts), **change}.items():
        values = set_value(values, name, value)
    assert [(problem.path, problem.message) for problem in problems_of(values)] == [(path, message)]


@pytest.mark.parametrize(
    ("rows", "change", "code", "message"),
    [
        (
            [{"prompt": "the sea"}] * 3,
            {"objective.rewards.rules": [{"kind": "exact_answer"}]},
            "rewards_no_expected",
            "The rule exact_answer compares with each row's right answer, and no row of the training data has one.",
        ),
        (
            [{"prompt": sentence(number, 3)} for number in range(3)],
            {"training.global_batch_size": 16, "objective.rewards.rules": [{"kind": "regex", "pattern": "a"}]},
            "too_few_prompts",
            "grpo learns from 4 prompts a step (16 sampled answers, 4 to each prompt); the data has 3.",
        ),
    ],
)
def test_what_the_data_lack_is_refused(
    rows: list[dict[str, object]], change: dict[str, object], code: str, message: str, tiny: Path, new_run: NewRun, tmp_path: Path
) -> None:
    run = new_run("run", {**online(tiny, write_rows(tmp_path / "rows.jsonl", rows)), **change})
    assert work(run) == 1
    (error,) = events_of(run, ErrorRaised)
    assert (error.code, error.message) == (code, message)


def test_rows_without_an_answer_and_prompts_left_out_are_told(tiny: Path, prompts: Path, new_run: NewRun) -> None:
    run = new_run("run", {**online(tiny, prompts), "training.global_batch_size": 20, "training.micro_batch_size": 4})
    assert work(run) == 0
    told = {event.code: event.message for event in events_of(run, WarningRaised)}
    assert told["rewards_some_expected"] == "4 of 12 prompts have no right answer; the rule exact_answer scores nothing there."
    assert told["prompts_left_out"] == "12 prompts in steps of 5 leave 2 out; which ones changes with each epoch."
    assert "last_batch_partial" not in told
