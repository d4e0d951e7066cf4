"""What came of the exports, in words: verdict, table of checks, remarks, the command to try it, a report. No widgets."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from PySide6.QtCore import QCoreApplication

from desktop_ft.core.config import RunConfig
from desktop_ft.core.errors import DesktopFtError
from desktop_ft.core.events import Verified, WarningRaised
from desktop_ft.core.job import ExportTarget
from desktop_ft.ui.kit.text import DASH, format_number, format_size


def _tr(text: str) -> str:
    return QCoreApplication.translate("export_dialog", text)


@dataclass(frozen=True)
class Outcome:
    """What came of one export.

    Attributes:
        out: Where it was put; it exists only without an error.
        verified: How it compares with the trained model; None for an adapter, which is the trained files themselves.
        error: Why there is none.
        details: Traceback or console tail that goes with the error.
        is_reward_model: Whether it scores texts and writes none.
    """

    to: ExportTarget
    out: Path
    num_bytes: int = 0
    verified: Verified | None = None
    warnings: tuple[WarningRaised, ...] = ()
    error: DesktopFtError | None = None
    details: str = ""
    is_reward_model: bool = False


@dataclass(frozen=True)
class Check:
    """One cell of the table: ``tone`` is good, warn, bad, or empty where nothing is judged."""

    text: str
    tone: str = ""


def target_name(to: ExportTarget) -> str:
    """As a person calls it."""
    return {"adapter": _tr("Adapter"), "merged": _tr("Merged model")}[to]


# --- the verdict ------------------------------------------------------------------------------------------------------


def verdict_of(outcomes: Sequence[Outcome]) -> tuple[str, str, str]:
    """Tone, title and one sentence."""
    failed = [outcome for outcome in outcomes if outcome.error is not None]
    if failed:
        error = failed[0].error
        assert error is not None
        return "bad", error.title, f"{target_name(failed[0].to)}: {error.message} {error.hint}".strip()
    num_texts = max((outcome.verified.num_prompts for outcome in outcomes if outcome.verified is not None), default=0)
    sentence = _tr("It is a copy of the trained files, with tokenizer and chat template.")
    if num_texts:
        sentence = _tr("The merged model was loaded again and compared with the trained model on {0} texts.").format(
            format_number(num_texts)
        )
    if any(_differs(outcome) for outcome in outcomes):
        return "warn", _tr("The export differs from the trained model"), sentence
    works = _tr("The export works") if len(outcomes) == 1 else _tr("All exports work")
    num_remarks = sum(len(outcome.warnings) for outcome in outcomes)
    remarks = {0: "", 1: _tr("; there is one remark")}.get(num_remarks, _tr("; there are {0} remarks").format(num_remarks))
    return "good", works + remarks, sentence


def _differs(outcome: Outcome) -> bool:
    codes = {warning.code for warning in outcome.warnings}
    found = outcome.verified
    is_incomplete = found is not None and not (found.chat_template_equal and found.stop_token_ok)
    return is_incomplete or "export_differs" in codes


# --- the table --------------------------------------------------------------------------------------------------------


def checks_of(outcome: Outcome) -> dict[str, Check]:
    """Every check of one export by its name, in the order of the table."""
    found = outcome.verified
    template = _yes_no(found and found.chat_template_equal, _tr("identical"), _tr("differs"))
    size = Check(DASH if outcome.error is not None else format_size(outcome.num_bytes))
    if outcome.is_reward_model:
        return {
            _tr("Chat template"): template,
            _tr("Score, largest difference"): _score(outcome, None if found is None else found.max_score_difference),
            _tr("Size"): size,
        }
    return {
        _tr("Chat template"): template,
        _tr("Stops after an answer"): _yes_no(found and found.stop_token_ok, _tr("yes"), _tr("not sure")),
        _tr("Same next token"): _share(outcome),
        _tr("KL divergence, mean"): _divergence(outcome, None if found is None else found.mean_kl),
        _tr("KL divergence, largest"): _divergence(outcome, None if found is None else found.max_kl),
        _tr("Size"): size,
    }


def _yes_no(is_fine: bool | None, yes: str, no: str) -> Check:
    if is_fine is None:
        return Check(DASH)
    return Check(yes, "good") if is_fine else Check(no, "warn")


def _tone(outcome: Outcome) -> str:
    return "warn" if any(warning.code == "export_differs" for warning in outcome.warnings) else "good"


def _share(outcome: Outcome) -> Check:
    found = outcome.verified
    if found is None or found.top1_agreement is None:
        return Check(DASH)
    return Check(_tr("{0} %").format(format_number(100 * found.top1_agreement, 1)), _tone(outcome))


def _divergence(outcome: Outcome, nats: float | None) -> Check:
    if nats is None:
        return Check(DASH)
    words = _tr("below 0.0001 nats") if nats < 0.5e-4 else _tr("{0} nats").format(format_number(nats, 4))
    return Check(words, _tone(outcome))


def _score(outcome: Outcome, difference: float | None) -> Check:
    if difference is None:
        return Check(DASH)
    words = _tr("below 0.0001") if difference < 0.5e-4 else format_number(difference, 4)
    return Check(words, _tone(outcome))


def remarks_of(outcomes: Sequence[Outcome]) -> list[str]:
    """What a person should know, one sentence or two each."""
    return [f"{target_name(outcome.to)}: {warning.message} {warning.hint}".strip() for outcome in outcomes for warning in outcome.warnings]


# --- what to do with it -------------------------------------------------------------------------------------------------


def try_command(outcome: Outcome, config: RunConfig) -> str:
    """A command line that lets the export answer, or score an answer; empty where an adapter's base can't be named in it."""
    if outcome.is_reward_model:
        base = Path(config.model.source).expanduser()
        if outcome.to == "adapter" and base.is_dir():
            return ""
        score = ["desktop-ft", "score", str(outcome.out), "--prompt", _tr("What is the capital of France?")]
        return shlex.join([*score, "--answer", _tr("Paris."), "--answer", _tr("Ask someone else.")])
    words = ["desktop-ft", "generate"]
    words += [config.model.source, "--adapter", str(outcome.out)] if outcome.to == "adapter" else [str(outcome.out)]
    prompt = config.evaluation.sample_prompts[0] if config.evaluation.sample_prompts else _tr("What can you do?")
    return shlex.join([*words, "--prompt", prompt])


def report_of(outcomes: Sequence[Outcome], config: RunConfig) -> str:
    """Everything as Markdown, for keeping beside the export."""
    _, title, sentence = verdict_of(outcomes)
    lines = [f"# {config.name}", "", f"{title}. {sentence}", ""]
    for outcome in outcomes:
        lines += [f"## {target_name(outcome.to)}", "", f"`{outcome.out}`", ""]
        lines += [f"- {name}: {check.text}" for name, check in checks_of(outcome).items()]
        command = try_command(outcome, config)
        lines += ["", f"    {command}", ""] if command else [""]
    lines += [f"- {remark}" for remark in remarks_of(outcomes)]
    return "\n".join(lines).rstrip() + "\n"
