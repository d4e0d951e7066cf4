"""Rows that nearly repeat another: candidates by MinHash and banding, each verified by exact Jaccard similarity of word shingles.

numpy is imported where it is needed, so that whoever looks for nothing of this kind does not wait for it.
Source: Broder 1997, "On the resemblance and containment of documents"; Leskovec, Rajaraman and Ullman, "Mining of Massive Datasets", 3.4.
"""

from __future__ import annotations

import re
import unicodedata
import zlib
from collections import Counter, OrderedDict
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Final

from desktop_ft.core.data.records import Conversation, Example, Judged, PlainText, Preference, PromptCompletion, Ranked, Task

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Signatures = NDArray[np.uint32]

Advance = Callable[[int], None]
Numbered = Sequence[tuple[int, Example]]

_TOKEN: Final = re.compile(r"[\u0e00-\u0e7f\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]|[^\W_]+|[+*/=<>^%&|~-]")
"""Words; in scripts without spaces characters; signs that change what is said."""
_MOST_TOKENS: Final = 20_000
_NUM_BANDS: Final = 24
_ROWS_A_BAND: Final = 5
"""Two rows of similarity 0.7 meet in a band with probability 0.99, of 0.5 with 0.53, of 0.3 with 0.06."""
_NUM_HASHES: Final = _NUM_BANDS * _ROWS_A_BAND
SIMILAR: Final = 0.7
"""Jaccard similarity of word shingles from which on two rows nearly repeat each other."""
_SIMILAR_PART: Final = 0.5
"""Prompts and answers, each on its own, share at least this part of their words."""
_FEWEST_TOKENS: Final = 8
"""Below it one other word is another sentence: only the same words count as a repetition."""
_LONG: Final = 60
"""From here on shingles have three words, below it two."""
_MOST_CANDIDATES: Final = 16
_AGREEING: Final = 0.45
"""Share of equal hashes from which on a candidate is verified."""
_CACHED_ROWS: Final = 4096
_SEED: Final = 20_261


def near_duplicates(examples: Numbered, signed: Sequence[bytes] | None = None, advance: Advance | None = None) -> list[int]:
    """Indices of the rows that nearly repeat an earlier one that stays; rows that repeat one word for word are not among them.

    Args:
        examples: Distinct rows, in file order.
        signed: The `signatures` of the rows, where they are known.
        advance: Called with the number of rows done, now and then.
    """
    found = _Index(examples, signed, advance)
    return [index for place, (index, _) in enumerate(examples) if not found.add_unless_near(place)]


def near_any(examples: Numbered, others: Numbered, signed: Sequence[bytes] | None = None) -> list[int]:
    """Indices of the rows that equal or nearly repeat one of the others; ``signed`` as in `near_duplicates`."""
    index = _Index(others)
    for place in range(len(others)):
        index.add(place)
    probe = _Index(examples, signed)
    return [
        number for place, (number, _) in enumerate(examples) if index.is_near(probe.signatures[place], lambda at=place: probe.words(at))
    ]


def signatures(examples: Numbered) -> list[bytes]:
    """The MinHash signature of each row: equal hashes of two rows estimate how much they share."""
    signer = _Signer()
    return [signer.sign(example).tobytes() for _, example in examples]


class _Words:
    """The words of a row by part, and what tells rows apart that differ in little."""

    def __init__(self, example: Example) -> None:
        self.parts = tuple(_tokens(part) for part in _parts(example))
        self.mark = example.is_good if isinstance(example, Judged) else None
        self.tokens = [token for part in self.parts for token in part]
        self.counts = Counter(self.tokens)
        self._shingles: dict[int, frozenset[tuple[str, ...]]] = {}

    def shingles(self, width: int) -> frozenset[tuple[str, ...]]:
        """Runs of words."""
        if width not in self._shingles:
            self._shingles[width] = frozenset(zip(*(self.tokens[shift:] for shift in range(width)), strict=False))
        return self._shingles[width]


