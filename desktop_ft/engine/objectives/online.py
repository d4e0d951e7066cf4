"""What GRPO and RLOO share: prompts in, sampled answers scored, and a run that stops and goes on anywhere.

TRL samples the answers of a whole optimizer step at once and learns from them in ``num_iterations`` steps. It counts its own micro-batches
and keeps the sampled answers in memory; a resumed trainer of TRL begins both anew. Here both are part of the checkpoint, and the order
of the prompts goes on in the epoch where it was. Tried with TRL 1.16; the members with an underscore are TRL's.
"""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, cast

import torch
from datasets import Dataset
from peft import PeftModel
from safetensors.torch import load_file, save_file
from transformers import GenerationConfig, TrainerState
from transformers.trainer import TRAINER_STATE_NAME

from desktop_ft.core.data.records import Example, Task
from desktop_ft.core.events import SampleDone, WarningRaised
from desktop_ft.core.schedule import check_enough_examples
from desktop_ft.engine.arguments import common_arguments
from desktop_ft.engine.controls import Controls
from desktop_ft.engine.objectives.parts import Parts
from desktop_ft.engine.rewards import Rewards, SampledAnswer
from desktop_ft.engine.trainer import RunTrainer

if TYPE_CHECKING:
    from transformers import PreTrainedModel
    from trl.trainer.utils import RepeatSampler

ANSWERS_FILE: Final = "sampled_answers.safetensors"
"""In a checkpoint between two steps that learn from the same answers."""
_NUM_TOLD: Final = 3
_TELLINGS_PER_RUN: Final = 50
_SECONDS_BETWEEN_LOOKS: Final = 0.25


class StoppedWhileSampling(Exception):  # noqa: N818 - no error: a stop was asked for
    """Leaves a step whose answers are being sampled."""


@dataclass(frozen=True)
class _Sampled:
    """The newest answers and what they scored."""

    answers: Sequence[SampledAnswer]
    rewards: Sequence[float]
    are_finished: Sequence[bool]


