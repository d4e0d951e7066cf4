"""Rows out of a JSON document of any size, element by element, with a bounded buffer.

A document is a list of rows, one row, rows one behind the other, or an object around the list (``{"data": [...]}``, also nested).
The buffer holds one row at most; what need not be kept (other keys of the object, a row beyond the limit) is passed over by its
brackets.
"""

from __future__ import annotations

import codecs
import json
import re
from collections.abc import Generator, Iterator, Mapping
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import BinaryIO, Final, cast

from desktop_ft.core.data.encoding import Encoding
from desktop_ft.core.data.fingerprint import unreadable_file
from desktop_ft.core.data.lines import FIRST, can_go_to, read_encoding
from desktop_ft.core.data.packed import open_bytes
from desktop_ft.core.data.rows import MAX_ROW_BYTES, NOT_UTF8, TOO_DEEP, TOO_LONG, ZERO_BYTES, BadRow, Place, Read, RowStream, kind_of
from desktop_ft.core.data.text_source import as_row, json_line_rows, json_row

_FIRST_BYTES: Final = 64 * 2**10
_MORE_BYTES: Final = 2**20
_DECODER: Final = json.JSONDecoder()
_SPACE: Final = re.compile(r"[ \t\r\n]*")
_SCALAR: Final = re.compile(r"[^,\]}\s]*")
_BRACKET: Final = re.compile(r'["{}\[\]]')
_IN_STRING: Final = re.compile(r'["\\]')
_NEAR_THE_END: Final = 64
"""An error this close to the end of the buffer may be a value that goes on."""
_INSIDE_A_STRING: Final = ("Invalid control character", "Invalid \\")
"""Errors after which the brackets still tell where the row ends."""
_MOST_DEPTH: Final = 4
_ROW_KEYS: Final = ("data", "rows", "train", "training", "examples", "records", "instances", "items", "samples", "entries", "dataset")
"""Keys under which lists of rows stand, the most usual first."""


def json_document_rows(path: Path, start: Place = FIRST) -> RowStream:
    """The rows of a document; JSON lines in a .json file are read as such."""
    if _is_json_lines(path):
        yield from json_line_rows(path, start)
        return
    with _opened(path) as text:
        first = text.peek()
        if first == "[":
            text.take()
            yield from _elements(path, text, start, "]")
        elif first == "{":
            state = path.stat()
            names = _names_to_rows(path, state.st_size, state.st_mtime_ns)
            if names and start.offset <= 0:
                _go_inside(text, names)
            yield from _elements(path, text, start, "]" if names else "")
        elif first:
            raise unreadable_file(path, _what_else(text))


class _BrokenError(ValueError):
    """The document is no JSON from here on."""


class _TooLargeError(ValueError):
    """A value is larger than a row may be."""


