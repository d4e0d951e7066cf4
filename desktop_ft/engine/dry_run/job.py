"""Carries the request for an exact estimate out: a shallow model of the run, the whole model's trace, the answer."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, cast

import torch
from torch._subclasses.fake_tensor import DataDependentOutputException, DynamicOutputShapeException, UnsupportedFakeTensorException

from desktop_ft.core.config import RunConfig, load_config
from desktop_ft.core.config.combinations import REWARDED
from desktop_ft.core.config.methods import weight_updates
from desktop_ft.core.device import DeviceFacts, DeviceKind
from desktop_ft.core.errors import DesktopFtError
from desktop_ft.core.events import DryRunDone
from desktop_ft.core.job import DryRunRequest, JobDir
from desktop_ft.core.memory import TERM_KEYS, changed_config, choose
from desktop_ft.core.memory.allocator import Alloc, Begin, Free, TraceEvent, replay
from desktop_ft.core.memory.dry_run import HOLES_SHARE
from desktop_ft.core.memory.objectives import rows_per_example
from desktop_ft.core.memory.plan import has_flash_attention, has_triton
from desktop_ft.core.memory.terms import CPU_PROCESS_BYTES, cublas_workspace_bytes, known_context_bytes
from desktop_ft.core.models import ModelInfo, model_from_config, read_model, resolve_model
from desktop_ft.core.stages import FIRST_STAGE, has_stages, policy_config, reward_config
from desktop_ft.engine.device import Precision, precision_of
from desktop_ft.engine.dry_run.as_on_gpu import Card
from desktop_ft.engine.dry_run.base import Loading, read_architecture, shape_only_model
from desktop_ft.engine.dry_run.deepen import deepen
from desktop_ft.engine.dry_run.depth import Depth, depth_of
from desktop_ft.engine.dry_run.graph import NUM_STEPS, NUM_VARIED_STEPS, Traced, Workload, trace

if TYPE_CHECKING:
    from desktop_ft.engine.jobs import JobWork

_NO_WEIGHTS: Final = {"model_no_weights", "model_shard_missing", "tokenizer_missing"}
_LIBRARIES: Final = ("torch", "transformers", "trl", "peft", "bitsandbytes")
_ON_GPU: Final = "Attention, TRL's loss, 4-bit products and fused optimizers allocate as their kernels on a graphics card do."
_NEVER: Final = 1_000_000
_MOST_PASSES: Final = 2
"""Micro-batches of a step that are run: from the second on, gradients of earlier ones stay."""


@dataclass(frozen=True)
class Exact:
    """What a workload came to; see `DryRunDone`."""

    allocated: int
    reserved: int
    paged: int
    kinds: Mapping[str, int]
    phase: str
    depth: Depth
    holes: int = 0


def estimate_exactly(job: JobDir, request: DryRunRequest, work: JobWork) -> None:
    """Answer with one `DryRunDone`.

    Raises:
        DesktopFtError: ``exact_architecture_unknown``, ``exact_remote_code``, ``exact_needs_content``, ``exact_too_slow``,
            ``model_missing``; as the run's own preparation.
        StopRequested: Where the person asked for it.
    """
    started = time.monotonic()
    device = DeviceFacts(
        cast("DeviceKind", request.device_kind), request.device_name, request.device_bytes, request.free_bytes,
        supports_bf16=request.supports_bf16,
    )  # fmt: skip

    def leave() -> None:
        work.check_stop()
        if time.monotonic() - started > request.time_limit_seconds:
            raise _too_slow(request.time_limit_seconds)

    work.enter("train", "Taking two steps without weights")
    config = load_config(job.path / "run.yaml")
    stages = (reward_config(config), policy_config(config, FIRST_STAGE)) if has_stages(config) else (config,)
    found: list[Exact] = []
    notes: list[str] = [_ON_GPU] if device.kind != "cpu" else ["What the C library keeps of freed memory is not counted."]
    for number, stage in enumerate(stages):
        folder = job.path / f"dry_run-{number}"
        folder.mkdir()
        found.append(exact_of(stage, device, request, folder, leave, notes))
        work.progress(number + 1, len(stages))
    largest = max(found, key=lambda exact: exact.reserved + exact.paged)
    work.emit(_answer(largest, device, time.monotonic() - started, notes))


def exact_of(
    config: RunConfig, device: DeviceFacts, request: DryRunRequest, folder: Path, leave: Callable[[], None], notes: list[str]
) -> Exact:
    """Run one stage.

    Args:
        config: As the person stated it.
        device: What it would train on.
        request: Longest example, and how the allocator is set.
        folder: For what a trainer writes.
        leave: Raises where the work is to end.
        notes: What was modelled or left out is added here.
    """
    model_dir = resolve_model(config.model.source, config.model.revision)
    info = _read_model(model_dir)
    longest = request.longest_example or None
    settled = changed_config(config, choose(config, info, device, longest).settings())
    is_padded = request.rows_differ and _has_many_rows(settled)
    num_steps = NUM_VARIED_STEPS if is_padded and not request.expandable_segments else NUM_STEPS
    small, answers_each = cut_down(settled, notes, num_steps)
    architecture = read_architecture(model_dir)
    precision, card = _precision(small, device, notes), _card(small, device)
    with torch.device("meta"):
        depth = depth_of(shape_only_model(architecture, Loading(precision.weights, str(small.model.attention))))
    if is_padded:
        notes.append("Rows are of any length from a quarter of the longest on; what the allocator keeps of them depends on their order.")
    leave()
    work = Workload(
        config=small,
        architecture=architecture,
        device=device,
        card=card,
        precision=precision,
        longest=max(8, min(small.data.max_length, longest or small.data.max_length)),
        is_padded=is_padded,
        num_steps=num_steps,
        workspace_bytes=cublas_workspace_bytes(device) // 2 if device.kind in ("cuda", "rocm") else 0,
        answers_each=answers_each,
        beside_bytes=_reward_model_bytes(settled, info, notes),
        folder=folder,
    )  # fmt: skip
    try:
        traced = trace(work, depth, leave)
    except (DataDependentOutputException, DynamicOutputShapeException, UnsupportedFakeTensorException) as error:
        raise _needs_content(info.architecture, error) from error
    found = _replayed(traced, depth, device, expandable_segments=request.expandable_segments)
    has_holes = is_padded and device.kind != "cpu" and not request.expandable_segments
    return replace(found, holes=_holes(found)) if has_holes else found


def _has_many_rows(config: RunConfig) -> bool:
    """Whether a forward pass has several rows, whose lengths are known before; answers are sampled, and counted at their longest."""
    if config.objective.kind in REWARDED:
        return False
    return cast("int", config.training.micro_batch_size) * rows_per_example(config.objective.kind) > 1


def cut_down(config: RunConfig, notes: list[str], num_steps: int = NUM_STEPS) -> tuple[RunConfig, int]:
    """The run as a few steps on made rows.

    Returns:
        The configuration, and how many of the run's sampled answers stand behind one of its own.
    """
    micro, whole = cast("int", config.training.micro_batch_size), config.training.global_batch_size
    fewer = min(whole, _MOST_PASSES * micro)
    if config.objective.kind in REWARDED:
        fewer = _fewer_answers(config, micro, whole)
    changes: dict[str, object] = {
        "training.max_steps": num_steps,
        "training.global_batch_size": fewer,
        "training.warmup_steps": 0.0,
        "evaluation.eval_steps": _NEVER,
        "evaluation.sample_prompts": [],
        "evaluation.forgetting": False,
        "output.save_steps": _NEVER,
        "output.keep_best": False,
        "method.init": "default",
        "model.adapter": None,
    }
    if config.objective.kind in REWARDED:
        changes |= {"objective.rewards.model": None, "objective.rewards.rules": [{"kind": "length"}]}
    if config.model.added_tokens:
        changes |= {"model.added_tokens": [], "method.modules_to_save": list({*config.method.modules_to_save, "embed_tokens"})}
        notes.append("Rows for added tokens are not counted.")
    if config.model.adapter is not None:
        notes.append("The adapter that the run goes on from is taken to be as its settings say.")
    if config.data.packing:
        notes.append("Packed rows are counted as one row of full length each.")
        changes["data.packing"] = False
    return changed_config(config, changes), whole // fewer


def _fewer_answers(config: RunConfig, micro: int, whole: int) -> int:
    """Of the answers of a step as few as its groups and two micro-batches allow; all of them for PPO, whose rollouts have an own size."""
    objective = config.objective
    if objective.kind == "ppo":
        return whole
    group = objective.grpo.num_generations if objective.kind == "grpo" else objective.rloo.num_generations
    fewer = math.lcm(group, _MOST_PASSES * micro)
    return fewer if whole % fewer == 0 else whole


def _read_model(folder: Path) -> ModelInfo:
    try:
        return read_model(folder)
    except DesktopFtError as error:
        if error.code in _NO_WEIGHTS:
            return model_from_config(folder)
        raise


def _precision(config: RunConfig, device: DeviceFacts, notes: list[str]) -> Precision:
    """float16 is run as bfloat16: the same bytes, and what a CPU can be asked for."""
    updates = weight_updates(config)[0] if config.method.kind == "full" else None
    precision = precision_of(config.model.dtype, device, updates=updates)
    if not precision.fp16:
        return precision
    notes.append("float16 is counted as bfloat16, without loss scaling.")
    return replace(precision, fp16=False, bf16=True, weights=torch.bfloat16 if precision.weights == torch.float16 else precision.weights)


def _card(config: RunConfig, device: DeviceFacts) -> Card:
    dtype = cast("Any", config.model.dtype)
    return Card(has_triton(device), has_flash_attention(device, dtype), is_accelerator=device.kind != "cpu")


def _reward_model_bytes(config: RunConfig, info: ModelInfo, notes: list[str]) -> int:
    """A reward model of its own, taken to be of the trained model's size in 16 bit; an adapter on the same base for PPO with adapters."""
    if config.objective.kind not in REWARDED or config.objective.rewards.model is None:
        return 0
    if config.objective.kind == "ppo" and config.method.kind != "full":
        notes.append("The reward model is taken to be an adapter of the same base; its adapter is not counted.")
        return 0
    notes.append("The reward model is counted as a 16-bit model of the trained model's size.")
    return 2 * info.num_parameters