class _Index:
    """Signatures of rows in bands, and the rows that were added so far."""

    def __init__(self, examples: Numbered, signed: Sequence[bytes] | None = None, advance: Advance | None = None) -> None:
        import numpy as np

        self._examples = examples
        self._advance = advance
        self._cache: OrderedDict[int, _Words] = OrderedDict()
        self._buckets: list[dict[bytes, list[int]]] = [{} for _ in range(_NUM_BANDS)]
        self.signatures: Signatures = (
            np.frombuffer(b"".join(signed), np.uint32).reshape(-1, _NUM_HASHES) if signed is not None else _signatures(examples)
        )

    def words(self, place: int) -> _Words:
        """The words of the row at a place; a few thousand stay in memory."""
        known = self._cache.get(place)
        if known is None:
            known = self._cache[place] = _Words(self._examples[place][1])
            if len(self._cache) > _CACHED_ROWS:
                self._cache.popitem(last=False)
        else:
            self._cache.move_to_end(place)
        return known

    def add_unless_near(self, place: int) -> bool:
        """Add a row unless it is near one that was added; whether it was."""
        if self._advance is not None and place % 256 == 255:
            self._advance(place + 1)
        if self.is_near(self.signatures[place], lambda: self.words(place)):
            return False
        self.add(place)
        return True

    def add(self, place: int) -> None:
        """Make a row one that later ones are compared with."""
        for band, key in enumerate(self._keys(self.signatures[place])):
            self._buckets[band].setdefault(key, []).append(place)

    def is_near(self, signature: Signatures, words: Callable[[], _Words]) -> bool:
        """Whether a row with this signature and these words is near one that was added."""
        met: Counter[int] = Counter()
        for band, key in enumerate(self._keys(signature)):
            met.update(self._buckets[band].get(key, ())[:_BUCKET])
        if not met:
            return False
        candidates = [candidate for candidate, _ in met.most_common(4 * _MOST_CANDIDATES)]
        agreeing = (self.signatures[candidates] == signature).mean(axis=1)
        ranked = sorted(zip(agreeing.tolist(), candidates, strict=True), key=lambda pair: (-pair[0], pair[1]))
        return any(are_near(words(), self.words(other)) for share, other in ranked[:_MOST_CANDIDATES] if share >= _AGREEING)

    def _keys(self, signature: Signatures) -> list[bytes]:
        data, width = signature.tobytes(), 4 * _ROWS_A_BAND
        return [data[at : at + width] for at in range(0, len(data), width)]


_BUCKET: Final = 64
"""Rows of one bucket that are looked at: in templated data thousands meet in one."""


def are_near(one: _Words, other: _Words) -> bool:
    """Whether two rows say nearly the same: the same words, or similar enough in the whole and in each part.

    Rows that differ in a number, or in a word that each of them repeats (the subject of a template), say different things.
    """
    if len(one.parts) != len(other.parts) or one.mark != other.mark:
        return False
    if one.parts == other.parts:
        return True
    if min(len(one.tokens), len(other.tokens)) < _FEWEST_TOKENS:
        return False
    width = 3 if min(len(one.tokens), len(other.tokens)) >= _LONG else 2
    if jaccard(one.shingles(width), other.shingles(width)) < SIMILAR:
        return False
    parts = zip(one.parts, other.parts, strict=True)
    if any(jaccard(frozenset(mine), frozenset(theirs)) < _SIMILAR_PART for mine, theirs in parts if mine or theirs):
        return False
    return not _differ_in_substance(one.counts, other.counts)


def jaccard(one: frozenset[object], other: frozenset[object]) -> float:
    """Shared among all; 1 for two empty sets."""
    union = len(one | other)
    return len(one & other) / union if union else 1.0


def _differ_in_substance(one: Counter[str], other: Counter[str]) -> bool:
    mine, theirs = one - other, other - one
    if any(token[0].isdigit() for token in (*mine, *theirs)):
        return True
    return any(one[token] >= 2 and token not in other for token in mine) and any(other[token] >= 2 and token not in one for token in theirs)


