"""One worst-case step of a run, measured with the run's own trainer: see `desktop_ft.core.probe` for what is worst."""

from __future__ import annotations

import gc
import math
import shutil
import time
import traceback
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, TypeVar, cast

import torch
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from desktop_ft.core.config import RunConfig, load_config
from desktop_ft.core.config.combinations import REWARDED
from desktop_ft.core.data.dataset import TrainingData
from desktop_ft.core.data.records import Example, Judged
from desktop_ft.core.device import DeviceFacts
from desktop_ft.core.events import Phase, ProbeMeasured
from desktop_ft.core.job import JobDir, ProbeRequest
from desktop_ft.core.memory.objectives import sequence_length
from desktop_ft.core.probe import NUM_STEPS, longest_prompts, packed_rows, probe_config, step_seconds, worst_batch
from desktop_ft.core.processes import ProcessMark
from desktop_ft.core.runs import RunDir
from desktop_ft.core.schedule import prompts_per_step
from desktop_ft.core.stages import stages_of
from desktop_ft.engine.controls import Controls
from desktop_ft.engine.device import peak_memory_bytes
from desktop_ft.engine.memory_errors import out_of_memory
from desktop_ft.engine.objectives.online import OnlineTrainer
from desktop_ft.engine.own_memory import MemoryMeter, OwnMemory
from desktop_ft.engine.ppo.loop import PpoTraining
from desktop_ft.engine.prepared import Prepared
from desktop_ft.engine.recording import measurement_of, record
from desktop_ft.engine.stopping import StopRequested
from desktop_ft.engine.train import Bare, TrainingRun
from desktop_ft.engine.trainer import RunTrainer

if TYPE_CHECKING:
    from desktop_ft.engine.jobs import JobWork

_Item = TypeVar("_Item")


def probe(job: JobDir, request: ProbeRequest, work: JobWork, mark: ProcessMark, meter: MemoryMeter) -> None:
    """Carry a probe out: one `ProbeMeasured`, also where the memory was full. Of a run of stages each is measured, the larger one told.

    Raises:
        DesktopFtError: As `TrainingRun.train`, but for a full memory.
        StopRequested: Where the person asked for it.
    """
    config, run = load_config(job.path / "run.yaml"), RunDir(job.path)
    stages = [(stage.open(), stage.config) for stage in stages_of(run, config)] or [(run, config)]
    found: list[ProbeMeasured] = []
    try:
        for number, (folder, settings) in enumerate(stages, start=1):
            probing = _Probing(folder, settings, request, work, mark, meter)
            found.append(probing.measure(saves_result=number < len(stages)))
            if not found[-1].fits:
                break
            _release_memory()
    finally:
        for path in (run.checkpoints, run.adapter, run.model, run.path / "stages"):
            shutil.rmtree(path, ignore_errors=True)
    work.emit(max(found, key=lambda one: (not one.fits, one.process_bytes)))


