"""PPO from the first rollout to the last step. Reads from top to bottom.

A run alternates: sample answers to some prompts, see what they are worth, and take several optimizer steps on them. One step is one
optimizer step, as everywhere. Every random number follows from the run's seed and the counts of rollouts and steps, so that a resumed run
is the run that was never stopped.

Sources: Schulman et al. 2017 (arXiv 1707.06347), Ziegler et al. 2019 (arXiv 1909.08593), Ouyang et al. 2022 (arXiv 2203.02155),
Huang et al. 2024 (arXiv 2403.17031). The formulas are in `desktop_ft.engine.ppo.math`.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Final, cast

import torch
from peft import PeftModel
from torch import Tensor
from torch.optim.lr_scheduler import LambdaLR
from transformers import PreTrainedModel, TrainerControl, TrainerState, TrainingArguments, get_scheduler
from transformers.trainer_callback import CallbackHandler
from transformers.trainer_utils import PREFIX_CHECKPOINT_DIR

from desktop_ft.core.data.records import Task
from desktop_ft.core.events import PhaseChanged, SampleDone
from desktop_ft.engine.arguments import common_arguments
from desktop_ft.engine.checkpoints import writing
from desktop_ft.engine.finite import refuse_non_finite
from desktop_ft.engine.objectives.parts import Parts
from desktop_ft.engine.ppo import math as ppo
from desktop_ft.engine.ppo.checkpoint import load_state, save_state
from desktop_ft.engine.ppo.experience import Experience, Schedule
from desktop_ft.engine.ppo.flow import Flow
from desktop_ft.engine.ppo.judge import Judgment, answer_metrics, judge
from desktop_ft.engine.ppo.roles import Roles
from desktop_ft.engine.ppo.rows import Rows, make_rows, widen
from desktop_ft.engine.ppo.sampling import Sampled, Sampler, seed_of, task_ids, task_text
from desktop_ft.engine.rewards import Rewards
from desktop_ft.engine.sampling import evaluating

_ROLLOUTS, _EVALUATIONS = 2, 3
_TRAINER_STATE: Final = "trainer_state.json"
_NUM_TOLD: Final = 3
_TELLINGS_PER_RUN: Final = 50


@dataclass
class Progress:
    """Where the run is.

    Attributes:
        kl_coef: Weight of the divergence from the reference.
        rollout: Number of the rollout that is learnt from, or comes next.
        place: Optimizer steps done on it.
        experience: The rollout, while steps on it are left.
    """

    kl_coef: float
    rollout: int = 0
    place: int = 0
    experience: Experience | None = None


class PpoTraining:
    """The `Training` of a PPO run.

    Args:
        parts: Of the run.
        roles: Policy, value function, reference.
        sampler: Lets the policy answer.
        rewards: Say what answers are worth.
        stop_waits: Whether the run is to stop; asked while answers are sampled.
        optimizer: Over everything that learns.
    """

    def __init__(
        self,
        parts: Parts,
        roles: Roles,
        sampler: Sampler,
        rewards: Rewards,
        stop_waits: Callable[[], bool],
        optimizer: torch.optim.Optimizer,
    ) -> None:
        self._parts = parts
        self._settings = parts.config.objective.ppo
        self._roles = roles
        self._sampler = sampler
        self._rewards = rewards
        self._stop_waits = stop_waits
        self._optimizer = optimizer
        self._device = roles.trained.device
        self._tasks = [cast("Task", example) for example in parts.data.train_examples]
        self._eval_tasks = [cast("Task", example) for example in parts.data.eval_examples]
        self._schedule = Schedule.of(parts.config, len(self._tasks))
        self._progress = Progress(self._settings.kl_coef)

        self._args, num_steps = TrainingArguments(**common_arguments(parts)), self._schedule.num_steps
        num_warmup_steps = self._args.get_warmup_steps(num_steps)
        self._scheduler = cast("LambdaLR", get_scheduler(self._args.lr_scheduler_type, optimizer, num_warmup_steps, num_steps))
        self._scaler = torch.amp.GradScaler(self._device.type, enabled=parts.precision.fp16)
        self._state = TrainerState(max_steps=num_steps)
        self._state.compute_steps(self._args, num_steps)
        self._control = TrainerControl()
        self._callbacks = CallbackHandler([Flow(), *parts.callbacks], roles.trained, parts.tokenizer, optimizer, self._scheduler)

    # --- what the run asks -------------------------------------------------------------------------------------------------

    @property
    def trained(self) -> PreTrainedModel | PeftModel:
        """The policy."""
        return self._roles.trained

    @property
    def micro_batch_size(self) -> int:
        """Answers of one forward pass."""
        return self._args.per_device_train_batch_size

    @property
    def gradient_accumulation_steps(self) -> int:
        """Micro-batches of one optimizer step."""
        return self._args.gradient_accumulation_steps

    @property
    def step(self) -> int:
        """Optimizer steps done; those that ``kl_early_stop`` left out count as done."""
        return int(self._state.global_step)

    def num_rows(self) -> int:
        """Prompts to learn from."""
        return len(self._tasks)

    def num_planned_steps(self) -> int:
        """Optimizer steps of the whole run."""
        return self._schedule.num_steps

    def answer_in_full(self) -> None:
        """Let no sampled answer end before the limit, for measuring the worst case."""
        self._sampler.answer_in_full()

    def load_weights(self, checkpoint: Path) -> None:
        """Take the trained policy of a checkpoint without training on."""
        self._roles.load(checkpoint)
        self._roles.dismiss()

    # --- the loop ----------------------------------------------------------------------------------------------------------

    def train_from(self, checkpoint: Path | None) -> None:
        """Train to the end, or to a stop; from a checkpoint or from the first step."""
        if checkpoint is not None:
            self._resume(checkpoint)
        self._tell("on_train_begin")
        if self._args.eval_on_start:
            self._evaluate()
        while self.step < self._schedule.num_steps and not self._control.should_training_stop:
            self._tell("on_step_begin")
            self._progress.experience = self._progress.experience or self._roll_out()
            logs = self._learn(self._progress.experience) if self._progress.experience else None
            if logs is None:  # stopped in the middle; a step that is not whole leaves no trace
                self._keep()
                return
            self._tell("on_step_end")
            self._tell("on_log", logs=logs)
            if self._control.should_evaluate:
                self._evaluate()
            if self._control.should_save:
                self._keep()
        if self.step >= self._schedule.num_steps:
            self._roles.dismiss()

    def _tell(self, moment: str, **facts: object) -> None:
        """Let the callbacks of the run do at this moment what they do in Trainer."""
        tell = cast("Callable[..., TrainerControl]", getattr(self._callbacks, moment))
        self._control = tell(self._args, self._state, self._control, **facts)

    def _autocast(self) -> AbstractContextManager[object]:
        precision = self._parts.precision
        dtype = torch.float16 if precision.fp16 else torch.bfloat16
        return torch.autocast(self._device.type, dtype, enabled=precision.fp16 or precision.bf16)

    # --- a rollout: answers, and what they are worth -----------------------------------------------------------------------

    def _roll_out(self) -> Experience | None:
        """Sample answers and work out each token's advantage; None where the run is to stop before all are sampled."""
        tasks = [self._tasks[number] for number in self._schedule.prompts(self._progress.rollout)]
        answers: list[Sampled] = []
        self._give_back_memory()
        with evaluating(self._roles.learning):
            seed = (self._parts.config.seed, _ROLLOUTS, self._progress.rollout)
            for some in self._answers(tasks, seed, self._stop_waits):
                answers += some
                self._tell("on_substep_end")
                if self._control.should_training_stop:
                    return None
            rows = self._rows(tasks, answers)
            log_probs, ref_log_probs, entropy = self._log_probs(rows)
            values = self._values(rows)
            judgment = judge(self._rewards, tasks, answers)
        self._give_back_memory()
        self._tell_samples(tasks, answers, judgment)

        settings, mask, kl_coef = self._settings, rows.mask, self._progress.kl_coef
        finished = torch.tensor([answer.finished for answer in answers], device=self._device)
        scores = ppo.penalise_missing_end(judgment.rewards.to(self._device), finished, settings.missing_eos_penalty)
        rewards = ppo.token_rewards(scores, log_probs, ref_log_probs, mask, kl_coef)
        if settings.whiten_rewards:
            rewards = ppo.whiten(rewards, mask, shift_mean=False)
        advantages, returns = ppo.advantages_and_returns(rewards, values, mask, settings.gamma, settings.lam)
        kl = _kl_per_answer(log_probs, ref_log_probs, mask)
        metrics = {
            **answer_metrics(judgment, answers, kl),
            "score": float(scores.mean()),
            "rlhf_reward": float(scores.mean()) - kl_coef * kl,
            "kl_coef": kl_coef,
            "entropy": float(ppo.masked_mean(entropy, mask)),
            "explained_variance": float(ppo.explained_variance(values, returns, mask)),
            "advantages/std": float(ppo.masked_variance(advantages, mask).sqrt()),
        }
        if settings.whiten_advantages:
            advantages = ppo.whiten(advantages, mask)
        if settings.target_kl is not None:
            self._progress.kl_coef = ppo.adapted_kl_coef(kl_coef, kl, settings.target_kl, len(rows), settings.kl_horizon)
        return Experience(rows, log_probs, values, advantages, returns, metrics)

    def _answers(self, tasks: Sequence[Task], seed: Sequence[int], is_to_end: Callable[[], bool] | None = None) -> Iterator[list[Sampled]]:
        """Answers in the order of the tasks, as many at a time as the memory of training has room for."""
        prompts, at_once = [task_ids(self._parts.tokenizer, task) for task in tasks], self._sampler.at_once
        for start in range(0, len(prompts), at_once):
            some = prompts[start : start + at_once]
            seeds = [seed_of(*seed, start + number) for number in range(len(some))]
            with self._autocast():
                answers = self._sampler.sample(some, seeds, is_to_end)
            yield answers

    def _rows(self, tasks: Sequence[Task], answers: Sequence[Sampled]) -> Rows:
        prompts = [task_ids(self._parts.tokenizer, task) for task in tasks]
        return make_rows(prompts, [answer.ids for answer in answers], self._sampler.pad, self._device)

    @torch.no_grad()
    def _log_probs(self, rows: Rows) -> tuple[Tensor, Tensor, Tensor]:
        """Of policy and reference, and the policy's entropy, [B, T - 1] each."""
        parts = self._micro_batches(rows)
        with self._autocast():
            policy = [self._roles.log_probs(part) for part in parts]
            with self._roles.playing("reference"):
                reference = [self._roles.log_probs(part)[0] for part in parts]
        return (
            _joined([log_probs for log_probs, _ in policy], rows),
            _joined(reference, rows),
            _joined([entropy for _, entropy in policy], rows),
        )

    @torch.no_grad()
    def _values(self, rows: Rows) -> Tensor:
        """Of the value function, [B, T - 1]."""
        with self._autocast(), self._roles.playing("value"):
            return _joined([self._roles.values(part) for part in self._micro_batches(rows)], rows)

    def _micro_batches(self, rows: Rows) -> list[Rows]:
        return [rows.select(chosen) for chosen in torch.arange(len(rows)).split(self.micro_batch_size)]

    def _give_back_memory(self) -> None:
        """Between sampling and learning: the pieces that a growing cache leaves behind fit nothing that the other allocates."""
        if self._device.type == "cuda":
            torch.cuda.empty_cache()

    def _tell_samples(self, tasks: Sequence[Task], answers: Sequence[Sampled], judgment: Judgment) -> None:
        """Some of the answers, with the step that learns from them first."""
        num_rollouts = self._schedule.num_steps / self._schedule.steps_per_rollout
        if self._progress.rollout % max(1, round(num_rollouts / _TELLINGS_PER_RUN)):
            return
        rewards = cast("list[float]", judgment.rewards.tolist())
        for index, (task, answer) in enumerate(zip(tasks[:_NUM_TOLD], answers, strict=False)):
            self._parts.events.write(
                SampleDone(
                    step=self.step + 1,
                    index=index,
                    prompt=task_text(task),
                    text=answer.text,
                    finished=answer.finished,
                    reward=rewards[index],
                    sampled=True,
                )
            )

    # --- an optimizer step -------------------------------------------------------------------------------------------------

    def _learn(self, experience: Experience) -> dict[str, float] | None:
        """One optimizer step on some of the answers, and what it tells; None where the run is to stop before it is whole.

        The losses are means over the tokens of the whole mini-batch, so that micro-batches of any size give the same step. The value
        function's backward pass runs while its adapter is on.
        """
        settings = self._settings
        chosen = self._schedule.answers(self._progress.rollout, self._progress.place)
        num_tokens = int(experience.rows.answer_lengths[chosen.to(self._device)].sum())
        sums = torch.zeros(4, device=self._device)
        self._roles.learning.train()
        for number, micro_batch in enumerate(chosen.split(self.micro_batch_size)):
            if number and self._is_to_stop():
                return None
            batch = experience.select(micro_batch.to(self._device))
            mask = batch.rows.mask

            with self._autocast():
                log_probs = self._roles.log_probs(batch.rows)[0][mask]
            old_log_probs, advantages = batch.log_probs[mask], batch.advantages[mask]
            policy_loss = ppo.policy_loss(log_probs, old_log_probs, advantages, settings.cliprange).sum() / num_tokens
            self._scaler.scale(policy_loss).backward()

            with self._roles.playing("value"):
                with self._autocast():
                    values = self._roles.values(batch.rows)[mask]
                value_losses = ppo.value_loss(values, batch.values[mask], batch.returns[mask], settings.cliprange_value)
                value_loss = value_losses.sum() / num_tokens
                self._scaler.scale(settings.vf_coef * value_loss).backward()

            with torch.no_grad():
                clipped = ppo.is_clipped(log_probs, old_log_probs, advantages, settings.cliprange).sum() / num_tokens
                moved = ppo.approximate_kl(log_probs, old_log_probs).sum() / num_tokens
                sums += torch.stack([policy_loss.detach(), value_loss.detach(), clipped, moved])
        rate, grad_norm = float(self._scheduler.get_last_lr()[0]), self._update()
        policy_mean, value_mean, clip_fraction, approx_kl = cast("list[float]", sums.tolist())
        self._count(experience.rows.lengths[chosen.to(self._device)], approx_kl)
        return {
            **experience.metrics,
            "loss": policy_mean + settings.vf_coef * value_mean,
            "grad_norm": grad_norm,
            "learning_rate": rate,
            "policy_loss": policy_mean,
            "value_loss": value_mean,
            "clip_fraction": clip_fraction,
            "approx_kl": approx_kl,
        }

    def _is_to_stop(self) -> bool:
        """Ask between micro-batches; what was accumulated is forgotten."""
        self._tell("on_substep_end")
        if self._control.should_training_stop:
            self._optimizer.zero_grad()
        return self._control.should_training_stop

    def _update(self) -> float:
        """Clip, step, and the norm of all gradients before clipping."""
        self._scaler.unscale_(self._optimizer)
        parameters = [parameter for group in self._optimizer.param_groups for parameter in group["params"]]
        grad_norm = torch.nn.utils.clip_grad_norm_(parameters, self._args.max_grad_norm or float("inf"))
        self._scaler.step(self._optimizer)
        self._scaler.update()
        self._scheduler.step()
        self._optimizer.zero_grad()
        return float(grad_norm)

    def _count(self, lengths: Tensor, approx_kl: float) -> None:
        """Go on to the next step; to the next rollout where this one is used up, or the policy moved too far on it.

        The steps that are left out then count as done, for the schedule of the learning rate too: the number of answers that a run
        samples does not depend on how often it stops early.
        """
        progress, limit = self._progress, self._settings.kl_early_stop
        num_steps = 1
        if limit is not None and approx_kl > limit:
            left = self._schedule.steps_per_rollout - progress.place
            num_steps = min(left, self._schedule.num_steps - self.step)
        for _ in range(num_steps - 1):
            self._scheduler.step()
        progress.place += num_steps
        if progress.place >= self._schedule.steps_per_rollout:
            progress.rollout, progress.place, progress.experience = progress.rollout + 1, 0, None
        self._state.global_step += num_steps
        self._state.num_input_tokens_seen += int(lengths.sum())
        self._state.epoch = self._schedule.epoch(self.step)

    # --- held-out prompts --------------------------------------------------------------------------------------------------

    def _evaluate(self) -> None:
        """Answer the held-out prompts, with the same random numbers every time, and tell what the answers are worth."""
        began = time.perf_counter()
        self._parts.events.write(PhaseChanged(phase="evaluate"))
        with evaluating(self._roles.learning):
            answers = [answer for some in self._answers(self._eval_tasks, (self._parts.config.seed, _EVALUATIONS)) for answer in some]
            rows = self._rows(self._eval_tasks, answers)
            log_probs, ref_log_probs, entropy = self._log_probs(rows)
            judgment = judge(self._rewards, self._eval_tasks, answers)
        kl = _kl_per_answer(log_probs, ref_log_probs, rows.mask)
        metrics = {**answer_metrics(judgment, answers, kl), "entropy": float(ppo.masked_mean(entropy, rows.mask))}
        told = {f"eval_{name}": value for name, value in metrics.items()}
        self._tell("on_evaluate", metrics={**told, "eval_runtime": time.perf_counter() - began})

    # --- checkpoints -------------------------------------------------------------------------------------------------------

    def _keep(self) -> None:
        """Write, seal, rename; a step that is sealed already and the state before the first step are not written.

        Raises:
            DesktopFtError: ``weights_not_finite``, ``disk_full`` or ``file_not_writable``; the checkpoints before are untouched.
        """
        step, store = self.step, self._parts.store
        if step > 0 and not store.has(step):
            refuse_non_finite(self._roles.learning, step)
            folder = store.unsealed / f"{PREFIX_CHECKPOINT_DIR}-{step}"
            with writing(folder):
                folder.mkdir(parents=True)
                self._roles.save(folder)
                self._parts.start.write(folder)
                save_state(folder, self._whole_state())
                self._state.save_to_json(str(folder / _TRAINER_STATE))
            store.seal(folder, step)
        self._tell("on_save")

    def _whole_state(self) -> dict[str, object]:
        progress = self._progress
        return {
            "optimizer": self._optimizer.state_dict(),
            "scheduler": self._scheduler.state_dict(),
            "scaler": self._scaler.state_dict(),
            "kl_coef": progress.kl_coef,
            "rollout": progress.rollout,
            "place": progress.place,
            "experience": progress.experience.state() if progress.experience else None,
        }

    def _resume(self, folder: Path) -> None:
        """Everything that `_keep` wrote."""
        self._roles.load(folder)
        self._state = TrainerState.load_from_json(str(folder / _TRAINER_STATE))
        state = load_state(folder)
        self._optimizer.load_state_dict(cast("dict[str, object]", state["optimizer"]))
        self._scheduler.load_state_dict(cast("dict[str, object]", state["scheduler"]))
        self._scaler.load_state_dict(cast("dict[str, object]", state["scaler"]))
        kept = cast("dict[str, object] | None", state["experience"])
        self._progress = Progress(
            kl_coef=cast("float", state["kl_coef"]),
            rollout=cast("int", state["rollout"]),
            place=cast("int", state["place"]),
            experience=Experience.from_state(kept, self._device) if kept else None,
        )


def _joined(parts: Sequence[Tensor], rows: Rows) -> Tensor:
    """Of micro-batches that were cut to their longest row, [B, T - 1]."""
    return torch.cat([widen(part, rows.ids.shape[1] - 1) for part in parts])


def _kl_per_answer(log_probs: Tensor, ref_log_probs: Tensor, mask: Tensor) -> float:
    """Divergence from the reference, estimated on the answers themselves, nats per answer."""
    return float(((log_probs - ref_log_probs) * mask).sum(-1).mean())
