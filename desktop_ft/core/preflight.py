"""Everything that can be known to fail before a child is started: files, model, disk. Fast; loads no weights."""

from __future__ import annotations

from pathlib import Path

from desktop_ft.core.config import DEMO, RunConfig
from desktop_ft.core.errors import DesktopFtError
from desktop_ft.core.models import ModelInfo, read_model, resolve_model
from desktop_ft.core.resources import resources_dir


def resolve_data(source: str) -> Path:
    """The file of examples that a configuration names: a path, or ``demo``."""
    return resources_dir() / "demo" / "sft.jsonl" if source == DEMO else Path(source).expanduser()


def check_before_start(config: RunConfig) -> ModelInfo:
    """Check what the engine would only find out later.

    Returns:
        The facts about the model.

    Raises:
        DesktopFtError: ``data_file_missing``, ``adapter_missing``, or as `resolve_model` and `read_model`.
    """
    for source in filter(None, (config.data.train, config.data.eval)):
        _check_file(resolve_data(source))
    if config.model.adapter is not None and not (Path(config.model.adapter).expanduser() / "adapter_config.json").is_file():
        raise DesktopFtError(
            "adapter_missing",
            "The adapter was not found",
            f"{config.model.adapter} holds no adapter_config.json.",
            "Choose the folder that an earlier run wrote, such as runs/<name>/adapter, or set model.adapter to null.",
        )
    return read_model(resolve_model(config.model.source, config.model.revision))


def _check_file(path: Path) -> None:
    if not path.is_file():
        raise DesktopFtError(
            "data_file_missing", "The data file is missing", f"There is no file {path}.", "Check the path, or choose the file again."
        )
