"""`make_tasks`: validated bugs of one repository.

Invariant: every task's FAIL_TO_PASS and PASS_TO_PASS come from runs of its tests; the gold patch turns what the agent
is given into the repaired files exactly. The same profile and options give the same tasks, also when the making was
interrupted and went on from its journal.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

from envs.synthesis.assemble import task_from
from envs.synthesis.candidate import Candidate
from envs.synthesis.hidden import with_hidden
from envs.synthesis.journal import Journal
from envs.synthesis.judge import Judge
from envs.synthesis.llm.describing import described
from envs.synthesis.llm.questions import Questions
from envs.synthesis.options import TaskOptions, is_generated
from envs.synthesis.splits import assign_splits
from envs.synthesis.statement import Style, style_of
from envs.synthesis.supplies import supplies_of
from envs.synthesis.validate import Validation
from envs.task import RepoProfile, TaskInstance
from envs.testing.runner import Progress, silent
from sandbox.protocol import SandboxBackend

_T = TypeVar("_T")
_LEAST_WAVE, _WAVE = 4, 48
"""Bugs asked for at once where every one of them costs a run of all tests."""


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
    """Make bugs by each strategy, until `options.bugs` of them are validated.

    `funnel` gets how many candidates ended how. What `journal` knows is not run again. Raises `ValueError` for options
    out of range and for a suite that cannot be run as a whole, `ModelError` when the language model does not answer,
    `SandboxError` when sandboxes fail.
    """
    options.check(is_generated(profile))
    counts: Counter[str] = Counter() if funnel is None else funnel
    journal = journal or Journal()
    found: list[tuple[Candidate, Validation]] = []
    questions = Questions(
        options.model, journal, lambda text: on_progress(min(len(found), options.bugs), options.bugs, text)
    )
    judge = Judge(profile, options, backend, workers, on_progress, journal)
    supplies = supplies_of(profile, options, questions, lambda: [candidate for candidate, _ in found], counts)
    broken: set[int] = set()
    least, most = (_LEAST_WAVE, _WAVE) if judge.suite == "full" else (1, options.bugs)
    for supply, goal in _turns(supplies, options.bugs, lambda: len(found)):
        while len(found) < goal and (wave := await supply.next(max(least, min(most, goal - len(found))))):
            fresh = [candidate for candidate in wave if not _known(candidate, broken)]
            counts["duplicate"] += len(wave) - len(fresh)
            for candidate, verdict in zip(fresh, await judge.verdicts(fresh, len(found)), strict=True):
                counts[verdict.reason or "valid"] += 1
                if verdict.valid and supply.note(candidate):
                    found.append((candidate, verdict))
    counts += Counter()  # drops what is zero
    found = found[: options.bugs]
    if options.describe:
        found = await described(profile, found, questions)
    tasks = [task_from(profile, bug, verdict, judge.suite, _style(options, bug)) for bug, verdict in found]
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


def _turns(supplies: Sequence[_T], bugs: int, found: Callable[[], int]) -> Iterator[tuple[_T, int]]:
    """Each supply, and how many bugs there are to be after it: equal shares; then whoever has more fills up."""
    for left in range(len(supplies), 0, -1):
        yield supplies[-left], found() + -(-(bugs - found()) // left)
    if len(supplies) > 1:
        yield from ((supply, bugs) for supply in supplies)


def _style(options: TaskOptions, bug: Candidate) -> Style:
    return style_of(bug.instance_id, options.seed) if options.style == "mixed" else options.style


def _known(candidate: Candidate, broken: set[int]) -> bool:
    """Whether the same files with the same tests were seen before; they are remembered."""
    key = hash((*sorted(candidate.broken.items()), *sorted(candidate.tests.items())))
    known = key in broken
    broken.add(key)
    return known
