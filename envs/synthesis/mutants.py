"""Candidates from a repository's own functions.

Invariant: the same profile, seed and requests give the same candidates, whatever else ran; a function is asked for more
only while it has fewer valid bugs than wanted.
"""

from __future__ import annotations

import hashlib
import random
from collections import Counter
from collections.abc import Callable

from envs.synthesis.candidate import Candidate, Mutant
from envs.synthesis.mutations import Mutation, MutationError, mutate_class, mutate_function
from envs.synthesis.units import with_classes
from envs.task import RepoProfile

_TRIES = 4
"""Mutations tried at most, per bug that is wanted of a function."""


class MutantSupply:
    """Hands out candidates in waves, function after function, and learns which of them were valid."""

    def __init__(
        self,
        profile: RepoProfile,
        per_function: int,
        seed: int,
        targets: Callable[[str], tuple[str, ...]],
        spare: float = 1.0,
        least: float = 0.0,
    ) -> None:
        """`targets` says which tests to run for a `path::qualname`; `spare`: mutations tried at once, per bug; `least`:
        a function of whose mutations fewer than this share were valid is given up.
        """
        self._profile, self._per_function, self._seed = profile, per_function, seed
        self._targets, self._spare, self._least = targets, spare, least
        keys = [key for key in with_classes(profile.covers) if key.partition("::")[0] in set(profile.source_files)]
        random.Random(f"{seed}/{profile.name}").shuffle(keys)
        self._functions = keys
        self._sources: dict[str, str] = {}
        self._waiting: dict[str, list[Mutant]] = {}
        self._valid: Counter[str] = Counter()
        self._tried: Counter[str] = Counter()

    async def next(self, missing: int) -> list[Candidate]:
        """Candidates that should give `missing` valid bugs; empty when there are no more."""
        wave: list[Candidate] = []
        for key in self._functions:
            if missing <= 0:
                break
            short = self._per_function - self._valid[key]
            if short <= 0 or self._valid[key] < self._least * self._tried[key]:
                continue
            if mutants := self._mutants(key):
                count = min(len(mutants), round(self._spare * short + 0.5) if self._spare > 1 else min(short, missing))
                wave += mutants[:count]
                self._tried[key] += count
                del mutants[:count]
                missing -= min(short, int(count / self._spare))
        return wave

    def note(self, candidate: Candidate) -> bool:
        """A candidate was found valid; whether it is still wanted."""
        self._valid[candidate.function] += 1
        return self._valid[candidate.function] <= self._per_function

    def _mutants(self, key: str) -> list[Mutant]:
        if key not in self._waiting:
            path, _, name = key.partition("::")
            if path not in self._sources:
                self._sources[path] = _text((self._profile.tree / path).read_bytes())
            rng = random.Random(f"{self._seed}/{self._profile.base_commit}/{key}")
            found = _mutations(self._sources[path], name, rng, _TRIES * self._per_function)
            targets = self._targets(key)
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
            changed=mutation.changed,
        )


def _mutations(source: str, name: str, rng: random.Random, count: int) -> list[Mutation]:
    """Bugs of the function or class of that name; none of what is made at run time, which has no text."""
    for mutate in (mutate_function, mutate_class):
        try:
            return mutate(source, name, rng, count)
        except MutationError:
            continue
    return []


def _text(data: bytes) -> str:
    """A source as it is, ends of lines and byte order mark too; nothing where it is not UTF-8, which tasks are."""
    try:
        return data.decode()
    except UnicodeDecodeError:
        return ""
