"""After the memory was full: going on from the last checkpoint with a smaller micro-batch and the same global batch.

It is offered, never done silently. What was changed stands in resolved.yaml under ``retries``; the engine says it in the run's log.
"""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from desktop_ft.core.config import RunConfig
from desktop_ft.core.config.combinations import least_micro_batch
from desktop_ft.core.errors import DesktopFtError
from desktop_ft.core.eventlog import EventTail
from desktop_ft.core.events import ErrorRaised, Event, Phase, PhaseChanged, RunFinished
from desktop_ft.core.memory import changed_config
from desktop_ft.core.resolve import Resolved, Retry, load_resolved, save_resolved
from desktop_ft.core.runs import RunDir, list_checkpoints, live_engine
from desktop_ft.core.stages import stages_of

RETRY_CODE: Final = "micro_batch_halved"
_MICRO: Final = "training.micro_batch_size"
_HELPLESS: Final[frozenset[Phase]] = frozenset({"load", "tokenize", "export"})
"""What is full before training begins does not depend on the micro-batch."""


@dataclass(frozen=True)
class RetryOffer:
    """What can be done about a run whose memory was full.

    Attributes:
        run: The folder whose settings would change: the run's, or that of its stage.
        step: Of the checkpoint to go on from; 0: from the beginning, there is none.
        micro_batch_size_before: Examples on the device at once so far.
        micro_batch_size: From now on.
        gradient_accumulation_steps: Micro-batches of one optimizer step from now on.
        changes_loss: Whether the objective's loss depends on the micro-batch, so that the run will not be the same run.
    """

    run: RunDir
    step: int
    micro_batch_size_before: int
    micro_batch_size: int
    gradient_accumulation_steps: int
    changes_loss: bool

    @property
    def title(self) -> str:
        """What would be done, in a few words."""
        return f"Go on with a micro-batch of {self.micro_batch_size} instead of {self.micro_batch_size_before}"

    @property
    def message(self) -> str:
        """What that means, in sentences."""
        where = f"from the checkpoint of step {self.step}" if self.step else "from the beginning; there is no checkpoint yet"
        same = (
            "This objective's loss compares the answers of a micro-batch, so the run will differ a little from one with the larger one."
            if self.changes_loss
            else "The gradients are the same up to rounding (dropout draws other numbers); a step takes a little longer."
        )
        return (
            f"The run goes on {where}, with {self.gradient_accumulation_steps} micro-batches in each step: the global batch stays "
            f"{self.micro_batch_size * self.gradient_accumulation_steps}. {same}"
        )


def retry_offer(run: RunDir) -> RetryOffer | None:
    """What can be offered for a run; None where its memory was not full, or a smaller micro-batch does not help.

    Raises:
        DesktopFtError: As `RunDir.config` and `load_resolved`.
    """
    if live_engine(run) is not None or not _ran_out_of_memory(list(EventTail(run.events_file).read_all())):
        return None
    folder = _interrupted(run)
    if not folder.resolved_file.exists():
        return None
    config = load_resolved(folder.resolved_file).config
    before = config.training.micro_batch_size
    assert before != "auto"
    smaller = smaller_micro_batch(config, before // 2)
    if smaller is None:
        return None
    checkpoints = list_checkpoints(folder)
    return RetryOffer(
        run=folder,
        step=checkpoints[-1].step if checkpoints else 0,
        micro_batch_size_before=before,
        micro_batch_size=smaller,
        gradient_accumulation_steps=config.training.global_batch_size // smaller,
        changes_loss=loss_depends_on_micro_batch(config),
    )


def apply_retry(run: RunDir) -> RetryOffer:
    """Take the offer: the settings with which the run goes on are changed, and the change is recorded. It is not started.

    Raises:
        DesktopFtError: ``retry_not_possible`` where there is no offer; ``disk_full`` or ``file_not_writable``.
    """
    offer = retry_offer(run)
    if offer is None:
        raise DesktopFtError(
            "retry_not_possible",
            "A smaller micro-batch would not help here",
            f"{run.path.name} did not fail because the memory was full in training, or its micro-batch is as small as it can be.",
            "Resume it as it is, or start a new run with shorter examples, activation checkpointing or a smaller model.",
        )
    resolved = load_resolved(offer.run.resolved_file)
    retry = Retry(offer.step, offer.micro_batch_size_before, offer.micro_batch_size)
    save_resolved(with_retries(resolved, (*resolved.retries, retry)), offer.run.resolved_file)
    return offer


def with_retries(resolved: Resolved, retries: Sequence[Retry]) -> Resolved:
    """Settings with a micro-batch no larger than the smallest that was agreed on since the start."""
    if not retries:
        return resolved
    micro = resolved.config.training.micro_batch_size
    assert micro != "auto"
    smaller = smaller_micro_batch(resolved.config, min(micro, *(retry.micro_batch_size for retry in retries))) or micro
    last = retries[-1]
    return dataclasses.replace(
        resolved,
        config=changed_config(resolved.config, {_MICRO: smaller}),
        gradient_accumulation_steps=resolved.config.training.global_batch_size // smaller,
        reasons={**resolved.reasons, _MICRO: f"Made smaller than {last.micro_batch_size_before} after the memory was full."},
        retries=tuple(retries),
    )


def agreed_retries(run: RunDir) -> tuple[Retry, ...]:
    """What was agreed on before for a run that begins again; empty where nothing was."""
    with contextlib.suppress(DesktopFtError):
        return load_resolved(run.resolved_file).retries
    return ()


def smaller_micro_batch(config: RunConfig, at_most: int) -> int | None:
    """The largest micro-batch up to a limit that divides the global batch and that the objective's trainer takes; None: there is none."""
    whole = config.training.global_batch_size
    fitting = (size for size in range(at_most, least_micro_batch(config) - 1, -1) if whole % size == 0)
    return next(fitting, None)


def loss_depends_on_micro_batch(config: RunConfig) -> bool:
    """ORPO averages the odds ratios of a micro-batch, and KTO estimates its KL term from one."""
    return config.objective.kind in {"orpo", "kto"}


def _ran_out_of_memory(events: Sequence[Event]) -> bool:
    last = next((index for index in range(len(events) - 1, -1, -1) if isinstance(events[index], ErrorRaised)), None)
    if last is None or not isinstance(events[-1], RunFinished) or events[-1].status != "failed":
        return False
    error = events[last]
    phase = next((event.phase for event in reversed(events[:last]) if isinstance(event, PhaseChanged)), "load")
    return isinstance(error, ErrorRaised) and error.code == "out_of_memory" and phase not in _HELPLESS


def _interrupted(run: RunDir) -> RunDir:
    """The folder that a resume goes on in: of a run of stages, the first stage that is not done."""
    stages = stages_of(run, run.config())
    return next((stage.run for stage in stages if not stage.is_done), run)
