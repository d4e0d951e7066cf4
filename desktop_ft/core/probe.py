"""Measuring one worst-case step of a run before it starts: which rows, which settings, and the job's folder. Pure; the engine measures.

What makes a run end in its middle is a batch that is longer than all before it. The probe puts the longest rows of the run's own data
into every micro-batch, and takes two steps of its trainer: the first makes the optimizer's states, the second is timed. Then it evaluates
once and saves once. Sources of the failures: litgpt#159, trl#1626, LlamaFactory#6827.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from itertools import cycle, islice
from typing import Final, cast

from desktop_ft.core.config import Draft, RunConfig, save_config
from desktop_ft.core.config.combinations import REWARDED
from desktop_ft.core.job import JobDir, ProbeRequest, create_job_in
from desktop_ft.core.runs import live_engine
from desktop_ft.core.workspace import Workspace, default_workspace

NUM_STEPS: Final = 2
"""Optimizer steps: one to warm up, one to time."""
MOST_MICRO_BATCHES: Final = 2
"""Of one step: with two, the gradients of the first are there while the second runs, as in every longer step."""


def create_probe(config: RunConfig, longest: int | None = None, workspace: Workspace | None = None) -> JobDir:
    """A job that measures one worst-case step of a run which does not exist yet; those that have ended are removed.

    Args:
        config: The run.
        longest: Tokens of the longest example that its estimate was made for, where known.
        workspace: Where jobs lie; None: the person's own.

    Raises:
        DesktopFtError: ``request_invalid``, ``disk_full`` or ``file_not_writable``.
    """
    folder = (workspace or default_workspace()).home / "jobs"
    for earlier in folder.glob(f"{ProbeRequest.kind}-*"):
        remove_probe(JobDir(earlier))
    job = create_job_in(folder, ProbeRequest(longest))
    save_config(config, job.path / "run.yaml")
    return job


def remove_probe(job: JobDir) -> None:
    """Nothing of a probe stays but what it measured; one that still goes is left alone."""
    if live_engine(job) is None and (job.path / "events.jsonl").exists():
        shutil.rmtree(job.path, ignore_errors=True)


def probe_config(config: RunConfig) -> RunConfig:
    """A run's settings for the probe: few micro-batches in two steps, then an evaluation and a checkpoint.

    Answers of a whole step are sampled at once, so objectives that sample keep their global batch.

    Args:
        config: Without any ``auto``.
    """
    micro, whole = cast("int", config.training.micro_batch_size), config.training.global_batch_size
    changes = {
        "training.global_batch_size": whole if config.objective.kind in REWARDED else min(whole, MOST_MICRO_BATCHES * micro),
        "training.max_steps": NUM_STEPS,
        "evaluation.eval_steps": NUM_STEPS,
        "evaluation.sample_prompts": [],
        "evaluation.forgetting": False,
        "output.save_steps": NUM_STEPS,
        "output.save_total_limit": 1,
        "output.keep_best": False,
    }
    return Draft(config.model_dump(mode="json")).with_values(changes).validated()


def worst_batch(lengths: Sequence[int], num_rows: int, weights: Sequence[int] | None = None) -> list[int]:
    """Numbers of the rows that make the largest micro-batch.

    The longest row decides how wide the batch is; beside it come those with most to learn, and one that is shorter, where there is one:
    a batch of rows of one length has no padding, and needs no mask.

    Args:
        lengths: Tokens of each row.
        num_rows: Rows of the batch; rows come again where there are fewer.
        weights: What makes a row costly besides its length, such as tokens that are learnt; None: its length.
    """
    by_length = sorted(range(len(lengths)), key=lambda row: lengths[row], reverse=True)
    longest = by_length[0]
    rest = by_length[1:] if weights is None else sorted(by_length[1:], key=lambda row: weights[row], reverse=True)
    chosen = list(islice(cycle([longest, *rest]), num_rows))
    shorter = next((row for row in by_length if lengths[row] < lengths[longest]), None)
    if num_rows > 1 and shorter is not None and all(lengths[row] == lengths[longest] for row in chosen):
        chosen[-1] = shorter
    return chosen


def longest_prompts(lengths: Sequence[int], num_prompts: int) -> list[int]:
    """Numbers of the longest prompts, the longest first; prompts come again where there are fewer."""
    by_length = sorted(range(len(lengths)), key=lambda row: lengths[row], reverse=True)
    return list(islice(cycle(by_length[:num_prompts]), num_prompts))


def packed_rows(lengths: Sequence[int], num_rows: int, max_length: int) -> list[int]:
    """Numbers of the examples that fill so many packed rows, the longest first."""
    by_length = sorted(range(len(lengths)), key=lambda row: lengths[row], reverse=True)
    chosen: list[int] = []
    num_tokens = 0
    for row in cycle(by_length):
        if num_tokens >= (num_rows + 1) * max_length:
            break
        chosen.append(row)
        num_tokens += lengths[row]
    return chosen


def step_seconds(steps: Sequence[float], first_micro_batch: float | None, probed: int, accumulation: int, steps_per_cycle: int) -> float:
    """Time of one of the run's optimizer steps, from those of the probe.

    Args:
        steps: Seconds of the probe's steps, the first one with everything that is done once.
        first_micro_batch: Seconds of the second step's first micro-batch, where it had several.
        probed: Micro-batches of a step of the probe.
        accumulation: Micro-batches of a step of the run.
        steps_per_cycle: Steps that learn from the same answers: one of them samples, here the first.
    """
    if steps_per_cycle > 1:
        return (steps[0] + (steps_per_cycle - 1) * steps[1]) / steps_per_cycle
    if accumulation <= probed:
        return steps[1]
    each = steps[1] / probed if first_micro_batch is None else first_micro_batch
    return steps[1] + (accumulation - probed) * each
