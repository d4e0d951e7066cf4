"""The shallow model of a dry run: the engine's own trainer takes two optimizer steps and an evaluation without content."""

from __future__ import annotations

import contextlib
import re
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, cast

import torch
from torch._subclasses.fake_tensor import FakeTensorMode
from transformers import PretrainedConfig, PreTrainedModel, TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from desktop_ft.core.config import RunConfig
from desktop_ft.core.config.combinations import REWARDED
from desktop_ft.core.device import DeviceFacts
from desktop_ft.core.eventlog import EventWriter
from desktop_ft.core.memory.allocator import TraceEvent
from desktop_ft.core.runs import RunDir
from desktop_ft.engine.checkpoints import CheckpointStore
from desktop_ft.engine.device import Precision
from desktop_ft.engine.dry_run.as_on_gpu import HEAD_TILE, Card, as_on_gpu, kernel_scratch
from desktop_ft.engine.dry_run.base import Loading, load_shapes
from desktop_ft.engine.dry_run.depth import Depth, blocks_of, shortened
from desktop_ft.engine.dry_run.rows import made_data, made_tokenizer
from desktop_ft.engine.dry_run.sampling import made_answers
from desktop_ft.engine.dry_run.tape import Tape
from desktop_ft.engine.dry_run.watching import Watching
from desktop_ft.engine.load import lora_config
from desktop_ft.engine.methods.base import prepare_base
from desktop_ft.engine.methods.quantization import quantization_of
from desktop_ft.engine.methods.start import AdapterStart
from desktop_ft.engine.objectives import make_training
from desktop_ft.engine.objectives.parts import Parts

if TYPE_CHECKING:
    from peft import PeftModel

    from desktop_ft.engine.objectives.parts import Training

NUM_STEPS: Final = 2
"""The first step has no optimizer states yet; from the second on every step with rows of one length is the same."""
NUM_VARIED_STEPS: Final = 4
"""With rows of different lengths the allocator keeps blocks of sizes that the next step has no use for; it takes some steps to show."""


@dataclass(frozen=True)
class Workload:
    """What is run.

    Attributes:
        config: Resolved, cut down to two steps.
        architecture: Of the whole model.
        device: What the run would train on.
        card: Which paths it takes.
        precision: Of weights and computation.
        longest: Tokens of the longest example; of a prompt where answers are sampled.
        is_padded: Whether the rows of a batch differ in length.
        num_steps: Optimizer steps.
        workspace_bytes: cuBLAS's, of each of the two threads that multiply.
        answers_each: How many of the run's sampled answers one that is sampled here stands for.
        beside_bytes: Of models that stay beside the trained one and are not made here.
        folder: For what a trainer writes.
    """

    config: RunConfig
    architecture: PretrainedConfig
    device: DeviceFacts
    card: Card
    precision: Precision
    longest: int
    is_padded: bool
    num_steps: int
    workspace_bytes: int
    answers_each: int
    beside_bytes: int
    folder: Path


@dataclass(frozen=True)
class Traced:
    """A trace, the model's block of each event, and what pieces of memory are for."""

    events: list[TraceEvent]
    labels: list[int | None]
    kinds: dict[int, str]
    outside_bytes: int
    seconds: float


def trace(work: Workload, depth: Depth, leave_if_stopped: Callable[[], None]) -> Traced:
    """Run the shallow model.

    Args:
        work: What is run.
        depth: Its blocks, and what they stand for.
        leave_if_stopped: Called now and then; raises where the person stopped it.

    Raises:
        DesktopFtError: As the run itself would.
    """
    started = time.monotonic()
    config = shortened(work.architecture, depth.run)
    vocabulary = cast("Any", config.get_text_config()).vocab_size
    tape = Tape(frozenset({vocabulary, HEAD_TILE}))
    watching = Watching(tape, kernel_scratch() if work.card.is_accelerator else None)
    with contextlib.ExitStack() as stack:
        log = stack.enter_context(contextlib.closing(EventWriter(work.folder / "events.jsonl")))
        stack.enter_context(FakeTensorMode(allow_non_fake_inputs=True))
        stack.enter_context(as_on_gpu(tape, work.card, is_padded=work.is_padded))
        stack.enter_context(made_answers(tape, work.answers_each))
        stack.enter_context(watching)
        training = _training(work, config, depth, tape, log, leave_if_stopped)
        training.train_from(None)
        events, labels = list(tape.events), tape.placed_labels()  # what the end of this function frees is no part of the run
    return Traced(events, labels, tape.kinds, tape.outside_bytes(depth.weight), time.monotonic() - started)


