"""``desktop-ft data``: looking at a file of examples, in the worker child that can be killed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Final, cast, get_args

import typer

from desktop_ft.commands.console import counting, note, out, print_json, say
from desktop_ft.commands.options import JsonOption
from desktop_ft.core.config import DEMO
from desktop_ft.core.config.defaults import METHODS
from desktop_ft.core.config.objectives import OBJECTIVES, ObjectiveName
from desktop_ft.core.config.schema import DataFixName
from desktop_ft.core.models import resolve_model
from desktop_ft.core.preflight import resolve_data
from desktop_ft.core.worker_client import run_task

app = typer.Typer(no_args_is_help=True)

_WORK_SECONDS: Final = 3600.0
_FIXES: Final[tuple[str, ...]] = get_args(DataFixName)
FileArgument = Annotated[str, typer.Argument(metavar="FILE", help="A file of examples (JSON lines, JSON, CSV, Parquet), or demo.")]
ObjectiveOption = Annotated[str | None, typer.Option(help="What it is to teach: sft, dpo ... Without it: that for which the file is made.")]
FormatOption = Annotated[str, typer.Option("--format", help="How the rows are laid out; auto: recognised from the columns.")]
ColumnsOption = Annotated[list[str] | None, typer.Option("--column", metavar="ROLE=COLUMN", help="Which column plays a role.")]
MapOption = Annotated[list[str] | None, typer.Option("--map", metavar="ROLE=COLUMN", help="Which column is what, as chosen=good.")]


@app.command("inspect")
def inspect(  # noqa: PLR0913, PLR0917 (the options of a command)
    file: FileArgument,
    model: Annotated[str | None, typer.Option(help="Count tokens as this model does: folder, Hub id or demo.")] = None,
    max_length: Annotated[int | None, typer.Option(min=1, help="Longest example, tokens; needs --model.")] = None,
    format_name: FormatOption = "auto",
    columns: ColumnsOption = None,
    objective: ObjectiveOption = None,
    eval_file: Annotated[
        str | None, typer.Option("--eval", metavar="FILE", help="The evaluation file: its examples are looked for.")
    ] = None,
    method: Annotated[str | None, typer.Option(help="lora, qlora or full: what is too few for it is said.")] = None,
    fixes: Annotated[list[str] | None, typer.Option("--fix", metavar="FIX", help="Look at what this fix leaves; may be repeated.")] = None,
    preview: Annotated[str | None, typer.Option(metavar="FIX", help="Show rows before and after this fix instead.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Format, columns, counts, lengths and findings of a file."""
    if max_length is not None and model is None:
        raise typer.BadParameter("--max-length counts tokens, which needs --model.")
    payload = {
        **_payload(file, model, format_name, columns, objective),
        "max_length": max_length,
        "fixes": [_known(fix, _FIXES, "fix") for fix in fixes or ()],
        "eval_path": None if eval_file is None else str(Path(eval_file).expanduser().absolute()),
        "method": None if method is None else _known(method, METHODS, "method"),
    }
    if preview is not None:
        shown = run_task("preview_fix", {**payload, "fix": _known(preview, _FIXES, "fix")}, _WORK_SECONDS)
        print_json(shown) if as_json else _show_preview(shown)
        return
    with counting("Looking at the rows", is_wanted=not as_json) as told:
        report = run_task("inspect", payload, _WORK_SECONDS, progress=told)
    print_json(report) if as_json else _show_report(file, report)


@app.command("view")
def view(
    file: FileArgument,
    model: Annotated[str, typer.Option(help="Whose tokens and chat template: folder, Hub id or demo.")],
    max_length: Annotated[int, typer.Option(min=1, help="Longest example, tokens.")] = 1024,
    rows: Annotated[int, typer.Option(min=1, help="How many rows.")] = 3,
    format_name: FormatOption = "auto",
    columns: ColumnsOption = None,
    objective: ObjectiveOption = None,
    whole: Annotated[bool, typer.Option("--whole-conversation", help="Learn the questions too (assistant_only_loss: false).")] = False,
    as_json: JsonOption = False,
) -> None:
    """Token ids, text and labels exactly as the trainer will see them."""
    payload = _payload(file, model, format_name, columns, objective)
    result = run_task("view", {**payload, "max_length": max_length, "rows": rows, "assistant_only_loss": not whole}, _WORK_SECONDS)
    if as_json:
        print_json(result)
        return
    if not result["exact"]:
        note(f"Note: {result['inexact_reason']}")
    for row in cast("list[Mapping[str, object]]", result["rows"]):
        _show_row(row)


