"""Regular expressions that a person wrote, on text that a model wrote. `regex` is imported here and nowhere else.

Some patterns try exponentially many ways on some texts, and Python's own `re` cannot be stopped in such a search. `regex` understands the
same patterns, takes a time limit, and gets through many of these searches quickly. The limit counts processor time, so that a busy machine
does not change a score; an ordinary search takes a thousandth of it.
"""

from __future__ import annotations

from typing import Final, Protocol, cast

SECONDS_PER_SEARCH: Final = 0.5


class _Match(Protocol):
    def group(self, number: int = 0, /) -> str | None: ...


class _Compiled(Protocol):
    groups: int

    def search(self, text: str, *, timeout: float) -> _Match | None: ...


class Pattern:
    """A compiled pattern.

    Args:
        text: The pattern, in the syntax of Python's `re`; flags stand in it, such as ``(?si)``.

    Raises:
        ValueError: What is wrong with the pattern, in words.
    """

    def __init__(self, text: str) -> None:
        import regex

        try:
            self._compiled = cast("_Compiled", regex.compile(text))
        except (regex.error, OverflowError, RecursionError) as error:
            raise ValueError(str(error)) from error

    @property
    def num_groups(self) -> int:
        """Groups that a match remembers."""
        return self._compiled.groups

    def is_in(self, text: str) -> bool:
        """Whether it is found anywhere.

        Raises:
            TimeoutError: The search took longer than `SECONDS_PER_SEARCH`.
        """
        return self._compiled.search(text, timeout=SECONDS_PER_SEARCH) is not None

    def first_group(self, text: str) -> str | None:
        """What the first group holds where the pattern is found first; None where it is not found, or the group took no part.

        Raises:
            TimeoutError: The search took longer than `SECONDS_PER_SEARCH`.
        """
        match = self._compiled.search(text, timeout=SECONDS_PER_SEARCH)
        return None if match is None else match.group(1)