class OnlineTrainer(RunTrainer):
    """Stands before TRL's GRPO or RLOO trainer.

    Args:
        rewards: What scores the answers.
        stop_waits: Whether a stop is asked for; looked at while answers are sampled.
        **settings: As `RunTrainer` and TRL's trainer.
    """

    if TYPE_CHECKING:
        _step: int
        _buffered_inputs: list[dict[str, torch.Tensor]] | None
        _metrics: dict[str, dict[str, list[float]]]
        num_iterations: int
        eos_token_ids: Sequence[int]
        generation_config: GenerationConfig

    def __init__(self, *, rewards: Rewards, stop_waits: Callable[[], bool], **settings: Any) -> None:  # noqa: ANN401 - TRL's own signature
        self._rewards = rewards
        self._stop_waits = stop_waits
        self._num_epochs_before = 0
        self._sampled: _Sampled | None = None
        self._eval_batch_sizes: list[int] = []
        super().__init__(reward_funcs=rewards.functions(), **settings)

    # --- going on, and leaving ---

    def train_from(self, checkpoint: Path | None) -> None:
        """Train to the end, or to a stop; from a checkpoint or from the first step."""
        if checkpoint is not None:
            self._take_up(checkpoint)
        try:
            super().train_from(checkpoint)
        except StoppedWhileSampling:
            self._leave_step()

    def _take_up(self, checkpoint: Path) -> None:
        """Where TRL's counters and the sampled answers were."""
        step = TrainerState.load_from_json(str(checkpoint / TRAINER_STATE_NAME)).global_step
        num_steps_per_epoch = len(self.get_train_dataloader()) // self.gradient_accumulation_steps
        self._num_epochs_before = step // num_steps_per_epoch
        self._step = step * self.gradient_accumulation_steps
        if (checkpoint / ANSWERS_FILE).is_file():
            kept = _unflattened(load_file(checkpoint / ANSWERS_FILE, device=str(self.accelerator.device)))
            self._buffered_inputs = _split_anew(kept, self.gradient_accumulation_steps)

    def _leave_step(self) -> None:
        """As at a stop between micro-batches: back to the end of the last step, and a checkpoint of it."""
        self.control = self.callback_handler.on_substep_end(self.args, self.state, self.control)
        if self.state.global_step:
            self._save_checkpoint(cast("torch.nn.Module", self.model), trial=None)
            self.control = self.callback_handler.on_save(self.args, self.state, self.control)

    def _save_more(self, folder: Path) -> None:
        """The answers that the next step still learns from."""
        if self.state.global_step % self.num_iterations:
            assert self._buffered_inputs is not None
            save_file(_flattened(self._buffered_inputs), folder / ANSWERS_FILE)

    def _get_train_sampler(self, *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401 - as TRL
        """TRL's, whose order of an epoch is drawn after those of the epochs before."""
        sampler = cast("RepeatSampler", super()._get_train_sampler(*args, **kwargs))
        for _ in range(self._num_epochs_before):
            torch.randperm(sampler.num_samples, generator=sampler.generator)
        return sampler

    # --- sampling and scoring ---

    def answer_in_full(self) -> None:
        """Let no sampled answer end before the limit, for measuring the worst case."""
        self.generation_config.min_new_tokens = self.generation_config.max_new_tokens

    def _generate_single_turn(self, *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401 - as TRL
        """As TRL; a stop ends it, unless an evaluation between two steps would be left half done."""
        may_leave = bool(self.model and self.model.training) or self.state.global_step == 0
        with self._leaving_on_stop() if may_leave else contextlib.nullcontext():
            return cast("Any", super())._generate_single_turn(*args, **kwargs)

    @contextlib.contextmanager
    def _leaving_on_stop(self) -> Generator[None]:
        """Look for a stop now and then, before the forward pass of a token."""
        looked = time.monotonic()

        def look(module: torch.nn.Module, inputs: object) -> None:
            nonlocal looked
            if time.monotonic() - looked >= _SECONDS_BETWEEN_LOOKS:
                looked = time.monotonic()
                if self._stop_waits():
                    raise StoppedWhileSampling

        model = cast("PeftModel | PreTrainedModel", self.model)
        base = cast("torch.nn.Module", model.get_base_model() if isinstance(model, PeftModel) else model)
        hook = base.register_forward_pre_hook(look)
        try:
            yield
        finally:
            hook.remove()

    def _calculate_rewards(
        self,
        inputs: Sequence[dict[str, object]],
        prompts: Sequence[object],
        completions: object,
        completion_ids_list: Sequence[Sequence[int]],
    ) -> torch.Tensor:
        """As TRL, keeping what was sampled, [B, sources]."""
        scores = cast("torch.Tensor", cast("Any", super())._calculate_rewards(inputs, prompts, completions, completion_ids_list))
        if self.model is not None and self.model.training:
            self._sampled = _Sampled(
                self._rewards.answers(prompts[:_NUM_TOLD], completion_ids_list[:_NUM_TOLD], None),
                self._rewards.total(scores)[:_NUM_TOLD].tolist(),
                [ids[-1] in self.eos_token_ids for ids in completion_ids_list[:_NUM_TOLD]],
            )
        else:
            self._eval_batch_sizes.append(len(prompts))
        return scores

    def _get_per_token_logps_and_entropies(
        self,
        model: torch.nn.Module,
        input_ids: torch.Tensor,
        attention_mask: torch.Tensor,
        logits_to_keep: int,
        batch_size: int | None = None,
        **settings: object,
    ) -> object:
        """As TRL; an evaluation samples many answers at once and reads them again in micro-batches."""
        if self.model is not None and not self.model.training:
            batch_size = self.micro_batch_size
        ask = cast("Any", super())._get_per_token_logps_and_entropies
        return ask(model, input_ids, attention_mask, logits_to_keep, batch_size=batch_size, **settings)

    # --- telling ---

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """As TRL; an evaluation's numbers are means over prompts, and some of the sampled answers are told."""
        is_step = "loss" in logs
        if self._eval_batch_sizes:
            self._weigh_evaluation()
        super().log(logs, start_time)
        if is_step:
            self._tell_sampled()

    def _weigh_evaluation(self) -> None:
        """TRL averages batches, which gives a prompt of a small last batch more weight."""
        sizes, metrics = self._eval_batch_sizes, self._metrics["eval"]
        for name, values in metrics.items():
            pairs = [(value, size) for value, size in zip(values, sizes, strict=False) if not math.isnan(value)]
            if len(values) == len(sizes) and pairs:
                metrics[name] = [sum(value * size for value, size in pairs) / sum(size for _, size in pairs)]
        self._eval_batch_sizes = []

    def _tell_sampled(self) -> None:
        every = max(1, round(self.state.max_steps / _TELLINGS_PER_RUN))
        if self._sampled is None or (self.state.global_step != 1 and self.state.global_step % every):
            return
        told = zip(self._sampled.answers, self._sampled.rewards, self._sampled.are_finished, strict=True)
        for index, (answer, reward, is_finished) in enumerate(told):
            prompt = answer.prompt if isinstance(answer.prompt, str) else answer.prompt[-1].content
            self._events.write(
                SampleDone(
                    step=self.state.global_step,
                    index=index,
                    prompt=prompt,
                    text=answer.text,
                    finished=is_finished,
                    reward=reward,
                    sampled=True,
                )
            )
        self._sampled = None


def _flattened(batches: Sequence[dict[str, torch.Tensor]]) -> dict[str, torch.Tensor]:
    """One mapping that safetensors takes; the micro-batches are views of the same memory."""
    return {f"{number}.{name}": value.contiguous().clone() for number, batch in enumerate(batches) for name, value in batch.items()}


def _unflattened(tensors: dict[str, torch.Tensor]) -> list[dict[str, torch.Tensor]]:
    batches: dict[int, dict[str, torch.Tensor]] = {}
    for key, value in tensors.items():
        number, _, name = key.partition(".")
        batches.setdefault(int(number), {})[name] = value
    return [batches[number] for number in sorted(batches)]


def _split_anew(batches: list[dict[str, torch.Tensor]], num_batches: int) -> list[dict[str, torch.Tensor]]:
    """The same answers in another number of micro-batches: after a full memory a run goes on with smaller ones."""
    if len(batches) == num_batches:
        return batches
    whole = {name: torch.cat([batch[name] for batch in batches]) for name, value in batches[0].items() if value.dim()}
    parts = {name: value.chunk(num_batches) for name, value in whole.items()}
    same = {name: value for name, value in batches[0].items() if not value.dim()}
    return [{**same, **{name: part[number] for name, part in parts.items()}} for number in range(num_batches)]


# --- making ---


def make_online(trainer: Callable[..., RunTrainer], parts: Parts, arguments: object, rewards: Rewards) -> RunTrainer:
    """A trainer of prompts.

    Args:
        trainer: `OnlineTrainer` before one of TRL's.
        parts: Of the run.
        arguments: TRL's, of this trainer.
        rewards: What scores the answers.
    """
    controls = next((callback for callback in parts.callbacks if isinstance(callback, Controls)), None)
    return trainer(
        store=parts.store,
        events=parts.events,
        rewards=rewards,
        stop_waits=controls.stop_waits if controls else lambda: False,
        model=parts.model,
        args=arguments,
        train_dataset=to_rows(parts.data.train_examples),
        eval_dataset=to_rows(parts.data.eval_examples) if parts.data.eval_examples else None,
        processing_class=parts.tokenizer,
        peft_config=parts.peft_config,
        callbacks=list(parts.callbacks),
    )


def online_arguments(parts: Parts, num_generations: int, rewards: Rewards) -> dict[str, Any]:
    """Arguments that GRPO and RLOO share.

    Raises:
        DesktopFtError: ``too_few_prompts``.
    """
    _check_prompts(parts, num_generations)
    rollout, num_answers = parts.config.objective.rollout, parts.config.training.global_batch_size
    return {
        **common_arguments(parts),
        # TRL counts the tokens itself, when it samples.
        "include_num_input_tokens_seen": "no",
        # One answer to each held-out prompt: what is asked is their mean reward, not a comparison within a group.
        "num_generations_eval": 1,
        "per_device_eval_batch_size": num_answers,
        "num_generations": num_generations,
        "max_completion_length": rollout.max_completion_length,
        "temperature": rollout.temperature,
        "top_p": rollout.top_p,
        "reward_weights": list(rewards.weights),
    }


def to_rows(examples: Sequence[Example]) -> Dataset:
    """Prompts, and the column ``answer`` where a row has one, for TRL to tokenise when it samples."""
    tasks = [example for example in examples if isinstance(example, Task)]
    assert len(tasks) == len(examples)
    rows: list[dict[str, object]] = [{"prompt": _prompt(task)} for task in tasks]
    if any(task.answer is not None for task in tasks):
        rows = [{**row, "answer": task.answer} for row, task in zip(rows, tasks, strict=True)]
    return Dataset.from_list(rows)


def _prompt(task: Task) -> object:
    if isinstance(task.prompt, str):
        return task.prompt
    return [{"role": message.role, "content": message.content} for message in task.prompt]


def _check_prompts(parts: Parts, num_generations: int) -> None:
    """What TRL does with prompts that do not fill a step, said or refused.

    Raises:
        DesktopFtError: ``too_few_prompts``.
    """
    num_prompts, num_answers = len(parts.data.train_examples), parts.config.training.global_batch_size
    per_step = num_answers // num_generations
    check_enough_examples(parts.config, num_prompts)
    rest = num_prompts % per_step
    if rest:
        parts.events.write(
            WarningRaised(
                code="prompts_left_out",
                title="Not every prompt is used in each epoch",
                message=f"{num_prompts} prompts in steps of {per_step} leave {rest} out; which ones changes with each epoch.",
            )
        )