@app.command("convert")
def convert(
    file: FileArgument,
    out_file: Annotated[Path, typer.Argument(metavar="OUT", help="The new file: .jsonl, .json, .csv or .parquet.")],
    to: Annotated[str, typer.Option("--to", help="messages, prompt_completion, text, preference, kto, prompts or rl.")],
    mapped: Annotated[
        list[str] | None, typer.Option("--map", metavar="ROLE=COLUMN", help="Which column plays a role, as chosen=good.")
    ] = None,
    format_name: FormatOption = "auto",
    model: Annotated[str | None, typer.Option(help="Whose chat template writes conversations as text: folder, Hub id or demo.")] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace a file that is there.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Write a file of examples in another format; the file itself stays as it is."""
    payload = _payload(file, model, format_name, mapped, None)
    result = run_task("convert", {**payload, "out": str(out_file.expanduser().absolute()), "to": to, "overwrite": overwrite}, _WORK_SECONDS)
    if as_json:
        print_json(result)
        return
    say(f"{result['path']}: {result['num_written']} rows, {result['format']} to {result['to']}")
    for words in cast("list[str]", result["notes"]):
        note(words)
    if result["num_unwanted"]:
        note(f"{result['num_unwanted']} rows say nothing in {result['to']}: answers marked bad, or answers that are equally good.")
    if result["num_left_out"]:
        note(f"{result['num_left_out']} of {result['num_rows']} rows could not be converted:")
    for problem in cast("list[Mapping[str, object]]", result["problems"]):
        note(f"  row {cast('int', problem['row']) + 1}: {problem['reason']}")


def _known(name: str, known: Sequence[str], kind: str) -> str:
    if name not in known:
        raise typer.BadParameter(f"There is no {kind} '{name}'; there are {', '.join(known)}.")
    return name


def _payload(file: str, model: str | None, format_name: str, columns: list[str] | None, objective: str | None) -> dict[str, object]:
    known: ObjectiveName | None = next((name for name in OBJECTIVES if name == objective), None)
    if objective is not None and known is None:
        raise typer.BadParameter(f"There is no objective '{objective}'; there are {', '.join(OBJECTIVES)}.")
    path = resolve_data(file, "sft" if known is None else known)
    roles = dict(_role(text) for text in columns or ())
    folder = None if model is None else str(resolve_model(model))
    return {"path": str(path.absolute()), "model_dir": folder, "format": format_name, "columns": roles, "objective": known}


def _role(text: str) -> tuple[str, str]:
    role, equals, column = text.partition("=")
    if not equals or not role or not column:
        raise typer.BadParameter(f"'{text}' is not of the form ROLE=COLUMN.")
    return role, column


def _show_report(file: str, report: Mapping[str, object]) -> None:
    say(f"{'The demo' if file == DEMO else file}: {report['num_usable']} of {report['num_rows']} rows usable, format {report['format']}")
    lengths = cast("Mapping[str, object]", report["lengths"])
    if lengths:
        say("tokens: {min} to {max}, median {median}, {p95} at the 95th percentile, {total} in all".format(**lengths))
    say(f"score: {report['score']} of 100. {' '.join(cast('list[str]', report['score_reasons']))}")
    for finding in cast("list[Mapping[str, object]]", report["findings"]):
        fixes = cast("list[str]", finding["fixes"])
        how = f" (data.fixes: {', '.join(fixes)})" if fixes else ""
        say(f"{finding['severity']}: {finding['title']}. {finding['message']} {finding['fix']}{how}")
    for fix, count in {**cast("dict[str, int]", report["dropped"]), **cast("dict[str, int]", report["changed"])}.items():
        say(f"{fix}: {count} rows")


def _show_preview(shown: Mapping[str, object]) -> None:
    """Rows before and after a fix, as `desktop_ft.core.data.fix_preview` describes them."""
    say(f"{shown['fix']}: {shown['num_dropped']} rows left out, {shown['num_changed']} rows mended")
    for row in cast("list[Mapping[str, object]]", shown["rows"]):
        out.print(f"row {cast('int', row['row']) + 1}", style="underline", markup=False)
        for heading, turns in (("before", row["before"]), ("after", row["after"])):
            texts = [f"{turn['role']}: {turn['content']}" for turn in cast("list[Mapping[str, str]]", turns or [])]
            out.print(f"{heading}: {' | '.join(texts) if turns is not None else 'left out'}", markup=False)


def _show_row(row: Mapping[str, object]) -> None:
    """One row, as `desktop_ft.core.data.view` describes it."""
    place = f"row {cast('int', row['row']) + 1}"
    left_out = ", left out" if row["is_left_out"] else ""
    match row["kind"]:
        case "pair":
            for side in ("chosen", "rejected"):
                _show_sequence(f"{place}, {side}{left_out}", cast("Mapping[str, object]", row[side]))
        case "judgment":
            _show_sequence(f"{place}, {'good' if row['is_good'] else 'bad'}{left_out}", row)
        case "prompt":
            answer = "" if row["answer"] is None else f", right answer: {row['answer']}"
            num_tokens = len(cast("list[int]", row["input_ids"]))
            out.print(f"{place}, prompt{left_out}: {num_tokens} tokens{answer}", style="underline", markup=False)
            out.print(str(row["text"]), markup=False)
        case _:
            _show_sequence(f"{place}{left_out}", row)


def _show_sequence(heading: str, sequence: Mapping[str, object]) -> None:
    """A sequence with what is learnt in bold and what is only read dimmed."""
    from rich.text import Text

    ids, labels = cast("list[int]", sequence["input_ids"]), cast("list[int]", sequence["labels"])
    cut = ", cut" if sequence["truncated"] else ""
    stop = "learns to stop" if sequence["ends_with_eos"] else "does not learn to stop"
    out.print(f"{heading}: {len(ids)} tokens, {sequence['num_supervised']} learnt{cut}, {stop}", style="underline", markup=False)
    text = Text()
    for token, label in zip(cast("list[str]", sequence["tokens"]), labels, strict=True):
        text.append(token, style="dim" if label < 0 else "bold green")
    out.print(text)
