"""What the run page says about a run: pure functions of the model. No widgets here, so that every state is tested without one."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import PurePath
from typing import Final, Literal

from PySide6.QtCore import QCoreApplication

from desktop_ft.core.config import DEMO, RunConfig
from desktop_ft.core.config.objectives import ObjectiveName
from desktop_ft.core.config.schema import MethodConfig
from desktop_ft.core.events import StageStarted
from desktop_ft.jobs.pace import TimeLeft
from desktop_ft.jobs.run_model import RunModel
from desktop_ft.ui.kit.text import format_duration, format_number

Stage = Literal[
    "new", "starting", "training", "evaluating", "sampling", "saving", "stopping", "paused", "stopped", "completed", "failed", "crashed"
]
LIVE_STAGES: Final[frozenset[Stage]] = frozenset({"starting", "training", "evaluating", "sampling", "saving", "stopping"})
WRONG_STAGES: Final[frozenset[Stage]] = frozenset({"failed", "crashed"})
_MINUTE: Final = 60.0
_HOUR: Final = 3600.0
_DAY: Final = 86400.0


def _tr(text: str) -> str:
    return QCoreApplication.translate("run_page", text)


def stage_of(model: RunModel, *, was_paused: bool = False) -> Stage:
    """Where the run is, for a person.

    Args:
        model: The run.
        was_paused: It was stopped with Pause, which the log can't tell from a stop.
    """
    if model.is_live:
        return _live_stage(model)
    ended: dict[str, Stage] = {
        "completed": "completed",
        "failed": "failed",
        "crashed": "crashed",
        "stopped": "paused" if was_paused else "stopped",
    }
    return ended.get(model.status, "new")


def _live_stage(model: RunModel) -> Stage:
    if model.is_stopping:
        return "stopping"
    if model.status == "starting" or model.phase in (None, "load", "tokenize"):
        return "starting"
    stages: dict[str, Stage] = {"evaluate": "evaluating", "generate": "sampling", "save": "saving"}
    return stages.get(model.phase, "training")


def chip_of(stage: Stage) -> tuple[str, str, str]:
    """Word, tone and icon of the state."""
    return {
        "new": (_tr("Not started"), "2", "circle-dot"),
        "starting": (_tr("Starting"), "busy", "loader"),
        "training": (_tr("Training"), "busy", "activity"),
        "evaluating": (_tr("Evaluating"), "busy", "gauge"),
        "sampling": (_tr("Writing samples"), "busy", "message-square"),
        "saving": (_tr("Saving"), "busy", "save"),
        "stopping": (_tr("Stopping"), "busy", "loader"),
        "paused": (_tr("Paused"), "2", "pause"),
        "stopped": (_tr("Stopped, kept"), "2", "circle-stop"),
        "completed": (_tr("Finished"), "good", "circle-check"),
        "failed": (_tr("Failed"), "bad", "octagon-x"),
        "crashed": (_tr("Crashed"), "bad", "octagon-x"),
    }[stage]


# --- one line of facts ------------------------------------------------------------------------------------------------


def facts_line(config: RunConfig | None, started: float | None, now: float | None = None) -> str:
    """Model, method, objective, data and start in one line; short where run.yaml can't be read."""
    parts: list[str] = []
    if config is not None:
        facts = (model_words(config), method_words(config.method), objective_words(config), data_words(config))
        parts.append(", ".join(facts) + ".")
    if started is not None:
        parts.append(_tr("Started {0}.").format(clock_words(started, now)))
    return " ".join(parts)


def model_words(config: RunConfig) -> str:
    """The base model by its last name."""
    return _tr("Demo model") if config.model.source == DEMO else PurePath(config.model.source.replace("\\", "/")).name


def data_words(config: RunConfig) -> str:
    """The data by its file's name."""
    return _tr("demo data") if config.data.train == DEMO else PurePath(config.data.train.replace("\\", "/")).name


def objective_of(model: RunModel) -> ObjectiveName:
    """The run's objective; sft where run.yaml can't be read."""
    return "sft" if model.config is None else model.config.objective.kind


