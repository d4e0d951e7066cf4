"""Asking for the exact estimate, and what it answers: the run's own trainer without content, in a child (`desktop_ft.engine.dry_run`)."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from desktop_ft.core.config import RunConfig, save_config
from desktop_ft.core.device import DeviceFacts
from desktop_ft.core.events import DryRunDone
from desktop_ft.core.job import DryRunRequest, JobDir, create_job_in
from desktop_ft.core.memory.terms import Verdict

UNCERTAINTY: Final = 0.03
"""Of what is not the context: three in four measured runs with rows of one length lie within."""
HOLES_SHARE: Final = 0.7
"""Of activations and logits, what the allocator reserved beyond tensors in seven runs on an H100 with rows of different lengths and no
checkpointing: 0.4 to 1.2, most of them 0.6 to 0.8. Expandable segments have no such holes."""


def create_dry_run(folder: Path, config: RunConfig, device: DeviceFacts, longest_example: int | None = None) -> JobDir:
    """A job that computes what a run will need, in the next free folder such as ``folder/dry_run-0001``.

    Args:
        folder: Where jobs lie.
        config: The run.
        device: What it would train on; it need not be here.
        longest_example: Tokens of the longest example where the data was read.

    Raises:
        DesktopFtError: ``request_invalid``, ``disk_full`` or ``file_not_writable``.
    """
    request = DryRunRequest(
        device_kind=device.kind,
        device_name=device.name,
        device_bytes=device.total_bytes,
        free_bytes=device.free_bytes,
        supports_bf16=device.supports_bf16,
        longest_example=longest_example or 0,
    )
    job = create_job_in(folder, request)
    save_config(config, job.path / "run.yaml")
    return job


def exact_verdict(done: DryRunDone, free_bytes: int) -> Verdict:
    """Whether a run fits into what is free: surely, by expectation, or not."""
    unsure = UNCERTAINTY * (done.total_bytes - done.terms.get("cuda_context", 0))
    if done.total_bytes + max(round(unsure), done.holes_bytes) <= free_bytes:
        return "fits"
    return "tight" if done.total_bytes <= free_bytes else "does_not_fit"


def exact_json(done: DryRunDone) -> dict[str, object]:
    """As ``desktop-ft estimate --exact --json`` prints it under ``exact``."""
    return {
        "total_bytes": done.total_bytes,
        "allocated_bytes": done.allocated_bytes,
        "reserved_bytes": done.reserved_bytes,
        "paged_bytes": done.paged_bytes,
        "holes_bytes": done.holes_bytes,
        "terms": {name: int(value) for name, value in done.terms.items()},
        "phase": done.phase,
        "seconds": round(done.seconds, 2),
        "num_layers": done.num_layers,
        "num_layers_run": done.num_layers_run,
        "versions": done.versions,
        "modelled": done.modelled,
    }
