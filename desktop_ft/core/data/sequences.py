"""The token sequences of pairs, marked answers and prompts, equal to what TRL makes of them.

TRL's trainers for these objectives tokenise the records themselves; here the same ids are made to count, to show and to leave out.

Source: trl 1.16, ``DPOTrainer._prepare_dataset``, ``KTOTrainer._prepare_dataset``, ``RewardTrainer._prepare_dataset`` and
``GRPOTrainer._tokenize_prompts``; tests/core/data/test_sequences_equal_trl.py holds them side by side. ORPO puts up to two tokens more.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from desktop_ft.core.data.records import Judged, Message, Preference, PromptCompletion, Task
from desktop_ft.core.data.tokenise import IGNORED, TokenisedExample, finished, template_of, tokenise

if TYPE_CHECKING:
    from desktop_ft.core.data.tokenizer import ModelTokenizer

Prompted = Preference | Judged | Task
"""What is a prompt with two answers, one or none."""


@dataclass(frozen=True)
class Sequences:
    """What the model sees of one record, uncut.

    Attributes:
        prompt_ids: Token ids of the prompt; with answers, as far as all of them begin with it, [P].
        answers: Prompt and answer as one sequence, the prompt's tokens not learnt; a pair has two, a task none.
    """

    prompt_ids: tuple[int, ...]
    answers: tuple[TokenisedExample, ...]

    @property
    def longest(self) -> int:
        """Tokens of the longest sequence."""
        return max((len(answer.input_ids) for answer in self.answers), default=len(self.prompt_ids))


def sequences_of(record: Prompted, tokenizer: ModelTokenizer) -> Sequences:
    """The sequences of a record.

    Raises:
        DesktopFtError: ``chat_template_missing``, ``eos_token_missing``, or what the template raises.
    """
    match record:
        case Preference(prompt, chosen, rejected):
            return _with_answers(prompt, (chosen, rejected), tokenizer)
        case Judged(prompt, completion, _):
            return _with_answers(prompt, (completion,), tokenizer)
        case Task(str() as prompt, _):
            return Sequences(tuple(tokenizer.encode(prompt, add_special_tokens=True).ids), ())
        case Task(tuple() as prompt, _):
            text = template_of(tokenizer).render(prompt, add_generation_prompt=True)
            return Sequences(tuple(tokenizer.encode(text, add_special_tokens=False).ids), ())
        case _:
            raise AssertionError(record)


def cut_answers(found: Sequences, tokenizer: ModelTokenizer, max_length: int | None) -> tuple[TokenisedExample, ...]:
    """The answers as the trainer sees them: cut at the end, and learnt from where the first of them leaves the prompt."""
    num_prompt = len(found.prompt_ids)
    return tuple(
        finished(answer.input_ids, [index >= num_prompt for index in range(len(answer.input_ids))], tokenizer, max_length)
        for answer in found.answers
    )


def _with_answers(
    prompt: str | tuple[Message, ...], answers: tuple[str | tuple[Message, ...], ...], tokenizer: ModelTokenizer
) -> Sequences:
    whole = tuple(tokenise(PromptCompletion(prompt, answer), tokenizer, max_length=None, assistant_only_loss=False) for answer in answers)
    num_prompt = min(_num_ignored(sequence) for sequence in whole)
    return Sequences(whole[0].input_ids[:num_prompt], whole)


def _num_ignored(sequence: TokenisedExample) -> int:
    """Tokens before the first one that is learnt."""
    return next((index for index, label in enumerate(sequence.labels) if label != IGNORED), len(sequence.labels))
