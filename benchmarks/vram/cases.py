"""One case of the matrix: a model's shape, a run's settings, how its rows look, and about how long it takes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final, Literal, cast

from benchmarks.vram.archive import RowKind, config_of
from benchmarks.vram.shapes import Shape
from desktop_ft.core.config import RunConfig
from desktop_ft.core.config.combinations import REWARDED
from desktop_ft.core.device import DeviceFacts
from desktop_ft.core.errors import DesktopFtError
from desktop_ft.core.memory.autos import choose, make_plan
from desktop_ft.core.memory.parameters import adapter_bytes
from desktop_ft.core.memory.plan import Plan
from desktop_ft.core.memory.terms import predict
from desktop_ft.core.models import model_from_config

Values = dict[str, object]
Mode = Literal["measure", "fits", "savings", "ppo"]
NUM_STEPS: Final = 2
"""Optimizer steps of a case: in the first the optimizer's states appear, in the second everything is there from the start."""
QUIET: Final[Values] = {
    "training.max_steps": NUM_STEPS, "evaluation.eval_steps": NUM_STEPS, "evaluation.forgetting": False, "output.save_steps": 1000,
    "output.keep_best": False, "data.split.fraction": 0.0,
}  # fmt: skip
"""Of every case: few steps, one evaluation before and one after them, no samples."""
START_SECONDS: Final = 4.0
"""A forked child: the context, the trainer, the first kernels; of an H100's host."""
PRODUCTS_PER_SECOND: Final = 2.5e14
"""Floating-point operations a second that a short run reaches, first step included."""
SECONDS_PER_BLOCK: Final = 0.006
"""Launching one block forward, again and backward, on the host."""
SECONDS_PER_SAMPLED_BLOCK: Final = 0.0012
"""Launching one block for one token of every answer that is sampled together."""
LOADED_BYTES_PER_SECOND: Final = 6e9
WRITTEN_BYTES_PER_SECOND: Final = 1e9
ANY_CARD: Final = DeviceFacts("cuda", "any", 1 << 36, 1 << 36, supports_bf16=True)
LARGEST_SAVED_BYTES: Final = 2 << 30
"""More than this is not written at the end of a case: the disk would take longer than everything else."""


@dataclass(frozen=True)
class Case:
    """What to run.

    Attributes:
        id: Unique; the row's.
        shape: Of the model.
        settings: Dotted paths of run.yaml, without model and data.
        rows: ``dense``: all as long as they may be. ``ragged``: every second one shorter. ``varied``: seven of eight shorter, so that
            the micro-batches are of different lengths.
        group: What it has in common with others; the matrix takes turns among groups. In other modes: the question.
        reward_model: Whether the rewards come from a reward model on the same base.
        cap_bytes: What torch may reserve.
        promised_bytes: What the estimate said that the change from the group's first case saves.
        alone: Whether nothing else may run beside it.
    """

    id: str
    shape: Shape
    settings: Values
    rows: RowKind = "dense"
    group: str = ""
    mode: Mode = "measure"
    reward_model: bool = False
    cap_bytes: int | None = None
    promised_bytes: int | None = None
    alone: bool = False

    @property
    def all_settings(self) -> Values:
        """As the row keeps them."""
        return {**QUIET, **self.settings, **({"objective.rewards.model": "x"} if self.reward_model else {})}

    def config(self) -> RunConfig:
        """The run, with a stand-in for model and data."""
        return config_of(self.all_settings)

    @property
    def prompt_length(self) -> int:
        """Tokens of the longest row that the data holds; what is sampled comes on top."""
        return self.config().data.max_length

    def plan(self, device: DeviceFacts) -> Plan:
        """As the estimate sees it."""
        config, model = self.config(), model_from_config(self.shape.config, self.shape.name)
        return make_plan(config, model, device, choose(config, model, device), None)

    def predicted_bytes(self, device: DeviceFacts) -> int:
        """Upper end of the estimate: what is kept free for it."""
        return predict(self.plan(device), device).high_bytes

    def saves(self) -> bool:
        """Whether its result and last checkpoint are written."""
        return _written_bytes(self.plan(ANY_CARD)) <= LARGEST_SAVED_BYTES

    def seconds(self, device: DeviceFacts) -> float:
        """About how long it takes on a large card; generous, so that a budget is kept."""
        plan, config = self.plan(device), self.config()
        micro_batches = max(1, config.training.global_batch_size // cast("int", config.training.micro_batch_size))
        num_steps = config.training.max_steps or NUM_STEPS
        passes = num_steps * micro_batches + 2
        work = 8 * _active_parameters(plan) * plan.num_tokens / PRODUCTS_PER_SECOND * (3 if plan.dtype == "float32" else 1)
        launching = SECONDS_PER_BLOCK * plan.shape.num_layers * (3 if plan.use_dora else 1) * (2 if plan.kind == "qlora" else 1)
        sampling = 0.0
        if plan.rollout is not None or config.objective.kind in REWARDED:
            tokens = config.objective.rollout.max_completion_length
            sampling = SECONDS_PER_SAMPLED_BLOCK * plan.shape.num_layers * tokens * (num_steps + 1)
        loading = 2 * plan.num_parameters / LOADED_BYTES_PER_SECOND
        saving = _written_bytes(plan) / WRITTEN_BYTES_PER_SECOND if self.saves() else 0.0
        return round(START_SECONDS + passes * (work + launching) + sampling + loading + saving, 1)

    def problem(self) -> str | None:
        """Why the configuration is refused, if it is."""
        try:
            self.config()
        except DesktopFtError as error:
            return f"{error.title}: {error.message}"
        return None


def _active_parameters(plan: Plan) -> int:
    """Weights that one token passes through."""
    shape = plan.shape
    if not shape.num_sparse_layers:
        return shape.num_parameters
    idle = shape.num_experts - shape.num_experts_per_token
    return shape.num_parameters - shape.num_sparse_layers * idle * 3 * shape.hidden_size * shape.expert_intermediate_size


def _written_bytes(plan: Plan) -> int:
    """About what a checkpoint and the result come to on the disk."""
    return plan.num_parameters * 10 if plan.kind == "full" else 4 * adapter_bytes(plan)


def to_json(case: Case) -> dict[str, Any]:
    """For a child that is not forked."""
    return {
        "id": case.id, "shape": case.shape.name, "family": case.shape.family, "config": dict(case.shape.config),
        "settings": dict(case.settings), "rows": case.rows, "group": case.group, "mode": case.mode,
        "reward_model": case.reward_model, "cap_bytes": case.cap_bytes, "promised_bytes": case.promised_bytes, "alone": case.alone,
    }  # fmt: skip


def from_json(values: dict[str, Any]) -> Case:
    """The case again."""
    rest = {name: value for name, value in values.items() if name not in ("shape", "family", "config")}
    return Case(shape=Shape(values["shape"], values["family"], values["config"]), **rest)


__all__ = ["NUM_STEPS", "QUIET", "Case", "Mode", "from_json", "to_json"]