def _parts(example: Example) -> tuple[str, ...]:
    match example:
        case PlainText(text):
            return ("", text)
        case Conversation(messages):
            return (
                "\n".join(message.content for message in messages if message.role != "assistant"),
                "\n".join(message.content for message in messages if message.role == "assistant"),
            )
        case PromptCompletion(prompt, completion) | Judged(prompt, completion, _):
            return _text(prompt), _text(completion)
        case Preference(prompt, chosen, rejected):
            return _text(prompt), _text(chosen), _text(rejected)
        case Task(prompt, answer):
            return _text(prompt), answer or ""
        case Ranked() as ranked:
            return _text(ranked.prompt), *(_text(answer) for answer in ranked.in_order())


def _text(part: object) -> str:
    return part if isinstance(part, str) else "\n".join(message.content for message in part) if isinstance(part, tuple) else ""


def _tokens(text: str) -> list[str]:
    if not text.isascii():
        text = unicodedata.normalize("NFKC", text)
    return _TOKEN.findall(text.casefold())[:_MOST_TOKENS]


class _Codes(dict[str, int]):
    """A stable number for each word."""

    def __missing__(self, word: str) -> int:
        code = self[word] = zlib.crc32(word.encode("utf-8", "surrogatepass"))
        return code


class _Signer:
    """Signs rows; the hash families are the same in every process."""

    _codes = _Codes()

    def __init__(self) -> None:
        import numpy as np

        random = np.random.default_rng(_SEED)
        self._factors = random.integers(0, 2**31, _NUM_HASHES, dtype=np.uint32) * np.uint32(2) + np.uint32(1)
        self._offsets = random.integers(0, 2**32, _NUM_HASHES, dtype=np.uint32)

    def sign(self, example: Example) -> NDArray[np.uint32]:
        """The signature of a row, [hashes]."""
        import numpy as np

        tokens = [token for part in _parts(example) for token in _tokens(part)]
        codes = np.fromiter((self._codes[token] for token in tokens), np.uint32, len(tokens))
        if len(self._codes) > _MOST_CODES:
            self._codes.clear()
        return _minima(_mixed(codes), self._factors, self._offsets)


_MOST_CODES: Final = 500_000


def _signatures(examples: Numbered) -> Signatures:
    """MinHash signatures, [rows, hashes]."""
    import numpy as np

    signer = _Signer()
    made = np.empty((len(examples), _NUM_HASHES), np.uint32)
    for place, (_, example) in enumerate(examples):
        made[place] = signer.sign(example)
    return made


def _mixed(codes: NDArray[np.uint32]) -> NDArray[np.uint32]:
    """Hashes of the pairs of words. Source of the mixer: MurmurHash3's 32-bit finaliser (Appleby)."""
    import numpy as np

    if len(codes) > 1:
        codes = codes[:-1] * np.uint32(0x9E3779B1) + codes[1:]
    codes = codes ^ (codes >> np.uint32(16))
    codes = codes * np.uint32(0x85EBCA6B)
    codes = codes ^ (codes >> np.uint32(13))
    codes = codes * np.uint32(0xC2B2AE35)
    return codes ^ (codes >> np.uint32(16))


def _minima(hashed: NDArray[np.uint32], factors: NDArray[np.uint32], offsets: NDArray[np.uint32]) -> NDArray[np.uint32]:
    """The least hash of each family, [hashes]; in blocks, so that a long row takes no more memory than a short one."""
    import numpy as np

    least = np.full(len(factors), 0xFFFFFFFF, np.uint32)
    for begin in range(0, len(hashed), _BLOCK):
        block = hashed[begin : begin + _BLOCK, None] * factors + offsets
        np.minimum(least, block.min(axis=0), out=least)
    return least


_BLOCK: Final = 1024
