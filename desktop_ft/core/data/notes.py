"""What a person should know about the data of a run, in sentences. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from desktop_ft.core.data.prepared import Row
from desktop_ft.core.data.records import Judged, Preference, Task, has_turns
from desktop_ft.core.data.signals import Signal
from desktop_ft.core.data.tokenise import TokenisedExample


def source_notes(format_name: str, signal: Signal, num_repeated: int) -> list[str]:
    """What becomes of records that say more than the objective learns.

    Args:
        format_name: Of the training file.
        signal: What the objective learns from.
        num_repeated: Pairs left out because both answers are the same.
    """
    notes: list[str] = []
    if format_name in ("preference", "sharegpt_preference"):
        if signal == "answers":
            notes.append("These are preference pairs; supervised fine-tuning learns the chosen answers and leaves the rejected ones out.")
        if signal == "judgments":
            notes.append("These are preference pairs; each is learnt as two answers, the chosen one good and the rejected one bad.")
    if format_name == "kto" and signal == "answers":
        notes.append("These answers are marked good or bad; supervised fine-tuning learns the good ones and leaves the bad ones out.")
    if num_repeated:
        notes.append(f"{num_repeated} pairs are left out: both answers are the same, so there is nothing to prefer.")
    return notes


def row_notes(seen: Sequence[Row], *, num_long: int, assistant_only_loss: bool) -> list[str]:
    """What is cut off and what is left out for its length.

    Args:
        seen: The rows that are kept, of both sides.
        num_long: Pairs left out because they are longer than the maximum length.
        assistant_only_loss: As stated.
    """
    kept = [row for row in seen if row.is_learnt]
    num_masked = len(seen) - len(kept)
    notes: list[str] = []
    if num_long:
        notes.append(f"{num_long} pairs are left out: a reward model scores whole answers, and these are longer than the maximum length.")
    if num_masked and isinstance(seen[0].example, Task):
        notes.append(f"{num_masked} prompts are left out: they are longer than the maximum length.")
    elif num_masked:
        notes.append(f"{num_masked} examples are left out: no token of them is learnt (the prompt alone fills the maximum length).")
    num_cut = sum(row.is_cut for row in kept)
    if num_cut:
        notes.append(_cut_note(kept, num_cut))
    tokens = [row.tokens for row in kept if row.tokens is not None]
    return [*notes, *_token_notes(tokens, kept, assistant_only_loss)]


def _cut_note(kept: Sequence[Row], num_cut: int) -> str:
    match kept[0].example:
        case Preference():
            what = "pairs have an answer that is, with its prompt, longer than the maximum length; it is cut off at the end"
        case Judged():
            what = "answers are, with their prompt, longer than the maximum length and are cut off at the end"
        case _:
            what = "examples are longer than the maximum length and are cut off at the end"
    return f"{num_cut} of {len(kept)} {what}."


def _token_notes(tokens: Sequence[TokenisedExample], kept: Sequence[Row], assistant_only_loss: bool) -> list[str]:
    notes: list[str] = []
    num_without_end = sum(not example.ends_with_eos and not example.truncated for example in tokens)
    if num_without_end:
        notes.append(f"{num_without_end} examples do not teach the model to stop: no end token is learnt at their end.")
    if tokens and assistant_only_loss and not any(has_turns(row.example) for row in kept):
        notes.append("Training on the assistant's turns only does not apply: these examples have no turns.")
    return notes
