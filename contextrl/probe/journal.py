"""A probe's folder: what was asked, every prediction as it comes, and the results.

Invariant: a folder holds one probe and is one process's at a time. A prediction that was told is on disk; a last line
that a kill cut off is taken away, and that question asked again. Until the first answer nothing changes: a probe that
fails before leaves no folder behind, and one that was to give way is still there.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from pydantic import BaseModel, ConfigDict, ValidationError

from contextrl.pair_files import first_problem
from contextrl.probe.predictions import Key, Orders, Prediction
from contextrl.probe.selector import ProbeError

ASKED, PREDICTIONS, RESULT, PLOT = "asked.json", "predictions.jsonl", "probe.json", "plot.svg"


class Asked(BaseModel):
    """All that decides what is asked: a folder goes on only with the same."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    models: dict[str, str]
    """`--model` -> what was found there (`selector.identity`)."""
    sets: dict[str, str]
    """`--pairs` -> hash of the questions."""
    orders: Orders
    seed: int
    max_tokens: int | None
    cut: bool
    reply_tokens: int
    dtype: str


def read_predictions(path: Path) -> list[Prediction]:
    """All of a file, later ones in place of earlier ones of the same. Raises `ProbeError` with the line's number."""
    found: dict[Key, Prediction] = {}
    number = 0
    try:
        with path.open(encoding="utf-8") as file:
            for number, line in enumerate(file, 1):  # noqa: B007 - an error tells it
                if line.strip():
                    prediction = Prediction.model_validate_json(line)
                    found[prediction.key] = prediction
    except ValidationError as error:
        raise ProbeError(f"{path}, line {number} is no prediction ({first_problem(error)})") from None
    except UnicodeDecodeError:
        raise ProbeError(f"{path} is not UTF-8 text") from None
    return list(found.values())


class Folder:
    """The folder of one probe, open. `replace`: what is there gives way when the first answer comes."""

    def __init__(self, path: Path, lines: IO[bytes], asked: Asked, *, replace: bool) -> None:
        self._path, self._lines, self._asked, self._replace = path, lines, asked, replace
        self._begun = False
        self.known: dict[Key, Prediction] = {}
        """Predictions so far."""
        if not replace:
            _mend(lines)
            self.known = {p.key: p for p in read_predictions(path / PREDICTIONS)}

    def keep(self, prediction: Prediction) -> None:
        """Append it."""
        if not self._begun:
            self._begin()
        self._lines.write(prediction.model_dump_json(exclude_defaults=True).encode() + b"\n")
        self._lines.flush()
        self.known[prediction.key] = prediction

    def write(self, name: str, text: str) -> None:
        """All of it or nothing: written beside, then moved into place."""
        beside = self._path / f".{name}.{os.getpid()}"
        try:
            beside.write_text(text, encoding="utf-8")
            beside.replace(self._path / name)
        finally:
            beside.unlink(missing_ok=True)

    def _begin(self) -> None:
        if self._replace:
            self._lines.truncate(0)
            for name in (RESULT, PLOT):
                (self._path / name).unlink(missing_ok=True)
        self.write(ASKED, self._asked.model_dump_json(indent=1) + "\n")
        self._begun = True


@contextmanager
def open_folder(path: Path, asked: Asked, *, replace: bool) -> Iterator[Folder]:
    """Begin a probe, or go on with it. Raises `ProbeError` if the folder holds another and `replace` is not said."""
    if path.exists() and not path.is_dir():
        raise ProbeError(f"--out {path} is a file: give a folder")
    worth = [name for name in (PREDICTIONS, RESULT, PLOT) if (path / name).exists() and (path / name).stat().st_size]
    if worth and not replace:  # before that, nothing is there that another probe could spoil
        _check_same(path, asked)
    made = [folder for folder in (path, *path.parents) if not folder.exists()]
    with _locked(path / PREDICTIONS) as lines:
        try:
            yield Folder(path, lines, asked, replace=replace)
        finally:
            if not os.fstat(lines.fileno()).st_size:
                (path / PREDICTIONS).unlink()
                _remove_empty(made)


def _locked(path: Path) -> IO[bytes]:
    """The file of predictions, for this process alone."""
    while True:
        path.parent.mkdir(parents=True, exist_ok=True)
        lines = path.open("a+b")
        try:
            fcntl.flock(lines, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lines.close()
            raise ProbeError(
                f"another process probes into {path.parent}: wait for it, or choose another --out"
            ) from None
        if _stands_at(path, lines):
            return lines
        lines.close()


def _stands_at(path: Path, lines: IO[bytes]) -> bool:
    """Whether the open file is still the one at its path: another process that failed may have taken it away."""
    try:
        return os.path.samestat(os.fstat(lines.fileno()), path.stat())
    except FileNotFoundError:
        return False


def _remove_empty(folders: Sequence[Path]) -> None:
    """Those, innermost first, in which nothing is."""
    for folder in folders:
        try:
            folder.rmdir()
        except OSError:
            return


def _check_same(path: Path, asked: Asked) -> None:
    try:
        before = Asked.model_validate_json((path / ASKED).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ProbeError(f"{path} holds files of something else: choose another --out, or --replace them") from None
    except ValueError:
        raise ProbeError(f"{path / ASKED} is damaged: choose another --out, or --replace it") from None
    other = [name for name in Asked.model_fields if getattr(before, name) != getattr(asked, name)]
    if other:
        raise ProbeError(
            f"{path} holds another probe (`{'`, `'.join(other)}` differ): choose another --out, or --replace it"
        )


def _mend(lines: IO[bytes]) -> None:
    """Take away what stands behind the last end of a line."""
    lines.seek(0)
    end = 0
    for line in lines:
        end += len(line) if line.endswith(b"\n") else 0
    lines.truncate(end)
    lines.seek(0, os.SEEK_END)
