"""Every ``auto`` of a configuration with its value and the reason, and the schedule that follows from the data.

The window shows the result before the start; the engine stores it once as resolved.yaml, and a resume uses that file.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, cast

import yaml

from desktop_ft.core.config import RunConfig, validate
from desktop_ft.core.config.combinations import num_generations
from desktop_ft.core.config.defaults import ONLINE
from desktop_ft.core.config.files import migrate, read_values
from desktop_ft.core.config.ignored import ignored_note
from desktop_ft.core.device import DeviceFacts
from desktop_ft.core.device_check import device_notes
from desktop_ft.core.errors import DesktopFtError
from desktop_ft.core.files import write_text
from desktop_ft.core.memory import changed_config, choose
from desktop_ft.core.models import ModelInfo
from desktop_ft.core.schedule import num_steps, prompts_per_step, steps_per_epoch
from desktop_ft.core.stages import has_stages, last_stage_config

RESOLVED_VERSION: Final = 1
POINTS_PER_RUN: Final = 10
"""Evaluations and checkpoints over a run, about."""


@dataclass(frozen=True)
class Retry:
    """The micro-batch was made smaller after the memory was full; the global batch stayed.

    Attributes:
        step: Of the checkpoint from which the run went on; 0: from the beginning.
    """

    step: int
    micro_batch_size_before: int
    micro_batch_size: int


@dataclass(frozen=True)
class Resolved:
    """A configuration with nothing left to decide.

    Attributes:
        config: No ``auto`` in it that this run looks at.
        reasons: Why, for every dotted path that was ``auto``.
        gradient_accumulation_steps: Micro-batches of one step.
        steps_per_epoch: Optimizer steps of one pass over the training examples; the last one may be smaller. Of ``rlhf``: the policy's.
        num_steps: Optimizer steps of the whole run.
        num_warmup_steps: Steps until the learning rate is reached.
        notes: What a person should know before the start, one sentence each.
        retries: What was changed since the start so that the run fits (`desktop_ft.core.retry`), oldest first.
    """

    config: RunConfig
    reasons: Mapping[str, str]
    gradient_accumulation_steps: int
    steps_per_epoch: int
    num_steps: int
    num_warmup_steps: int
    notes: tuple[str, ...]
    retries: tuple[Retry, ...] = ()


def resolve(
    config: RunConfig,
    model: ModelInfo,
    device: DeviceFacts,
    num_train_examples: int,
    num_eval_examples: int,
    longest_example: int | None = None,
) -> Resolved:
    """Decide every ``auto``.

    Args:
        config: As the person stated it.
        model: As `read_model` gives it; an unknown shape gets the smallest micro-batch.
        device: What it will train on, with what is free now.
        num_train_examples: Examples to learn from (packed: rows), at least 1.
        num_eval_examples: Held-out examples; 0: no evaluation.
        longest_example: Tokens of the longest training example, where known.
    """
    assert num_train_examples > 0, num_train_examples
    choices = choose(config, model, device, longest_example)
    reasons = dict(choices.reasons)
    steps = num_steps(config, num_train_examples)
    eval_steps = config.evaluation.eval_steps
    if eval_steps == "auto":
        eval_steps = max(1, round(steps / POINTS_PER_RUN))
        reasons["evaluation.eval_steps"] = (
            f"About {POINTS_PER_RUN} evaluations over {steps:,} steps." if num_eval_examples else "There are no held-out examples."
        )
    save_steps = config.output.save_steps
    if save_steps == "auto":
        save_steps = eval_steps
        reasons["output.save_steps"] = "As the evaluations."
    changes = {**choices.settings(), "evaluation.eval_steps": eval_steps, "output.save_steps": save_steps}
    if config.method.kind == "qlora" and config.method.quantization.compute_dtype == "auto":
        changes["method.quantization.compute_dtype"] = choices.dtype
        reasons["method.quantization.compute_dtype"] = "As the weights that are not in 4 bit."
    settled = changed_config(config, changes)
    return Resolved(
        config=settled,
        reasons=reasons,
        gradient_accumulation_steps=config.training.global_batch_size // choices.micro_batch_size,
        steps_per_epoch=steps_per_epoch(config, num_train_examples),
        num_steps=steps,
        num_warmup_steps=warmup(config.training.warmup_steps, steps),
        notes=tuple(_notes(config, settled, device, num_train_examples, steps)),
    )


def warmup(stated: float, num_steps: int) -> int:
    """Warm-up in steps: from 1 on a number of steps, below 1 a share of all, rounded up as transformers does."""
    return int(stated) if stated >= 1 else math.ceil(stated * num_steps)


def _notes(config: RunConfig, settled: RunConfig, device: DeviceFacts, num_train_examples: int, steps: int) -> Iterator[str]:
    if config.objective.kind in ONLINE:
        yield from _online_notes(config, num_train_examples)
    else:
        yield from _batch_notes(config, num_train_examples)
    if steps < POINTS_PER_RUN:
        count = "1 step" if steps == 1 else f"{steps} steps"
        yield f"The run has only {count}; a model hardly changes in so few."
    if config.training.max_steps is not None and not has_stages(config):
        passes = config.training.max_steps / steps_per_epoch(config, num_train_examples)
        yield f"The run ends after {config.training.max_steps:,} steps, {passes:.2g} passes over the data."
    yield from device_notes(settled, device)
    ignored = ignored_note(config)
    if ignored:
        yield ignored


def _batch_notes(config: RunConfig, num_train_examples: int) -> Iterator[str]:
    whole = config.training.global_batch_size
    rest = num_train_examples % whole
    if num_train_examples < whole:
        yield (
            f"The data has {_count(num_train_examples)}, fewer than the global batch of {whole}: every step sees all of them, "
            "and one step is one epoch."
        )
    elif rest:
        yield f"The last step of each epoch has {rest} of {whole} examples; its loss is a mean over those."


def _online_notes(config: RunConfig, num_train_examples: int) -> Iterator[str]:
    policy = last_stage_config(config)
    group, prompts, whole = num_generations(policy), prompts_per_step(policy), policy.training.global_batch_size
    if group > 1:
        yield f"Each step samples {whole} answers: {group} to each of {prompts} prompts."
        rest = num_train_examples % prompts
        if rest and num_train_examples >= prompts:
            yield f"{rest} of {num_train_examples:,} prompts fill no step and are left out of each epoch; others in the next one."
    else:
        ppo = policy.objective.ppo
        rollout, num_rollout_steps = whole * ppo.num_mini_batches, ppo.num_ppo_epochs * ppo.num_mini_batches
        yield f"Each rollout samples an answer to {rollout} prompts and is learnt from in {num_rollout_steps} steps."


def _count(num_examples: int) -> str:
    return "1 example" if num_examples == 1 else f"{num_examples} examples"


# --- resolved.yaml ---------------------------------------------------------------------------------------------------


def save_resolved(resolved: Resolved, path: Path) -> None:
    """Write resolved.yaml, whole or not at all."""
    values: dict[str, object] = {
        "version": RESOLVED_VERSION,
        "config": resolved.config.model_dump(mode="json"),
        "reasons": dict(resolved.reasons),
        "gradient_accumulation_steps": resolved.gradient_accumulation_steps,
        "steps_per_epoch": resolved.steps_per_epoch,
        "num_steps": resolved.num_steps,
        "num_warmup_steps": resolved.num_warmup_steps,
        "notes": list(resolved.notes),
        **({"retries": [dataclasses.asdict(retry) for retry in resolved.retries]} if resolved.retries else {}),
    }
    write_text(path, yaml.safe_dump(values, sort_keys=False, allow_unicode=True, width=140))


def load_resolved(path: Path) -> Resolved:
    """Read resolved.yaml.

    Raises:
        DesktopFtError: ``config_missing``, ``config_unreadable``, ``resolved_too_new`` or ``resolved_damaged``.
        ConfigError: Its configuration has problems.
    """
    values = read_values(path)
    version = values.get("version")
    if isinstance(version, int) and version > RESOLVED_VERSION:
        raise DesktopFtError(
            "resolved_too_new",
            "This run was made by a newer version",
            f"{path} has version {version}; this program knows up to {RESOLVED_VERSION}.",
            "Update Desktop FT to go on with this run.",
        )
    config, reasons, notes, retries = (values.get(name) for name in ("config", "reasons", "notes", "retries"))
    if version != RESOLVED_VERSION or not isinstance(config, dict) or not isinstance(reasons, dict) or not isinstance(notes, list):
        raise _damaged(path)
    if retries is not None and not isinstance(retries, list):
        raise _damaged(path)
    return Resolved(
        config=validate(migrate(cast("dict[str, object]", config)), str(path)),
        reasons={str(key): str(value) for key, value in cast("dict[object, object]", reasons).items()},
        gradient_accumulation_steps=_whole(values, "gradient_accumulation_steps", path),
        steps_per_epoch=_whole(values, "steps_per_epoch", path),
        num_steps=_whole(values, "num_steps", path),
        num_warmup_steps=_whole(values, "num_warmup_steps", path),
        notes=tuple(str(note) for note in cast("list[object]", notes)),
        retries=tuple(_retry(item, path) for item in cast("list[object]", retries or [])),
    )


def _retry(value: object, path: Path) -> Retry:
    if not isinstance(value, dict):
        raise _damaged(path)
    fields = cast("dict[str, object]", value)
    return Retry(*(_whole(fields, field.name, path) for field in dataclasses.fields(Retry)))


def _whole(values: Mapping[str, object], name: str, path: Path) -> int:
    value = values.get(name)
    if not isinstance(value, int) or isinstance(value, bool):
        raise _damaged(path)
    return value


def _damaged(path: Path) -> DesktopFtError:
    return DesktopFtError(
        "resolved_damaged",
        "The run's resolved settings can't be read",
        f"{path} is not what the program wrote.",
        "Start the run anew from its run.yaml in a new folder.",
    )
