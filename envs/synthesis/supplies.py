"""Where the candidates of a task set come from.

Invariant: the same profile, options and verdicts give the same candidates in the same order; of a language model, with
the same answers.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from itertools import islice
from typing import Protocol

from envs.synthesis.candidate import Candidate, Mutant
from envs.synthesis.llm.bugs import modify, rewrite
from envs.synthesis.llm.combine import combine
from envs.synthesis.llm.functions import FunctionSupply
from envs.synthesis.llm.history import CommitSupply
from envs.synthesis.llm.questions import Questions
from envs.synthesis.mutants import MutantSupply
from envs.synthesis.options import STRATEGIES, TaskOptions, is_generated
from envs.synthesis.units import Units
from envs.task import RepoProfile

_SPARE = 1.15
"""Candidates tried at once, per bug that is missing, where a try is cheap."""
_LEAST = 0.34
"""Share of a function's candidates that must be valid for more to be tried, where a try is dear: some functions run at
import, so that every bug of theirs breaks all tests, and some are hardly tested."""


class Supply(Protocol):
    """Candidates of one strategy."""

    async def next(self, missing: int) -> list[Candidate]:
        """Candidates that should give `missing` valid bugs; empty when there are no more."""

    def note(self, candidate: Candidate) -> bool:
        """A candidate was found valid; whether it is still wanted."""


def supplies_of(
    profile: RepoProfile,
    options: TaskOptions,
    questions: Questions,
    found: Callable[[], Iterable[Candidate]],
    counts: Counter[str],
) -> list[Supply]:
    """One for each strategy, in the order in which they are to be asked. `found`: the bugs that are valid so far.

    What never becomes a candidate is counted in `counts`.
    """
    supplies: list[Supply] = []
    for strategy in STRATEGIES:
        if strategy not in options.strategies:
            continue
        if strategy == "procedural":
            supplies.append(own_bugs(profile, options))
        elif strategy == "mirror":
            assert options.history is not None, "mirror without commits was refused"
            empty = partial(counts.update, ["commit cannot be mirrored"])
            supplies.append(
                CommitSupply(profile, options.history, options.commits, questions, _targets(profile, options), empty)
            )
        elif strategy == "combine":
            supplies.append(_Listed(_pairs(found, options.seed)))
        else:
            make = modify if strategy == "modify" else rewrite
            empty = partial(counts.update, ["no bug in the answer"])
            given = {"per_function": options.per_function, "seed": options.seed}
            supplies.append(
                FunctionSupply(make, profile, questions, _targets(profile, options), empty, **given, least=_LEAST)
            )
    return supplies


def own_bugs(profile: RepoProfile, options: TaskOptions) -> Supply:
    """Bugs that need no model: of a repository of ours those that it brings, else mutations."""
    if is_generated(profile):
        from envs.generated import candidates

        return _Listed(candidates(profile.tree, options.per_function, options.seed))
    targets = _targets(profile, options)
    if options.suite == "near":
        return MutantSupply(profile, options.per_function, options.seed, targets, _SPARE)
    return MutantSupply(profile, options.per_function, options.seed, targets, least=_LEAST)


def _targets(profile: RepoProfile, options: TaskOptions) -> Callable[[str], tuple[str, ...]]:
    """Which tests to run for a function."""
    units = Units(profile, options.max_test_s)
    if options.suite == "full":
        return units.reaching
    return lambda key: units.covering(key, options.test_units)


def _pairs(found: Callable[[], Iterable[Candidate]], seed: int) -> Iterator[Candidate]:
    """Two valid bugs of one file each, of those that are there when the first pair is asked for."""
    single = [bug for bug in found() if isinstance(bug, Mutant) and not bug.also]
    yield from combine(single, random.Random(f"{seed}/combine"))


class _Listed:
    """Candidates that somebody else makes, in their order."""

    def __init__(self, candidates: Iterator[Candidate]) -> None:
        self._candidates = candidates

    async def next(self, missing: int) -> list[Candidate]:
        return list(islice(self._candidates, missing))

    def note(self, candidate: Candidate) -> bool:
        return True
