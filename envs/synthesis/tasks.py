"""`make_tasks`: validated bugs of one repository.

Invariant: every task's FAIL_TO_PASS and PASS_TO_PASS come from runs of its own tests; the gold patch turns what the
agent is given into the repaired files exactly. The same profile and options give the same tasks.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Protocol

from envs.patch import make_patch
from envs.synthesis.candidate import Candidate
from envs.synthesis.mutants import MutantSupply
from envs.synthesis.splits import assign_splits
from envs.synthesis.statement import problem_statement
from envs.synthesis.validate import Validation, validate
from envs.task import RepoProfile, TaskInstance
from envs.testing.runner import Progress, silent
from sandbox.protocol import SandboxBackend


@dataclass(frozen=True)
class TaskOptions:
    """What decides a task set, beside the repository."""

    bugs: int = 200
    """Tasks to make; fewer when the repository has no more."""
    per_function: int = 6
    """Different bugs of one function: what confounder pairs are made of."""
    seed: int = 0
    heldout_mutation: float = 0.1
    heldout_function: float = 0.1
    repeats: int = 2
    """Runs of the tests that every FAIL_TO_PASS and PASS_TO_PASS must agree in; generated functions, which are pure,
    are run once."""
    max_test_s: float = 1.0
    """CPU seconds that a task's tests may take."""
    test_units: int = 3
    """Test classes (or pytest functions) that call the function; one more that does not is run beside them."""


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
) -> list[TaskInstance]:
    """Make bugs until `options.bugs` of them are validated. `funnel` gets how many candidates ended how.

    Raises `ValueError` for options out of range, `SandboxError` when sandboxes fail.
    """
    if options.bugs < 1 or options.per_function < 1 or options.repeats < 1 or options.test_units < 1:
        raise ValueError("bugs, per_function, repeats and test_units of a task set must be at least 1")
    supply = _supply(profile, options)
    counts: Counter[str] = Counter() if funnel is None else funnel
    tasks: list[TaskInstance] = []
    while len(tasks) < options.bugs and (wave := supply.next(options.bugs - len(tasks))):
        found = len(tasks)

        def progress(done: int, total: int, text: str, found: int = found, size: int = len(wave)) -> None:
            on_progress(found, options.bugs, f"{text} of {size} candidates: {done} of {total}")

        verdicts = await validate(
            profile,
            wave,
            backend=backend,
            workers=workers,
            repeats=1 if _is_generated(profile) else options.repeats,
            max_test_s=options.max_test_s,
            on_progress=progress,
        )
        for candidate, verdict in zip(wave, verdicts, strict=True):
            counts[verdict.reason or "valid"] += 1
            if verdict.valid and supply.note(candidate):
                tasks.append(task_from(profile, candidate, verdict))
    yielded = f"{counts['valid']} of {counts.total()} candidates are valid"
    on_progress(min(len(tasks), options.bugs), options.bugs, yielded)
    return assign_splits(
        tasks[: options.bugs],
        mutation_share=options.heldout_mutation,
        function_share=options.heldout_function,
        seed=options.seed,
        whole_files=_is_generated(profile),  # held-out programs, not just functions
    )


def _supply(profile: RepoProfile, options: TaskOptions) -> _Supply:
    if _is_generated(profile):
        from envs.generated import candidates

        return _Listed(candidates(profile.tree, options.per_function, options.seed))
    return MutantSupply(profile, options.per_function, options.seed, options.test_units, options.max_test_s)


def _is_generated(profile: RepoProfile) -> bool:
    return profile.source.startswith("generated:")


class _Listed:
    """Candidates that somebody else makes, in their order."""

    def __init__(self, candidates: Iterator[Candidate]) -> None:
        self._candidates = candidates

    def next(self, missing: int) -> list[Candidate]:
        return list(islice(self._candidates, missing))

    def note(self, candidate: Candidate) -> bool:
        return True


def task_from(profile: RepoProfile, candidate: Candidate, verdict: Validation) -> TaskInstance:
    """The task that a valid candidate is."""

    def in_tree(path: str) -> str:
        return (profile.tree / path).read_bytes().decode()

    def read(path: str) -> str:
        return candidate.tests.get(path) or in_tree(path)

    def differs(path: str, text: str) -> bool:
        return not (profile.tree / path).is_file() or in_tree(path) != text

    hidden = tuple(getattr(candidate, "changed", ()))
    failing = verdict.FAIL_TO_PASS
    statement = problem_statement(candidate.function, failing, verdict.failures, read, hidden)
    return TaskInstance(
        instance_id=f"{profile.name}__{candidate.instance_id}",
        repo=profile.name,
        base_commit=profile.base_commit,
        problem_statement=candidate.problem_statement or statement,
        patch=make_patch({path: candidate.broken.get(path) for path in candidate.fixed}, dict(candidate.fixed)),
        FAIL_TO_PASS=verdict.FAIL_TO_PASS,
        PASS_TO_PASS=verdict.PASS_TO_PASS,
        version=profile.version,
        environment_setup_commit=profile.base_commit,
        profile=profile.name,
        setup={path: text for path, text in candidate.broken.items() if differs(path, text)},
        tests=candidate.tests,
        test_targets=candidate.targets,
        files=tuple(sorted(candidate.fixed)),
        functions=(candidate.function,),
        kind=candidate.kind,
    )
