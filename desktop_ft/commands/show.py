"""``desktop-ft estimate``, ``data``, ``models``: looking before training. Nothing here loads torch."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, cast

import typer

from desktop_ft.commands.console import guarded, out, print_json
from desktop_ft.commands.train import JsonOption, SetOption, load_with_overrides
from desktop_ft.core.worker_client import run_task

data_app = typer.Typer(no_args_is_help=True, help="Look at a file of examples as the trainer will.")
_INSPECT_SECONDS = 600.0


@data_app.command("inspect")
@guarded
def inspect(
    path: Annotated[Path, typer.Argument(metavar="FILE")],
    model: Annotated[str | None, typer.Option(help="Count tokens as this model does.")] = None,
    max_length: Annotated[int | None, typer.Option(help="Longest example, tokens.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Format, columns, counts, lengths and findings of a file."""
    payload = {"path": str(path.absolute()), "model": model, "max_length": max_length}
    report = run_task("inspect", payload, _INSPECT_SECONDS, lambda: False)
    if as_json:
        print_json(report)
        return
    out.print(f"{path}: {report['num_usable']} of {report['num_rows']} rows usable, format {report['format']}", markup=False)
    for finding in cast("list[dict[str, object]]", report["findings"]):
        out.print(f"  {finding['severity']}: {finding['title']}. {finding['message']}", markup=False)
    out.print(f"score: {report['score']}", markup=False)


@data_app.command("view")
@guarded
def view(
    path: Annotated[Path, typer.Argument(metavar="FILE")],
    model: Annotated[str, typer.Option(help="Folder, Hub id, or demo.")],
    max_length: Annotated[int, typer.Option(help="Longest example, tokens.")] = 1024,
    rows: Annotated[int, typer.Option(help="How many rows.")] = 3,
    as_json: JsonOption = False,
) -> None:
    """Token ids, text and labels exactly as the trainer will see them."""
    payload = {"path": str(path.absolute()), "model": model, "max_length": max_length, "rows": rows}
    result = run_task("view", payload, _INSPECT_SECONDS, lambda: False)
    if as_json:
        print_json(result)
        return
    for number, row in enumerate(cast("list[dict[str, object]]", result["rows"]), start=1):
        ends = "ends with the stop token" if row["ends_with_eos"] else "does not end with the stop token"
        out.print(f"row {number}: {row['num_supervised']} trained tokens, {ends}", style="bold", markup=False)
        out.print(str(row["text"]), markup=False)


@guarded
def estimate(
    path: Annotated[Path, typer.Argument(metavar="RUN.yaml")],
    overrides: SetOption = None,
    gpu_memory: Annotated[str | None, typer.Option(help="Memory of a card that is not here, such as 24GiB.")] = None,
    as_json: JsonOption = False,
) -> None:
    """What a run needs on the card, before anything is loaded."""
    load_with_overrides(path, overrides)
    _ = (gpu_memory, as_json)
