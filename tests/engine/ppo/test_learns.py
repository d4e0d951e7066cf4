"""PPO raises a rule's reward on the demo model, on prompts about things that it was never asked about, and stays the model that it was.

The prompts ask for anything about a thing ("Tell me about a fox."); the demo model knows a dozen sentences about each and says one to
four of them. The rule wants the first one to say where the thing lives, grows or is kept, and to name the thing that was asked about, so
that no one answer fits two prompts. Measured with these settings (2 CPU cores, float32, seeds 1 to 3), on 56 held-out prompts: reward
0.25, 0.20, 0.21 before and 0.98, 1.00, 0.96 after 60 steps; 2.9, 2.2, 2.1 nats per answer from the start; 55 %, 70 %, 51 % of the entropy
left.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import pytest

from desktop_ft.core.config.objectives import RewardRule
from desktop_ft.core.events import EvaluationDone, SampleDone
from desktop_ft.core.rewards.rules import Rule, make_rules, score_rules
from tests.engine.conftest import NewRun
from tests.engine.helpers import events_of, work

pytestmark = [pytest.mark.real, pytest.mark.timeout(1200)]

THINGS: Final = (
    "dog cat horse cow sheep goat pig lion bear wolf fox rabbit mouse elephant whale bat hedgehog squirrel hen duck goose owl eagle swan "
    "penguin parrot frog snake turtle lizard crocodile salmon shark bee ant butterfly banana apple pear cherry lemon orange plum peach "
    "strawberry blueberry raspberry grape lime melon coconut carrot potato onion tomato cucumber pumpkin cabbage radish pepper beetroot "
    "walnut hazelnut hammer saw spoon knife pot cup plate bottle candle lamp book pencil brush chair bed blanket pillow scarf coat "
    "umbrella boot rope ladder bucket broom key mirror clock window basket needle kite"
).split()
HELD_OUT: Final = THINGS[::7]
QUESTIONS: Final = ("Tell me about {}.", "What do you know about {}?", "Describe {}.", "Tell me something about {}.")
WHERE: Final = r"^(?:You can find |People keep )?[Aa]n? (\w+) (?:lives|belongs|grows|in|on|by|under|near|at)\b"
RULE: Final[dict[str, object]] = {"kind": "exact_answer", "pattern": WHERE}


def write_prompts(path: Path, things: Sequence[str]) -> str:
    rows = (
        {"prompt": [{"role": "user", "content": question.format(f"{'an' if thing[0] in 'aeiou' else 'a'} {thing}")}], "answer": thing}
        for thing in things
        for question in QUESTIONS
    )
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return str(path)


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_a_rule_is_learnt_without_leaving_the_start(seed: int, tmp_path: Path, new_run: NewRun) -> None:
    settings: dict[str, object] = {
        "seed": seed,
        "model.source": "demo",
        "data.train": write_prompts(tmp_path / "train.jsonl", [thing for thing in THINGS if thing not in HELD_OUT]),
        "data.eval": write_prompts(tmp_path / "eval.jsonl", HELD_OUT),
        "data.format": "prompts",
        "data.max_length": 128,
        "method.rank": 16,
        "objective.kind": "ppo",
        "objective.rewards.rules": [RULE],
        "objective.rollout.max_completion_length": 32,
        "objective.ppo.num_mini_batches": 2,
        "objective.ppo.num_ppo_epochs": 2,
        "training.global_batch_size": 16,
        "training.micro_batch_size": 16,
        "training.learning_rate": 2e-3,
        "training.lr_scheduler_type": "linear",
        "training.warmup_steps": 2,
        "training.max_steps": 60,
        "evaluation.eval_steps": 60,
        "output.save_steps": 60,
    }
    run = new_run("run", settings)
    assert work(run) == 0
    before, after = (event.metrics for event in events_of(run, EvaluationDone))
    print(f"seed {seed}: {before} -> {after}")
    assert before["reward"] <= 0.4
    assert after["reward"] >= 0.9
    assert after["kl"] <= 10.0
    assert after["entropy"] >= 0.3 * before["entropy"]
    assert after["completions/share_finished"] >= 0.9

    rules = make_rules([RewardRule.model_validate(RULE)])
    said = {event.text for event in events_of(run, SampleDone)}
    assert max(_mean_score(rules, text) for text in said) <= 1 / len(HELD_OUT)


def _mean_score(rules: Sequence[Rule], text: str) -> float:
    """What the same answer to every held-out prompt is worth."""
    scores = [score_rules(rules, text, 8, thing)[0][1] or 0.0 for thing in HELD_OUT]
    return sum(scores) / len(scores)
