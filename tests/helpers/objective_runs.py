"""Invented runs on preferences and on rewards, told as events with the metrics that their trainers log."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from desktop_ft.core.config import RunConfig, validate
from desktop_ft.core.config.objectives import ObjectiveName
from desktop_ft.core.events import EvaluationDone, Event, GeneralLoss, PhaseChanged, RunStarted, SampleDone, StageStarted, StepDone
from desktop_ft.core.processes import ProcessMark
from desktop_ft.core.runs import create_run
from desktop_ft.jobs.run_model import RunModel
from tests.helpers.synthetic_run import STARTED

NUM_STEPS = 200
GIB = 2**30


def config(kind: ObjectiveName) -> RunConfig:
    """A run of this objective."""
    rules = ({"kind": "regex", "pattern": "thanks"}, {"kind": "length", "max_tokens": 64})
    objective: dict[str, object] = {"kind": kind}
    if kind in {"grpo", "rloo", "ppo"}:
        objective["rewards"] = {"rules": rules}
    return validate({"name": f"{kind}-run", "model": {"source": "Qwen/Qwen3-8B"}, "data": {"train": "pairs.jsonl"}, "objective": objective})


def metrics(kind: ObjectiveName, share: float, noise: float) -> dict[str, float]:
    """What a step of this objective tells, ``share`` of the way through."""
    grown = 1 - np.exp(-4 * share) + 0.05 * noise
    if kind == "reward":
        return {
            "accuracy": 0.5 + 0.42 * grown,
            "margin": 2.0 * grown,
            "mean_reward": 0.1,
            "min_reward": -2 * grown,
            "max_reward": 2 * grown,
        }
    if kind in {"grpo", "rloo", "ppo", "rlhf"}:
        online = {
            "reward": 0.3 + 0.6 * grown, "reward_std": 0.2 - 0.1 * grown, "rewards/regex/mean": grown, "rewards/length/mean": 0.8,
            "kl": 3 * grown, "entropy": 1.6 - 0.6 * grown, "completions/mean_length": 80 + 30 * grown, "completions/clipped_ratio": 0.05,
        }  # fmt: skip
        clipped = 0.04 + 0.01 * noise
        value = {"value_loss": 0.5 - 0.4 * grown, "explained_variance": 0.7 * grown, "clip_fraction": clipped}
        return {**online, **(value if kind in {"ppo", "rlhf"} else {"clip_ratio/region_mean": clipped})}
    return {
        "rewards/chosen": 0.5 * grown, "rewards/rejected": -1.2 * grown, "rewards/margins": 1.7 * grown,
        "rewards/accuracies": 0.5 + 0.4 * grown, "logps/chosen": -120 - 3 * grown, "logps/rejected": -130 - 14 * grown,
        "logits/chosen": 1.0, "logits/rejected": 0.9,
    }  # fmt: skip


def events_of(kind: ObjectiveName, last_step: int = 150) -> list[Event]:
    """From the start to a step."""
    noise = np.random.default_rng(3).normal(0, 1, last_step + 1)
    events: list[Event] = [RunStarted(pid=4242, num_steps=NUM_STEPS, device="NVIDIA GeForce RTX 4090", device_bytes=24 * GIB, time=STARTED)]
    if kind == "rlhf":
        events.append(StageStarted(stage="policy", number=2, total=2, first_step=1))
    events.append(GeneralLoss(step=0, loss=2.31, num_tokens=4096))
    for step in range(1, last_step + 1):
        share, now = step / NUM_STEPS, STARTED + 3.0 * step
        told = metrics(kind, share, float(noise[step]))
        events.append(
            StepDone(
                step=step, epoch=share, loss=0.69 - 0.4 * share, grad_norm=0.8, learning_rate=5e-6 * (1 - share), tokens_per_second=1500.0,
                memory_bytes=18 * GIB, seconds=3.0, time=now, metrics=told,
            )
        )  # fmt: skip
        if step % 50 == 0:
            events.append(EvaluationDone(step=step, loss=0.69 - 0.35 * share, metrics=metrics(kind, share, 0.0), time=now))
            if kind in {"grpo", "rloo", "ppo", "rlhf"}:
                events += [
                    SampleDone(step=step, index=at, prompt="Where is my parcel?", text=f"It left our depot, thanks! ({at})",
                               reward=0.5 + at / 10, sampled=True, time=now)
                    for at in range(3)
                ]  # fmt: skip
    return [*events, PhaseChanged(phase="train", time=STARTED)]


def fold_objective(kind: ObjectiveName, folder: Path) -> RunModel:
    """A model of such a run while it goes."""
    run = create_run(folder, config(kind))
    model = RunModel(run, run.config(), "running")
    model.fold(events_of(kind))
    model.on_engine_started(ProcessMark(4242, STARTED))
    return model
