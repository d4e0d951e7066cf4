"""RLHF runs told by their files alone: checkpoints of both stages under one count of steps."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from desktop_ft.core.config import validate
from desktop_ft.core.eventlog import EventWriter
from desktop_ft.core.events import StageStarted
from desktop_ft.core.exports import ADAPTER_WEIGHTS
from desktop_ft.core.runs import RunDir, create_run, write_manifest
from desktop_ft.core.stages import stages_of

REWARD_STEPS = 30


def _write_plain(path: Path) -> None:
    path.write_bytes(b"1")


def make_staged_run(
    folder: Path,
    base: str = "demo",
    *,
    reward: tuple[int, ...] = (),
    policy: tuple[int, ...] = (),
    write: Callable[[Path], object] = _write_plain,
) -> RunDir:
    """A run with an adapter in each of these checkpoints.

    Args:
        folder: The run's.
        base: What it trains.
        reward: Steps of the reward model's checkpoints.
        policy: Steps of the policy's, by the policy's own count; the run's is 30 higher.
        write: Writes the weights.
    """
    config = validate({"name": "whole", "model": {"source": base}, "data": {"train": "demo"}, "objective": {"kind": "rlhf"}})
    run = create_run(folder, config)
    log = EventWriter(run.events_file)
    log.write(StageStarted(stage="reward", number=1, total=2))
    if policy:
        log.write(StageStarted(stage="policy", number=2, total=2, first_step=REWARD_STEPS + 1))
    log.close()
    for stage, steps in zip(stages_of(run, config), (reward, policy), strict=True):
        for step in steps:
            checkpoint = stage.open().checkpoint(step)
            checkpoint.mkdir(parents=True)
            write(checkpoint / ADAPTER_WEIGHTS)
            write_manifest(checkpoint, step)
    return run