# --- the whole model's trace ----------------------------------------------------------------------------------------


def _replayed(traced: Traced, depth: Depth, device: DeviceFacts, *, expandable_segments: bool) -> Exact:
    if depth.period:
        events, models = deepen(traced.events, traced.labels, depth.period, depth.num_copies)
        kinds = {block: traced.kinds.get(model, "") for block, model in models.items()}
    else:
        events, kinds = traced.events, traced.kinds
    played = replay(events, expandable_segments=expandable_segments)
    at_peak, phase = _at_peak(events, kinds)
    reserved = played.peak.reserved if device.kind != "cpu" else played.peak.allocated
    return Exact(played.peak.allocated, reserved, traced.outside_bytes, at_peak, phase, depth)


def _holes(exact: Exact) -> int:
    """What rows of different lengths may add beyond what a few steps have shown."""
    moving = exact.kinds.get("activations", 0) + exact.kinds.get("logits", 0)
    return max(0, round(HOLES_SHARE * moving) - (exact.reserved - exact.allocated))


def _at_peak(events: Sequence[TraceEvent], kinds: Mapping[int, str]) -> tuple[dict[str, int], str]:
    """What is held at the peak, by what it is for, and the phase; what has no name is activations."""
    held: dict[int, int] = {}
    now = most = 0
    phase = peak_phase = ""
    peak_place = 0
    for place, event in enumerate(events):
        if isinstance(event, Alloc):
            held[event.block] = event.num_bytes
            now += event.num_bytes
        elif isinstance(event, Free):
            now -= held.pop(event.block, 0)
        elif isinstance(event, Begin):
            phase = event.phase
        if now > most:
            most, peak_place, peak_phase = now, place, phase
    held = {}
    for event in events[: peak_place + 1]:
        if isinstance(event, Alloc):
            held[event.block] = event.num_bytes
        elif isinstance(event, Free):
            held.pop(event.block, None)
    found: dict[str, int] = {}
    for block, num_bytes in held.items():
        kind = kinds.get(block) or "activations"
        found[kind] = found.get(kind, 0) + num_bytes
    return found, peak_phase