class _Text:
    """A window of the document, read on as it is needed.

    Args:
        file: The bytes, behind the mark.
        encoding: Of the file.
        has_places: Whether one can begin in the middle.
    """

    def __init__(self, file: BinaryIO, encoding: Encoding, has_places: bool) -> None:
        self._file = file
        self._decoder = codecs.getincrementaldecoder(encoding.name)("surrogateescape")
        self._name = encoding.name
        self._has_places = has_places
        self._before = file.tell() if has_places else 0
        self._next_bytes = _FIRST_BYTES
        self._is_whole = False
        self._buffer = ""
        self._at = 0
        self._counted = 0

    @property
    def offset(self) -> int:
        """Bytes before the next character; -1 where one cannot go there."""
        if not self._has_places:
            return -1
        self._count()
        return self._before

    def go_to(self, offset: int) -> None:
        """Read on from another place."""
        self._file.seek(offset)
        self._before, self._buffer, self._at, self._counted, self._is_whole = offset, "", 0, 0, False
        self._decoder.reset()

    def peek(self) -> str:
        """The next character that is no white space; empty at the end."""
        while True:
            self._at = cast("re.Match[str]", _SPACE.match(self._buffer, self._at)).end()
            if self._at < len(self._buffer):
                return self._buffer[self._at]
            if not self._fill():
                return ""

    def take(self) -> None:
        """Step over the next character."""
        self._at += 1

    def value(self) -> tuple[object, str | None]:
        """The next value, or why it cannot be used; a value that is too large is passed over.

        Raises:
            _BrokenError: If it is no JSON.
        """
        if self._at >= _MORE_BYTES:
            self._drop()
        while True:
            try:
                value, end = cast("tuple[object, int]", _DECODER.raw_decode(self._buffer, self._at))
            except RecursionError:
                return self._passed_over(TOO_DEEP)
            except json.JSONDecodeError as error:
                is_open = error.msg.startswith("Unterminated string") or error.pos >= len(self._buffer) - _NEAR_THE_END
                if len(self._buffer) - self._at > MAX_ROW_BYTES and is_open:
                    return self._passed_over(TOO_LONG)
                if not is_open or not self._fill():
                    if error.msg.startswith(_INSIDE_A_STRING):
                        return self._passed_over(f"it is not whole JSON: {error.msg}.")
                    raise _BrokenError(error.msg) from error
            except ValueError as error:
                return self._passed_over(f"it is not usable JSON: {error}.")
            else:
                if end < len(self._buffer) or not self._fill():
                    return self._checked(value, end)

    def whole(self) -> object:
        """The next value, however broken its characters are.

        Raises:
            _BrokenError: If it is no JSON.
            _TooLargeError: If it is larger than a row may be; the text is where it was.
        """
        while True:
            try:
                value, end = cast("tuple[object, int]", _DECODER.raw_decode(self._buffer, self._at))
            except json.JSONDecodeError as error:
                if len(self._buffer) - self._at > MAX_ROW_BYTES:
                    raise _TooLargeError from error
                if not self._fill():
                    raise _BrokenError(error.msg) from error
            except (RecursionError, ValueError) as error:
                raise _BrokenError(TOO_DEEP if isinstance(error, RecursionError) else str(error)) from error
            else:
                self._at = end
                return value

    def name(self) -> str:
        """The next key of an object and its colon.

        Raises:
            _BrokenError: If there is none.
        """
        value = self.whole() if self.peek() == '"' else None
        if not isinstance(value, str) or self.peek() != ":":
            raise _BrokenError("a key is missing")
        self.take()
        return value

    def skip(self) -> None:
        """Pass over the next value by its brackets.

        Raises:
            _BrokenError: If the document ends inside.
        """
        first = self.peek()
        if first not in ('"', "{", "["):
            self._at = cast("re.Match[str]", _SCALAR.match(self._buffer, self._at)).end()
            while self._at == len(self._buffer) and self._fill():
                self._at = cast("re.Match[str]", _SCALAR.match(self._buffer, self._at)).end()
            return
        depth, in_string = 0, False
        while True:
            found = (_IN_STRING if in_string else _BRACKET).search(self._buffer, self._at)
            if found is None:
                self._at = len(self._buffer)
                if not self._fill():
                    raise _BrokenError("the document ends inside a value")
                continue
            self._at, mark = found.end(), found.group()
            if mark == "\\":
                if self._at == len(self._buffer):
                    self._fill()
                self._at += 1
            elif mark == '"':
                in_string = not in_string
            else:
                depth += 1 if mark in "{[" else -1
            if depth == 0 and not in_string:
                return

    def begins_with_object(self) -> bool:
        """Whether the list that comes next begins with an object; the text stays where it is."""
        while self._at + 1 >= len(self._buffer) and self._fill():
            pass
        behind = cast("re.Match[str]", _SPACE.match(self._buffer, self._at + 1)).end()
        return self._buffer[behind : behind + 1] == "{"

    def rest_of_line(self) -> str:
        """What is left of the line, taken.

        Raises:
            _BrokenError: If it is longer than a row may be.
        """
        self._drop()
        while (end := self._buffer.find("\n")) < 0 and self._fill():
            if len(self._buffer) > MAX_ROW_BYTES:
                raise _BrokenError("the line is longer than a row may be")
        self._at = end + 1 if end >= 0 else len(self._buffer)
        return self._buffer[: self._at]

    def _passed_over(self, reason: str) -> tuple[object, str]:
        self.skip()
        return None, reason

    def _checked(self, value: object, end: int) -> tuple[object, str | None]:
        source = self._buffer[self._at : end]
        self._at = end
        if len(source) > MAX_ROW_BYTES:
            return None, TOO_LONG
        if not source.isascii() and any("\ud800" <= character <= "\udfff" for character in source):
            return None, NOT_UTF8
        return value, ZERO_BYTES if "\0" in source else None

    def _count(self) -> None:
        """Bring the number of bytes up to where the text is."""
        if self._has_places:
            passed = self._buffer[self._counted : self._at]
            self._before += len(passed) if passed.isascii() else len(passed.encode(self._name, "surrogateescape"))
        self._counted = self._at

    def _drop(self) -> None:
        """Forget what is behind."""
        self._count()
        self._buffer, self._at, self._counted = self._buffer[self._at :], 0, 0

    def _fill(self) -> bool:
        """Read more; False at the end."""
        if self._is_whole:
            return False
        if self._at >= _MORE_BYTES:
            self._drop()
        data = self._file.read(self._next_bytes)
        self._next_bytes = max(len(self._buffer), _MORE_BYTES)
        self._is_whole = not data
        self._buffer += self._decoder.decode(data, final=self._is_whole)
        return True


