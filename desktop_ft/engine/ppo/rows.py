"""Prompts with the answers that were sampled to them, as rows of token ids."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

IGNORED = -100
"""As a label: nothing is computed for this token."""


@dataclass(frozen=True)
class Rows:
    """Token ids, filled up at the end, so that a causal model needs no attention mask.

    Place t of what belongs to tokens, [B, T - 1], is about choosing token t + 1.

    Attributes:
        ids: Prompt, answer, padding; int64, [B, T].
        prompt_lengths: Tokens of each prompt, [B].
        lengths: Tokens of each prompt with its answer, [B].
    """

    ids: Tensor
    prompt_lengths: Tensor
    lengths: Tensor

    def __len__(self) -> int:
        return self.ids.shape[0]

    @property
    def mask(self) -> Tensor:
        """Where a token of the answer was chosen, bool, [B, T - 1]."""
        places = torch.arange(1, self.ids.shape[1], device=self.ids.device)
        return (places >= self.prompt_lengths.unsqueeze(-1)) & (places < self.lengths.unsqueeze(-1))

    @property
    def labels(self) -> Tensor:
        """The answers' ids in place, all others `IGNORED`, [B, T]."""
        labels = torch.full_like(self.ids, IGNORED)
        labels[:, 1:] = torch.where(self.mask, self.ids[:, 1:], IGNORED)
        return labels

    @property
    def answer_lengths(self) -> Tensor:
        """Tokens of each answer, [B]."""
        return self.lengths - self.prompt_lengths

    @property
    def num_tokens(self) -> int:
        """Tokens that are not padding."""
        return int(self.lengths.sum())

    def select(self, chosen: Tensor) -> Rows:
        """Some of the rows, cut to the longest of them.

        Args:
            chosen: Numbers of rows, [B].
        """
        lengths = self.lengths[chosen]
        return Rows(self.ids[chosen, : int(lengths.max())], self.prompt_lengths[chosen], lengths)


def make_rows(prompts: Sequence[Sequence[int]], answers: Sequence[Sequence[int]], pad: int, device: torch.device) -> Rows:
    """Rows of the longest one's width.

    Args:
        prompts: Token ids of each prompt.
        answers: Token ids of each answer.
        pad: What fills up; never read.
        device: Where the rows go.
    """
    whole = [[*prompt, *answer] for prompt, answer in zip(prompts, answers, strict=True)]
    width = max(len(ids) for ids in whole)
    return Rows(
        torch.tensor([[*ids, *[pad] * (width - len(ids))] for ids in whole], device=device),
        torch.tensor([len(ids) for ids in prompts], device=device),
        torch.tensor([len(ids) for ids in whole], device=device),
    )


def widen(values: Tensor, width: int) -> Tensor:
    """Per-token values of rows that were cut, with zeros up to a width, [B, width]."""
    return torch.nn.functional.pad(values, (0, width - values.shape[1]))
