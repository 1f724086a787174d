"""The files of a folder that may hold trajectories.

Invariant: every file is given once, under the first of its names, however many links lead to it or in a circle. What is
no plain file is never opened. What is left out although a trajectory may be meant by it is told.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from trajectories.formats import FormatError, formats, recognise
from trajectories.formats.files import said
from trajectories.formats.mini_swe_agent import REPORT


@dataclass
class Walk:
    """A walk through files and folders, and what was left out on it."""

    passed_over: defaultdict[str, list[Path]] = field(default_factory=lambda: defaultdict(list))
    """What they are taken for -> those that hold nothing to read."""
    problems: list[str] = field(default_factory=list)
    """One sentence for each file or folder that could not be read, or not to its end."""
    _met: set[Path] = field(default_factory=set)

    def files(self, path: Path) -> Iterator[Path]:
        """The files, in order: the path itself, or those in the folder and its folders."""
        try:
            if path.is_dir():
                yield from self._inside(path)
            elif not path.is_file():
                self.problems.append(f"{path} is no plain file: write what it gives into one")
            elif self._is_new(path):
                yield path
        except FormatError as error:
            self.problems.append(str(error))
        except OSError as error:
            self.problems.append(f"{error.filename or path} cannot be read ({said(error)}): let this user read it")

    def _inside(self, folder: Path) -> Iterator[Path]:
        if not self._is_new(folder):
            return
        if recognise(folder):  # one trajectory in several files
            yield folder
            return
        for path in sorted(folder.iterdir()):
            if self._is_meant(path):
                yield from self.files(path)

    def _is_meant(self, path: Path) -> bool:
        """Whether something in a folder may hold trajectories."""
        if path.name.startswith("."):
            return False
        if path.is_dir():
            return True
        if path.is_symlink() and not path.exists():
            self.passed_over["a link to nothing"].append(path)
            return False
        meant = path.name.endswith(self._endings) and not path.name.endswith(REPORT)
        if meant and not path.is_file():
            self.passed_over["no plain file"].append(path)
        return meant and path.is_file()

    def _is_new(self, path: Path) -> bool:
        """Whether it was not met before, under whatever name."""
        real = path.resolve()
        new = real not in self._met
        self._met.add(real)
        return new

    @cached_property
    def _endings(self) -> tuple[str, ...]:
        plain = {ending for form in formats().values() for ending in form.suffixes}
        return (*plain, *(f"{ending}.gz" for ending in plain))


def inside(path: Path) -> Iterator[Path]:
    """The files, in order, that may hold trajectories: the path itself, or those in the folder and its folders."""
    return Walk().files(path)
