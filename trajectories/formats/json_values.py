"""The JSON values of a file, read piece by piece: one document, the items of a list, or lines.

Invariant: no more than one value is held at a time, and each that stands before a damaged place is given out before
`FormatError` says where that is.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

from trajectories.formats.files import FormatError, Unreadable, head, pieces

_CHUNK = 1 << 20
_DECODER = json.JSONDecoder()


def first_value(path: Path) -> Any:
    """The first JSON value of a file; None where it does not begin like JSON."""
    start = head(path).lstrip(b"\xef\xbb\xbf \t\r\n")
    if not start.startswith((b"{", b"[")):
        return None
    return next((value for _, value in values(path)), None)


def values(path: Path) -> Iterator[tuple[int, Any]]:
    """The JSON values of a file with the line that each begins on: a list's items, lines, or the one document."""
    text = _Text(path)
    if text.peek() == "[":
        yield from text.items()
        return
    while text.peek():
        yield text.value()


def place_of(path: Path, number: int) -> str:
    """Where the trajectory of that number, from 1, stands in a file: with its line, where it is a value of JSON."""
    try:
        return f"{path}, line {next(islice(values(path), number - 1, None))[0]}"
    except (FormatError, StopIteration):
        return f"{path}, trajectory {number}"


class _Text:
    """A text that is decoded value by value."""

    def __init__(self, path: Path) -> None:
        self.path, self._pieces = path, pieces(path)
        self.text, self.at, self.line, self.ended = "", 0, 1, False
        self._broken: Unreadable | None = None
        self._more(_CHUNK)
        self.text = self.text.removeprefix("\ufeff")

    def peek(self) -> str:
        """The next character that is not white space; empty at the end."""
        while True:
            while self.at < len(self.text) and self.text[self.at] in " \t\r\n":
                self.line += self.text[self.at] == "\n"
                self.at += 1
            if self.at < len(self.text):
                return self.text[self.at]
            if not self._more(_CHUNK):
                if self._broken:
                    raise self._error(self.line, "")
                return ""

    def value(self) -> tuple[int, Any]:
        """The value that begins here, and its line."""
        line, size = self.line, _CHUNK
        while True:
            try:
                value, end = _DECODER.raw_decode(self.text, self.at)
                if end < len(self.text) or not self._more(_CHUNK):
                    break  # a number could go on
            except RecursionError:
                raise FormatError(f"{self.path}, line {line}: it is nested too deeply") from None
            except json.JSONDecodeError as error:
                size *= 2  # so that a long value is not tried from its start for each chunk
                if not self._more(size):
                    where = self.line + self.text.count("\n", self.at, error.pos)
                    early = error.pos >= len(self.text.rstrip()) or error.msg.startswith("Unterminated")
                    raise self._error(where, "the file ends too early" if early else error.msg, early) from None
        self.line += self.text.count("\n", self.at, end)
        self.at = end
        return line, value

    def items(self) -> Iterator[tuple[int, Any]]:
        """The items of the list that begins here."""
        self.at += 1
        if self.peek() == "]":
            return
        while True:
            yield self.value()
            mark = self.peek()
            self.at += 1
            if mark == "]":
                return
            if mark != ",":
                early = not mark
                problem = "the file ends too early" if early else f"{mark!r} where a comma should stand"
                raise self._error(self.line, problem, early)
            self.peek()

    def _error(self, line: int, problem: str, early: bool = True) -> FormatError:
        """`early`: the text ended here, so that what kept the rest from being read is the reason."""
        place = f"{self.path}, line {line}" if self.text else str(self.path)
        if self._broken and early:
            return Unreadable(place, self._broken.reason)
        return FormatError(f"{place}: this is not JSON ({problem})")

    def _more(self, size: int) -> bool:
        """Read on; whether there was more."""
        more: list[str] = []
        try:
            while not self.ended and size > 0:
                piece = next(self._pieces, None)
                self.ended = piece is None
                more += [piece] if piece else []
                size -= len(piece or "")
        except Unreadable as error:
            self.ended, self._broken = True, error
        if more:
            self.text, self.at = self.text[self.at :] + "".join(more), 0
        return bool(more)