def _training(
    work: Workload, config: PretrainedConfig, depth: Depth, tape: Tape, events: EventWriter, leave_if_stopped: Callable[[], None]
) -> Training:
    """As `TrainingRun` makes it."""
    run = work.config
    store = CheckpointStore(RunDir(work.folder), events, 1)
    store.clear_unsealed()
    tokenizer = made_tokenizer()
    head = "score" if run.objective.kind == "reward" else "causal"
    loading = Loading(work.precision.weights, str(run.model.attention), head, quantization_of(run), work.card.is_accelerator)
    model: PreTrainedModel | PeftModel = load_shapes(config, loading, tape, depth.weight)
    _mark_passes(model, work, tape)
    tape.begin("prepare")
    since = len(tape.events)
    if run.method.kind == "full" or head == "score":
        prepare_base(run, model, tokenizer)
    adapter = None if run.method.kind == "full" else lora_config(run, model, head)
    if head == "score":
        from peft import get_peft_model

        from desktop_ft.engine.reward_model import tell_padding

        tell_padding(model, tokenizer)
        if adapter is not None:
            model, adapter = cast("PeftModel", get_peft_model(model, adapter)), None
    num_rows = run.training.global_batch_size * work.num_steps
    num_eval = 0 if _skips_evaluation(run) else cast("int", run.training.micro_batch_size)
    training = make_training(
        Parts(
            config=run,
            model_dir=work.folder,
            model=model,
            tokenizer=tokenizer,
            peft_config=adapter,
            device=replace(work.device, kind="cpu"),
            precision=work.precision,
            data=made_data(run, work.longest, num_rows, num_eval, are_varied=work.is_padded),
            store=store,
            events=events,
            callbacks=(_Watch(tape, leave_if_stopped, evaluates=not _skips_evaluation(run)),),
            is_new=False,
            start=AdapterStart(run, None),
        )
    )
    tape.settle(since)
    if work.beside_bytes:
        tape.hold(work.beside_bytes, "auxiliary_models")
    _name_parameters(training, tape)
    return training


def _skips_evaluation(config: RunConfig) -> bool:
    """Where an evaluation's numbers depend on labels that are not there, or it samples; a training step needs more in any case."""
    return config.objective.kind in {"kto", *REWARDED}


class _Watch(TrainerCallback):
    """Says which part of a step begins, and keeps everything from the disk."""

    def __init__(self, tape: Tape, leave_if_stopped: Callable[[], None], *, evaluates: bool) -> None:
        self._tape = tape
        self._leave_if_stopped = leave_if_stopped
        self._evaluates = evaluates

    def on_step_begin(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: object) -> None:
        """The forward pass."""
        self._leave_if_stopped()
        self._tape.begin("forward")

    def on_substep_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: object) -> None:
        """The next micro-batch."""
        self._leave_if_stopped()
        self._tape.begin("forward")

    def on_pre_optimizer_step(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: object) -> None:
        """The update; what gradients there are is known now."""
        self._tape.begin("optimizer")
        model = kwargs.get("model")
        if isinstance(model, torch.nn.Module):
            for parameter in model.parameters():
                self._tape.name(parameter.grad, "gradients")

    def on_optimizer_step(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: object) -> None:
        """States exist now."""
        _name_optimizer(kwargs.get("optimizer"), kwargs.get("model"), self._tape)

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: object) -> None:
        """One evaluation, at the end; no checkpoint."""
        self._tape.begin("evaluation")
        control.should_save = False
        control.should_evaluate = self._evaluates and state.global_step >= args.max_steps


