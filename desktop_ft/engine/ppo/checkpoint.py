"""What a PPO run needs to go on in the middle of a rollout as if it had never stopped.

The adapters or models lie beside it as `Roles.save` writes them. Random numbers need no state: all follow from the seed and the counts.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Final, cast

import torch

STATE_FILE: Final = "ppo_state.pt"


def save_state(folder: Path, state: Mapping[str, object]) -> None:
    """Write tensors, numbers, lists and dicts of them into a checkpoint's folder."""
    torch.save(dict(state), folder / STATE_FILE)


def load_state(folder: Path) -> dict[str, object]:
    """What `save_state` wrote; on the CPU, and nothing but data: no code is run."""
    return cast("dict[str, object]", torch.load(folder / STATE_FILE, map_location="cpu", weights_only=True))
