"""JSON files as they lie about: one document, a list, or lines; plain or gzipped; read piece by piece.

Invariant: what stands before a damaged place is given out before `FormatError` says where that is. What is written
appears under its name only when it is whole.
"""

from __future__ import annotations

import gzip
import json
import os
import shutil
import tempfile
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import IO, Any

_CHUNK = 1 << 20
_DECODER = json.JSONDecoder()


class FormatError(ValueError):
    """A file that cannot be read or written as trajectories; the message is one sentence with the file's name."""


@contextmanager
def opened(path: Path) -> Iterator[IO[str]]:
    """The file as text; damaged archives and bytes that are no text become `FormatError`."""
    try:
        with (gzip.open if path.suffix == ".gz" else open)(path, "rt", encoding="utf-8") as file:
            yield file
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise FormatError(f"{path} is no whole gzip file ({error}): get it again") from error
    except UnicodeDecodeError as error:
        raise FormatError(f"{path} holds bytes that are not UTF-8 ({error.reason}): is it a file of text?") from error


def head(path: Path, size: int = 4096) -> bytes:
    """The first bytes, unpacked; none of a damaged archive."""
    try:
        with (gzip.open if path.suffix == ".gz" else open)(path, "rb") as file:
            return bytes(file.read(size))
    except (EOFError, zlib.error, gzip.BadGzipFile):
        return b""


def first_value(path: Path) -> Any:
    """The first JSON value of a file; None where it does not begin like JSON."""
    start = head(path).lstrip(b"\xef\xbb\xbf \t\r\n")
    if not start.startswith((b"{", b"[")):
        return None
    return next((value for _, value in values(path)), None)


def values(path: Path) -> Iterator[tuple[int, Any]]:
    """The JSON values of a file with the line that each begins on: a list's items, lines, or the one document."""
    with opened(path) as file:
        first = file.read(_CHUNK).removeprefix("\ufeff")
        text = _Text(path, file, first)
        if text.peek() == "[":
            yield from text.items()
            return
        while text.peek():
            yield text.value()


def place_of(path: Path, number: int) -> str:
    """Where the trajectory of that number, from 1, stands in a file: with its line, where it is a value of JSON."""
    try:
        return f"{path}, line {next(islice(values(path), number - 1, None))[0]}"
    except (FormatError, OSError, StopIteration):
        return f"{path}, trajectory {number}"


class _Text:
    """A text that is decoded value by value, of which no more than one value is held."""

    def __init__(self, path: Path, file: IO[str], first: str) -> None:
        self.path, self.file, self.text = path, file, first
        self.at, self.line, self.ended = 0, 1, not first

    def peek(self) -> str:
        """The next character that is not white space; empty at the end."""
        while True:
            while self.at < len(self.text) and self.text[self.at] in " \t\r\n":
                self.line += self.text[self.at] == "\n"
                self.at += 1
            if self.at < len(self.text) or not self._more(_CHUNK):
                return self.text[self.at : self.at + 1]

    def value(self) -> tuple[int, Any]:
        """The value that begins here, and its line."""
        line, size = self.line, _CHUNK
        while True:
            try:
                value, end = _DECODER.raw_decode(self.text, self.at)
                if end < len(self.text) or self.ended or not self._more(_CHUNK):
                    break  # a number could go on
            except RecursionError:
                raise FormatError(f"{self.path}, line {line}: it is nested too deeply") from None
            except json.JSONDecodeError as error:
                size *= 2  # so that a long value is not tried from its start for each chunk
                if not self._more(size):
                    where = self.line + self.text.count("\n", self.at, error.pos)
                    early = error.pos >= len(self.text.rstrip()) or error.msg.startswith("Unterminated")
                    problem = "the file ends too early" if early else error.msg
                    raise FormatError(f"{self.path}, line {where}: this is not JSON ({problem})") from None
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
                problem = "the file ends too early" if not mark else f"{mark!r} where a comma should stand"
                raise FormatError(f"{self.path}, line {self.line}: this is not JSON ({problem})")
            self.peek()

    def _more(self, size: int) -> bool:
        if self.ended:
            return False
        more = self.file.read(size)
        if more:
            self.text, self.at = self.text[self.at :] + more, 0
        self.ended = not more
        return not self.ended


def text_of(value: Any, indent: int | None = None) -> str:
    """A value as JSON, readable where it can be."""
    return json.dumps(value, ensure_ascii=False, indent=indent)


@contextmanager
def whole(path: Path, *, folder: bool = False) -> Iterator[Path]:
    """A place to write to, which becomes `path` when the block ends well, and else disappears."""
    path.parent.mkdir(parents=True, exist_ok=True)
    place = Path(tempfile.mkdtemp(prefix=f".{path.name}.", dir=path.parent))
    made = place / path.name
    try:
        if folder:
            made.mkdir()
        yield made
        if folder and path.is_dir():
            path.rename(place / "old")
        os.replace(made, path)
    finally:
        shutil.rmtree(place, ignore_errors=True)


def write_lines(rows: Iterable[Any], path: Path) -> None:
    """One JSON value a line; gzipped if the name ends in .gz."""
    with whole(path) as made, _writer(made) as file:
        for row in rows:
            file.write(text_of(row) + "\n")


def write_list(rows: Iterable[Any], path: Path) -> None:
    """A JSON list, an item a line."""
    with whole(path) as made, _writer(made) as file:
        file.write("[")
        for i, row in enumerate(rows):
            file.write((",\n" if i else "\n") + text_of(row))
        file.write("\n]\n")


def _writer(path: Path) -> IO[str]:
    return gzip.open(path, "wt", encoding="utf-8") if path.suffix == ".gz" else open(path, "w", encoding="utf-8")
