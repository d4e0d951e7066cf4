"""Defaults that depend on another setting, so that they cannot stand in a field's declaration."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

DEFAULT_RATES: Final[Mapping[str, float]] = {"lora": 2e-4, "qlora": 2e-4, "full": 1e-5}
"""Learning rate by method: Dettmers et al. 2023, arXiv 2305.14314; full fine-tuning is usually run at 1e-5 to 2e-5."""
