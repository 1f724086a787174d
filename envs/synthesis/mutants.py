"""Candidates from a repository's own functions.

Invariant: the same profile, seed and requests give the same candidates, whatever else ran; a function is asked for more
only while it has fewer valid bugs than wanted.
"""

from __future__ import annotations

import hashlib
import random
import re
from collections import Counter

from envs.repos.store import test_times
from envs.synthesis.candidate import Candidate, Mutant
from envs.synthesis.mutations import Mutation, MutationError, mutate_function
from envs.task import RepoProfile

_TRIES = 4
"""Mutations tried at most, per bug that is wanted of a function."""
_SPARE = 1.15
"""Mutations tried at once, per bug that is missing."""


class MutantSupply:
    """Hands out candidates in waves, function after function, and learns which of them were valid."""

    def __init__(self, profile: RepoProfile, per_function: int, seed: int, units: int, max_s: float) -> None:
        self._profile, self._per_function, self._seed = profile, per_function, seed
        self._units, self._unit_count = Units(profile, max_s), units
        keys = [key for key in profile.covers if key.partition("::")[0] in set(profile.source_files)]
        random.Random(f"{seed}/{profile.name}").shuffle(keys)
        self._functions = keys
        self._sources: dict[str, str] = {}
        self._waiting: dict[str, list[Mutant]] = {}
        self._valid: Counter[str] = Counter()

    def next(self, missing: int) -> list[Candidate]:
        """Candidates that should give `missing` valid bugs; empty when there are no more."""
        wave: list[Candidate] = []
        for key in self._functions:
            if missing <= 0:
                break
            short = self._per_function - self._valid[key]
            mutants = self._mutants(key)
            if short > 0 and mutants:
                count = min(len(mutants), round(_SPARE * short + 0.5))
                wave += mutants[:count]
                del mutants[:count]
                missing -= min(short, int(count / _SPARE))
        return wave

    def note(self, candidate: Candidate) -> bool:
        """A candidate was found valid; whether it is still wanted."""
        self._valid[candidate.function] += 1
        return self._valid[candidate.function] <= self._per_function

    def _mutants(self, key: str) -> list[Mutant]:
        if key not in self._waiting:
            path, _, name = key.partition("::")
            if path not in self._sources:
                self._sources[path] = (self._profile.tree / path).read_text(encoding="utf-8")
            rng = random.Random(f"{self._seed}/{self._profile.base_commit}/{key}")
            try:
                found = mutate_function(self._sources[path], name, rng, _TRIES * self._per_function)
            except MutationError:  # a function that is made at run time has no text
                found = []
            targets = self._units.covering(key, self._unit_count)
            found = found if targets else []
            self._waiting[key] = [self._mutant(key, path, targets, mutation) for mutation in found]
        return self._waiting[key]

    def _mutant(self, key: str, path: str, targets: tuple[str, ...], mutation: Mutation) -> Mutant:
        what = f"{key}\0{mutation.line}\0{mutation.before_line}\0{mutation.new_source}"
        digest = hashlib.sha256(what.encode()).hexdigest()[:8]
        return Mutant(
            instance_id=f"{self._profile.base_commit[:8]}.{mutation.kind}__{digest}",
            kind=mutation.kind,
            function=key,
            broken={path: mutation.new_source},
            fixed={path: self._sources[path]},
            targets=targets,
            changed=(mutation.before_line, mutation.after_line),
        )


class Units:
    """The test classes (or pytest functions) of a repository, and how long they take."""

    def __init__(self, profile: RepoProfile, max_s: float) -> None:
        self._profile, self._max_s = profile, max_s
        self._seconds: Counter[str] = Counter()
        for test, seconds in test_times(profile).items():
            self._seconds[unit_of(test, profile)] += seconds  # type: ignore[assignment]  # a Counter sums floats too

    def covering(self, key: str, count: int) -> tuple[str, ...]:
        """What to run for a function, within half of the time that is allowed.

        First the units that bear its name, then those whose tests call the fewest other functions; and last one from
        the same file that does not call it, so that there is something that must go on passing.
        """
        units = list(dict.fromkeys(unit_of(test, self._profile) for test in self._profile.covers[key]))
        name = _letters(key.rpartition("::")[2].split(".")[0])
        chosen: list[str] = []
        for unit in sorted(units, key=lambda unit: name not in _letters(re.split(r"\.|::", unit)[-1])):
            if len(chosen) < count and sum(self._seconds[u] for u in [*chosen, unit]) <= self._max_s / 2:
                chosen.append(unit)
        return tuple(chosen + self._bystander(chosen[0], set(units))) if chosen else ()

    def _bystander(self, unit: str, covering: set[str]) -> list[str]:
        """The next unit of the same file, in the alphabet's circle, that is quick and calls something else."""
        file = _file_of(unit)
        others = sorted(u for u in self._seconds if _file_of(u) == file and u not in covering)
        quick = [u for u in others if self._seconds[u] <= self._max_s / 20]
        return (sorted(quick, key=lambda u: (u < unit, u)) or [])[:1]


def _file_of(unit: str) -> str:
    return unit.partition("::")[0] if "::" in unit else unit.rpartition(".")[0]


def unit_of(test: str, profile: RepoProfile) -> str:
    """The class of a test, or the test itself where it has none."""
    if profile.log_parser == "unittest":
        return test.rpartition(".")[0]
    path, *names = test.partition("[")[0].split("::")
    return "::".join([path, *names[:1]])


def _letters(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.lower())
