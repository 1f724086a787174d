"""Predictions as SWE-bench has them: which patch somebody proposes for which task.

Invariant: every entry of a file is taken, told of in `notes`, or the file is refused by an error that names the entry;
none is lost in silence.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from envs.task import TaskInstance

GOLD = "gold"
_PATCH_KEYS = ("model_patch", "patch")
"""SWE-bench's name, SWE-smith's name."""


class PredictionError(ValueError):
    """A file of predictions cannot be used; the message says which entry and why."""


@dataclass(frozen=True)
class Prediction:
    """One patch for one task; empty where the model had nothing to say."""

    instance_id: str
    patch: str
    model: str = ""


@dataclass(frozen=True)
class Predictions:
    """What is to be graded, by instance id, in the order of the file."""

    known: dict[str, Prediction] = field(default_factory=dict)
    unknown: tuple[str, ...] = ()
    """Ids that the task set does not have."""
    notes: tuple[str, ...] = ()
    """What a reader of the report should know of the file, one sentence each."""


def read_predictions(source: str, tasks: Sequence[TaskInstance]) -> Predictions:
    """Predictions from a .json or .jsonl file, or the gold patches for the word `gold`. Raises `PredictionError`."""
    if source == GOLD and tasks:
        return Predictions({task.instance_id: Prediction(task.instance_id, task.patch, GOLD) for task in tasks})
    ids = {task.instance_id for task in tasks}
    known: dict[str, Prediction] = {}
    unknown: dict[str, None] = {}
    notes: list[str] = []
    for where, entry in _entries(Path(source)):
        prediction, note = _prediction(entry, f"{source}: {where}")
        name = prediction.instance_id
        notes += [note] if note else []
        if name not in ids:
            unknown[name] = None
        elif name in known and known[name] != prediction:
            raise PredictionError(f"{source}: {name} is predicted twice, not alike (the second is {where}): keep one")
        else:
            known[name] = prediction
    if not tasks:
        raise PredictionError("the task set has no task: there is nothing to grade")
    if not known:
        some = ", ".join(list(unknown)[:3]) or "none at all"
        raise PredictionError(f"{source} predicts no task of this set (it predicts {some}): is it the right --tasks?")
    if unknown:
        some = ", ".join(list(unknown)[:3]) + (", ..." if len(unknown) > 3 else "")
        notes.append(f"{len(unknown)} predictions are for no task of this set and were not graded: {some}")
    return Predictions(known, tuple(unknown), tuple(notes))


def _entries(path: Path) -> Iterator[tuple[str, Any]]:
    """Where an entry stands, and the entry."""
    if path.suffix not in (".json", ".jsonl"):
        raise PredictionError(f"{path}: predictions are a .json file, a .jsonl file, or the word {GOLD}")
    if not path.is_file():
        raise PredictionError(f"{path} is no file" if path.exists() else f"there is no file {path}")
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError:
        raise PredictionError(f"{path} is not UTF-8 text") from None
    if path.suffix == ".jsonl":
        lines = ((f"line {n}", line) for n, line in enumerate(text.split("\n"), 1) if line.strip())
        yield from ((where, _json(line, f"{path}: {where}")) for where, line in lines)
        return
    data = _json(text, str(path))
    if isinstance(data, dict) and "instance_id" in data:
        data = [data]
    if isinstance(data, dict):
        yield from ((f"entry {key!r}", _with_id(key, entry)) for key, entry in data.items())
    elif isinstance(data, list):
        yield from ((f"entry {n}", entry) for n, entry in enumerate(data, 1))
    else:
        raise PredictionError(f"{path} holds {type(data).__name__}, not a list of predictions or an object of them")


def _with_id(key: str, entry: Any) -> Any:
    """In an object of predictions, the key is the id of one that has none."""
    return {"instance_id": key, **entry} if isinstance(entry, dict) else entry


def _json(text: str, where: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise PredictionError(f"{where} is not JSON: {error}") from None


def _prediction(entry: Any, where: str) -> tuple[Prediction, str]:
    if not isinstance(entry, dict):
        raise PredictionError(f"{where} is not an object with instance_id and model_patch")
    name = entry.get("instance_id")
    if not isinstance(name, str) or not name:
        raise PredictionError(f"{where} has no instance_id")
    given = [key for key in _PATCH_KEYS if key in entry]
    patch = entry[given[0]] if given else None
    if patch is not None and not isinstance(patch, str):
        raise PredictionError(f"{where}: the {given[0]} of {name} is not text")
    note = "" if given else f"{name} has neither model_patch nor patch: it counts as an empty patch"
    return Prediction(name, patch or "", str(entry.get("model_name_or_path") or "")), note


def is_empty(prediction: Prediction) -> bool:
    """Whether there is nothing to grade."""
    return not prediction.patch.strip()


def models(predictions: Iterable[Prediction]) -> list[str]:
    """Names of the models, each once."""
    return list(dict.fromkeys(prediction.model for prediction in predictions if prediction.model))
