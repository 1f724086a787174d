"""Procedural bugs: several different ones in the same function, from a seed.

Invariant: a mutation parses, differs in meaning as far as the syntax tree tells, and changes one span of the function
and no other byte of the file. The same source, name, seed and count give the same mutations.
"""

from __future__ import annotations

import ast
import random
import warnings
from collections import defaultdict
from dataclasses import dataclass

from envs.synthesis.edits import Edit, edits
from envs.synthesis.text import Function, Text, find_function, parse_text


class MutationError(ValueError):
    """There is no such function, or the source does not parse."""


@dataclass(frozen=True)
class Mutation:
    """One bug in one function."""

    kind: str
    """`comparison`, `operator`, `constant`, `boundary`, `default`, `boolean`, `condition`, `negation`, `variable`,
    `argument`, `call`, `return`, `statement`, `guard`, `branch` or `control`."""
    line: int
    """Where it is, from 1."""
    before_line: str
    after_line: str
    new_source: str
    """The whole file with the bug."""


def mutate_function(source: str, qualname: str, rng: random.Random, n: int) -> list[Mutation]:
    """At most `n` different bugs of one function, of as many kinds and on as many lines as there are."""
    try:
        text = parse_text(source)
    except (SyntaxError, ValueError) as error:
        raise MutationError(f"the source of {qualname} does not parse: {error}") from None
    function = find_function(text.tree, qualname)
    if function is None:
        raise MutationError(f"there is no function {qualname} in the source")
    first, last = _lines(function)
    block = text.data[text.offset(first, 0) : text.offset(last + 1, 0)]
    seen = {_meaning(block)}
    found: list[Mutation] = []
    for edit in _in_turn(text, list(edits(text, function)), rng):
        if len(found) == n:
            break
        data = text.data[: edit.start] + edit.text.encode() + text.data[edit.end :]
        cut = text.offset(first, 0), text.offset(last + 1, 0) + len(data) - len(text.data)
        meaning = _meaning(data[cut[0] : cut[1]])
        if meaning is not None and meaning not in seen:
            seen.add(meaning)
            found.append(_mutation(text, edit, data))
    return found


def _lines(function: Function) -> tuple[int, int]:
    return function.lineno, function.end_lineno or function.lineno


def _meaning(block: bytes) -> str | None:
    """The syntax tree of a function's lines, whatever their indentation; None if it is none that compiles."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            tree = ast.parse(b"if 1:\n" + block if block[:1].isspace() else block)
            compile(tree, "mutation", "exec", dont_inherit=True)
        except (SyntaxError, ValueError):
            return None
    return ast.dump(tree)


def _in_turn(text: Text, found: list[Edit], rng: random.Random) -> list[Edit]:
    """One of every kind, then again; within a kind, lines that have no bug yet come first."""
    rng.shuffle(found)
    kinds: defaultdict[str, list[Edit]] = defaultdict(list)
    for edit in found:
        kinds[edit.kind].append(edit)
    used: set[int] = set()
    ordered: list[Edit] = []
    while any(kinds.values()):
        for queue in kinds.values():
            if queue:
                fresh = next((e for e in queue if text.line_of(e.start) not in used), queue[0])
                queue.remove(fresh)
                used.add(text.line_of(fresh.start))
                ordered.append(fresh)
    return ordered


def _mutation(text: Text, edit: Edit, data: bytes) -> Mutation:
    line = text.line_of(edit.start)
    start = text.offset(line, 0)

    def first_line(source: bytes) -> str:
        return source[start:].split(b"\n", 1)[0].decode().strip()

    return Mutation(edit.kind, line, first_line(text.data), first_line(data), data.decode())
