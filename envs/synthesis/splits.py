"""What is held out from training.

Invariant: the shares are met to the nearest task, by hash and not by order; no bug of a function that is held out is
trained on, and every function with a held-out mutation keeps a bug to train on. A class that has bugs of its own counts
as one function with its methods.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Sequence, Set

from envs.task import TaskInstance


def assign_splits(
    tasks: Sequence[TaskInstance],
    *,
    mutation_share: float,
    function_share: float,
    seed: int = 0,
    whole_files: bool = False,
) -> list[TaskInstance]:
    """The tasks in their order, each with its split.

    `function_share` of the functions are held out whole (with `whole_files`, of the files: no function of a held-out
    file is trained on); `mutation_share` of the tasks are held out of functions that keep others. Raises `ValueError`
    for shares that are not between 0 and 1 together.
    """
    if min(mutation_share, function_share) < 0 or mutation_share + function_share > 1:
        raise ValueError(
            f"held-out shares of {mutation_share} (mutations) and {function_share} (functions) do not leave a rest"
        )
    names = {name for task in tasks for name in task.functions}

    def functions_of(task: TaskInstance) -> tuple[str, ...]:
        return tuple(_outermost(name, names) for name in task.functions) or (task.instance_id,)

    units_of = _files if whole_files else functions_of
    units = sorted({unit for task in tasks for unit in units_of(task)}, key=lambda name: _rank(seed, "function", name))
    whole = set(units[: round(function_share * len(units))])
    left = Counter(functions_of(task)[0] for task in tasks)
    held: set[str] = set()
    for task in sorted(tasks, key=lambda task: _rank(seed, "mutation", task.instance_id)):
        name = functions_of(task)[0]
        if len(held) < round(mutation_share * len(tasks)) and whole.isdisjoint(units_of(task)) and left[name] > 1:
            left[name] -= 1
            held.add(task.instance_id)

    def split(task: TaskInstance) -> str:
        if not whole.isdisjoint(units_of(task)):
            return "heldout_function"
        return "heldout_mutation" if task.instance_id in held else "train"

    return [task.model_copy(update={"split": split(task)}) for task in tasks]


def _outermost(name: str, names: Set[str]) -> str:
    """The outermost class around a function that is among the names; else the function."""
    path, _, qualname = name.partition("::")
    parts = qualname.split(".")
    around = (f"{path}::{'.'.join(parts[:count])}" for count in range(1, len(parts)))
    return next((outer for outer in around if outer in names), name)


def _files(task: TaskInstance) -> tuple[str, ...]:
    return task.files or (task.instance_id,)


def _rank(seed: int, what: str, name: str) -> str:
    return hashlib.sha256(f"{seed}/{what}/{name}".encode()).hexdigest()
