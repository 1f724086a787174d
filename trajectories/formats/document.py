"""Formats whose trajectory is a JSON document of somebody else's.

Invariant: both ways nothing is lost. `hear` takes from a document what our record can say, `say` makes a document of
what the record says; what either leaves out stands beside it as a difference (`trajectories.formats.beside`): what a
document says more in `Trajectory.extra` under the format's name, what a record says more under the document's key
`contextrl`. Neither is a copy, so that an edit of the document is an edit of the trajectory.
"""

from __future__ import annotations

import hashlib
import re
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, ClassVar

from pydantic import ValidationError

from trajectories.formats.beside import canonical, difference, overlay
from trajectories.formats.files import FormatError
from trajectories.formats.json_values import values
from trajectories.formats.protocol import Sample
from trajectories.formats.writing import text_of, whole, write_lines, write_list
from trajectories.records import Trajectory

KEY = "contextrl"
Document = dict[str, Any]


class DocumentFormat(ABC):
    """Reads and writes documents, given what one says. See `TrajectoryFormat`."""

    name: ClassVar[str]
    suffixes: ClassVar[tuple[str, ...]] = (".json", ".jsonl")
    alone: ClassVar[bool] = False
    """Whether a file holds one document: then several go to a folder, or into lines."""
    lines: ClassVar[bool] = True
    """Whether a file whose name ends in .jsonl has a line for each document."""

    @abstractmethod
    def hear(self, document: Document) -> Trajectory:
        """What a document says; no id is empty, no time 0. May raise whatever a wrong document causes."""

    @abstractmethod
    def say(self, trajectory: Trajectory) -> Document:
        """A document of what the record says."""

    @abstractmethod
    def sniff(self, sample: Sample) -> bool:
        """See `TrajectoryFormat.sniff`."""

    def take(self, document: Document) -> tuple[Document, Any]:
        """The document without what is ours, and that."""
        return {key: value for key, value in document.items() if key != KEY}, document.get(KEY)

    def put(self, document: Document, ours: Any) -> Document:
        """The document with what is ours."""
        return document | {KEY: ours}

    def load(self, document: Document) -> Trajectory:
        """The trajectory of a document. Raises what `hear` raises, or `ValueError`."""
        foreign, ours = self.take(_unicode(document))
        return Trajectory.model_validate(_named(overlay(self._fields(foreign), ours), foreign))

    def dump(self, trajectory: Trajectory) -> Document:
        """The document of a trajectory: `load` gives it back equal."""
        more = trajectory.extra.get(self.name)
        bare = trajectory.model_copy(
            update={"extra": {key: value for key, value in trajectory.extra.items() if key != self.name}}
        )
        foreign = overlay(self.say(bare.model_copy(update={"id": ""})), more)
        if _content_id(foreign) != trajectory.id:
            foreign = overlay(self.say(bare), more)
        heard = self._fields(foreign)
        if not heard["id"] and _content_id(foreign) == trajectory.id:
            heard["id"] = trajectory.id
        ours = difference(heard, fields(trajectory))
        return foreign if ours is None else self.put(foreign, ours)

    def read(self, path: Path) -> Iterator[Trajectory]:
        """See `TrajectoryFormat.read`."""
        for where, document in self.documents(path):
            try:
                yield self.load(document)
            except (ValueError, TypeError, LookupError, AttributeError, RecursionError) as error:
                raise FormatError(f"{where}: {no_trajectory(self.name, error)}") from error

    def documents(self, path: Path) -> Iterator[tuple[str, Document]]:
        """The documents of a file, each with the place where it begins."""
        for line, value in values(path):
            if not isinstance(value, dict):
                raise FormatError(f"{path}, line {line}: this is no object, so no trajectory of the format {self.name}")
            yield f"{path}, line {line}", value

    def write(self, trajectories: Iterable[Trajectory], path: Path) -> int:
        """See `TrajectoryFormat.write`."""
        counted = Counter[str]()
        documents = (self.dump(trajectory) for trajectory in _counting(trajectories, counted))
        name = path.name.removesuffix(".gz")
        if name.endswith(".jsonl") and self.lines:
            write_lines(documents, path)
        elif not name.endswith(self.suffixes):
            if not self.alone:
                raise FormatError(f"{path}: give a name that ends in {' or '.join(self.suffixes)}")
            with whole(path, folder=True) as folder:
                self._write_folder(_counting(trajectories, counted), folder)
        elif self.alone:
            found = list(documents)
            if len(found) != 1:
                raise FormatError(
                    f"{path} holds one trajectory of the format {self.name}, and there are {len(found)}: "
                    f"give the name of a folder{', or one that ends in .jsonl' if self.lines else ''}"
                )
            with ExitStack() as all_or_none:  # they are all written before the first of them gets its name
                for name, text in self.files(found[0], path.name).items():
                    made = all_or_none.enter_context(whole(path.with_name(name)))
                    made.write_text(text, encoding="utf-8")
        else:
            write_list(documents, path)
        return counted.total()

    def files(self, document: Document, name: str) -> dict[str, str]:
        """Name -> contents, for a document that has a file of its own: that one first, then what lies beside it."""
        return {name: text_of(document, indent=2) + "\n"}

    def _write_folder(self, trajectories: Iterable[Trajectory], folder: Path) -> None:
        names = set[str]()
        for trajectory in trajectories:
            name = re.sub(r"[^\w.-]+", "_", trajectory.instance_id)[:100].lstrip(".") or "trajectory"
            if name in names:
                name = f"{name}-{re.sub(r'[^0-9A-Za-z]', '_', trajectory.id)[:32]}-{len(names)}"
            names.add(name)
            for file, text in self.files(self.dump(trajectory), f"{name}{self.suffixes[0]}").items():
                (folder / file).write_text(text, encoding="utf-8")

    def _fields(self, foreign: Document) -> dict[str, Any]:
        """What a document says, with what it says more."""
        heard = self.hear(foreign)
        result = fields(heard)
        more = difference(self.say(heard), foreign)
        if more is not None:
            result["extra"] = heard.extra | {self.name: more}
        return result


