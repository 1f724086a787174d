"""The files of the repository: byte code for what does not change, a job's own files while it runs.

Invariant: byte code is checked against the hash of its source, so a file that a job replaced is always compiled anew.
"""

from __future__ import annotations

import contextlib
import importlib
import importlib.machinery
import importlib.util
import os
import py_compile
import re
import sys
from collections.abc import Iterator
from pathlib import Path

IMPORT = re.compile(r"^\s*(?:from|import) ([\w.]+)", re.MULTILINE)
NEVER_PRELOAD = {"antigravity", "this", "__main__", "idlelib", "tkinter", "turtle", "turtledemo"}


def preload(paths: list[str]) -> None:
    """Import the standard-library modules that the repository uses, so that the forks find them ready."""
    here = {entry.name.split(".")[0] for entry in Path().iterdir()}
    allowed = sys.stdlib_module_names - NEVER_PRELOAD - here
    wanted = set()
    for path in paths:
        with contextlib.suppress(OSError):
            wanted.update(IMPORT.findall(Path(path).read_text(errors="replace")))
    for name in sorted(name for name in wanted if name.split(".")[0] in allowed):
        with contextlib.suppress(Exception):
            importlib.import_module(name)


def forget(roots: list[str]) -> None:
    """Unload what was imported from elsewhere and is the repository's own: pytest itself needs `packaging`.

    What is the standard library's stays: the interpreter, and this program, run on it.
    """
    ours = {__name__.partition(".")[0], "__main__"}
    for name in {name.partition(".")[0] for name in sys.modules} - sys.stdlib_module_names - ours:
        found = importlib.machinery.PathFinder.find_spec(name, roots)
        if found is not None and found.origin is not None:  # a folder without Python is no package
            for module in [module for module in sys.modules if module.partition(".")[0] == name]:
                del sys.modules[module]


def compile_once(paths: list[str]) -> None:
    """Byte code for the unchanged files, valid only for exactly this source."""
    mode = py_compile.PycInvalidationMode.CHECKED_HASH
    for path in paths:
        source = Path(path).absolute()
        target = importlib.util.cache_from_source(str(source))
        if not os.path.exists(target):
            with contextlib.suppress(OSError, ValueError):
                py_compile.compile(str(source), cfile=target, doraise=False, quiet=2, invalidation_mode=mode)


@contextlib.contextmanager
def placed(files: dict[str, str | None]) -> Iterator[None]:
    """The job's files in the tree while it runs; None deletes a file."""
    before = {name: Path(name).read_bytes() if Path(name).is_file() else None for name in files}
    try:
        for name, text in files.items():
            put(name, None if text is None else text.encode())
        yield
    finally:
        for name, data in before.items():
            put(name, data)


def put(name: str, data: bytes | None) -> None:
    """Make a file anew, or delete it."""
    mode = None
    with contextlib.suppress(FileNotFoundError):
        mode = os.stat(name).st_mode & 0o777  # a program stays one
        os.unlink(name)  # a new file: some file systems wait for the disk when one is cut short and written again
    if data is not None:
        os.makedirs(os.path.dirname(name) or ".", exist_ok=True)
        with open(name, "wb") as file:
            file.write(data)
        if mode is not None:
            os.chmod(name, mode)