def _answer(exact: Exact, device: DeviceFacts, seconds: float, notes: Sequence[str]) -> DryRunDone:
    beside = known_context_bytes(device) if device.kind != "cpu" else 0
    process = CPU_PROCESS_BYTES if device.kind == "cpu" else 0
    total = beside + process + exact.reserved + exact.paged
    terms: dict[str, int] = dict.fromkeys(TERM_KEYS, 0)
    for kind, num_bytes in exact.kinds.items():
        if kind != "buffers":
            terms[kind] += num_bytes
    terms["cuda_context"] = beside
    terms["optimizer"] += exact.paged
    terms["buffers"] = total - sum(value for name, value in terms.items() if name != "buffers")
    versions = ", ".join(f"{name} {metadata.version(name)}" for name in _LIBRARIES if _is_installed(name))
    return DryRunDone(
        total_bytes=total,
        allocated_bytes=exact.allocated,
        reserved_bytes=exact.reserved,
        paged_bytes=exact.paged,
        holes_bytes=exact.holes,
        terms=terms,
        phase=exact.phase,
        seconds=seconds,
        num_layers=exact.depth.whole,
        num_layers_run=exact.depth.run,
        versions=versions,
        modelled=" ".join(dict.fromkeys(notes)),
    )


def _is_installed(name: str) -> bool:
    try:
        metadata.version(name)
    except metadata.PackageNotFoundError:
        return False
    return True


def _too_slow(limit: float) -> DesktopFtError:
    return DesktopFtError(
        "exact_too_slow",
        "The exact estimate takes too long",
        f"It was not done after {limit:.0f} seconds.",
        "Close what else the computer works on and try again, or go by the estimate.",
    )


def _needs_content(architecture: str, error: Exception) -> DesktopFtError:
    return DesktopFtError(
        "exact_needs_content",
        "This model cannot be estimated exactly",
        f"{architecture} decides by the content of its numbers what to compute ({type(error).__name__}), and here they have none.",
        "Go by the estimate, or begin with a small micro-batch and watch the memory.",
    )
