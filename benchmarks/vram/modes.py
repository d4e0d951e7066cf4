"""Three questions besides the matrix: does a run stay within what a probe needed, are promised savings real, and what does PPO cost.

Each makes its cases, and says from the rows alone what came out.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Final, cast

from benchmarks.vram.archive import Row
from benchmarks.vram.cases import Case, Values
from benchmarks.vram.matrix import REWARDS, case
from desktop_ft.core.device import DeviceFacts
from desktop_ft.core.errors import ConfigError
from desktop_ft.core.memory import estimate
from desktop_ft.core.models import model_from_config

CAP_SHARES: Final = (0.905, 0.92, 0.935, 0.95, 0.965, 0.98)
"""What the probe needed, as a share of the cap: within 10 % of it."""
RUN_STEPS: Final = 8
RUN: Final[Values] = {"training.max_steps": RUN_STEPS, "evaluation.eval_steps": 3, "output.save_steps": 3}
PPO_MOST: Final = 1.35
"""PPO with adapters against supervised QLoRA with as many tokens in a micro-batch."""
SAVING_TOLERANCE: Final = 0.10


# --- fits: no run needs more than its probe ----------------------------------------------------------------------------------


def probe_cases(cases: Sequence[Case], num_wanted: int) -> list[Case]:
    """The first part of `fits`: the worst-case step of many runs without a cap. Rows of the matrix serve as well."""
    wanted = [one for one in cases if one.rows == "dense" and not one.alone]
    return wanted[:num_wanted]


def capped_cases(cases: Sequence[Case], rows: Sequence[Row]) -> list[Case]:
    """For each measured case two under a cap that it comes within 10 % of: the worst-case step, and a real run.

    The real run has rows of different lengths, more steps, evaluations and checkpoints in between.
    """
    reserved = {row.id: row.reserved_bytes for row in rows if row.outcome == "completed" and row.cap_bytes is None}
    found: list[Case] = []
    for number, one in enumerate(one for one in cases if reserved.get(one.id)):
        share = CAP_SHARES[number % len(CAP_SHARES)]
        cap = int(cast("int", reserved[one.id]) / share)
        common = replace(one, mode="fits", group=f"fits / {one.id}", cap_bytes=cap)
        found.append(replace(common, id=f"fits / probe / {one.id}"))
        found.append(replace(common, id=f"fits / run / {one.id}", rows="varied", settings={**one.settings, **RUN}))
    return found


@dataclass(frozen=True)
class FitsResult:
    """How many probes passed under their cap, and which runs ran out of memory although theirs had."""

    num_passed: int
    num_not_passed: int
    out_of_memory: tuple[str, ...]

    @property
    def holds(self) -> bool:
        """Thirty configurations and not one run out of memory."""
        return self.num_passed >= 30 and not self.out_of_memory


def fits_result(rows: Sequence[Row]) -> FitsResult:
    """What the rows of `fits` say."""
    by_group: dict[str, dict[str, Row]] = {}
    for row in rows:
        if row.mode == "fits" and row.group:
            by_group.setdefault(row.group, {})["probe" if row.id.startswith("fits / probe") else "run"] = row
    pairs = [pair for pair in by_group.values() if set(pair) == {"probe", "run"}]
    passed = [pair for pair in pairs if pair["probe"].outcome == "completed"]
    failed = tuple(pair["run"].id for pair in passed if pair["run"].outcome == "out_of_memory")
    return FitsResult(len(passed), len(pairs) - len(passed), failed)


# --- savings: what a suggestion saves ----------------------------------------------------------------------------------------


def _started_large() -> Iterator[Case]:
    """Configurations that leave much to suggest."""
    yield case("llama-1b", "full-float32", batch=(4, 1024), checkpointing=False)
    yield case("llama-1b", "dora", batch=(4, 1024), checkpointing=False)
    yield case("llama-8b", "lora", batch=(4, 1024), checkpointing=False)
    yield case("qwen2.5-1.5b", "qlora", batch=(8, 1024), checkpointing=False)
    yield case("llama-1b", "lora", "dpo", (4, 1024), checkpointing=False)
    yield case("qwen2.5-0.5b", "full", "dpo", (4, 512))
    yield case("mistral-7b", "lora", batch=(2, 1024), checkpointing=False, note="eager", more={"model.attention": "eager"})


def saving_cases(device: DeviceFacts) -> list[Case]:
    """Each large configuration, and each with one of the changes that the estimate suggests where it does not fit."""
    full = replace(device, free_bytes=1 << 30)
    found: list[Case] = []
    for before in _started_large():
        group = f"savings / {before.id}"
        found.append(replace(before, id=f"{group} / before", mode="savings", group=group))
        model = model_from_config(before.shape.config, before.shape.name)
        for number, suggestion in enumerate(estimate(before.config(), model, full).suggestions, 1):
            after = replace(
                before, id=f"{group} / {number} {suggestion.title}", mode="savings", group=group, promised_bytes=suggestion.saves_bytes,
                settings={**before.settings, **suggestion.set}, alone=str(suggestion.set.get("training.optim", "")).startswith("paged"),
            )  # fmt: skip
            try:
                after.config()
            except ConfigError:
                continue
            found.append(after)
    return found


@dataclass(frozen=True)
class Saving:
    """One suggestion: what it promised and what it saved, in bytes."""

    id: str
    promised_bytes: int
    measured_bytes: int

    @property
    def error(self) -> float:
        """Promised over measured, minus one."""
        return self.promised_bytes / self.measured_bytes - 1 if self.measured_bytes else float("inf")


def saving_results(rows: Sequence[Row]) -> list[Saving]:
    """Every suggestion whose runs before and after ended."""
    done = [row for row in rows if row.mode == "savings" and row.outcome == "completed"]
    before = {row.group: _held(row) for row in done if row.promised_bytes is None}
    return [
        Saving(row.id, row.promised_bytes, before[row.group] - _held(row))
        for row in done
        if row.promised_bytes is not None and row.group in before
    ]


def _held(row: Row) -> int:
    """What the run needed of the card; paged states are in the device's figure alone."""
    if str(row.settings.get("training.optim", "")).startswith("paged") and row.device_bytes is not None and row.process_bytes is not None:
        return row.device_bytes - (row.process_bytes - (row.reserved_bytes or 0))
    return row.reserved_bytes or 0


# --- ppo ---------------------------------------------------------------------------------------------------------------------


def ppo_cases() -> list[Case]:
    """PPO with adapters on a 1B shape, and supervised QLoRA with as many tokens in a micro-batch."""
    answers: Values = {"objective.rollout.max_completion_length": 512}
    sft = case("llama-1b", "qlora", batch=(4, 1024), accumulation=2)
    found = [replace(sft, id="ppo / yardstick", mode="ppo", group="ppo")]
    for method in ("qlora", "lora"):
        one = case("llama-1b", method, "ppo", (4, 512), accumulation=2, reward_model=True, more=answers)
        found.append(replace(one, id=f"ppo / {method}", mode="ppo", group="ppo", settings={**one.settings, **REWARDS}))
    return found


def ppo_ratios(rows: Sequence[Row]) -> dict[str, float]:
    """Peak of each PPO run over that of the yardstick."""
    held = {row.id: row.reserved_bytes for row in rows if row.mode == "ppo" and row.outcome == "completed" and row.reserved_bytes}
    yardstick = held.get("ppo / yardstick")
    return {name: num_bytes / yardstick for name, num_bytes in held.items() if yardstick and name != "ppo / yardstick"}
