"""Rows with several answers to one prompt, each with a score or a rank: the columns by role to a ranking. Errors name the row."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Final, cast

from desktop_ft.core.data.conversion import Columns, is_chat
from desktop_ft.core.data.conversion_judged import Turns, preference_example, prompt_of
from desktop_ft.core.data.read import malformed_row
from desktop_ft.core.data.records import Example, Message, Preference, Ranked
from desktop_ft.core.data.turns import as_turns, require_answer, to_messages, to_text

_WORDS: Final = ("response", "text", "completion", "answer", "output", "content", "generation", "value", "message", "messages")
"""Names under which an answer with a score has its text."""
_SCORES: Final = ("overall_score", "score", "rating", "reward", "preference_score", "quality", "avg_rating", "fine-grained_score")
"""Names of what is better the higher it is; the first that is there counts."""
_RANKS: Final = ("rank", "ranking", "position", "place")
"""Names of what is better the lower it is."""
_ASPECTS: Final = ("Rating", "rating", "Rating For Text", "score")


def ranked_example(columns: Columns, number: int) -> Example:
    """Answers with a score each: inside of them, in a column of their own, or by their order (the best first)."""
    answers = as_turns(columns.get("answers"))
    if answers is None or len(answers) < 2:
        raise malformed_row(number, "answers should be a list of at least two answers.")
    scores = _scores(columns, answers, number)
    return _ranking(prompt_of(columns, number), [_words_of(answer, number) for answer in answers], scores)


def ultrafeedback_example(columns: Columns, number: int) -> Example:
    """UltraFeedback's shape: completions with ratings, or the chosen and the rejected one with a score each."""
    if columns.get("answers") is not None:
        return ranked_example(columns, number)
    pair = preference_example(columns, number)
    assert isinstance(pair, Preference)
    scores = (number_of(columns.get("chosen_score")), number_of(columns.get("rejected_score")))
    if scores[0] is None or scores[1] is None:
        raise malformed_row(number, "the scores of chosen and rejected should be numbers.")
    return Ranked(pair.prompt, (pair.chosen, pair.rejected), (scores[0], scores[1]))


def has_scores(answers: object, scores: object) -> bool:
    """Whether a column holds at least two answers and scores for them, inside of them or beside."""
    items = as_turns(answers)
    if items is None or len(items) < 2 or is_chat(items):
        return False
    beside = as_turns(scores)
    if beside is not None and len(beside) == len(items) and all(number_of(score) is not None for score in beside):
        return True
    return all(isinstance(item, dict) and _score_of(cast("Mapping[str, object]", item)) is not None for item in items)


def number_of(value: object) -> float | None:
    """A score as a number, also out of text; None if it is none."""
    if isinstance(value, bool):
        return None
    try:
        score = float(value) if isinstance(value, int | float | str) else math.nan
    except (ValueError, OverflowError):
        return None
    return score if math.isfinite(score) else None


def _scores(columns: Columns, answers: Sequence[object], number: int) -> list[float]:
    for role, sign in (("scores", 1), ("ranks", -1)):
        beside = as_turns(columns.get(role))
        if columns.get(role) is None:
            continue
        found = [number_of(score) for score in beside or ()]
        if len(found) != len(answers) or any(score is None for score in found):
            raise malformed_row(number, f"{role} should be a list of {len(answers)} numbers, one for each answer.")
        return [sign * score for score in found if score is not None]
    if all(isinstance(answer, dict) and not is_chat([answer]) for answer in answers):
        inside = [_score_of(cast("Mapping[str, object]", answer)) for answer in answers]
        if any(score is None for score in inside):
            raise malformed_row(number, f"answer {inside.index(None) + 1} has no score (score, rating, overall_score or rank).")
        return [score for score in inside if score is not None]
    return [-float(place) for place in range(len(answers))]


def _score_of(answer: Mapping[str, object]) -> float | None:
    for name in _SCORES:
        if (score := number_of(answer.get(name))) is not None:
            return score
    for name in _RANKS:
        if (rank := number_of(answer.get(name))) is not None:
            return -rank
    return _mean_rating(answer.get("annotations"))


def _mean_rating(aspects: object) -> float | None:
    """The mean over aspects (helpfulness, honesty ...), as UltraFeedback's authors average them."""
    if not isinstance(aspects, dict):
        return None
    ratings: list[float] = []
    for aspect in cast("Mapping[str, object]", aspects).values():
        for one in cast("list[object]", aspect) if isinstance(aspect, list) else [aspect]:
            fields = cast("Mapping[str, object]", one) if isinstance(one, dict) else {"rating": one}
            rating = next((found for name in _ASPECTS if (found := number_of(fields.get(name))) is not None), None)
            ratings.extend([] if rating is None else [rating])
    return sum(ratings) / len(ratings) if ratings else None


def _words_of(answer: object, number: int) -> str | Turns:
    """An answer as text or turns."""
    if is_chat(answer):
        return require_answer(to_messages(answer, number, "answers"), number)
    if isinstance(answer, dict):
        fields = cast("Mapping[str, object]", answer)
        inner = next((fields[name] for name in _WORDS if fields.get(name) is not None), None)
        return to_text(inner, number, "the text of an answer") if not is_chat(inner) else _words_of(inner, number)
    return to_text(answer, number, "answers")


def _ranking(prompt: str | Turns, answers: list[str | Turns], scores: list[float]) -> Ranked:
    """All answers of the prompt's kind; turns that repeat the prompt's are cut off."""
    if isinstance(prompt, str) and all(isinstance(answer, str) for answer in answers):
        return Ranked(prompt, tuple(answers), tuple(scores))
    before: Turns = (Message("user", prompt),) if isinstance(prompt, str) else prompt
    return Ranked(before, tuple(_turns_after(before, answer) for answer in answers), tuple(scores))


def _turns_after(before: Turns, answer: str | Turns) -> Turns:
    if isinstance(answer, str):
        return (Message("assistant", answer),)
    return answer[len(before) :] if answer[: len(before)] == before and len(answer) > len(before) else answer
