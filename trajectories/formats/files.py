"""Files as they lie about, plain or gzipped, as bytes and as text.

Invariant: what can be read of a file is given out before `Unreadable` says why the rest cannot. Only plain files are
opened: reading a pipe would wait for ever, or take from it what nobody gets back.
"""

from __future__ import annotations

import gzip
import os
import zlib
from codecs import getincrementaldecoder
from collections.abc import Iterator
from pathlib import Path
from typing import IO, cast

_CHUNK = 1 << 14
"""Bytes that are unpacked at once. What a damaged archive holds less than this before the damage is lost."""


class FormatError(ValueError):
    """A file that cannot be read or written as trajectories; the message is one sentence with the file's name."""


class Unreadable(FormatError):
    """The bytes of a file cannot be had, or are no text. `reason`: why, without the place."""

    def __init__(self, place: object, reason: str) -> None:
        super().__init__(f"{place}: {reason}")
        self.reason = reason


def chunks(path: Path) -> Iterator[bytes]:
    """The bytes of a file, unpacked if its name ends in .gz. Raises `Unreadable`."""
    if path.exists() and not path.is_file():
        raise Unreadable(path, "it is no plain file: write what it gives into one first")
    try:
        with cast(IO[bytes], gzip.open(path)) if path.suffix == ".gz" else path.open("rb") as file:
            while data := file.read1(_CHUNK):  # type: ignore[attr-defined]
                yield data
    except EOFError:
        raise Unreadable(path, "the archive ends too early") from None
    except (zlib.error, gzip.BadGzipFile) as error:
        raise Unreadable(path, f"the archive is damaged, or is none ({error})") from error
    except OSError as error:
        raise Unreadable(path, f"it cannot be read ({said(error)})") from error


def pieces(path: Path) -> Iterator[str]:
    """The text of a file, which is UTF-8. Raises `Unreadable`."""
    decoder = getincrementaldecoder("utf-8")()
    for data in chunks(path):
        try:
            piece = decoder.decode(data)
        except UnicodeDecodeError as error:
            yield error.object[: error.start].decode()
            raise Unreadable(path, f"it holds bytes that are not UTF-8 ({error.reason})") from error
        yield piece
    if decoder.getstate()[0]:
        yield "\ufffd"  # a character that was cut in two


def head(path: Path, size: int = 4096) -> bytes:
    """The first bytes, unpacked. Raises `Unreadable` if there are none because of a damage."""
    found = b""
    try:
        for data in chunks(path):
            found += data
            if len(found) >= size:
                break
    except Unreadable:
        if not found:
            raise
    return found[:size]


def said(error: OSError) -> str:
    """What the operating system said, in small letters."""
    return os.strerror(error.errno).lower() if error.errno else str(error)
