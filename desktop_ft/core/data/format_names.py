"""The names of the data formats. Imports nothing, so that the settings can name them without the readers."""

from __future__ import annotations

from typing import Literal

FormatName = Literal[
    "messages",
    "sharegpt",
    "alpaca",
    "prompt_completion",
    "qa",
    "text",
    "preference",
    "hh_rlhf",
    "ultrafeedback",
    "sharegpt_preference",
    "alpaca_preference",
    "ranked",
    "kto",
    "prompts",
    "rl",
]
