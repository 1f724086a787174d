"""Task candidates of a generated repository: several for every function, evidence in the documents.

Invariant: within a function no two candidates of one kind want the same behaviour, and each candidate's broken source
differs from its repaired one in exactly one lexeme of one line. Which of two neighbouring candidates a patch belongs to
is decided by what the documents say and by nothing else: twins (`bug` and `change`, `both` and `both-twin`) show each
other's answer as their own broken line, so that counting words does not tell them apart.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from envs.generated.grammar import Function, Module, mutate, random_expression
from envs.generated.names import PACKAGE
from envs.generated.repository import (
    HIDDEN,
    VISIBLE,
    document_path,
    evaluate,
    module_files,
    module_names,
    read_module,
    source_path,
    test_path,
    test_source,
)
from envs.task import HiddenCall
from envs.testing.values import answer_text, call_text

KINDS = ("bug", "change", "both", "both-twin", "rewrite", "overhaul")
"""bug: the source is wrong. change: the documents ask for something new. both: both. both-twin: what `both` shows is
wanted, what it wants is shown, as `change` is to `bug`. rewrite: the whole expression was redrawn in the documents.
overhaul: every function of the module was."""
INPUTS = VISIBLE + HIDDEN
UNTESTED = ((4, 9), (17, 1), (-6, -2), (29, 0), (10, 10), (-1, 40))
"""Inputs that no test tries: the grader asks for them apart."""


@dataclass(frozen=True)
class Candidate:
    """A task before validation: what is broken, how it should be, and which tests decide."""

    instance_id: str
    problem_statement: str
    kind: str
    function: str
    """`path::name` of the function to repair."""
    broken: dict[str, str]
    """Path -> text, relative to the base commit, as the agent finds it."""
    fixed: dict[str, str]
    """Path -> text of the repaired source files."""
    tests: dict[str, str]
    """Path -> text of the grader's test files."""
    targets: tuple[str, ...]
    hidden: tuple[HiddenCall, ...]
    """More inputs, known to no test."""


def candidates(tree: Path, per_function: int = 6, seed: int = 0) -> Iterator[Candidate]:
    """Candidates for every function of a generated repository, in a fixed order."""
    for name in module_names(tree):
        module = read_module(tree, name)
        for index, function in enumerate(module.functions):
            rng = random.Random(f"{seed}/{name}/{function.name}")
            yield from _of_function(rng, module, index, per_function)


def _of_function(rng: random.Random, module: Module, index: int, count: int) -> Iterator[Candidate]:
    last: tuple[Module, Module] = (module, module)
    for number in range(count):
        kind = KINDS[number % len(KINDS)]
        for _ in range(20):
            if kind in ("change", "both-twin"):
                (shown, wanted), lexeme = last, "twin"
            else:
                wanted = module if kind == "bug" else _redrawn(rng, module, index, kind)
                broken, lexeme = mutate(rng, wanted, index, wanted.functions[index].expression)
                shown = wanted.with_function(index, broken)
            failing = _first_difference(wanted, shown, index)
            if failing is not None and (wanted is module or _first_difference(wanted, module, index)):
                last = wanted, shown
                yield _candidate(number, kind, lexeme, wanted, shown, index, failing)
                break


def _redrawn(rng: random.Random, module: Module, index: int, kind: str) -> Module:
    if kind == "both":
        return module.with_function(index, mutate(rng, module, index, module.functions[index].expression)[0])
    for at in range(len(module.functions)) if kind == "overhaul" else (index,):
        own = module.functions[at]
        if at != index and any(own.name in f.expression for f in module.functions):
            continue  # a helper stays call-free, so that callers keep working
        helpers = [f.name for f in module.functions[:at] if not f.calls]
        called = any(own.name in f.expression for f in module.functions)
        module = module.with_function(at, random_expression(rng, own.first, own.second, [] if called else helpers))
    return module


def _first_difference(wanted: Module, shown: Module, index: int) -> tuple[int, int, int, int] | None:
    """The first visible input on which two modules' functions differ: a, b, wanted value, shown value."""
    for a, b in VISIBLE:
        want = evaluate(wanted, wanted.functions[index], a, b)
        got = evaluate(shown, shown.functions[index], a, b)
        if want != got:
            return a, b, want, got
    return None


def _candidate(
    number: int,
    kind: str,
    lexeme: str,
    wanted: Module,
    shown: Module,
    index: int,
    failing: tuple[int, int, int, int],
) -> Candidate:
    function = wanted.functions[index]
    path = source_path(wanted.name)
    return Candidate(
        instance_id=f"{wanted.name}-{function.name}-{number}",
        problem_statement=problem_statement(wanted.name, function, failing),
        kind=f"{kind}/{lexeme}",
        function=f"{path}::{function.name}",
        broken={**module_files(wanted), path: shown.source()},
        fixed={path: wanted.source()},
        tests={test_path(wanted.name): test_source(wanted, INPUTS)},
        targets=(test_path(wanted.name),),
        hidden=tuple(_hidden_call(wanted, function, a, b) for a, b in UNTESTED),
    )


def _hidden_call(module: Module, function: Function, a: int, b: int) -> HiddenCall:
    return HiddenCall(
        function=f"{source_path(module.name)}::{function.name}",
        arguments=call_text(f"{PACKAGE}.{module.name}", (a, b)),
        expected=answer_text(evaluate(module, function, a, b)),
    )


def problem_statement(module: str, function: Function, failing: tuple[int, int, int, int]) -> str:
    """What the failing test saw, and where to look."""
    a, b, want, got = failing
    return (
        f"{function.name}({a}, {b}) gives {got}, expected {want}.\n"
        f"Fix {source_path(module)}; {document_path(module)} says what is right.\n"
    )
