"""Candidates that take past commits back.

Invariant: what is repaired are the repository's files as they are; a commit that no test can notice is none.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from itertools import islice
from pathlib import Path

from envs.synthesis.candidate import Candidate, Mutant
from envs.synthesis.llm.commits import MirrorError
from envs.synthesis.llm.mirror import mirror
from envs.synthesis.llm.questions import Questions
from envs.task import RepoProfile


class CommitSupply:
    """Mirrors commits in waves, in their order."""

    def __init__(
        self,
        profile: RepoProfile,
        history: Path,
        commits: tuple[str, ...],
        questions: Questions,
        targets: Callable[[str], tuple[str, ...]],
        empty: Callable[[], None],
    ) -> None:
        """`targets` says which tests to run for a function; `empty` is told of commits that cannot be mirrored."""
        self._profile, self._history, self._questions = profile, history, questions
        self._targets, self._empty = targets, empty
        self._waiting = iter(commits)

    async def next(self, missing: int) -> list[Candidate]:
        """What comes of as many commits; empty when there are no more."""
        while commits := list(islice(self._waiting, missing)):
            mirrored = [(f"mirror {commit}", partial(self._mirrored, commit)) for commit in commits]
            found = [mutant for mutant in await self._questions.mutants(mirrored) if mutant is not None]
            for _ in range(len(commits) - len(found)):
                self._empty()
            if found:
                return list(found)
        return []

    def note(self, candidate: Candidate) -> bool:
        """A candidate was found valid; it is wanted."""
        return True

    async def _mirrored(self, commit: str) -> Mutant | None:
        tree = self._profile.tree
        try:
            mutant = await mirror(self._history, commit, model=self._questions.model, tree=tree)
        except (MirrorError, UnicodeDecodeError):
            return None
        keys = [key for key in (mutant.function, *mutant.also) if key in self._profile.covers]
        targets = tuple(dict.fromkeys(target for key in keys for target in self._targets(key)))
        name = f"{self._profile.base_commit[:8]}.{mutant.instance_id}"
        return replace(mutant, instance_id=name, targets=targets) if targets else None