def objective_words(config: RunConfig) -> str:
    """What it learns from, as the line of facts says it."""
    words: dict[ObjectiveName, str] = {
        "sft": _tr("supervised"),
        "pretrain": _tr("continued pretraining"),
        "dpo": _tr("preferences by DPO"),
        "orpo": _tr("preferences by ORPO"),
        "kto": _tr("judgments by KTO"),
        "reward": _tr("reward model"),
        "grpo": _tr("rewards by GRPO"),
        "rloo": _tr("rewards by RLOO"),
        "ppo": _tr("rewards by PPO"),
        "rlhf": _tr("RLHF by {0}").format(config.objective.rlhf.policy.upper()),
    }
    return words[config.objective.kind]


def loss_unit(objective: ObjectiveName) -> str:
    """What the loss of an objective counts."""
    if objective in {"sft", "pretrain"}:
        return _tr("nats per trained token")
    if objective in {"dpo", "orpo", "kto", "reward"}:
        return _tr("mean of the batch")
    return _tr("of the policy; it need not fall")


def charts_word(objective: ObjectiveName) -> str:
    """What the charts of the objective's own numbers are called."""
    if objective in {"dpo", "orpo", "kto"}:
        return _tr("&Preferences")
    if objective == "reward":
        return _tr("Reward m&odel")
    return _tr("&More") if objective in {"sft", "pretrain"} else _tr("Re&ward")


def stage_words(model: RunModel) -> str:
    """Which stage goes, of a run of several; empty where there is only one."""
    stage = model.stage
    return "" if stage is None or stage.total < 2 else words_of_stage(stage)


def words_of_stage(stage: StageStarted) -> str:
    """Its place and what is trained in it."""
    names = {"reward": _tr("reward model"), "policy": _tr("policy")}
    return _tr("stage {0} of {1}: {2}").format(stage.number, stage.total, names.get(stage.stage, stage.stage))


def method_words(method: MethodConfig) -> str:
    """Such as "LoRA with DoRA (rank 16)"."""
    if method.kind == "full":
        frozen = method.num_frozen_layers
        return _tr("full fine-tuning above layer {0}").format(frozen) if frozen else _tr("full fine-tuning")
    adapter = "QLoRA" if method.kind == "qlora" else "LoRA"
    options = adapter_options(method)
    name = _tr("{0} with {1}").format(adapter, " + ".join(options)) if options else adapter
    return _tr("{0} (rank {1})").format(name, method.rank)


def adapter_options(method: MethodConfig) -> list[str]:
    """The variants of LoRA that are switched on, as the field names them."""
    starts = {"pissa": "PiSSA", "pissa_niter_4": "PiSSA", "olora": "OLoRA", "eva": "EVA", "orthogonal": _tr("orthogonal start")}
    options = [name for name, is_on in (("DoRA", method.use_dora), ("rsLoRA", method.use_rslora)) if is_on]
    options += [starts[method.init]] if method.init in starts else []
    return options + (["LoRA+"] if method.loraplus_lr_ratio is not None else [])


# --- progress ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class ProgressWords:
    """The progress line.

    Attributes:
        done: What is done, semibold at the left, with ``note`` behind it.
        left: What is left, semibold at the right, with ``until`` behind it.
        share: Filled part of the bar, 0 to 1; None: no bar, the run is over.
    """

    done: str
    note: str = ""
    left: str = ""
    until: str = ""
    share: float | None = 0.0


def progress_words(model: RunModel, stage: Stage, now: float | None = None) -> ProgressWords:
    """What the progress line says in a state."""
    if stage == "starting":
        return _starting(model)
    if stage in LIVE_STAGES:
        return _going(model, stage, time.time() if now is None else now)
    if stage == "completed":
        return _completed(model)
    if stage == "new":
        return ProgressWords(_tr("Not started yet"), left=_tr("Start begins the training"))
    return _ended(model, stage)


def _starting(model: RunModel) -> ProgressWords:
    words = {"load": _tr("Loading the model"), "tokenize": _tr("Reading the data")}
    done = model.phase_detail or words.get(str(model.phase), _tr("Starting the engine"))
    if model.phase is None:
        return ProgressWords(done, _tr("Its libraries take some seconds to load."), share=0.0)
    if not model.phase_total:
        return ProgressWords(done, share=0.0)
    note = _tr("{0} of {1}").format(format_number(model.phase_done), format_number(model.phase_total))
    return ProgressWords(done, note, share=min(1.0, model.phase_done / model.phase_total))


