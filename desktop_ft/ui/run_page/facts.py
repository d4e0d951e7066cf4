"""What the page needs to know of a run besides its events: the resolved settings and the predicted memory. Read in a thread."""

from __future__ import annotations

from dataclasses import dataclass

from desktop_ft.core.config import RunConfig
from desktop_ft.core.errors import DesktopFtError
from desktop_ft.core.resolve import Resolved, load_resolved
from desktop_ft.core.retry import RetryOffer, retry_offer
from desktop_ft.core.run_prediction import Prediction, predict_run
from desktop_ft.core.runs import RunDir


@dataclass(frozen=True)
class RunFacts:
    """What was found; None where the engine has not written it yet, or where it can't be told."""

    resolved: Resolved | None = None
    prediction: Prediction | None = None
    offer: RetryOffer | None = None


def read_facts(run: RunDir, config: RunConfig | None) -> RunFacts:
    """Read resolved.yaml, compute the estimate for the device that the run was started on, and look for a way out of a full memory.

    Never raises for what is missing.
    """
    resolved = _resolved(run)
    settings = resolved.config if resolved is not None else config
    prediction = None if settings is None else predict_run(run, settings)
    return RunFacts(resolved, prediction, _offer(run) if resolved is not None else None)


def _offer(run: RunDir) -> RetryOffer | None:
    try:
        return retry_offer(run)
    except DesktopFtError:
        return None


def _resolved(run: RunDir) -> Resolved | None:
    try:
        return load_resolved(run.resolved_file)
    except DesktopFtError:
        return None