def no_trajectory(form: str, error: Exception) -> str:
    """Why a value is no trajectory of a format, in words: nobody who has a file needs to know our code."""
    if isinstance(error, ValidationError):
        first = error.errors(include_url=False)[0]
        why = f"{'.'.join(map(str, first['loc'])) or 'the whole'}: {first['msg']}"
    elif isinstance(error, KeyError):
        why = f"{error.args[0]!r} is missing"
    else:
        why = str(error).splitlines()[0] if isinstance(error, ValueError) else "it is built otherwise"
    return f"this is no trajectory of the format {form} ({why})"


def fields(trajectory: Trajectory) -> dict[str, Any]:
    """The record as JSON values."""
    result = trajectory.model_dump()
    if trajectory.verdict is not None:
        result["verdict"]["dropped"] = list(trajectory.verdict.dropped)
    return result


def _named(values_: dict[str, Any], foreign: Document) -> dict[str, Any]:
    return values_ if values_["id"] else values_ | {"id": _content_id(foreign)}


def _content_id(document: Document) -> str:
    """An id for a document that has none: the same for the same contents."""
    return hashlib.sha256(canonical(document)).hexdigest()[:32]


def _unicode(value: Any) -> Any:
    """The value with U+FFFD for halves of surrogate pairs, which no text can hold."""
    if isinstance(value, str):
        return value if value.isascii() else value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    if isinstance(value, list):
        return [_unicode(item) for item in value]
    if isinstance(value, dict):
        return {_unicode(key): _unicode(item) for key, item in value.items()}
    return value


def _counting(trajectories: Iterable[Trajectory], counted: Counter[str]) -> Iterator[Trajectory]:
    for trajectory in trajectories:
        counted["trajectories"] += 1
        yield trajectory
