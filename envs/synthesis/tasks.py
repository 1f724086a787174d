"""`make_tasks`: validated bugs of one repository.

Invariant: every task's FAIL_TO_PASS and PASS_TO_PASS come from runs of its tests; the gold patch turns what the agent
is given into the repaired files exactly. The same profile and options give the same tasks, also when the making was
interrupted and went on from its journal.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Literal, Protocol

from envs.synthesis.assemble import task_from
from envs.synthesis.candidate import Candidate
from envs.synthesis.hidden import with_hidden
from envs.synthesis.journal import Journal
from envs.synthesis.mutants import MutantSupply
from envs.synthesis.splits import assign_splits
from envs.synthesis.staged import measure_baseline, validate_staged
from envs.synthesis.units import Units
from envs.synthesis.validate import Validation, validate
from envs.task import RepoProfile, TaskInstance
from envs.testing.runner import Progress, silent
from sandbox.protocol import SandboxBackend

_CHUNK = 256
"""Candidates validated at once by the tests near them: what an interruption may lose."""
_SPARE = 1.15
"""Candidates tried at once, per bug that is missing, where a try is cheap."""
_LEAST = 0.34
"""Share of a function's candidates that must be valid for more to be tried, where a try is dear: some functions run at
import, so that every bug of theirs breaks all tests, and some are hardly tested."""
_LEAST_WAVE, _WAVE = 4, 48
"""Bugs asked for at once where every one of them costs a run of all tests."""


@dataclass(frozen=True)
class TaskOptions:
    """What decides a task set, beside the repository."""

    bugs: int = 200
    """Tasks to make; fewer when the repository has no more."""
    per_function: int = 6
    """Different bugs of one function: what confounder pairs are made of."""
    seed: int = 0
    suite: Literal["full", "near"] = "full"
    """full: every bug is run against all tests once, and graded by all. near: against a few test classes near the
    function, which also are what it is graded by; much faster. Generated repositories bring tests of their own."""
    heldout_mutation: float = 0.1
    heldout_function: float = 0.1
    repeats: int = 2
    """Runs of the near tests that FAIL_TO_PASS and PASS_TO_PASS must agree in (suite near); generated functions, which
    are pure, are run once."""
    max_test_s: float = 1.0
    """Seconds that the tests which run first (full), or all tests of a task (near), may take."""
    test_units: int = 3
    """Suite near: test classes (or pytest functions) that call the function; one more that does not is run beside
    them."""
    hidden: bool = True
    """Whether functions get hidden calls: answers that only the grader asks for."""


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
    if options.bugs < 1 or options.per_function < 1 or options.repeats < 1 or options.test_units < 1:
        raise ValueError("bugs, per_function, repeats and test_units of a task set must be at least 1")
    supply = supply_of(profile, options)
    counts: Counter[str] = Counter() if funnel is None else funnel
    judge = _Judge(profile, options, backend, workers, on_progress, journal or Journal())
    tasks: list[TaskInstance] = []
    broken: set[int] = set()
    least, most = (_LEAST_WAVE, _WAVE) if judge.suite == "full" else (1, options.bugs)
    while len(tasks) < options.bugs and (wave := supply.next(max(least, min(most, options.bugs - len(tasks))))):
        fresh = [candidate for candidate in wave if not _known(candidate, broken)]
        counts["duplicate"] += len(wave) - len(fresh)
        for candidate, verdict in zip(fresh, await judge.verdicts(fresh, len(tasks)), strict=True):
            counts[verdict.reason or "valid"] += 1
            if verdict.valid and supply.note(candidate):
                tasks.append(task_from(profile, candidate, verdict, judge.suite))
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
        whole_files=_is_generated(profile),  # held-out programs, not just functions
    )


def _known(candidate: Candidate, broken: set[int]) -> bool:
    """Whether the same files with the same tests were seen before; they are remembered."""
    key = hash((*sorted(candidate.broken.items()), *sorted(candidate.tests.items())))
    known = key in broken
    broken.add(key)
    return known


class _Judge:
    """Verdicts on waves of candidates: from the journal, else from running tests."""

    def __init__(
        self,
        profile: RepoProfile,
        options: TaskOptions,
        backend: SandboxBackend,
        workers: int,
        on_progress: Progress,
        journal: Journal,
    ) -> None:
        self._profile, self._options, self._backend, self._workers = profile, options, backend, workers
        self._on_progress, self._journal = on_progress, journal
        self.suite = "near" if _is_generated(profile) else options.suite

    async def verdicts(self, wave: Sequence[Candidate], found: int) -> list[Validation]:
        """In order. `found` bugs were valid before."""
        known = self._journal.verdicts
        missing = [candidate for candidate in wave if candidate.instance_id not in known]
        if missing:
            await (self._full if self.suite == "full" else self._near)(wave, missing, found)
        return [known[candidate.instance_id] for candidate in wave]

    def _say(self, wave: Sequence[Candidate], found: int, text: str = "") -> None:
        valid = found + sum(v.valid for c in wave if (v := self._journal.verdicts.get(c.instance_id)))
        said = text or f"{len(self._journal.verdicts)} candidates tried"
        self._on_progress(min(valid, self._options.bugs), self._options.bugs, said)

    async def _full(self, wave: Sequence[Candidate], missing: Sequence[Candidate], found: int) -> None:
        if self._journal.baseline is None:
            self._say(wave, found, "running all tests twice without a bug")
            self._journal.set_baseline(await measure_baseline(self._profile, self._backend))

        def told(candidate: Candidate, verdict: Validation) -> None:
            self._journal.add(candidate.instance_id, verdict)
            self._say(wave, found)

        self._say(wave, found)
        baseline = self._journal.baseline
        assert baseline is not None
        options = {"backend": self._backend, "workers": self._workers}
        await validate_staged(self._profile, missing, baseline, **options, on_verdict=told)  # type: ignore[arg-type]

    async def _near(self, wave: Sequence[Candidate], missing: Sequence[Candidate], found: int) -> None:
        for start in range(0, len(missing), _CHUNK):
            chunk = missing[start : start + _CHUNK]
            verdicts = await validate(
                self._profile,
                chunk,
                backend=self._backend,
                workers=self._workers,
                repeats=1 if _is_generated(self._profile) else self._options.repeats,
                max_test_s=self._options.max_test_s,
                on_progress=lambda done, total, text: self._say(wave, found, f"{text}: {done} of {total}"),
            )
            for candidate, verdict in zip(chunk, verdicts, strict=True):
                self._journal.add(candidate.instance_id, verdict)


def supply_of(profile: RepoProfile, options: TaskOptions) -> _Supply:
    """Where the candidates of a task set come from."""
    if _is_generated(profile):
        from envs.generated import candidates

        return _Listed(candidates(profile.tree, options.per_function, options.seed))
    units = Units(profile, options.max_test_s)

    def targets(key: str) -> tuple[str, ...]:
        return units.reaching(key) if options.suite == "full" else units.covering(key, options.test_units)

    if options.suite == "near":
        return MutantSupply(profile, options.per_function, options.seed, targets, _SPARE)
    return MutantSupply(profile, options.per_function, options.seed, targets, least=_LEAST)


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