class _Probing:
    """The probe of one training.

    Args:
        folder: Where its trainer writes.
        config: Of the run or of its stage.
        request: The job's.
        work: The job.
        mark: This process.
        meter: Begun before the accelerator.
    """

    def __init__(
        self, folder: RunDir, config: RunConfig, request: ProbeRequest, work: JobWork, mark: ProcessMark, meter: MemoryMeter
    ) -> None:
        self._run = TrainingRun(folder, work.events, work.stop, mark, work.controls, work.situation)
        self._config = config
        self._request = request
        self._work = work
        self._meter = meter
        self._prepared: Prepared | None = None
        self._watch = Watch(work)

    def measure(self, *, saves_result: bool) -> ProbeMeasured:
        """Train the worst steps, and say what they took."""
        try:
            bare = self._run.bare(self._config, self._callbacks, self._narrow)
            self._watch.look("load")
            _train(bare, self._work)
            if saves_result:
                bare.save()
        except (RuntimeError, MemoryError) as error:
            told = out_of_memory(error, self._work.situation)
            if told is None or self._prepared is None:
                raise
            traceback.print_exc()
            return replace(self._measured(self._prepared), fits=False, message=told.message)
        found = self._measured(bare.prepared)
        measurement = measurement_of(bare.prepared, self._memory(bare.prepared), self._request.longest)
        if measurement is not None:
            measurement = replace(measurement, seconds_per_step=found.seconds_per_step, evaluation_seconds=found.evaluation_seconds)
        record(measurement, self._work.events)
        return found

    def _callbacks(self, prepared: Prepared) -> Sequence[TrainerCallback]:
        work = self._work
        return self._watch, Controls(work.controls, work.stop, prepared.config, lambda _step: False, work.events)

    def _narrow(self, prepared: Prepared) -> Prepared:
        self._prepared = prepared
        self._watch.device = prepared.device
        config = probe_config(prepared.config)
        return replace(prepared, config=config, data=worst_data(prepared.data, config))

    def _memory(self, prepared: Prepared) -> OwnMemory:
        return self._meter.read(prepared.device)

    def _measured(self, prepared: Prepared) -> ProbeMeasured:
        config, memory, watch = prepared.config, self._memory(prepared), self._watch
        micro = cast("int", config.training.micro_batch_size)
        accumulation = config.training.global_batch_size // micro
        is_timed = len(watch.steps) == NUM_STEPS
        probed = probe_config(config).training.global_batch_size // micro
        seconds = step_seconds(watch.steps, watch.first_micro_batch, probed, accumulation, _steps_per_cycle(config)) if is_timed else None
        return ProbeMeasured(
            fits=True,
            process_bytes=memory.process,
            peak_allocated_bytes=memory.allocated,
            peak_reserved_bytes=memory.reserved,
            context_bytes=memory.context,
            peak_phase=watch.peak_phase,
            seconds_per_step=seconds,
            tokens_per_second=watch.num_tokens / watch.steps[-1] if is_timed and watch.num_tokens else None,
            evaluation_seconds=_evaluation_seconds(watch.evaluation_seconds, prepared),
            micro_batch_size=micro,
            gradient_accumulation_steps=accumulation,
            sequence_length=sequence_length(config, prepared.data.longest),
        )


def _train(bare: Bare, work: JobWork) -> None:
    training = bare.training
    if isinstance(training, OnlineTrainer | PpoTraining):
        training.answer_in_full()
    elif isinstance(training, RunTrainer):
        training.keep_order()
    work.enter("train", "Measuring the longest batch")
    training.train_from(None)
    if training.step < NUM_STEPS:
        raise StopRequested


def _steps_per_cycle(config: RunConfig) -> int:
    """Steps that learn from the answers of one sampling."""
    objective = config.objective
    match objective.kind:
        case "grpo":
            return objective.grpo.num_iterations
        case "rloo":
            return objective.rloo.num_iterations
        case "ppo":
            return objective.ppo.num_mini_batches * objective.ppo.num_ppo_epochs
        case _:
            return 1


def _evaluation_seconds(measured: float | None, prepared: Prepared) -> float | None:
    """Of all held-out examples, from the time of the few that the probe evaluated."""
    num_eval = len(prepared.data.eval_examples)
    return None if measured is None or not num_eval else measured * math.ceil(num_eval / _num_evaluated(prepared.config, num_eval))


def _num_evaluated(config: RunConfig, num_eval: int) -> int:
    """Rows of one batch of an evaluation."""
    micro = cast("int", config.training.micro_batch_size)
    return min(num_eval, config.training.global_batch_size if config.objective.kind in REWARDED else micro)


def _release_memory() -> None:
    """The next stage begins as it would in the run: with an empty device, and a peak of its own."""
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()


# --- the worst rows ----------------------------------------------------------------------------------------------------------


def worst_data(data: TrainingData, config: RunConfig) -> TrainingData:
    """Of the run's data the rows that need most memory, as many as the probe's steps take.

    Args:
        data: All of it.
        config: Of the probe.
    """
    rows = _worst_rows(data, config)
    held_out = longest_prompts(data.eval_lengths, _num_evaluated(config, len(data.eval_examples))) if data.eval_examples else []
    return replace(
        data,
        train=_picked(data.train, rows),
        train_examples=_alternating(_picked(data.train_examples, rows)),
        lengths=tuple(_picked(data.lengths, rows)),
        eval=_picked(data.eval, held_out),
        eval_examples=_picked(data.eval_examples, held_out),
        eval_lengths=tuple(_picked(data.eval_lengths, held_out)),
    )