def _going(model: RunModel, stage: Stage, now: float) -> ProgressWords:
    doing = {"evaluating": _tr("evaluating"), "sampling": _tr("writing samples"), "saving": _tr("saving a checkpoint")}.get(stage, "")
    if doing and model.phase_total:
        doing = _tr("{0}, {1} of {2}").format(doing, format_number(model.phase_done), format_number(model.phase_total))
    note = ", ".join(part for part in (stage_words(model), _epoch_words(model), doing) if part)
    if stage == "stopping":
        return ProgressWords(_step_words(model), note, _tr("Saving a checkpoint, then it stops"), share=_share(model))
    time_left = model.time_left()
    if time_left is None:
        return ProgressWords(_step_words(model), note, _tr("Time left is known after a few steps"), share=_share(model))
    until = _tr("done about {0}").format(clock_words(now + time_left.seconds, now))
    return ProgressWords(_step_words(model), note, time_left_words(time_left), until, _share(model))


def _completed(model: RunModel) -> ProgressWords:
    took = _tr("Finished in {0}").format(format_duration(_seconds_of(model)))
    best = None if objective_of(model) == "rlhf" else model.best_evaluation  # there it is the reward model's, and the policy is the result
    note = "" if best is None else _tr("best eval loss {0} at step {1}").format(format_number(best.loss, 3), format_number(best.step))
    last = "" if model.curves["loss"].last is None else _tr("{0} steps").format(format_number(model.num_steps))
    return ProgressWords(took, note, last, _epochs_done(model), share=None)


def _ended(model: RunModel, stage: Stage) -> ProgressWords:
    what = {"failed": _tr("Failed"), "crashed": _tr("Crashed"), "paused": _tr("Paused")}.get(stage, _tr("Stopped"))
    where = _tr("{0} at step {1} of {2}").format(what, format_number(model.step), format_number(model.num_steps))
    done = where if model.num_steps else _tr("{0} before the first step").format(what)
    step = model.last_checkpoint_step
    kept = _tr("No checkpoint yet") if step is None else _tr("The checkpoint of step {0} is safe").format(format_number(step))
    return ProgressWords(done, _epoch_words(model), kept, share=_share(model))


def _step_words(model: RunModel) -> str:
    return _tr("Step {0} of {1}").format(format_number(model.step), format_number(model.num_steps))


def _epoch_words(model: RunModel) -> str:
    if not model.epoch:
        return ""
    whole = num_epochs(model)
    if whole is None:
        return _tr("epoch {0}").format(format_number(model.epoch, 1))
    return _tr("epoch {0} of {1}").format(format_number(model.epoch, 1), f"{whole:g}")


def _epochs_done(model: RunModel) -> str:
    return _tr("{0} epochs").format(f"{model.epoch:.2g}") if model.epoch else ""


def num_epochs(model: RunModel) -> float | None:
    """Passes over the data of the whole run, where they were asked for rather than a number of steps."""
    config = model.config
    return None if config is None or config.training.max_steps is not None else config.training.num_train_epochs


def _share(model: RunModel) -> float:
    return min(1.0, model.step / model.num_steps) if model.num_steps else 0.0


def _seconds_of(model: RunModel) -> float | None:
    if model.started_time is None or model.last_time is None:
        return None
    return model.last_time - model.started_time


def time_left_words(left: TimeLeft) -> str:
    """The time left with its uncertainty in the same unit: "16 min left, ± 1"."""
    if left.seconds < 1.5 * _MINUTE:
        return _tr("{0} s left, ± {1}").format(round(left.seconds), max(1, math.ceil(left.uncertainty_seconds)))
    margin = max(1, math.ceil(left.uncertainty_seconds / _MINUTE))
    if left.seconds < _HOUR:
        return _tr("{0} min left, ± {1}").format(round(left.seconds / _MINUTE), margin)
    return _tr("{0} left, ± {1}").format(format_duration(left.seconds), format_duration(margin * _MINUTE))


def clock_words(moment: float, now: float | None = None) -> str:
    """A time of day; with its date where that is not today."""
    then = datetime.fromtimestamp(moment).astimezone()
    today = (datetime.now().astimezone() if now is None else datetime.fromtimestamp(now).astimezone()).date()
    clock = f"{then:%H:%M}"
    if then.date() == today:
        return clock
    if then.date() == today + timedelta(days=1):
        return _tr("{0} tomorrow").format(clock)
    return f"{then:%Y-%m-%d} {clock}"
