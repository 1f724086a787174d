"""Hidden differential tests: calls that no test makes, and what the repaired function answers.

Beside the function itself the calls are asked that led the tests to it, and those that show what became of an object.

Invariant: an answer counts only if two processes with other hash seeds gave it, in other orders; a call that raises
only if the tests make that very call. So the gold patch passes, and so does every repair that answers alike.
"""

from __future__ import annotations

import random
import re
from collections.abc import Mapping, Sequence, Set

from envs.synthesis.asking import Asker, Call, Subject
from envs.synthesis.inputs import new_inputs
from envs.task import HiddenCall, RepoProfile
from envs.testing.runner import Progress, silent
from sandbox.protocol import SandboxBackend

CALLS = 16
"""Calls of one function that are kept, and how many of them may be calls that the tests make too."""
SEEN_CALLS = 6
_NEW = 24
"""New inputs that are tried."""
_UNTOLD = re.compile(r'\b0x[0-9a-f]{6,}|\["opaque"\]')
"""What `object.__repr__` says, another one in every process; and what an answer does not tell."""
_NOTHING = ('{"returns":["callable"]}', '{"returns":["module"]}', '{"returns":["list",[]]}')
"""Answers that tell nothing, or little."""


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
    ask = Asker(profile, subjects, backend, workers, on_progress)
    seen, ways = await ask.recorded()
    seen = [[call for call in own if not _is_private(call[0], led)] for own, led in zip(seen, ways, strict=True)]
    ways = [[call for call in led if not _is_private(call[0], ())] for led in ways]
    pools = [_pool(led, seed) | _pool(own, seed) for own, led in zip(seen, ways, strict=True)]
    for hash_seed in (0, 1):
        answers = await ask.answers([list(pool) for pool in pools], hash_seed)
        for pool, told in zip(pools, answers, strict=True):
            _keep_agreed(pool, told)
    known = [{*own, *led} for own, led in zip(seen, ways, strict=True)]
    differing = await ask.differing(pools)
    return [_selected(*parts) for parts in zip(pools, known, differing, strict=True)]


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
