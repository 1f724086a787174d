"""Several validated bugs in one task. No model is needed.

Invariant: a combination holds every line of each of its bugs: bugs that touch each other's lines are not combined.
"""

from __future__ import annotations

import hashlib
import random
from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import PurePosixPath

from envs.synthesis.candidate import Mutant
from envs.synthesis.changes import merged


def combine(bugs: Sequence[Mutant], rng: random.Random, *, size: int = 2, across: bool = False) -> Iterator[Mutant]:
    """Candidates of `size` bugs each, of different functions of one file; `across`: of different files of one folder.

    Each bug is used once. Raises `ValueError` for a size below 2.
    """
    if size < 2:
        raise ValueError(f"a combination takes at least 2 bugs, not {size}")
    groups: defaultdict[str, list[Mutant]] = defaultdict(list)
    for bug in bugs:
        path = bug.function.partition("::")[0]
        groups[str(PurePosixPath(path).parent) if across else path].append(bug)
    for _, group in sorted(groups.items()):
        waiting = rng.sample(group, len(group))
        while len(chosen := _different(waiting, size, across)) == size:
            waiting = [bug for bug in waiting if bug not in chosen]
            if (found := _combined(chosen, "combine_module" if across else "combine_file")) is not None:
                yield found


def _different(bugs: Sequence[Mutant], size: int, across: bool) -> list[Mutant]:
    """The first bugs that are of different functions, or of different files."""
    found: dict[str, Mutant] = {}
    for bug in bugs:
        found.setdefault(bug.function.partition("::")[0] if across else bug.function, bug)
    return list(found.values())[:size]


def _combined(bugs: list[Mutant], kind: str) -> Mutant | None:
    fixed = {path: text for bug in bugs for path, text in bug.fixed.items()}
    broken: dict[str, str] = {}
    for path, text in fixed.items():
        new = merged(text, [bug.broken[path] for bug in bugs if path in bug.broken])
        if new is None:
            return None
        broken[path] = new
    targets = tuple(dict.fromkeys(target for bug in bugs for target in bug.targets))
    changed = tuple(dict.fromkeys(line for bug in bugs for line in bug.changed))
    tests = {path: text for bug in bugs for path, text in bug.tests.items()}
    digest = hashlib.sha256("\0".join(sorted(bug.instance_id for bug in bugs)).encode()).hexdigest()[:8]
    also = tuple(bug.function for bug in bugs[1:])
    return Mutant(f"{kind}__{digest}", kind, bugs[0].function, broken, fixed, targets, changed, tests, also=also)
