"""What PPO learns from: sampled answers with everything that was known when they were sampled, and in which order they are taken."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import cast

import torch
from torch import Tensor

from desktop_ft.core.config import RunConfig
from desktop_ft.core.schedule import num_steps
from desktop_ft.engine.ppo.rows import Rows
from desktop_ft.engine.ppo.sampling import seed_of

_PROMPTS, _ANSWERS = 0, 1
_TENSORS = ("log_probs", "values", "advantages", "returns")


@dataclass(frozen=True)
class Experience:
    """The answers of one rollout, [B, T - 1] unless said otherwise.

    Attributes:
        rows: Prompts and answers, B rows of T tokens.
        log_probs: Of the policy that sampled, nats.
        values: Of the value function then.
        advantages: How much better each token was than expected.
        returns: What the value function should have said.
        metrics: What the rollout tells of itself.
    """

    rows: Rows
    log_probs: Tensor
    values: Tensor
    advantages: Tensor
    returns: Tensor
    metrics: Mapping[str, float] = field(default_factory=dict[str, float])

    def select(self, chosen: Tensor) -> Experience:
        """Some of the answers, cut to the longest of them.

        Args:
            chosen: Numbers of rows, [B].
        """
        rows = self.rows.select(chosen)
        width = rows.ids.shape[1] - 1
        log_probs, values, advantages, returns = (
            tokens[chosen, :width] for tokens in (self.log_probs, self.values, self.advantages, self.returns)
        )
        return Experience(rows, log_probs, values, advantages, returns)

    def state(self) -> dict[str, object]:
        """As tensors and numbers, for a checkpoint."""
        rows = {"ids": self.rows.ids, "prompt_lengths": self.rows.prompt_lengths, "lengths": self.rows.lengths}
        tensors = {name: cast("Tensor", getattr(self, name)) for name in _TENSORS}
        return {**{name: value.cpu() for name, value in {**rows, **tensors}.items()}, "metrics": dict(self.metrics)}

    @classmethod
    def from_state(cls, state: Mapping[str, object], device: torch.device) -> Experience:
        """What `state` gave, on the device."""
        found = {name: value.to(device) for name, value in state.items() if isinstance(value, Tensor)}
        rows = Rows(found["ids"], found["prompt_lengths"], found["lengths"])
        return cls(rows, **{name: found[name] for name in _TENSORS}, metrics=cast("dict[str, float]", state["metrics"]))


@dataclass(frozen=True)
class Schedule:
    """Which prompts and which answers come when; depends on nothing but the configuration and the counts.

    A rollout is ``global_batch_size x num_mini_batches`` prompts, taken from one endless row of shuffled passes over all of them. It is
    learnt from in ``num_ppo_epochs`` passes, each in an order of its own, ``num_mini_batches`` optimizer steps a pass.

    Attributes:
        num_prompts: Of the data.
        batch_size: Answers of one optimizer step.
        num_mini_batches: Optimizer steps of one pass.
        num_ppo_epochs: Passes over one rollout.
        num_steps: Optimizer steps of the whole run.
        seed: Of the orders.
    """

    num_prompts: int
    batch_size: int
    num_mini_batches: int
    num_ppo_epochs: int
    num_steps: int
    seed: int

    @classmethod
    def of(cls, config: RunConfig, num_prompts: int) -> Schedule:
        """Of a run."""
        ppo, batch_size = config.objective.ppo, config.training.global_batch_size
        return cls(num_prompts, batch_size, ppo.num_mini_batches, ppo.num_ppo_epochs, num_steps(config, num_prompts), config.seed)

    @property
    def rollout_size(self) -> int:
        """Answers sampled at once."""
        return self.batch_size * self.num_mini_batches

    @property
    def steps_per_rollout(self) -> int:
        """Optimizer steps on the answers of one rollout."""
        return self.num_mini_batches * self.num_ppo_epochs

    def epoch(self, step: int) -> float:
        """Passes over the prompts after a step."""
        return step / self.steps_per_rollout * self.rollout_size / self.num_prompts

    def prompts(self, rollout: int) -> list[int]:
        """Numbers of a rollout's prompts."""
        place, end = rollout * self.rollout_size, (rollout + 1) * self.rollout_size
        chosen: list[int] = []
        while place < end:
            epoch, first = divmod(place, self.num_prompts)
            order = self._order(self.num_prompts, _PROMPTS, epoch)
            chosen += cast("list[int]", order[first : first + end - place].tolist())
            place = rollout * self.rollout_size + len(chosen)
        return chosen

    def answers(self, rollout: int, place: int) -> Tensor:
        """Numbers of the answers that a rollout's optimizer step learns from, [batch_size]."""
        epoch, mini_batch = divmod(place, self.num_mini_batches)
        order = self._order(self.rollout_size, _ANSWERS, rollout * self.num_ppo_epochs + epoch)
        return order[mini_batch * self.batch_size : (mini_batch + 1) * self.batch_size]

    def _order(self, count: int, what: int, number: int) -> Tensor:
        return torch.randperm(count, generator=torch.Generator().manual_seed(seed_of(self.seed, what, number)))