def _mark_passes(model: PreTrainedModel, work: Workload, tape: Tape) -> None:
    """Say on the tape where the model's blocks and its head are at work, forwards and backwards; copies of the model keep the hooks.

    cuBLAS's workspaces are taken where the two threads that multiply first do so.
    """
    seen: set[str] = set()

    def workspace(thread: str) -> None:
        if work.workspace_bytes and thread not in seen:
            seen.add(thread)
            tape.hold(work.workspace_bytes, "buffers")

    def before(module: torch.nn.Module, args: object) -> None:
        workspace("forward")

    def after(module: torch.nn.Module, args: object, output: object) -> None:
        tape.layer = None
        hidden = getattr(output, "last_hidden_state", None)
        if isinstance(hidden, torch.Tensor) and hidden.requires_grad:
            tape.begin("head")
            hidden.register_hook(blocks)

    def blocks(grad: torch.Tensor) -> None:
        workspace("backward")
        tape.begin("blocks")

    decoder = model.base_model
    decoder.register_forward_pre_hook(before)
    decoder.register_forward_hook(after)
    for number, block in enumerate(blocks_of(model)):
        block.register_forward_pre_hook(_Enter(tape, number))
        block.register_forward_hook(_Leave(tape, number))


class _Enter:
    """A block begins, for the first time or to be computed again."""

    def __init__(self, tape: Tape, number: int) -> None:
        self._tape, self._number = tape, number

    def __call__(self, *_: object) -> None:
        self._tape.layer = self._number

    def __deepcopy__(self, memo: object) -> _Enter:
        return self


class _Leave(_Enter):
    """A block's output is there; when its gradient is, the block's backward pass begins."""

    def __call__(self, *args: object) -> None:
        output = args[-1]
        hidden = output[0] if isinstance(output, tuple) else output
        if isinstance(hidden, torch.Tensor) and hidden.requires_grad:
            hidden.register_hook(self._backward)

    def _backward(self, grad: torch.Tensor) -> None:
        self._tape.layer = self._number


_LAYER: Final = re.compile(r"\.(?:layers|h|blocks)\.(\d+)\.")


def _layer_in(name: str) -> int | None:
    """The block that a parameter's name says."""
    found = _LAYER.search(f".{name}")
    return int(found[1]) if found else None


def _name_parameters(training: Training, tape: Tape) -> None:
    """What trains beside frozen weights is the adapter; models beside the trained one are auxiliary."""
    own = list(training.trained.named_parameters())
    is_adapted = any(not parameter.requires_grad for _, parameter in own)
    for name, parameter in own:
        tape.place(parameter, _layer_in(name))
        if is_adapted and (parameter.requires_grad or "lora_" in name):
            tape.name(parameter, "adapter")
        tape.name(parameter, "weights")
    reference = getattr(training, "ref_model", None)
    if isinstance(reference, torch.nn.Module) and reference is not training.trained:
        for name, parameter in reference.named_parameters():
            tape.place(parameter, _layer_in(name))
            tape.name(parameter, "auxiliary_models")


def _name_optimizer(optimizer: Any, model: object, tape: Tape) -> None:  # noqa: ANN401 - accelerate wraps it
    """States belong to the block of their weight."""
    names = {parameter: name for name, parameter in model.named_parameters()} if isinstance(model, torch.nn.Module) else {}
    for parameter, state in cast("dict[Any, dict[str, object]]", getattr(optimizer, "state", {})).items():
        for value in state.values():
            if isinstance(value, torch.Tensor):
                tape.name(value, "optimizer")
                tape.place(value, _layer_in(names.get(parameter, "")))
