"""Split examples into a training and an evaluation side by what they say, so that adding rows moves none of the others."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

from desktop_ft.core.errors import DesktopFtError


@dataclass(frozen=True)
class Split:
    """Indices into the examples, ascending; together they are all of them.

    Attributes:
        train: The examples to learn from.
        eval: The examples held out.
    """

    train: list[int]
    eval: list[int]


def split_indices(fingerprints: Sequence[str], fraction: float, seed: int) -> Split:
    """Hold out about ``fraction`` of the examples.

    An example is held out if the hash of seed and content falls below ``fraction``: equal examples always land on one side, and an
    example keeps its side when others are added. The held-out share varies around ``fraction`` as coin tosses do. Where chance would
    leave a side empty, the nearest content is moved there, as long as there are two different examples; with one, nothing is held out.

    Args:
        fingerprints: One per example, as `fingerprint.example_fingerprint` gives.
        fraction: Wanted share of held-out examples, 0 <= fraction < 1.
        seed: Another seed, another split.

    Raises:
        DesktopFtError: ``split_fraction_invalid``.
    """
    if not 0 <= fraction < 1:
        raise DesktopFtError(
            "split_fraction_invalid",
            "The share of held-out examples is out of bounds",
            f"The split's fraction is {fraction}; it must be at least 0 and below 1.",
            "Write 0.05 to hold out one example in twenty, or 0 for none.",
        )
    scores = {fingerprint: _score(fingerprint, seed) for fingerprint in set(fingerprints)}
    held_out = {fingerprint for fingerprint, score in scores.items() if score < fraction}
    if fraction > 0:
        held_out = _both_sides(scores, held_out) if len(scores) >= 2 else set()
    train = [index for index, fingerprint in enumerate(fingerprints) if fingerprint not in held_out]
    evaluation = [index for index, fingerprint in enumerate(fingerprints) if fingerprint in held_out]
    return Split(train, evaluation)


def _both_sides(scores: dict[str, float], held_out: set[str]) -> set[str]:
    ordered = sorted(scores, key=lambda fingerprint: (scores[fingerprint], fingerprint))
    if not held_out:
        return {ordered[0]}
    if len(held_out) == len(ordered):
        return held_out - {ordered[-1]}
    return held_out


def _score(fingerprint: str, seed: int) -> float:
    """Uniform in [0, 1), from seed and content alone."""
    digest = hashlib.sha256(f"{seed}:{fingerprint}".encode()).digest()
    return int.from_bytes(digest[:7], "big") / 2**56
