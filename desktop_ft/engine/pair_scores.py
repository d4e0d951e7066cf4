"""What a reward model in training thinks of a few held-out pairs, in the place of samples: it answers nothing, so nothing is generated."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, cast

from desktop_ft.core.data.records import Example, Message, Preference
from desktop_ft.core.eventlog import EventWriter
from desktop_ft.core.events import PhaseChanged, SampleDone, WarningRaised
from desktop_ft.engine.randomness import undisturbed
from desktop_ft.engine.reward_model import answer_ids, pad_id, scores_of
from desktop_ft.engine.sampling import Sampling, evaluating

NUM_PAIRS: Final = 4


class PairScores(Sampling):
    """Scores the first held-out pairs at every evaluation: two `SampleDone` a pair, the chosen answer first, each with its reward.

    Args:
        pairs: Held-out pairs; without any, nothing is shown.
        max_length: Pairs longer than this are not shown, for the trainer leaves them out as well.
        every: Steps between evaluations.
        events: Where scores are told.
        as_chat: Whether the pairs are chats.
        has_prompts: Whether the run names sample prompts, which a reward model cannot answer.
    """

    def __init__(
        self, pairs: Sequence[Example], max_length: int, every: int, events: EventWriter, *, as_chat: bool, has_prompts: bool
    ) -> None:
        super().__init__((), 1, every, events, as_chat=as_chat)
        self._pairs = tuple(cast("Preference", pair) for pair in pairs)
        self._max_length = max_length
        if has_prompts:
            events.write(
                WarningRaised(
                    code="reward_no_samples",
                    title="A reward model answers nothing",
                    message="The sample prompts are not used; the scores of a few held-out pairs are shown instead.",
                    hint="Leave evaluation.sample_prompts empty.",
                )
            )

    def sample(self, step: int) -> bool:
        """Score the pairs now; False where none is held out."""
        model, tokenizer = self._model, self._tokenizer
        assert model is not None
        assert tokenizer is not None
        shown: list[tuple[str, str, list[int]]] = []
        for pair in self._pairs:
            both = [answer_ids(tokenizer, pair.prompt, answer, as_chat=self._as_chat) for answer in (pair.chosen, pair.rejected)]
            if max(len(ids) for ids in both) <= self._max_length and len(shown) < 2 * NUM_PAIRS:
                texts = (said(pair.chosen), said(pair.rejected))
                shown += [(said(pair.prompt), text, ids) for text, ids in zip(texts, both, strict=True)]
        if not shown:
            return False
        self._events.write(PhaseChanged(phase="generate", detail=f"Scoring {len(shown) // 2} held-out pairs"))
        with undisturbed(), evaluating(model):
            for index, (prompt, text, ids) in enumerate(shown):
                reward = float(scores_of(model, [ids], pad_id(tokenizer))[0])
                self._events.write(SampleDone(step=step, index=index, prompt=prompt, text=text, reward=reward))
        return True


def said(part: str | tuple[Message, ...]) -> str:
    """Text to show: of turns, what the last one says, with the others before it."""
    return part if isinstance(part, str) else "\n".join(message.content for message in part)
