"""`make_tasks`: validated bugs of one repository.

Invariant: every task's FAIL_TO_PASS and PASS_TO_PASS come from runs of its tests; the gold patch turns what the agent
is given into the repaired files exactly. The same profile and options give the same tasks, also when the making was
interrupted and went on from its journal.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from itertools import islice
from typing import Protocol

from envs.synthesis.assemble import task_from
from envs.synthesis.candidate import Candidate
from envs.synthesis.hidden import with_hidden
from envs.synthesis.journal import Journal
from envs.synthesis.judge import Judge
from envs.synthesis.mutants import MutantSupply
from envs.synthesis.options import TaskOptions, is_generated
from envs.synthesis.splits import assign_splits
from envs.synthesis.statement import style_of
from envs.synthesis.units import Units
from envs.task import RepoProfile, TaskInstance
from envs.testing.runner import Progress, silent
from sandbox.protocol import SandboxBackend

_SPARE = 1.15
"""Candidates tried at once, per bug that is missing, where a try is cheap."""
_LEAST = 0.34
"""Share of a function's candidates that must be valid for more to be tried, where a try is dear: some functions run at
import, so that every bug of theirs breaks all tests, and some are hardly tested."""
_LEAST_WAVE, _WAVE = 4, 48
"""Bugs asked for at once where every one of them costs a run of all tests."""


class _Supply(Protocol):
    def next(self, missing: int) -> list[Candidate]: ...

    def note(self, candidate: Candidate) -> bool: ...


async def make_tasks(
    profile: RepoProfile,
    options: TaskOptions,
    *,
    backend: SandboxBackend,
    workers: int = 2,
    on_progress: Progress = silent,
    funnel: Counter[str] | None = None,
    journal: Journal | None = None,
) -> list[TaskInstance]:
    """Make bugs until `options.bugs` of them are validated.

    `funnel` gets how many candidates ended how. What `journal` knows is not run again. Raises `ValueError` for options
    out of range and for a suite that cannot be run as a whole, `SandboxError` when sandboxes fail.
    """
    options.check()
    supply = supply_of(profile, options)
    counts: Counter[str] = Counter() if funnel is None else funnel
    judge = Judge(profile, options, backend, workers, on_progress, journal or Journal())
    tasks: list[TaskInstance] = []
    broken: set[int] = set()
    least, most = (_LEAST_WAVE, _WAVE) if judge.suite == "full" else (1, options.bugs)
    while len(tasks) < options.bugs and (wave := supply.next(max(least, min(most, options.bugs - len(tasks))))):
        fresh = [candidate for candidate in wave if not _known(candidate, broken)]
        counts["duplicate"] += len(wave) - len(fresh)
        for candidate, verdict in zip(fresh, await judge.verdicts(fresh, len(tasks)), strict=True):
            counts[verdict.reason or "valid"] += 1
            if verdict.valid and supply.note(candidate):
                mixed = style_of(candidate.instance_id, options.seed)
                style = mixed if options.style == "mixed" else options.style
                tasks.append(task_from(profile, candidate, verdict, judge.suite, style))
    counts += Counter()  # drops what is zero
    tasks = tasks[: options.bugs]
    if options.hidden:
        tasks = await with_hidden(
            profile,
            tasks,
            backend=backend,
            workers=workers,
            on_progress=lambda done, total, text: on_progress(len(tasks), options.bugs, f"{text}: {done} of {total}"),
        )
    on_progress(len(tasks), options.bugs, f"{counts['valid']} of {counts.total()} candidates are valid")
    return assign_splits(
        tasks,
        mutation_share=options.heldout_mutation,
        function_share=options.heldout_function,
        seed=options.seed,
        whole_files=is_generated(profile),  # held-out programs, not just functions
    )


def _known(candidate: Candidate, broken: set[int]) -> bool:
    """Whether the same files with the same tests were seen before; they are remembered."""
    key = hash((*sorted(candidate.broken.items()), *sorted(candidate.tests.items())))
    known = key in broken
    broken.add(key)
    return known


def supply_of(profile: RepoProfile, options: TaskOptions) -> _Supply:
    """Where the candidates of a task set come from."""
    if is_generated(profile):
        from envs.generated import candidates

        return _Listed(candidates(profile.tree, options.per_function, options.seed))
    units = Units(profile, options.max_test_s)

    def targets(key: str) -> tuple[str, ...]:
        return units.reaching(key) if options.suite == "full" else units.covering(key, options.test_units)

    if options.suite == "near":
        return MutantSupply(profile, options.per_function, options.seed, targets, _SPARE)
    return MutantSupply(profile, options.per_function, options.seed, targets, least=_LEAST)


class _Listed:
    """Candidates that somebody else makes, in their order."""

    def __init__(self, candidates: Iterator[Candidate]) -> None:
        self._candidates = candidates

    def next(self, missing: int) -> list[Candidate]:
        return list(islice(self._candidates, missing))

    def note(self, candidate: Candidate) -> bool:
        return True
