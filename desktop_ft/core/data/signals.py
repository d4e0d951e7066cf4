"""What each objective learns from, whatever the file's format: the kind of example that its trainer takes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Literal

from desktop_ft.core.config.objectives import ObjectiveName

Signal = Literal["answers", "text", "pairs", "judgments", "prompts"]
"""``answers``: conversations, prompt and completion, or text. ``text``: plain text. ``pairs``: `Preference`. ``judgments``: `Judged`.
``prompts``: `Task`."""

SIGNALS: Final[Mapping[ObjectiveName, Signal]] = {
    "sft": "answers",
    "pretrain": "text",
    "dpo": "pairs",
    "orpo": "pairs",
    "reward": "pairs",
    "rlhf": "pairs",
    "kto": "judgments",
    "grpo": "prompts",
    "rloo": "prompts",
    "ppo": "prompts",
}
