"""Going on from what exists: a trained run as the start, or as the judge, of the next one. Must not import torch.

What a run trained is found and checked here; a new run's settings point at it. That the reference of the new run is this start is the
trainers' business.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Final, cast

from desktop_ft.core.base_model import base_hashes, recorded_hashes
from desktop_ft.core.config import RunConfig
from desktop_ft.core.config.methods import BASE_MOVING_INITS
from desktop_ft.core.config.objectives import OBJECTIVES, ObjectiveName
from desktop_ft.core.data.signals import SIGNALS
from desktop_ft.core.data.tokenizer import load_tokenizer
from desktop_ft.core.errors import DesktopFtError
from desktop_ft.core.exports import Trained, find_trained
from desktop_ft.core.models import read_model, resolve_model
from desktop_ft.core.reward_model import find_reward_model
from desktop_ft.core.runs import RunDir, live_engine
from desktop_ft.core.stages import has_stages, stage_folder, steps_before

JUDGED_BY: Final[tuple[ObjectiveName, ...]] = ("ppo", "grpo", "rloo")
"""What a finished reward model can teach."""
_NAMES: Final = (("base model", ("model_config", "model_weights")), ("tokenizer", ("tokenizer", "chat_template")))


def continuations(config: RunConfig) -> tuple[ObjectiveName, ...]:
    """The objectives that can go on from a run of this configuration.

    A reward model can be trained further and can judge answers; it writes none itself. Everything else can go on as anything.
    """
    return ("reward", *JUDGED_BY) if config.objective.kind == "reward" else OBJECTIVES


def continue_from(run: RunDir, objective: ObjectiveName, checkpoint: int | None = None) -> Mapping[str, object]:
    """Settings of a new run that goes on from this one.

    Of a run that trained a language model: the model as it came out, as an adapter on the same base or as a whole model. Of a reward run,
    for an objective that learns from rewards: the reward model, and the start that the reward model itself had. Where both learn from the
    same kind of data, the data as well.

    A checkpoint of the reward model of ``rlhf`` counts as that of a reward run.

    Args:
        run: The old one; finished, or ended with a checkpoint.
        objective: Of the new one.
        checkpoint: Step of a checkpoint to go on from; None: the run's result, else its newest checkpoint.

    Returns:
        Dotted paths and values, for a draft or a tree of settings.

    Raises:
        DesktopFtError: ``continue_running``, ``continue_nothing_trained``, ``continue_wrong_objective``, ``continue_moved_base``,
            ``continue_changed``; as `find_trained`, `find_reward_model`, `resolve_model` and `load_tokenizer`.
    """
    config = run.config()
    if live_engine(run) is not None:
        raise DesktopFtError(
            "continue_running",
            "This run is still going",
            f"The run '{run.path.name}' is being trained; what it will have learnt is not there yet.",
            "Wait until it is done, or stop it; then go on from it.",
        )
    if checkpoint is not None and has_stages(config):
        trained = find_trained(run, checkpoint)
        if trained.run == stage_folder(run, "reward"):
            return continue_from(trained.run, objective, checkpoint - steps_before(run)["reward"])
    if objective not in continuations(config):
        raise DesktopFtError(
            "continue_wrong_objective",
            "A reward model writes no text",
            f"The run '{run.path.name}' trained a reward model, so {objective} cannot go on from it.",
            f"Use it to judge answers ({', '.join(JUDGED_BY)}), or go on from the run that it started from.",
        )
    shared = _shared(config, objective)
    if config.objective.kind == "reward" and objective != "reward":
        _check_unchanged(run, config)
        return {**shared, **_start_of(config), "objective.rewards.model": str(_scorer(run, checkpoint))}
    trained = _trained(run, checkpoint)
    _check_unchanged(trained.run, config)
    return {**shared, **(_on_adapter(config, trained.folder) if trained.is_adapter else _on_model(trained.folder))}


def _shared(config: RunConfig, objective: ObjectiveName) -> dict[str, object]:
    quantization = cast("dict[str, object]", config.method.quantization.model_dump(mode="json"))
    return {
        "name": f"{config.name} then {objective}",
        "objective.kind": objective,
        "method.kind": config.method.kind,
        **{f"method.quantization.{name}": value for name, value in quantization.items()},
        **(_data_of(config) if SIGNALS[config.objective.kind] == SIGNALS[objective] else {}),
    }


def _data_of(config: RunConfig) -> dict[str, object]:
    """The same rows, and the same of them held out: that depends on the seed."""
    data = config.data
    return {
        "seed": config.seed,
        "data.train": data.train,
        "data.eval": data.eval,
        "data.split.fraction": data.split.fraction,
        "data.format": data.format,
        "data.columns": dict(data.columns),
        "data.fixes": list(data.fixes),
        "data.max_length": data.max_length,
    }


# --- the trained model as the start -----------------------------------------------------------------------------------


def _trained(run: RunDir, checkpoint: int | None) -> Trained:
    try:
        trained = find_trained(run, checkpoint)
    except DesktopFtError as error:
        if error.code != "export_nothing_trained":
            raise
        hint = "Resume it and let it train, at least until its first checkpoint."
        raise DesktopFtError("continue_nothing_trained", error.title, error.message, hint) from error
    if trained.is_adapter and trained.checkpoint is not None and run.config().method.init in BASE_MOVING_INITS:
        raise DesktopFtError(
            "continue_moved_base",
            "This checkpoint does not stand on the base model alone",
            f"The run started with method.init: {run.config().method.init}, which moves a part of the base into the adapter; only its "
            "finished adapter fits the untouched base.",
            "Resume the run and let it finish, or export the checkpoint as a merged model and start from that.",
        )
    return trained


def _on_adapter(config: RunConfig, folder: Path) -> dict[str, object]:
    """The base, and the adapter to train further; how large it is stands there for the estimates."""
    path = folder / "adapter_config.json"
    adapter = cast("dict[str, object]", json.loads(path.read_text(encoding="utf-8"))) if path.is_file() else {}
    kept = {"rank": adapter.get("r"), "alpha": adapter.get("lora_alpha")}
    kept |= {name: adapter.get(name) for name in ("use_dora", "use_rslora")}
    method = {f"method.{name}": value for name, value in kept.items() if value is not None}
    wanted = config.method.target_modules
    method["method.target_modules"] = list(wanted) if isinstance(wanted, tuple) else wanted
    return {**_base_of(config), "model.adapter": str(folder), **method}


def _base_of(config: RunConfig) -> dict[str, object]:
    model = config.model
    return {
        "model.source": model.source,
        "model.revision": model.revision,
        "model.dtype": model.dtype,
        "model.added_tokens": list(model.added_tokens),
    }


def _on_model(folder: Path) -> dict[str, object]:
    """A whole model, which has its tokenizer with it.

    Raises:
        DesktopFtError: As `read_model` and `load_tokenizer`.
    """
    read_model(folder)
    load_tokenizer(folder)
    return {"model.source": str(folder), "model.revision": "main", "model.adapter": None, "model.added_tokens": []}


# --- the reward model as the judge ------------------------------------------------------------------------------------


def _start_of(config: RunConfig) -> dict[str, object]:
    """What the reward model started from, so that policy and reward model stand on one base."""
    if config.model.adapter is not None:
        return _on_adapter(config, Path(config.model.adapter))
    return {**_base_of(config), "model.adapter": None}


def _scorer(run: RunDir, checkpoint: int | None) -> Path:
    """The folder to judge by, once its head is found there."""
    folder = run.path if checkpoint is None else find_trained(run, checkpoint).folder
    find_reward_model(folder)
    return folder


# --- is everything still as it was? -----------------------------------------------------------------------------------


def _check_unchanged(run: RunDir, config: RunConfig) -> None:
    """The base and the tokenizer of the old run are still those that it was trained with."""
    before = recorded_hashes(run)
    folder = resolve_model(config.model.source, config.model.revision)
    tokenizer = load_tokenizer(folder, config.model.added_tokens)
    now = {**base_hashes(folder), "tokenizer": tokenizer.sha256, "chat_template": tokenizer.template_sha256}
    for what, names in _NAMES:
        changed = [name for name in names if name in before and before[name] != now[name]]
        if changed:
            raise DesktopFtError(
                "continue_changed",
                f"The {what} changed since this run was trained",
                f"{folder}: the hash of its {changed[0].replace('_', ' ')} was {str(before[changed[0]])[:12]} and is "
                f"{str(now[changed[0]])[:12]} now. What the run learnt belongs to the old one.",
                "Put the model's folder back as it was, then try again.",
            )
