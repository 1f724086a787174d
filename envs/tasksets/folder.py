"""Task sets on disk.

Invariant: `load_taskset(folder)` gives the tasks that `save_taskset` was given, to the last byte. A folder is complete
or not there.

`taskset.json` says how many tasks there are and how they were made; `tasks.jsonl` has one task a line. A file of a
repository appears in many tasks with one line changed: the first such text lies in `texts/`, and the tasks hold what
differs from it, as `{"of": name, "head": characters kept, "text": ..., "tail": characters kept}`.
"""

from __future__ import annotations

import hashlib
import json
import tempfile
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from envs.task import TaskInstance

FORMAT = 1
_SHARED_CHARS = 4096
"""Texts shorter than this are written out in every task."""


class TaskSetError(ValueError):
    """A task set cannot be read; the message says which and why."""


def save_taskset(tasks: Iterable[TaskInstance], folder: Path, meta: dict[str, Any] | None = None) -> None:
    """Write tasks into a new folder; an old task set there is replaced, in one step."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    tasks = list(tasks)
    with tempfile.TemporaryDirectory(prefix=".saving-", dir=folder.parent) as work:
        new = Path(work) / "new"
        (new / "texts").mkdir(parents=True)
        texts = _Texts(new / "texts")
        with (new / "tasks.jsonl").open("w", encoding="utf-8") as lines:
            for task in tasks:
                lines.write(json.dumps(texts.packed(task), ensure_ascii=False) + "\n")
        counts = dict(Counter(task.split or "none" for task in tasks))
        about = {"format": FORMAT, "tasks": len(tasks), "splits": counts, **(meta or {})}
        (new / "taskset.json").write_text(json.dumps(about, indent=2) + "\n", encoding="utf-8")
        if folder.exists():
            if not (folder / "taskset.json").is_file():
                raise TaskSetError(f"{folder} is there and is no task set: choose another folder")
            folder.rename(Path(work) / "old")
        new.rename(folder)


def load_taskset(folder: Path) -> list[TaskInstance]:
    """Read a folder that `save_taskset` wrote. Raises `TaskSetError`."""
    try:
        about = json.loads((folder / "taskset.json").read_text(encoding="utf-8"))
        if about["format"] != FORMAT:
            raise TaskSetError(f"{folder} has task set format {about['format']}; this version reads {FORMAT}")
        texts = _Texts(folder / "texts")
        with (folder / "tasks.jsonl").open(encoding="utf-8") as lines:
            tasks = [texts.unpacked(json.loads(line)) for line in lines]
    except FileNotFoundError as error:
        raise TaskSetError(f"{folder} is no task set: it has no {Path(error.filename).name}") from None
    except (json.JSONDecodeError, ValidationError, KeyError, TypeError) as error:
        raise TaskSetError(
            f"{folder} cannot be read: {str(error).splitlines()[0]}; delete it and make it again"
        ) from None
    if len(tasks) != about["tasks"]:
        raise TaskSetError(f"{folder} should hold {about['tasks']} tasks but has {len(tasks)}; make it again")
    return tasks


class _Texts:
    """Long texts that many tasks share but for one place."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._first: dict[str, tuple[str, str]] = {}
        """Path in the repository -> name and text of what was first seen there."""
        self._read: dict[str, str] = {}

    def packed(self, task: TaskInstance) -> dict[str, Any]:
        data = task.model_dump(mode="json", exclude_defaults=True)
        for part in ("setup", "tests"):
            if part in data:
                data[part] = {path: self._pack(f"{task.repo}/{path}", text) for path, text in data[part].items()}
        return data

    def _pack(self, path: str, text: str) -> str | dict[str, Any]:
        if len(text) < _SHARED_CHARS:
            return text
        if path not in self._first:
            name = hashlib.sha256(text.encode()).hexdigest()[:16] + ".txt"
            (self._folder / name).write_bytes(text.encode())
            self._first[path] = name, text
        name, base = self._first[path]
        head = _shared(base, text)
        tail = _shared(base[head:][::-1], text[head:][::-1])
        return {"of": name, "head": head, "text": text[head : len(text) - tail], "tail": tail}

    def unpacked(self, data: dict[str, Any]) -> TaskInstance:
        for part in ("setup", "tests"):
            if part in data:
                data[part] = {path: self._unpack(text) for path, text in data[part].items()}
        return TaskInstance.model_validate(data)

    def _unpack(self, text: str | dict[str, Any]) -> str:
        if isinstance(text, str):
            return text
        name = Path(text["of"]).name
        if name not in self._read:
            self._read[name] = (self._folder / name).read_bytes().decode()
        base = self._read[name]
        return str(base[: text["head"]] + text["text"] + base[len(base) - text["tail"] :])


def _shared(one: str, other: str) -> int:
    """How many characters two texts begin with alike."""
    low, high = 0, min(len(one), len(other))
    while low < high:
        middle = (low + high + 1) // 2
        if one[:middle] == other[:middle]:
            low = middle
        else:
            high = middle - 1
    return low