@contextmanager
def _opened(path: Path) -> Generator[_Text]:
    encoding = read_encoding(path)
    with open_bytes(path) as file:
        file.read(encoding.mark_bytes)
        yield _Text(file, encoding, can_go_to(path, encoding))


def _is_json_lines(path: Path) -> bool:
    """Whether the first line is a row and another one follows."""
    with _opened(path) as text:
        if text.peek() != "{":
            return False
        try:
            line = text.rest_of_line()
        except _BrokenError:
            return False
        return not isinstance(json_row(line), BadRow) and text.peek() == "{"


def _elements(path: Path, text: _Text, start: Place, end: str) -> RowStream:
    """The rows of a list up to its bracket, or with an empty ``end`` values one behind the other up to the end of the document."""
    number = start.number
    if start.offset > 0:
        text.go_to(start.offset)
    following = text.peek()
    while following != end:
        try:
            if not following:
                raise _BrokenError("the document ends inside the list")
            place = Place(number, text.offset)
            value, problem = text.value()
            yield Read(place, as_row(value) if problem is None else BadRow(problem))
            number += 1
            following = text.peek()
            if end and following == ",":
                text.take()
                following = text.peek()
                if following == end:
                    raise _BrokenError("a comma with no row behind it")
            elif end and following and following != end:
                raise _BrokenError("a comma is missing")
        except _BrokenError as error:
            raise unreadable_file(path, f"it is not whole JSON at row {number}: {error}.") from error
    if end:
        text.take()


def _what_else(text: _Text) -> str:
    try:
        return f"it is {kind_of(text.whole())}; training data is a list of rows."
    except (_BrokenError, _TooLargeError) as error:
        return f"it is not whole JSON: {error}."


@lru_cache(maxsize=16)
def _names_to_rows(path: Path, _size_bytes: int, _modified_ns: int) -> tuple[str, ...]:
    """The keys that lead to the list of rows; none where the document's objects are the rows themselves.

    Raises:
        DesktopFtError: ``data_file_unreadable`` if several lists may be meant.
    """
    with _opened(path) as text:
        try:
            text.peek()
            document = text.whole()
            if text.peek() == "{":
                return ()
            found = list(_lists_in(cast("Mapping[str, object]", document)))
        except _TooLargeError:
            found = _surveyed(path, text)
        except _BrokenError as error:
            raise unreadable_file(path, f"it is not whole JSON: {error}.") from error
    best = min(found, key=_rank, default=())
    if len(found) > 1 and _rank(best) == len(_ROW_KEYS):
        raise unreadable_file(path, f"it is one object with {len(found)} lists of rows; training data is a list of rows.")
    return best


def _surveyed(path: Path, text: _Text) -> list[tuple[str, ...]]:
    try:
        return list(_lists_ahead(text, ()))
    except (_BrokenError, _TooLargeError) as error:
        raise unreadable_file(path, f"it is not whole JSON: {error}.") from error


def _lists_in(document: Mapping[str, object], names: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """Where the lists of rows are in a document; none if it holds a conversation, for then it is a row."""
    if not names and any(_holds_turns(value) for value in document.values()):
        return
    for name, value in document.items():
        if isinstance(value, dict) and len(names) < _MOST_DEPTH:
            yield from _lists_in(cast("Mapping[str, object]", value), (*names, name))
        elif isinstance(value, list) and value and isinstance(value[0], dict) and not _holds_turns(cast("object", value)):
            yield (*names, name)


def _lists_ahead(text: _Text, names: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
    """As `_lists_in` for a large object that is read on; ends early at a key that is usual for rows."""
    text.take()
    while text.peek() == '"':
        name = text.name()
        opening = text.peek()
        if opening == "[":
            if text.begins_with_object():
                yield (*names, name)
                if name in _ROW_KEYS:
                    return
            text.skip()
        elif opening == "{" and name in _ROW_KEYS and len(names) < _MOST_DEPTH:
            yield from _lists_ahead(text, (*names, name))
            return
        else:
            text.skip()
        if text.peek() == ",":
            text.take()


def _go_inside(text: _Text, names: tuple[str, ...]) -> None:
    """Step to behind the bracket of the list that the keys lead to."""
    for name in names:
        text.take()
        while text.name() != name:
            text.peek()
            text.skip()
            if text.peek() == ",":
                text.take()
            text.peek()
        text.peek()
    text.take()


def _rank(names: tuple[str, ...]) -> int:
    return min((_ROW_KEYS.index(name) for name in names[-1:] if name in _ROW_KEYS), default=len(_ROW_KEYS))


def _holds_turns(value: object) -> bool:
    """Whether a list is one conversation, so that the object around it is one row."""
    first = cast("list[object]", value)[0] if isinstance(value, list) and value else None
    return isinstance(first, dict) and ({"role", "content"} <= first.keys() or {"from", "value"} <= first.keys())
