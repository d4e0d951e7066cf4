"""Writes docs/cli.md and docs/settings.md from the code: ``python packaging/docs/make_reference.py [--check]``."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Protocol, cast

import typer

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from desktop_ft.cli import ABOUT, build_app  # noqa: E402
from desktop_ft.core.config import SETTINGS, SettingInfo  # noqa: E402
from desktop_ft.core.config.defaults import RATES, defaults_for  # noqa: E402
from desktop_ft.core.config.objectives import OBJECTIVES  # noqa: E402

CLI_INTRO = f"""\
# The command line

<!-- Made from the code by packaging/docs/make_reference.py; change the code, not this page. -->

{ABOUT} The same runs can be made and followed from both.

- Results go to standard output, messages and progress to standard error.
- `--json` prints JSON and nothing else on standard output; [json.md](json.md) says what.
- Exit status: 0 done; 1 the run or job failed; 2 a mistake in what was asked (a bad file, an unknown setting); 130 interrupted.
- MODEL is a folder, the id of a model in the Hugging Face cache of this computer, or `demo`.
- RUN_DIR is a run's folder, or its name in your runs.
- Settings are those of [settings.md](settings.md): `--set method.rank=8`.

"""
SETTINGS_INTRO = """\
# The settings of a run

<!-- Made from the code by packaging/docs/make_reference.py; change the code, not this page. -->

What `run.yaml` holds. `desktop-ft config new` prints a whole file, `desktop-ft config check` names every problem of one, and
`desktop-ft config schema` prints its JSON Schema. `auto` is decided before the start by what fits the device; the value and the reason are
kept in `resolved.yaml` beside it. The names are those of TRL, PEFT and transformers where the meaning is theirs.

"""
DEFAULTS_INTRO = """\
## Defaults by method and objective

`desktop-ft config new`, the window and the presets begin with these; a run.yaml that leaves a setting out gets the default of the tables
above. DoRA is on with LoRA, except where answers are sampled while training (grpo, rloo, ppo, rlhf), and off with QLoRA. Alpha is twice
the rank.
"""
SECTIONS: Mapping[str, str] = {
    "": "The run",
    "model": "model: which model to change",
    "data": "data: what to learn from",
    "method": "method: how much of the model to change",
    "objective": "objective: what signal to change it with",
    "training": "training: how to train",
    "evaluation": "evaluation: how to watch it",
    "output": "output: what to keep",
}


class Parameter(Protocol):
    """An option or argument of a command."""

    name: str
    param_type_name: str
    opts: list[str]
    help: str | None
    required: bool
    default: object
    metavar: str | None
    is_flag: bool
    multiple: bool
    nargs: int


class Command(Protocol):
    """A command, or a group that has ``commands``."""

    help: str | None
    params: list[Parameter]


def commands_of(command: Command, path: str) -> Iterator[tuple[str, Command]]:
    """Every command below, by the words that call it."""
    children = cast("Mapping[str, Command] | None", getattr(command, "commands", None))
    if children is None:
        yield path, command
        return
    for name, child in children.items():
        yield from commands_of(child, f"{path} {name}")


def cli_page() -> str:
    """The content of docs/cli.md."""
    top = cast("Command", typer.main.get_command(build_app()))
    return CLI_INTRO + "\n".join(_command_text(path, command) for path, command in commands_of(top, "desktop-ft"))


def _command_text(path: str, command: Command) -> str:
    parameters = [item for item in command.params if item.name != "help"]
    arguments = [item for item in parameters if item.param_type_name == "argument"]
    options = [item for item in parameters if item.param_type_name == "option"]
    usage = " ".join([path, *map(_argument_name, arguments), *(["[OPTIONS]"] if options else [])])
    rows = [f"| `{_argument_name(item)}` | {_cell(item.help)} |" for item in arguments]
    rows += [f"| `{_option_name(item)}` | {_cell(item.help)}{_default(item)} |" for item in options]
    table = ["| | |", "| --- | --- |", *rows, ""] if rows else []
    return "\n".join([f"## {path}", "", f"    {usage}", "", *_paragraphs(command.help), "", *table])


def _paragraphs(text: str | None) -> list[str]:
    return [line.strip() for line in (text or "").strip().splitlines()]


def _argument_name(item: Parameter) -> str:
    name = item.metavar or item.name.upper()
    return name if item.required else f"[{name}]"


def _option_name(item: Parameter) -> str:
    if item.is_flag:
        return item.opts[0]
    return f"{item.opts[0]} {item.metavar or item.name.upper().rpartition('.')[2]}"


def _default(item: Parameter) -> str:
    if item.is_flag or item.required or item.default is None or item.default == [] or item.multiple:
        return " Required." if item.required else ""
    return f" Default: `{item.default}`."


def _cell(text: str | None) -> str:
    return " ".join((text or "").split()).replace("|", "\\|")


def settings_page() -> str:
    """The content of docs/settings.md."""
    parts: list[str] = []
    for section, title in SECTIONS.items():
        infos = [info for path, info in SETTINGS.items() if (path.partition(".")[0] if "." in path else "") == section]
        parts += [f"## {title}", "", "| setting | default | what it does |", "| --- | --- | --- |", *map(_setting_row, infos), ""]
    return SETTINGS_INTRO + "\n".join([*parts, *_dependent_defaults()])


def _dependent_defaults() -> Iterator[str]:
    """The table of defaults that depend on method and objective."""
    yield DEFAULTS_INTRO
    yield "| objective | learning rate, LoRA and QLoRA | full | rank | global batch | warm-up | source of the rates |"
    yield "| --- | --- | --- | --- | --- | --- | --- |"
    for objective in OBJECTIVES:
        rates, values = RATES[objective], defaults_for("lora", objective)
        rank, batch, warmup = (values[path] for path in ("method.rank", "training.global_batch_size", "training.warmup_steps"))
        yield f"| {objective} | {rates.adapter:g} | {rates.full:g} | {rank} | {batch} | {warmup} | {_cell(rates.source)} |"
    yield ""


def _setting_row(info: SettingInfo) -> str:
    default = "required" if info.required else f"`{json.dumps(_plain(info.default), ensure_ascii=False)}`"
    notes = [info.description, _allowed(info), f"Source: {info.source.rstrip('.')}." if info.source else ""]
    return f"| `{info.path}` | {default} | {_cell(' '.join(filter(None, notes)))} |"


def _plain(value: object) -> object:
    return list(cast("tuple[object, ...]", value)) if isinstance(value, tuple) else value


def _allowed(info: SettingInfo) -> str:
    words = {"gt": "above", "ge": "at least", "lt": "below", "le": "at most"}
    limits = " and ".join(f"{words[name]} {value:,.10g}" for name, value in info.bounds.items())
    parts = [" or ".join(f"`{choice}`" for choice in info.choices), f"{limits} {info.unit}".strip() if limits else info.unit]
    return f"({'; '.join(filter(None, parts))})" if any(parts) else ""


PAGES = {"cli.md": cli_page, "settings.md": settings_page}


def outdated() -> list[str]:
    """Names of the pages that are not what the code says."""
    pages = ((ROOT / "docs" / name, make()) for name, make in PAGES.items())
    return [path.name for path, text in pages if not path.is_file() or path.read_text(encoding="utf-8") != text]


def main(arguments: list[str]) -> int:
    """Write both pages, or with ``--check`` say which are old."""
    if arguments == ["--check"]:
        for name in outdated():
            print(f"docs/{name} is not what the code says; run: python packaging/docs/make_reference.py")
        return 1 if outdated() else 0
    for name, make in PAGES.items():
        (ROOT / "docs" / name).write_text(make(), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
