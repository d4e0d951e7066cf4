"""A training run from its configuration to its result. Reads from top to bottom."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from peft import PeftModel
from transformers import PreTrainedModel, TrainerCallback

from desktop_ft.core.base_model import base_hashes
from desktop_ft.core.config import SETTINGS, Draft, RunConfig
from desktop_ft.core.config.methods import weight_updates
from desktop_ft.core.data.dataset import TrainingData
from desktop_ft.core.data.signals import SIGNALS
from desktop_ft.core.data.tokenizer import ModelTokenizer, load_tokenizer
from desktop_ft.core.device import DeviceFacts
from desktop_ft.core.device_check import check_device
from desktop_ft.core.eventlog import EventWriter
from desktop_ft.core.events import FinishStatus, Phase, PhaseChanged, RunStarted, WarningRaised
from desktop_ft.core.models import ModelInfo, read_model, resolve_model
from desktop_ft.core.processes import ProcessMark
from desktop_ft.core.resolve import Resolved, load_resolved, resolve, save_resolved
from desktop_ft.core.retry import RETRY_CODE, agreed_retries, with_retries
from desktop_ft.core.reward_model import write_layout
from desktop_ft.core.runs import Checkpoint, RunDir
from desktop_ft.engine import environment
from desktop_ft.engine.checkpoints import CheckpointStore, whole_folder
from desktop_ft.engine.controls import ControlFolder, Controls
from desktop_ft.engine.device import Precision, detect_device, precision_of
from desktop_ft.engine.errors import Situation
from desktop_ft.engine.examples import Batches, are_chats, check_same_tokens, load_examples
from desktop_ft.engine.finite import refuse_non_finite
from desktop_ft.engine.forgetting import Forgetting
from desktop_ft.engine.keep_best import BestKeeper
from desktop_ft.engine.load import load_adapter, load_base_model, load_hf_tokenizer, lora_config
from desktop_ft.engine.methods.base import method_warnings, prepare_base
from desktop_ft.engine.methods.quantization import quantization_of
from desktop_ft.engine.methods.start import AdapterStart, make_plain
from desktop_ft.engine.objectives import make_training
from desktop_ft.engine.objectives.parts import Parts, Training
from desktop_ft.engine.own_memory import MemoryMeter
from desktop_ft.engine.pair_scores import PairScores
from desktop_ft.engine.prepared import Prepared
from desktop_ft.engine.quiet import quieten_libraries
from desktop_ft.engine.recording import record_run
from desktop_ft.engine.reporting import Reporting
from desktop_ft.engine.sampling import Sampling
from desktop_ft.engine.stopping import StopFlag, StopRequested


@dataclass(frozen=True)
class Outcome:
    """How training ended, if not with an error."""

    status: FinishStatus
    step: int


Narrow = Callable[[Prepared], Prepared]


@dataclass(frozen=True)
class Bare:
    """A run's trainer with nothing around it.

    Attributes:
        training: Ready to train.
        prepared: What it is made from, as the run itself has it.
        save: Writes what is trained as the run's result.
    """

    training: Training
    prepared: Prepared
    save: Callable[[], None]


class TrainingRun:
    """One child's work on one run.

    Args:
        run: The run's folder.
        events: Its log.
        stop: Set when the run is to stop.
        mark: This process.
        controls: Requests to the run.
        situation: Kept up to date for the translation of errors.
        meter: Measures what the run takes, for later estimates; None where the process did other work before.
    """

    def __init__(
        self,
        run: RunDir,
        events: EventWriter,
        stop: StopFlag,
        mark: ProcessMark,
        controls: ControlFolder,
        situation: Situation,
        meter: MemoryMeter | None = None,
    ) -> None:
        self._run = run
        self._events = events
        self._stop = stop
        self._mark = mark
        self._situation = situation
        self._controls = controls
        self._meter = meter

    def train(self) -> Outcome:
        """Train, or go on from the last checkpoint, and save the result.

        Raises:
            DesktopFtError: Everything that a person can put right.
            StopRequested: Where the stop came before there was a step to finish.
        """
        quieten_libraries()
        config = self._run.config()
        store = CheckpointStore(self._run, self._events, config.output.save_total_limit)
        store.clear_unsealed()
        checkpoint = store.newest_sound()
        if checkpoint is not None:
            self._situation.step = checkpoint.step
            config = self._settled(config)
        prepared = self._prepare(config, checkpoint)
        sampling = self._sampling(prepared)
        forgetting = self._forgetting(prepared)
        model = self._model(prepared)
        start = AdapterStart(prepared.config, checkpoint.path if checkpoint else None)
        training = self._training(prepared, model, start, store, sampling)
        num_steps = training.num_planned_steps()
        self._tell_start(prepared, training, num_steps)
        self._leave_if_stopped()

        if checkpoint is None:
            sampling.sample(0)
            if forgetting is not None:
                forgetting.measure(training.trained, 0)
        self._enter("train")
        if checkpoint is not None and checkpoint.step >= num_steps:
            training.load_weights(checkpoint.path)
        else:
            training.train_from(checkpoint.path if checkpoint else None)
            if training.step < num_steps:
                return Outcome("stopped", training.step)

        self._enter("save", "Saving the trained model")
        self._save(prepared, training, start)
        sampling.sample(num_steps)
        if forgetting is not None:
            forgetting.measure(training.trained, num_steps)
        if self._meter is not None and checkpoint is None:
            record_run(self._run, prepared, self._meter.read(prepared.device), self._events)
        return Outcome("completed", num_steps)

    def bare(
        self, config: RunConfig, make_callbacks: Callable[[Prepared], Sequence[TrainerCallback]], narrow: Narrow | None = None
    ) -> Bare:
        """The run's trainer with its model and data, and nothing around it: no samples, no telling of steps.

        Args:
            config: Instead of that in the folder.
            make_callbacks: Of the trainer.
            narrow: Takes everything that was prepared for the run and gives what to train instead.

        Raises:
            DesktopFtError, StopRequested: As `train`.
        """
        quieten_libraries()
        store = CheckpointStore(self._run, self._events, keep=1)
        store.clear_unsealed()
        prepared = self._prepare(config, None)
        used = prepared if narrow is None else narrow(prepared)
        model, start = self._model(used), AdapterStart(used.config, None)
        training = self._trainer(used, model, start, store, make_callbacks(used))
        return Bare(training, prepared, lambda: self._save(used, training, start))

    # --- before the model is loaded ---

    def _settled(self, config: RunConfig) -> RunConfig:
        """The settings of the first steps, for a resumed run to be the same run; says what was changed in run.yaml since."""
        resolved = load_resolved(self._run.resolved_file)
        settled = resolved.config
        self._tell_retries(resolved)
        now, then = Draft(config.model_dump(mode="json")), Draft(settled.model_dump(mode="json"))
        agreed = {"training.micro_batch_size"} if resolved.retries else set[str]()
        changed = [path for path in SETTINGS if path not in agreed and now.get(path) not in ("auto", then.get(path))]
        if changed:
            self._events.write(
                WarningRaised(
                    code="settings_kept",
                    title="Changed settings do not apply to a resumed run",
                    message=f"run.yaml was edited after the start: {', '.join(changed)}. The run goes on with the values it started with.",
                    hint="Start a new run to use the new values.",
                )
            )
        return settled

    def _tell_retries(self, resolved: Resolved) -> None:
        """What was agreed on after the memory was full is said at every start."""
        if resolved.retries:
            last, micro = resolved.retries[-1], resolved.config.training.micro_batch_size
            self._events.write(
                WarningRaised(
                    code=RETRY_CODE,
                    title="The micro-batch was made smaller",
                    message=f"The memory was full, so this run goes on from step {last.step} with a micro-batch of {micro} instead of "
                    f"{last.micro_batch_size_before}, as you chose. The global batch stays {resolved.config.training.global_batch_size}.",
                )
            )

    def _prepare(self, config: RunConfig, checkpoint: Checkpoint | None) -> Prepared:
        self._enter("load", "Reading the model's files")
        model_dir = resolve_model(config.model.source, config.model.revision)
        model_info = read_model(model_dir)
        device = detect_device()
        check_device(config, device)
        added = config.model.added_tokens
        own_tokenizer, tokenizer = load_tokenizer(model_dir, added), load_hf_tokenizer(model_dir, added)

        self._enter("tokenize", "Turning the examples into tokens")
        data = load_examples(config, own_tokenizer, self._events, self._leave_if_stopped)
        if not own_tokenizer.exact:
            check_same_tokens(own_tokenizer, tokenizer, data.train)

        self._keep_environment(model_info, own_tokenizer, data, device, is_new=checkpoint is None)
        resolved = config if checkpoint else self._resolve(config, model_info, device, data)
        self._situation.config = resolved
        return Prepared(resolved, model_info, tokenizer, device, data, checkpoint)

    def _keep_environment(
        self, model_info: ModelInfo, tokenizer: ModelTokenizer, data: TrainingData, device: DeviceFacts, *, is_new: bool
    ) -> None:
        fingerprints = {f"data_{side}": fingerprint.sha256 for side, fingerprint in data.fingerprints.items()}
        hashes = {**fingerprints, **base_hashes(model_info.path), "tokenizer": tokenizer.sha256, "chat_template": tokenizer.template_sha256}
        if not is_new:
            environment.check_unchanged(self._run, hashes)
        environment.record(self._run, device, str(model_info.path), hashes)

    def _resolve(self, config: RunConfig, model_info: ModelInfo, device: DeviceFacts, data: TrainingData) -> RunConfig:
        """What every ``auto`` means; decided once."""
        fresh = resolve(config, model_info, device, len(data.train_examples), len(data.eval_examples), data.longest)
        resolved = with_retries(fresh, agreed_retries(self._run))
        save_resolved(resolved, self._run.resolved_file)
        self._tell_retries(resolved)
        return resolved.config

    # --- the model and its trainer ---

    def _precision(self, prepared: Prepared) -> Precision:
        config = prepared.config
        updates = weight_updates(config)[0] if config.method.kind == "full" else None
        return precision_of(config.model.dtype, prepared.device, updates=updates)

    def _model(self, prepared: Prepared) -> PreTrainedModel | PeftModel:
        self._enter("load", f"Loading {prepared.model_info.name}")
        config = prepared.config
        precision = self._precision(prepared)
        if config.objective.kind == "reward":
            from desktop_ft.engine.objectives import reward

            is_new = prepared.checkpoint is None
            return reward.load_model(config, prepared.model_info.path, prepared.tokenizer, precision, prepared.device, is_new=is_new)
        model = load_base_model(
            prepared.model_info.path,
            precision.weights,
            config.model.attention,
            prepared.device,
            quantization=quantization_of(config),
        )
        self._leave_if_stopped()
        prepare_base(config, model, prepared.tokenizer)
        return load_adapter(model, Path(config.model.adapter), config.method.dropout) if config.model.adapter else model

    def _training(
        self, prepared: Prepared, model: PreTrainedModel | PeftModel, start: AdapterStart, store: CheckpointStore, sampling: Sampling
    ) -> Training:
        config = prepared.config
        best = BestKeeper(store, config.objective.kind) if config.output.keep_best else None
        callbacks = (
            Reporting(self._events, prepared.device, len(prepared.data.eval_examples), self._situation, best),
            sampling,
            Controls(self._controls, self._stop, config, sampling.sample, self._events),
        )
        training = self._trainer(prepared, model, start, store, callbacks)
        sampling.attach(cast("PreTrainedModel", training.trained), prepared.tokenizer)
        return training

    def _trainer(
        self,
        prepared: Prepared,
        model: PreTrainedModel | PeftModel,
        start: AdapterStart,
        store: CheckpointStore,
        callbacks: Sequence[TrainerCallback],
    ) -> Training:
        config, is_new = prepared.config, prepared.checkpoint is None
        has_new_adapter = config.method.kind != "full" and config.model.adapter is None and config.objective.kind != "reward"
        return make_training(
            Parts(
                config=config,
                model_dir=prepared.model_info.path,
                model=model,
                tokenizer=prepared.tokenizer,
                peft_config=lora_config(config, cast("PreTrainedModel", model), is_new=is_new) if has_new_adapter else None,
                device=prepared.device,
                precision=self._precision(prepared),
                data=prepared.data,
                store=store,
                events=self._events,
                callbacks=callbacks,
                is_new=is_new,
                start=start,
            )
        )

    def _sampling(self, prepared: Prepared) -> Sampling:
        evaluation, every = prepared.config.evaluation, cast("int", prepared.config.evaluation.eval_steps)
        as_chat = are_chats(prepared.data) and prepared.tokenizer.chat_template is not None
        prompts = evaluation.sample_prompts
        if prepared.config.objective.kind == "reward":
            pairs, max_length = prepared.data.eval_examples, prepared.config.data.max_length
            return PairScores(pairs, max_length, every, self._events, as_chat=as_chat, has_prompts=bool(prompts))
        return Sampling(prompts, evaluation.sample_max_new_tokens, every, self._events, as_chat=as_chat)

    def _forgetting(self, prepared: Prepared) -> Forgetting | None:
        """None where it is not wanted, or the model only scores."""
        config = prepared.config
        is_wanted = config.evaluation.forgetting and config.objective.kind != "reward"
        return Forgetting(prepared.tokenizer, self._precision(prepared), self._events) if is_wanted else None

    # --- the result ---

    def _save(self, prepared: Prepared, training: Training, start: AdapterStart) -> None:
        refuse_non_finite(training.trained, training.step)
        target = self._run.adapter if prepared.config.method.kind != "full" else self._run.model
        with whole_folder(target) as folder:
            _save_trained(training.trained, folder)
            prepared.tokenizer.save_pretrained(folder)
            start.write(folder)
            make_plain(folder)
            if prepared.config.objective.kind == "reward":
                write_layout(folder, as_chat=are_chats(prepared.data))

    # --- telling ---

    def _enter(self, phase: Phase, detail: str = "") -> None:
        self._situation.phase = phase
        self._events.write(PhaseChanged(phase=phase, detail=detail))

    def _leave_if_stopped(self) -> None:
        if self._stop.is_set or self._controls.answer_stop():
            raise StopRequested

    def _tell_start(self, prepared: Prepared, training: Training, num_steps: int) -> None:
        data, device, global_batch_size = prepared.data, prepared.device, prepared.config.training.global_batch_size
        self._events.write(
            RunStarted(
                pid=self._mark.pid,
                num_steps=num_steps,
                start_step=prepared.checkpoint.step if prepared.checkpoint else 0,
                num_train_examples=len(data.train_examples),
                num_eval_examples=len(data.eval_examples),
                micro_batch_size=training.micro_batch_size,
                gradient_accumulation_steps=training.gradient_accumulation_steps,
                device=device.name,
                device_bytes=device.total_bytes,
            )
        )
        if SIGNALS[prepared.config.objective.kind] != "prompts":  # what is left of prompts, their trainer says
            for warning in Batches(training.num_rows(), global_batch_size, is_packed=bool(prepared.config.data.packing)).warnings():
                self._events.write(warning)
        for warning in method_warnings(prepared.config, training.trained):
            self._events.write(warning)
        for note in data.notes:
            self._events.write(WarningRaised(code="data_note", title="About the data", message=note))


def _save_trained(model: PreTrainedModel | PeftModel, folder: Path) -> None:
    """The trained adapter alone: TRL keeps a copy of the starting one beside it as the reference."""
    if isinstance(model, PeftModel):
        model.save_pretrained(str(folder), selected_adapters=["default"])
    else:
        model.save_pretrained(folder)
