"""When a run evaluates and saves: at the steps that Trainer would, also where an early stop jumps over them."""

from __future__ import annotations

from transformers import DefaultFlowCallback, TrainerControl, TrainerState, TrainingArguments
from transformers.trainer_utils import IntervalStrategy


class Flow(DefaultFlowCallback):
    """As Trainer's own, with steps that may be left out."""

    def __init__(self) -> None:
        self._last_step = 0

    def on_train_begin(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: object) -> None:
        """Count from here."""
        self._last_step = state.global_step

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: object) -> TrainerControl:
        """Say what is due."""
        has_eval = args.eval_strategy != IntervalStrategy.NO
        is_last = state.global_step >= state.max_steps
        control.should_log = True
        control.should_evaluate = has_eval and self._has_passed(state.eval_steps, state)
        control.should_save = is_last or self._has_passed(state.save_steps, state)
        control.should_training_stop = is_last
        self._last_step = state.global_step
        return control

    def _has_passed(self, every: float, state: TrainerState) -> bool:
        return state.global_step // every > self._last_step // every
