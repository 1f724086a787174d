"""Procedural bugs: several different ones in the same function, from a seed.

Invariant: a mutation compiles, to other code than the original and than every other mutation of the same call, and
changes one place of the definition and no other byte of the file. The same source, name, seed and count give the same
mutations.
"""

from __future__ import annotations

import ast
import random
from collections import Counter, defaultdict
from collections.abc import Callable
from dataclasses import dataclass

from envs.synthesis.meaning import meaning
from envs.synthesis.modifiers import CLASS_MODIFIERS, FUNCTION_MODIFIERS, Change, Modifier, changes
from envs.synthesis.modifiers.block import Block, cut_out
from envs.synthesis.text import find_class, find_function, parse_text, split_lines


class MutationError(ValueError):
    """There is no such function or class, or the source does not parse."""


@dataclass(frozen=True)
class Mutation:
    """One bug in one function or class."""

    kind: str
    """The modifier that made it: a name of `envs.synthesis.modifiers`."""
    line: int
    """The first line that differs, from 1."""
    before_line: str
    after_line: str
    new_source: str
    """The whole file with the bug."""
    changed: tuple[str, ...] = ()
    """Every line that is only before or only after: what a problem statement must not quote."""


def mutate_function(source: str, qualname: str, rng: random.Random, n: int) -> list[Mutation]:
    """At most `n` different bugs of one function, of as many kinds and on as many lines as there are."""
    return _mutate(source, qualname, rng, n, "function", find_function, FUNCTION_MODIFIERS)


def mutate_class(source: str, qualname: str, rng: random.Random, n: int) -> list[Mutation]:
    """At most `n` different bugs of one class as a whole: its bases and its methods."""
    return _mutate(source, qualname, rng, n, "class", find_class, CLASS_MODIFIERS)


def _mutate(
    source: str,
    qualname: str,
    rng: random.Random,
    n: int,
    what: str,
    find: Callable[[ast.Module, str], ast.stmt | None],
    modifiers: dict[str, Modifier],
) -> list[Mutation]:
    try:
        text = parse_text(source)
        node = find(text.tree, qualname)
        block = cut_out(source, text, node, qualname) if node is not None else None
    except (SyntaxError, ValueError, RecursionError) as error:
        raise MutationError(f"the source of {qualname} does not parse: {error}") from None
    if block is None:
        raise MutationError(f"there is no {what} {qualname} in the source")
    seen = {meaning(block.text), None}
    found: list[Mutation] = []
    for change in _in_turn(list(changes(block.scope, modifiers)), block, rng):
        if len(found) == n:
            break
        new = block.changed(change)
        if new is not None and (means := meaning(new)) not in seen:
            seen.add(means)
            found.append(_mutation(block, change.kind, new))
    return found


def _in_turn(found: list[Change], block: Block, rng: random.Random) -> list[Change]:
    """One of every kind, weighty kinds early, then again; within a kind, lines that have no bug yet come first."""
    rng.shuffle(found)
    kinds: defaultdict[str, list[Change]] = defaultdict(list)
    for change in found:
        kinds[change.kind].append(change)
    weights = {**FUNCTION_MODIFIERS, **CLASS_MODIFIERS}
    turns = sorted(kinds, key=lambda kind: -(rng.random() ** (1 / weights[kind].weight)))
    used: set[int] = set()
    ordered: list[Change] = []
    while any(kinds.values()):
        for queue in map(kinds.__getitem__, turns):
            if queue:
                fresh = next((change for change in queue if block.line_of(change.old) not in used), queue[0])
                queue.remove(fresh)
                used.add(block.line_of(fresh.old))
                ordered.append(fresh)
    return ordered


def _mutation(block: Block, kind: str, new: str) -> Mutation:
    old_lines, new_lines = split_lines(block.text), split_lines(new)
    shorter = min(len(old_lines), len(new_lines))
    top = next((i for i in range(shorter) if old_lines[i] != new_lines[i]), shorter)
    end = next((i for i in range(shorter - top) if old_lines[-1 - i] != new_lines[-1 - i]), shorter - top)

    def window(lines: list[str]) -> list[str]:
        return [line.strip() for line in lines[top : len(lines) - end]]

    before, after = window(old_lines), window(new_lines)
    only = (Counter(before) - Counter(after)) + (Counter(after) - Counter(before))
    changed = dict.fromkeys(line for line in [*before, *after] if line and (line in only or not only))
    first, second = (lines[top].strip() if top < len(lines) else "" for lines in (old_lines, new_lines))
    return Mutation(kind, block.first_line + top, first, second, block.before + new + block.after, tuple(changed))
