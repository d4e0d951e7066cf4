"""The real engine on a device whose memory is full: four examples at once fit for one step, two for ever.

Run by the launcher with ``DESKTOP_FT_ENGINE=tests.fakes.full_memory_engine``.
"""

from __future__ import annotations

import sys
from typing import cast

from desktop_ft.engine.__main__ import main

FULL = "CUDA out of memory. Tried to allocate 2.50 GiB. GPU 0 has a total capacity of 23.64 GiB of which 1.05 GiB is free."


def fill_memory() -> None:
    """Let the second step fail where more than two examples are read at once."""
    import torch

    from desktop_ft.engine.objectives.sft import SftTraining

    plain = SftTraining.compute_loss

    def compute(self: SftTraining, *args: object, **kwargs: object) -> torch.Tensor:
        if self.micro_batch_size > 2 and self.state.global_step >= 1:
            raise torch.OutOfMemoryError(FULL)
        return cast("torch.Tensor", plain(self, *args, **kwargs))  # pyright: ignore[reportArgumentType]

    SftTraining.compute_loss = compute  # pyright: ignore[reportAttributeAccessIssue]


if __name__ == "__main__":
    fill_memory()
    sys.exit(main(sys.argv[1:]))
