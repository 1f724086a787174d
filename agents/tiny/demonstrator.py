"""The scripted expert of generated repositories: reads, and edits what it read, but errs on purpose.

Invariant: it acts on observations only (the document that it viewed, the source that it viewed), never on the task's
gold patch. Its errors leave the warm-started policy room to improve: some episodes skip the document and guess, some
write a neighbour of the right expression.
"""

from __future__ import annotations

import random
import re
from collections.abc import Generator
from dataclasses import dataclass, replace

from envs.generated.grammar import Function, Module, mutate
from envs.generated.repository import document_path, module_from_document, module_from_source, source_path
from envs.task import TaskInstance
from envs.tools import Action

# Reads back what envs.generated.variants.problem_statement writes.
_STATEMENT = re.compile(r"^(?P<function>\w+)\(.*\nFix \w+/(?P<module>\w+)\.py;")


@dataclass(frozen=True)
class Habits:
    """How often the demonstrator errs. All shares of episodes, 0 to 1."""

    skip_document: float = 0.35
    """Does not read the document and guesses a neighbour of the source's expression."""
    wrong: float = 0.3
    """Read the document and still writes a neighbour of what it says."""
    source_first: float = 0.3
    run_tests: float = 0.15
    """Runs the tests after the edit; if they fail and the document was read, repairs the edit."""


PERFECT = Habits(skip_document=0.0, wrong=0.0, run_tests=0.0)
"""Always reads, never errs: what the contexts of held-out pairs are made with."""


def demonstrate(task: TaskInstance, rng: random.Random, habits: Habits) -> Generator[Action, str, None]:
    """Actions of one episode. A generator: `send` it the observation of each action that it yielded.

    Raises ValueError for a task that is not of a generated repository.
    """
    found = _STATEMENT.match(task.problem_statement)
    if not found:
        raise ValueError(f"task {task.instance_id}: the scripted expert only knows tasks of generated repositories")
    name, function = found["module"], found["function"]
    reads = rng.random() >= habits.skip_document
    seen: dict[str, str] = {}
    for path in _reading_order(name, reads, rng, habits):
        seen[path] = yield Action("view", {"path": path})
    if reads:
        right = _function(module := module_from_document(name, seen[document_path(name)]), function)
        errs = rng.random() < habits.wrong
        written = _neighbour(module, right, rng) if errs else right
    else:
        shown = _function(module := module_from_source(name, seen[source_path(name)]), function)
        right = written = _neighbour(module, shown, rng)
    yield _edit(name, written)
    if rng.random() < habits.run_tests:
        failures = yield Action("run_tests", {})
        if "FAILED" in failures and written != right:
            yield _edit(name, right)
    yield Action("submit", {})


def _reading_order(name: str, reads: bool, rng: random.Random, habits: Habits) -> list[str]:
    if not reads:
        return [source_path(name)]
    order = [document_path(name), source_path(name)]
    return order[::-1] if rng.random() < habits.source_first else order


def _function(module: Module, name: str) -> Function:
    return next(f for f in module.functions if f.name == name)


def _neighbour(module: Module, function: Function, rng: random.Random) -> Function:
    expression, _ = mutate(rng, module, module.functions.index(function), function.expression)
    return replace(function, expression=expression)


def _edit(name: str, function: Function) -> Action:
    return Action("edit", {"path": source_path(name), "new": function.source().rstrip("\n")})
