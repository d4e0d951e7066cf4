"""All that a prediction depends on besides the settings of a run."""

from __future__ import annotations

from dataclasses import dataclass

from desktop_ft.core.config import RunConfig
from desktop_ft.core.device import DeviceFacts
from desktop_ft.core.memory.autos import Choices, choose, make_plan
from desktop_ft.core.memory.plan import Plan
from desktop_ft.core.memory.row_lengths import RowLengths
from desktop_ft.core.memory.terms import Prediction, predict
from desktop_ft.core.models import ModelInfo


@dataclass(frozen=True)
class Situation:
    """A model, a device and what is known of the data.

    Attributes:
        model: Its shape must be known; weights need not be there.
        device: What it will train on, with what is free now.
        longest_example: Tokens of the longest example, where only that is known.
        lengths: Tokens of the rows, where they were counted.
        context_bytes: The device's own share of a process, where this machine measured it.
    """

    model: ModelInfo
    device: DeviceFacts
    longest_example: int | None = None
    lengths: RowLengths | None = None
    context_bytes: int | None = None

    @property
    def longest(self) -> int | None:
        """Tokens of the longest row, where it is known."""
        return self.longest_example if self.lengths is None else self.lengths.longest

    def choose(self, config: RunConfig) -> Choices:
        """Every ``auto`` that memory has a say in, decided as the run itself would."""
        return choose(config, self.model, self.device, self.longest)

    def plan(self, config: RunConfig, choices: Choices) -> Plan:
        """The run as the memory sees it."""
        return make_plan(config, self.model, self.device, choices, self.longest, equal_rows=self._has_equal_rows(config))

    def predict(self, plan: Plan) -> Prediction:
        """Its peak."""
        return predict(plan, self.device, context_bytes=self.context_bytes)

    def _has_equal_rows(self, config: RunConfig) -> bool:
        return self.lengths is not None and self.lengths.are_equal(config.data.max_length)
