"""``desktop-ft models``: what is on this computer; the net is never asked."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import typer

from desktop_ft.commands.console import note, out, print_json, size_words
from desktop_ft.commands.options import JsonOption
from desktop_ft.core.config import DEMO
from desktop_ft.core.errors import DesktopFtError
from desktop_ft.core.models import ModelInfo, read_model, resolve_model
from desktop_ft.core.settings import load_preferences
from desktop_ft.core.workspace import default_workspace

app = typer.Typer(no_args_is_help=True)


@dataclass(frozen=True)
class _Listed:
    """A model, or why it is none.

    Attributes:
        source: What to write into ``model.source``.
    """

    source: str
    path: Path
    model: ModelInfo | None
    problem: str

    def to_json(self) -> dict[str, object]:
        model = self.model
        return {
            "source": self.source,
            "path": str(self.path),
            "architecture": model.architecture if model else None,
            "num_parameters": model.num_parameters if model else None,
            "context_length": model.context_length if model else None,
            "dtype": model.dtype if model else None,
            "license": model.license if model else None,
            "has_chat_template": model.has_chat_template if model else None,
            "num_weight_bytes": model.num_weight_bytes if model else None,
            "problem": self.problem or None,
        }


@app.callback()
def _group() -> None:
    """Models on this computer."""


@app.command("list")
def list_models(as_json: JsonOption = False) -> None:
    """The demo model, folders chosen in the window, and the Hugging Face cache."""
    found = list(_models())
    if as_json:
        print_json({"models": [item.to_json() for item in found]})
        return
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    for title in ("model", "parameters", "on disk", "context", "license"):
        table.add_column(title, justify="left" if title in {"model", "license"} else "right")
    for item in found:
        model = item.model
        if model is None:
            continue
        millions = f"{model.num_parameters / 1e6:,.1f} M"
        table.add_row(item.source, millions, size_words(model.num_weight_bytes), f"{model.context_length:,}", model.license or "-")
    out.print(table)
    for item in found:
        if item.model is None:
            note(f"{item.source}: {item.problem}")


def _models() -> Iterator[_Listed]:
    from desktop_ft.core.hub_cache import scan_hub_cache

    yield _read(DEMO, resolve_model(DEMO))
    for folder in load_preferences(default_workspace().settings_file).model_folders:
        yield _read(folder, Path(folder))
    for cached in scan_hub_cache():
        problem = f"{cached.problem.title}. {cached.problem.message}" if cached.problem else ""
        yield _Listed(cached.repo_id, cached.path, cached.model, problem)


def _read(source: str, path: Path) -> _Listed:
    try:
        return _Listed(source, path, read_model(path), "")
    except DesktopFtError as error:
        return _Listed(source, path, None, f"{error.title}. {error.message}")
