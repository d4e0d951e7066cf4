"""What a person should know about the data of a run, in sentences. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from desktop_ft.core.data.prepared import Row
from desktop_ft.core.data.records import Judged, Preference, Task, has_turns
from desktop_ft.core.data.signals import Signal
from desktop_ft.core.data.tokenise import TokenisedExample

PAIR_FORMATS: Final = ("preference", "sharegpt_preference", "alpaca_preference", "hh_rlhf", "ultrafeedback", "ranked")
"""Formats whose rows say which of two or more answers is better."""
SCORED_FORMATS: Final = ("ultrafeedback", "ranked")
"""Those whose rows have a score for each answer."""


def source_notes(format_name: str, signal: Signal, num_repeated: int) -> list[str]:
    """What becomes of records that say more than the objective learns.

    Args:
        format_name: Of the training file.
        signal: What the objective learns from.
        num_repeated: Pairs left out because both answers are the same.
    """
    notes: list[str] = []
    if format_name in PAIR_FORMATS:
        if signal == "answers":
            notes.append("These are preference pairs; supervised fine-tuning learns the chosen answers and leaves the rejected ones out.")
        if signal == "judgments":
            notes.append("These are preference pairs; each is learnt as two answers, the chosen one good and the rejected one bad.")
    if format_name == "kto" and signal == "answers":
        notes.append("These answers are marked good or bad; supervised fine-tuning learns the good ones and leaves the bad ones out.")
    if num_repeated:
        why = "both answers are the same" if format_name not in SCORED_FORMATS else "all answers are equally good"
        notes.append(f"{_left_out(num_repeated, 'pair')}: {why}, so there is nothing to prefer.")
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
        be = "it is" if num_long == 1 else "these are"
        notes.append(f"{_left_out(num_long, 'pair')}: a reward model scores whole answers, and {be} longer than the maximum length.")
    if num_masked and isinstance(seen[0].example, Task):
        be = "it is" if num_masked == 1 else "they are"
        notes.append(f"{_left_out(num_masked, 'prompt')}: {be} longer than the maximum length.")
    elif num_masked:
        of = "it" if num_masked == 1 else "them"
        notes.append(f"{_left_out(num_masked, 'example')}: no token of {of} is learnt (the prompt alone fills the maximum length).")
    num_cut = sum(row.is_cut for row in kept)
    if num_cut:
        notes.append(_cut_note(kept, num_cut))
    tokens = [row.tokens for row in kept if row.tokens is not None]
    return [*notes, *_token_notes(tokens, kept, assistant_only_loss)]


def _cut_note(kept: Sequence[Row], num_cut: int) -> str:
    one = num_cut == 1
    match kept[0].example:
        case Preference():
            has = "has" if one else "have"
            what = f"pairs {has} an answer that is, with its prompt, longer than the maximum length; it is cut off at the end"
        case Judged():
            be = "is" if one else "are"
            what = f"answers {be}, with the prompt, longer than the maximum length and {be} cut off at the end"
        case _:
            be = "is" if one else "are"
            what = f"examples {be} longer than the maximum length and {be} cut off at the end"
    return f"{num_cut} of {len(kept)} {what}."


def _left_out(count: int, noun: str) -> str:
    return f"1 {noun} is left out" if count == 1 else f"{count} {noun}s are left out"


def _token_notes(tokens: Sequence[TokenisedExample], kept: Sequence[Row], assistant_only_loss: bool) -> list[str]:
    notes: list[str] = []
    num_without_end = sum(not example.ends_with_eos and not example.truncated for example in tokens)
    if num_without_end:
        notes.append(f"{num_without_end} examples do not teach the model to stop: no end token is learnt at their end.")
    if tokens and assistant_only_loss and not any(has_turns(row.example) for row in kept):
        notes.append("Training on the assistant's turns only does not apply: these examples have no turns.")
    return notes
