"""Candidates that a language model makes of a repository's functions.

Invariant: a function is asked about at most as often as bugs of it are wanted, and no more once too few of its
candidates were valid; the same answers and verdicts give the same questions.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import replace
from functools import partial

from envs.synthesis.candidate import Candidate, Mutant
from envs.synthesis.llm.answers import function_text
from envs.synthesis.llm.client import ChatModel
from envs.synthesis.llm.questions import Questions
from envs.task import RepoProfile

Make = Callable[[ChatModel, str, str, str, tuple[str, ...]], Awaitable[Mutant | None]]


class FunctionSupply:
    """Asks for bugs in waves, function after function."""

    def __init__(
        self,
        make: Make,
        profile: RepoProfile,
        questions: Questions,
        targets: Callable[[str], tuple[str, ...]],
        empty: Callable[[], None],
        *,
        per_function: int,
        seed: int,
        least: float,
    ) -> None:
        """`make` asks for one bug; `targets` and `least` as of `MutantSupply`; `empty` is told of vain answers."""
        self._make, self._profile, self._questions, self._targets = make, profile, questions, targets
        self._empty, self._per_function, self._least = empty, per_function, least
        keys = [key for key in profile.covers if key.partition("::")[0] in set(profile.source_files)]
        random.Random(f"{seed}/{profile.name}").shuffle(keys)
        self._keys = keys
        self._asked: Counter[str] = Counter()
        self._tried: Counter[str] = Counter()
        self._valid: Counter[str] = Counter()

    async def next(self, missing: int) -> list[Candidate]:
        """What comes of as many questions; empty when there are no more functions to ask about."""
        while keys := self._wanted(missing):
            answers = await self._questions.mutants([self._question(key) for key in keys])
            found = [replace(m, instance_id=f"{self._profile.base_commit[:8]}.{m.instance_id}") for m in answers if m]
            for _ in range(len(keys) - len(found)):
                self._empty()
            self._tried.update(mutant.function for mutant in found)
            if found:
                return list(found)
        return []

    def note(self, candidate: Candidate) -> bool:
        """A candidate was found valid; it is wanted."""
        self._valid[candidate.function] += 1
        return True

    def _wanted(self, missing: int) -> list[str]:
        """The functions to ask about next, each as often as it is to be asked about."""
        wanted: list[str] = []
        for key in self._keys:
            if len(wanted) >= missing:
                break
            given_up = self._valid[key] < self._least * self._tried[key]
            if not given_up and (short := self._per_function - self._asked[key]) > 0 and self._can_be_asked(key):
                wanted += [key] * min(short, missing - len(wanted))
        return wanted

    def _can_be_asked(self, key: str) -> bool:
        path, _, name = key.partition("::")
        try:
            function_text(self._source(path), name)
        except (SyntaxError, ValueError):
            return False
        return bool(self._targets(key))

    def _question(self, key: str) -> tuple[str, Callable[[], Awaitable[Mutant | None]]]:
        self._asked[key] += 1
        path, _, name = key.partition("::")
        assert self._questions.model is not None, "options without a model were refused"
        ask = partial(self._make, self._questions.model, path, self._source(path), name, self._targets(key))
        return f"{self._make.__name__} {key} {self._asked[key]}", ask

    def _source(self, path: str) -> str:
        return (self._profile.tree / path).read_bytes().decode()
