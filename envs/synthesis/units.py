"""Which tests of a repository to run for a function.

Invariant: what is chosen calls the function, by the profile's coverage map, and takes no longer than was allowed, as it
was measured when the repository was added.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping

from envs.repos.store import call_distances, test_times
from envs.task import RepoProfile

_MOST_CASES = 100


def with_classes(covers: Mapping[str, tuple[str, ...]]) -> dict[str, tuple[str, ...]]:
    """The coverage map with the classes too: a test of one of its methods is one of the class."""
    found = {key: dict.fromkeys(tests) for key, tests in covers.items()}
    for key, tests in covers.items():
        outer = key.rpartition(".")[0] if "." in key.partition("::")[2] else ""
        if outer and not outer.endswith("<locals>"):
            found.setdefault(outer, {}).update(dict.fromkeys(tests))
    return {key: tuple(tests) for key, tests in found.items()}


def with_methods(key: str, covers: Mapping[str, tuple[str, ...]]) -> tuple[str, ...]:
    """The function itself, or the methods of a class, that tests call."""
    methods = tuple(sorted(name for name in covers if name.rpartition(".")[0] == key))
    return methods or (key,) * (key in covers)


class Units:
    """The tests of a repository, alone and by class, and how long they take."""

    def __init__(self, profile: RepoProfile, max_s: float) -> None:
        self._profile, self._max_s = profile, max_s
        self._covers = with_classes(profile.covers)
        self._seconds: Counter[str] = Counter()
        self._case_seconds: Counter[str] = Counter()
        for test, seconds in test_times(profile).items():
            self._seconds[unit_of(test, profile)] += seconds  # type: ignore[assignment]  # a Counter sums floats too
            self._case_seconds[case_of(test)] += seconds  # type: ignore[assignment]

    def reaching(self, key: str) -> tuple[str, ...]:
        """The tests that call a function, within the time that is allowed: those nearest to it, and quick ones, first.

        One is chosen even where each takes longer.
        """
        away = call_distances(self._profile, key)
        nearest: dict[str, int] = {}
        for test in self._covers[key]:
            case = case_of(test)
            nearest[case] = min(away.get(test, 0), nearest.get(case, 1 << 20))
        chosen: list[str] = []
        left = self._max_s
        for case in sorted(nearest, key=lambda case: (nearest[case], self._case_seconds[case], case)):
            if len(chosen) < _MOST_CASES and self._case_seconds[case] <= left:
                chosen.append(case)
                left -= self._case_seconds[case]
        return tuple(chosen) or tuple(sorted(nearest, key=lambda case: (self._case_seconds[case], case))[:1])

    def covering(self, key: str, count: int) -> tuple[str, ...]:
        """What to run for a function, by whole classes, within half of the time that is allowed.

        First the units that bear its name, then those whose tests call the fewest other functions; and last one from
        the same file that does not call it, so that there is something that must go on passing.
        """
        units = list(dict.fromkeys(unit_of(test, self._profile) for test in self._covers[key]))
        name = _letters(key.rpartition("::")[2].split(".")[0])
        chosen: list[str] = []
        for unit in sorted(units, key=lambda unit: name not in _letters(re.split(r"\.|::", unit)[-1])):
            if len(chosen) < count and sum(self._seconds[u] for u in [*chosen, unit]) <= self._max_s / 2:
                chosen.append(unit)
        return tuple(chosen + self._bystander(chosen[0], set(units))) if chosen else ()

    def _bystander(self, unit: str, covering: set[str]) -> list[str]:
        """The next unit of the same file, in the alphabet's circle, that is quick and calls something else."""
        file = _module_of(unit)
        others = sorted(u for u in self._seconds if _module_of(u) == file and u not in covering)
        quick = [u for u in others if self._seconds[u] <= self._max_s / 20]
        return (sorted(quick, key=lambda u: (u < unit, u)) or [])[:1]


def unit_of(test: str, profile: RepoProfile) -> str:
    """The class of a test, or the test itself where it has none."""
    if profile.log_parser == "unittest":
        return test.rpartition(".")[0]
    path, *names = test.partition("[")[0].split("::")
    return "::".join([path, *names[:1]])


def case_of(test: str) -> str:
    """The test function of an id, with whatever parameters: these may change with the code under test."""
    return test.partition("[")[0]


def file_of(test: str, profile: RepoProfile) -> str:
    """The test file of an id, as the runner names it."""
    from envs.repos.measure import target

    if profile.log_parser == "pytest":
        return test.partition("::")[0]
    names = {target(profile, path) for path in profile.test_files}
    name = test
    while name and name not in names:
        name = name.rpartition(".")[0]
    return name or test


def _module_of(unit: str) -> str:
    return unit.partition("::")[0] if "::" in unit else unit.rpartition(".")[0]


def _letters(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.lower())
