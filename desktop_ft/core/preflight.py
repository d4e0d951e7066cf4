"""Everything that can be known to fail before a child is started: files, model, disk. Fast; loads no weights."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final, cast

from desktop_ft.core.config import DEMO, RunConfig
from desktop_ft.core.config.objectives import ObjectiveName
from desktop_ft.core.data.signals import SIGNALS
from desktop_ft.core.demo import demo_data_file
from desktop_ft.core.errors import DesktopFtError
from desktop_ft.core.models import ModelInfo, read_model, resolve_model
from desktop_ft.core.worker_client import run_task

_DATA_SECONDS: Final = 3600.0


@dataclass(frozen=True)
class DataFacts:
    """What training will find in the data.

    Attributes:
        format: Of the training file.
        longest: Tokens of the longest training example, after cutting.
        notes: What a person should know, in sentences.
    """

    format: str
    num_train_examples: int
    num_eval_examples: int
    longest: int
    notes: tuple[str, ...]


def resolve_data(source: str, objective: ObjectiveName = "sft") -> Path:
    """The file of examples that a configuration names.

    Args:
        source: A path, or ``demo``.
        objective: Which of the demo's files is meant.

    Raises:
        DesktopFtError: ``resources_missing``.
    """
    return demo_data_file(SIGNALS[objective]) if source == DEMO else Path(source).expanduser()


def check_before_start(config: RunConfig) -> ModelInfo:
    """Check what the engine would only find out later.

    Returns:
        The facts about the model.

    Raises:
        DesktopFtError: ``data_file_missing``, ``adapter_missing``, or as `resolve_model` and `read_model`.
    """
    for source in filter(None, (config.data.train, config.data.eval)):
        _check_file(resolve_data(source, config.objective.kind))
    if config.model.adapter is not None and not (Path(config.model.adapter).expanduser() / "adapter_config.json").is_file():
        raise DesktopFtError(
            "adapter_missing",
            "The adapter was not found",
            f"{config.model.adapter} holds no adapter_config.json.",
            "Choose the folder that an earlier run wrote, such as runs/<name>/adapter, or set model.adapter to null.",
        )
    return read_model(resolve_model(config.model.source, config.model.revision))


def check_data(config: RunConfig, model: ModelInfo) -> DataFacts:
    """Load the data in the worker child as the engine will; takes as long as that does.

    Raises:
        DesktopFtError: Whatever training would refuse: as `load_training_data`, or the worker's own.
    """
    data, objective = config.data, config.objective.kind
    payload: dict[str, object] = {
        "objective": objective,
        "path": str(resolve_data(data.train, objective)),
        "eval_path": None if data.eval is None else str(resolve_data(data.eval, objective)),
        "model_dir": str(model.path),
        "added_tokens": list(config.model.added_tokens),
        "fraction": data.split.fraction,
        "seed": config.seed,
        "format": data.format,
        "columns": dict(data.columns),
        "max_length": data.max_length,
        "assistant_only_loss": data.assistant_only_loss,
        "fixes": list(data.fixes),
    }
    answer = run_task("check", payload, _DATA_SECONDS)
    return DataFacts(
        format=str(answer["format"]),
        num_train_examples=cast("int", answer["num_train_examples"]),
        num_eval_examples=cast("int", answer["num_eval_examples"]),
        longest=cast("int", answer["longest"]),
        notes=tuple(cast("list[str]", answer["notes"])),
    )


def _check_file(path: Path) -> None:
    if not path.exists():
        raise DesktopFtError(
            "data_file_missing",
            "The data file is missing",
            f"There is no file or folder {path}.",
            "Check the path, or choose the file again.",
        )
