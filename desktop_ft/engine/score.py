"""Let a reward model score answers: the job behind the page where one types answers and sees scores."""

from __future__ import annotations

from typing import TYPE_CHECKING

from desktop_ft.core.device import DeviceFacts
from desktop_ft.core.events import SampleDone
from desktop_ft.core.job import ScoreRequest
from desktop_ft.core.reward_model import find_reward_model
from desktop_ft.engine.device import DTYPES
from desktop_ft.engine.reward_model import load_reward_model

if TYPE_CHECKING:
    from desktop_ft.engine.jobs import JobWork


def score(request: ScoreRequest, work: JobWork, device: DeviceFacts) -> None:
    """Score every answer, each alone, so that its score does not depend on the others; one ``sample`` event an answer.

    Raises:
        DesktopFtError: As `load_reward_model`.
        StopRequested: Where the person asked for it; scores so far are told.
    """
    work.enter("load", "Loading the reward model")
    source = find_reward_model(request.source)
    model = load_reward_model(source, device, None if request.dtype == "auto" else DTYPES[request.dtype])
    num_answers = len(request.answers)
    work.enter("evaluate", f"Scoring {num_answers} answer{'' if num_answers == 1 else 's'}")
    for index, answer in enumerate(request.answers):
        work.progress(index, num_answers)
        reward = float(model.score([request.prompt], [answer])[0])
        work.emit(SampleDone(step=0, index=index, prompt=request.prompt, text=answer, reward=reward))
    work.progress(num_answers, num_answers)
