"""The draft of a run that goes on from another one. Reads the base model to check that it is unchanged, so call it in a thread."""

from __future__ import annotations

from desktop_ft.core.config import Draft
from desktop_ft.core.config.defaults import defaults_for, method_of
from desktop_ft.core.config.objectives import ObjectiveName
from desktop_ft.core.continuing import continue_from
from desktop_ft.core.runs import RunDir


def continued_draft(run: RunDir, objective: ObjectiveName) -> Draft:
    """What `continue_from` settles, and the defaults of the new objective for the rest.

    Raises:
        DesktopFtError: As `continue_from`.
    """
    settled = continue_from(run, objective)
    draft = Draft().with_values(settled)
    defaults = defaults_for(method_of(draft), objective)
    return draft.with_values({path: value for path, value in defaults.items() if path not in settled})
