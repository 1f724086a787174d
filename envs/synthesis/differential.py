"""Hidden differential tests: calls that no test makes, and what the repaired function answers.

Beside the function itself the calls are asked that led the tests to it, and those that show what became of an object.

Invariant: an answer counts only if two processes with other hash seeds gave it, in other orders; a call that raises
only if the tests make that very call. So the gold patch passes, and so does every repair that answers alike.
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, field

from envs.synthesis.inputs import new_inputs
from envs.task import HiddenCall, RepoProfile
from envs.testing.runner import Job, Outcome, Progress, run_jobs, silent
from sandbox.protocol import SandboxBackend

CALLS = 16
"""Calls of one function that are kept, and how many of them may be calls that the tests make too."""
SEEN_CALLS = 6
_NEW = 24
"""New inputs that are tried."""
_TOGETHER = 8
"""Functions whose calls share a process."""
_BROKEN = 4
"""Broken versions that are asked, to find the calls that tell them from the repaired one."""
_CALL_S = 0.1
"""CPU seconds that the repaired function may take; the grader allows more."""
_JOB_S = 20.0
_BROKEN_S = 2.0
_UNTOLD = re.compile(r'\b0x[0-9a-f]{6,}|\["opaque"\]')
"""What `object.__repr__` says, another one in every process; and what an answer does not tell."""
_NOTHING = ('{"returns":["callable"]}', '{"returns":["module"]}', '{"returns":["list",[]]}')
"""Answers that tell nothing, or little."""

Call = tuple[str, str]
"""Function and arguments."""


@dataclass(frozen=True)
class Subject:
    """What is called (`path::qualname`), the tests that do so, repaired files, broken ones.

    Files are path -> text relative to the tree; `fixed` empty: as it stands in the tree.
    """

    functions: tuple[str, ...]
    """The function that was broken, or the methods of a class."""
    targets: tuple[str, ...]
    fixed: Mapping[str, str] = field(default_factory=dict)
    broken: tuple[Mapping[str, str], ...] = ()


async def hidden_calls(
    profile: RepoProfile,
    subjects: Sequence[Subject],
    *,
    backend: SandboxBackend,
    workers: int = 2,
    seed: int = 0,
    on_progress: Progress = silent,
) -> list[tuple[HiddenCall, ...]]:
    """For every subject at most `CALLS` calls; none where its calls cannot be told as text or their answers change.

    Many subjects at once cost little more than one. Raises `SandboxError` when sandboxes fail twice in a row.
    """
    ask = _Asker(profile, subjects, backend, workers, on_progress)
    seen, ways = await ask.recorded()
    seen = [[call for call in own if not _is_private(call[0], led)] for own, led in zip(seen, ways, strict=True)]
    ways = [[call for call in led if not _is_private(call[0], ())] for led in ways]
    pools = await _agreed(ask, [_pool(calls, seed) for calls in seen])
    around = await _agreed(ask, [_pool(calls, seed) for calls in ways])
    pools = [{**other, **pool} for pool, other in zip(pools, around, strict=True)]
    known = [{*own, *others} for own, others in zip(seen, ways, strict=True)]
    differing = await ask.differing(pools)
    return [_selected(*parts) for parts in zip(pools, known, differing, strict=True)]


async def _agreed(ask: _Asker, pools: list[dict[Call, str]]) -> list[dict[Call, str]]:
    """What is answered alike in two processes."""
    for hash_seed in (0, 1):
        answers = await ask.answers([list(pool) for pool in pools], hash_seed)
        for pool, told in zip(pools, answers, strict=True):
            _keep_agreed(pool, told)
    return pools


def _is_private(function: str, ways: Sequence[Call]) -> bool:
    """Whether a repair may do without that name: one that begins with `_`, where something else leads there too."""
    name = function.partition("::")[2].rpartition(".")[2]
    return name == "_" or (name.startswith("_") and not name.endswith("__") and bool(ways))


def _pool(seen: Sequence[Call], seed: int) -> dict[Call, str]:
    """The calls to try -> the answer, still empty. A `?` marks those that may raise."""
    functions = sorted({function for function, _ in seen})
    rng = random.Random(f"{seed}/{'/'.join(functions)}")
    pool: dict[Call, str] = {}
    for function in functions:
        texts = [text for called, text in seen if called == function]
        share = len(functions)
        old = rng.sample(texts, min(len(texts), -(-2 * SEEN_CALLS // share)))
        pool |= {(function, text): "?" for text in old}
        pool |= {(function, text): "" for text in new_inputs(texts, -(-_NEW // share), rng)}
    return pool


def _keep_agreed(pool: dict[Call, str], answers: Mapping[Call, str]) -> None:
    """Keep what was answered, as before where it was answered before.

    One call that is answered otherwise shows that the function draws or depends on the hash seed: others may have come
    out equal by chance, so none of that function's is kept.
    """
    by_chance: set[str] = set()
    for call, before in list(pool.items()):
        told = answers.get(call, '{"fails"')
        raises = (told.startswith('{"raises"') or '["raises",' in told) and before not in ("?", told)
        if raises or told.startswith('{"fails"') or told in _NOTHING[:2] or _UNTOLD.search(told):
            del pool[call]
        else:
            by_chance |= {call[0]} if before not in ("", "?", told) else set()
            pool[call] = told
    for call in [call for call in pool if call[0] in by_chance]:
        del pool[call]


def _selected(
    pool: Mapping[Call, str], known: Set[Call], differs: Mapping[Call, frozenset[int]]
) -> tuple[HiddenCall, ...]:
    """Calls that the tests do not make, and some that they do."""
    old = _chosen([call for call in pool if call in known], pool, differs, SEEN_CALLS)
    new = _chosen([call for call in pool if call not in known], pool, differs, CALLS - len(old))
    return tuple(HiddenCall(function=call[0], arguments=call[1], expected=pool[call]) for call in new + old)


def _chosen(
    calls: Sequence[Call],
    answers: Mapping[Call, str],
    differs: Mapping[Call, frozenset[int]],
    count: int,
) -> list[Call]:
    """First calls that tell more broken versions apart, then calls with other answers, then in their order."""
    chosen: list[Call] = []
    told: frozenset[int] = frozenset()
    given: set[str] = set(_NOTHING)
    left = list(calls)
    while left and len(chosen) < count:
        best = max(left, key=lambda call: (len(differs[call] - told), answers[call] not in given, len(differs[call])))
        left.remove(best)
        chosen.append(best)
        told |= differs[best]
        given.add(answers[best])
    return chosen


class _Asker:
    """Runs the jobs, for all subjects at once."""

    def __init__(
        self,
        profile: RepoProfile,
        subjects: Sequence[Subject],
        backend: SandboxBackend,
        workers: int,
        on_progress: Progress,
    ) -> None:
        self._profile, self._subjects, self._backend = profile, subjects, backend
        self._workers, self._on_progress = workers, on_progress
        self._groups = list(_groups(subjects))

    async def _run(self, jobs: Sequence[Job], text: str, hash_seed: int = 0) -> list[Outcome]:
        return await run_jobs(
            self._profile,
            jobs,
            backend=self._backend,
            workers=self._workers,
            batch=max(1, min(32, -(-len(jobs) // self._workers))),
            hash_seed=hash_seed,
            on_progress=self._on_progress,
            text=text,
        )

    async def recorded(self) -> tuple[list[list[Call]], list[list[Call]]]:
        """The calls that were made of each subject in its tests, and calls that led to it."""
        jobs = []
        for group in self._groups:
            subjects = [self._subjects[i] for i in group]
            targets = dict.fromkeys(target for subject in subjects for target in subject.targets)
            functions = tuple(dict.fromkeys(function for subject in subjects for function in subject.functions))
            jobs.append(Job(tuple(targets), subjects[0].fixed, cpu_s=3 * _JOB_S, record=functions))
        seen: list[list[Call]] = [[] for _ in self._subjects]
        ways: list[list[Call]] = [[] for _ in self._subjects]
        for group, outcome in zip(self._groups, await self._run(jobs, "watching calls"), strict=True):
            for i in group:
                mine = self._subjects[i].functions
                seen[i] = [call for call in outcome.recorded if call[0] in mine]
                ways[i] = [(function, text) for reached, function, text in outcome.ways if reached in mine]
        return seen, ways

    async def answers(self, calls: Sequence[Sequence[Call]], hash_seed: int) -> list[dict[Call, str]]:
        """What the repaired functions answer. When a call ends its process, the other functions are asked again."""
        told: list[dict[Call, str]] = [{} for _ in calls]
        waiting = []
        for group in self._groups:
            asked = [(i, call) for i in group for call in calls[i]]
            waiting.append((self._subjects[group[0]].fixed, asked[::-1] if hash_seed else asked))
        while waiting := [(files, asked) for files, asked in waiting if asked]:
            jobs = [
                Job((), files, _JOB_S, calls=tuple(call for _, call in asked), call_s=_CALL_S, lasting=True)
                for files, asked in waiting
            ]
            outcomes = await self._run(jobs, "asking the repaired", hash_seed)
            for (_, asked), outcome in zip(waiting, outcomes, strict=True):
                for (i, call), answer in zip(asked, outcome.answers, strict=False):
                    told[i][call] = answer
                ending = asked[len(outcome.answers) :][:1]
                asked[:] = [(i, call) for i, call in asked[len(outcome.answers) :] if i != ending[0][0]]
        return told

    async def differing(self, pools: Sequence[Mapping[Call, str]]) -> list[dict[Call, frozenset[int]]]:
        """Which of a subject's broken versions answer a call otherwise, or not at all."""
        asked = [(i, n) for i, subject in enumerate(self._subjects) for n in range(len(subject.broken[:_BROKEN]))]
        asked = [(i, n) for i, n in asked if pools[i]]
        jobs = [
            Job((), self._subjects[i].broken[n], _BROKEN_S, calls=tuple(pools[i]), call_s=_CALL_S) for i, n in asked
        ]
        found: list[dict[Call, frozenset[int]]] = [dict.fromkeys(pool, frozenset()) for pool in pools]
        for (i, n), outcome in zip(asked, await self._run(jobs, "asking the broken"), strict=True):
            answers = [*outcome.answers, *[""] * len(pools[i])]
            for (call, right), answer in zip(pools[i].items(), answers, strict=False):
                if answer != right:
                    found[i][call] |= {n}
        return found


def _groups(subjects: Sequence[Subject]) -> Iterator[list[int]]:
    """Indices of subjects that may share a process: the same files."""
    by_files: dict[tuple[tuple[str, str], ...], list[int]] = {}
    for i, subject in enumerate(subjects):
        by_files.setdefault(tuple(sorted(subject.fixed.items())), []).append(i)
    for group in by_files.values():
        for start in range(0, len(group), _TOGETHER):
            yield group[start : start + _TOGETHER]