def _worst_rows(data: TrainingData, config: RunConfig) -> list[int]:
    micro, whole = cast("int", config.training.micro_batch_size), config.training.global_batch_size
    match config.objective.kind:
        case "grpo" | "rloo":
            return longest_prompts(data.lengths, prompts_per_step(config))
        case "ppo":
            # Any two of these answers are as wide as the widest; one shorter prompt makes a sampled batch need its mask.
            ends = worst_batch(data.lengths, 2)
            return [ends[0]] * (whole * config.objective.ppo.num_mini_batches - 1) + ends[1:]
        case _ if config.data.packing:
            return packed_rows(data.lengths, whole * NUM_STEPS, config.data.max_length)
        case _:
            learnt = [example.num_supervised for example in data.train] or None
            return worst_batch(data.lengths, micro, learnt) * (whole // micro * NUM_STEPS)


def _picked(items: Sequence[_Item], rows: Sequence[int]) -> list[_Item]:
    """Some of the items; none where there are none, as of records that TRL tokenises."""
    return [items[row] for row in rows] if items else []


def _alternating(examples: Sequence[Example]) -> list[Example]:
    """Judgments as good and bad in turn: data that are sorted by judgment would be shuffled."""
    return [replace(example, is_good=row % 2 == 0) if isinstance(example, Judged) else example for row, example in enumerate(examples)]


# --- watching -----------------------------------------------------------------------------------------------------------------


class Watch(TrainerCallback):
    """Times the steps, and sees in which phase the peak rises.

    Args:
        work: Told how far the probe is.
    """

    def __init__(self, work: JobWork) -> None:
        self._work = work
        self.device: DeviceFacts | None = None
        self.steps: list[float] = []
        self.first_micro_batch: float | None = None
        self.evaluation_seconds: float | None = None
        self.num_tokens = 0
        self.peak_phase: Phase = "load"
        self._peak = 0
        self._began = 0.0
        self._num_tokens_before = 0

    def look(self, phase: Phase) -> None:
        """A phase is over: was it the largest so far?"""
        assert self.device is not None
        peak = peak_memory_bytes(self.device)
        if peak > self._peak:
            self._peak, self.peak_phase = peak, phase

    def on_train_begin(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: object) -> None:
        """An evaluation may come first, as in the run."""
        self._work.situation.phase = "evaluate" if args.eval_on_start else "train"

    def on_step_begin(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: object) -> None:
        """Start the clock."""
        self._work.situation.phase = "train"
        self._num_tokens_before = int(state.num_input_tokens_seen)
        self._began = self._now()

    def on_substep_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: object) -> None:
        """The first micro-batch of the step that is timed; one that is sampled is no micro-batch alone."""
        if state.global_step == NUM_STEPS - 1 and self.first_micro_batch is None:
            self.first_micro_batch = self._now() - self._began

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: object) -> None:
        """A step is done."""
        self.steps.append(self._now() - self._began)
        self.num_tokens = int(state.num_input_tokens_seen) - self._num_tokens_before
        self._work.situation.step = state.global_step
        self.look("train")
        self._work.progress(min(len(self.steps), NUM_STEPS), NUM_STEPS + 1, "Measuring the longest batch")
        self._work.situation.phase = "evaluate" if control.should_evaluate else "save"

    def on_log(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        logs: Mapping[str, float] | None = None,
        **kwargs: object,
    ) -> None:
        """Nothing of the steps is kept."""
        state.log_history.clear()

    def on_evaluate(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        metrics: Mapping[str, float] | None = None,
        **kwargs: object,
    ) -> None:
        """An evaluation is done; the later one counts, with the optimizer's states beside it."""
        self.evaluation_seconds = (metrics or {}).get("eval_runtime", self.evaluation_seconds)
        self.look("evaluate")
        self._work.situation.phase = "save"

    def on_save(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: object) -> None:
        """A checkpoint is written."""
        self.look("save")

    def _now(self) -> float:
        """Seconds, once the device has done everything that it was given."""
        if self.device is not None and self.device.kind in {"cuda", "rocm"}:
            torch.cuda.synchronize()
        elif self.device is not None and self.device.kind == "mps":
            torch.mps.synchronize()
        elif self.device is not None and self.device.kind == "xpu":
            torch.xpu.synchronize()
        return time.perf_counter()
