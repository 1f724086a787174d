"""Modules with bugs in them, made up: what the agents of planted pairs work on.

Invariant: a module and its bugs are a function of the random numbers alone. A bug replaces the lines of one step of one
function; repairing it gives back the function as it was.
"""

from __future__ import annotations

import random
import re
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, field
from difflib import unified_diff

_WORD = re.compile(r"\w+")
NOUNS = _WORD.findall("""
header row field token chunk cache entry record frame label offset margin weight ledger batch cursor anchor
window packet route handle shard bucket layer region profile quota signal marker column digest session branch
vector filter segment stream parcel invoice locale schema budget interval channel fragment
""")
VERBS = _WORD.findall("""
parse merge split render encode decode resolve collect flush trim shift scan expand group rank pack align match
fetch rewrite balance sample sort join validate apply compress restore measure update convert
""")
ADJECTIVES = _WORD.findall("""
strict lazy nested partial local remote default pending active visible stale loose raw final inner
""")


@dataclass(frozen=True)
class Step:
    """Some lines of a function, and how they read with a bug in them (no lines: something is missing)."""

    right: tuple[str, ...]
    wrong: tuple[str, ...]
    story: str
    """What goes wrong with the bug, as a user would say it."""


@dataclass(frozen=True)
class Bug:
    """A bug in the function of a module."""

    module: Module
    step: int

    @property
    def source(self) -> str:
        """The module as the agent finds it."""
        return self.module.source({self.step})

    @property
    def story(self) -> str:
        """What a user sees."""
        return self.module.steps[self.step].story

    def patch(self, right: Sequence[str] | None = None) -> str:
        """The repair as a unified diff; `right`: the step's lines in another wording."""
        after = self.module.source(frozenset(), {self.step: tuple(right)} if right is not None else {})
        names = (f"a/{self.module.path}", f"b/{self.module.path}")
        return "".join(unified_diff(self.source.splitlines(True), after.splitlines(True), *names))


@dataclass(frozen=True)
class Module:
    """A file of a package with one function that has bugs, and others around it."""

    path: str
    name: str
    """Of the function."""
    parameters: tuple[str, ...]
    steps: tuple[Step, ...]
    before: str
    """What stands above the function."""
    after: str
    others: dict[str, str] = field(default_factory=dict, hash=False)
    """Other files of the package."""

    def definition(
        self, broken: set[int] | frozenset[int] = frozenset(), other: dict[int, tuple[str, ...]] | None = None
    ) -> str:
        """The function's text with bugs in some steps, and other words in some."""
        lines = [f"def {self.name}({', '.join(self.parameters)}):"]
        for i, step in enumerate(self.steps):
            chosen = step.wrong if i in broken else (other or {}).get(i, step.right)
            lines += [f"    {line}" for line in chosen]
        return "\n".join(lines) + "\n"

    def source(self, broken: Set[int] = frozenset(), other: Mapping[int, tuple[str, ...]] | None = None) -> str:
        """The file's text."""
        return f"{self.before}\n\n{self.definition(broken, other)}\n\n{self.after}"


class Names:
    """Draws names, each at most once."""

    def __init__(self, rng: random.Random) -> None:
        self._rng = rng
        self._taken: set[str] = set()

    def __call__(self, pattern: str = "an") -> str:
        """A name: of each letter a noun `n`, a verb `v` or an adjective `a`."""
        words = {"n": NOUNS, "v": VERBS, "a": ADJECTIVES}
        while True:
            name = "_".join(self._rng.choice(words[letter]) for letter in pattern)
            if name not in self._taken:
                self._taken.add(name)
                return name


def step(rng: random.Random, names: Names, known: list[str]) -> Step:
    """One step that works on names known so far, and makes one more known."""
    a, b = rng.sample(known, 2)
    x, f, k, n = names("an"), names("vn"), names("n"), rng.randrange(2, 40)
    error = "".join(w.title() for w in names("an").split("_")) + "Error"
    word = rng.choice(NOUNS)
    known.append(x)
    kinds = (
        Step((f"{x} = {f}({a}, {k}={b})",), (f"{x} = {f}({a})",), f"the {k} of {b} is not taken into account"),
        Step((f"{x} = {a}[{n} : len({b})]",), (f"{x} = {a}[{n + 1} : len({b})]",), f"the first {word} is lost"),
        Step(
            (f"if {a} is None or not {b}:", f'    raise {error}("no {word} given", {a})', f"{x} = {a}"),
            (f"{x} = {a}",),
            f"a missing {word} is not reported",
        ),
        Step(
            (f"{x} = [{f}({k}) for {k} in {a} if {k}.{word} <= {b}]",),
            (f"{x} = [{f}({k}) for {k} in {a} if {k}.{word} < {b}]",),
            f"a {word} that is just as large is left out",
        ),
        Step(
            (
                f"{x} = {{}}",
                f"for {k}, {word}_{k} in enumerate({a}, start={n}):",
                f"    {x}.setdefault({word}_{k}, []).append({k})",
            ),
            (f"{x} = {{}}", f"for {k}, {word}_{k} in enumerate({a}):", f"    {x}[{word}_{k}] = [{k}]"),
            f"of several equal entries only the last {word} is kept",
        ),
        Step(
            (f'{x} = {a}.{word} if hasattr({a}, "{word}") else {f}({b}, {n})',),
            (f"{x} = {a}.{word}",),
            f"objects without a {word} fail with AttributeError",
        ),
        Step(
            (f"with {f}({a}) as {k}:", f"    {x} = {k}.read({b}).strip().lower()"),
            (f"{x} = {f}({a}).read({b})",),
            f"white space and capitals of a {word} are kept",
        ),
        Step(
            (f"{x} = max({n}, min({a}, {b} - {n // 2}))",),
            (f"{x} = min({a}, {b})",),
            f"the {word} may run over its limit",
        ),
    )
    return rng.choice(kinds)


def module(rng: random.Random) -> Module:
    """A module of 100 to 700 lines in a package of a few files."""
    names = Names(rng)
    package, name = names("n"), names("vn")
    parameters = tuple(names("n") for _ in range(rng.randrange(2, 5)))
    known = list(parameters)
    steps = tuple(step(rng, names, known) for _ in range(rng.randrange(4, 14)))
    last = Step(
        (f"return {known[-1]}, {rng.choice(known)}",), (f"return {known[-1]}",), "only half of the result comes back"
    )
    others = {f"{package}/{names('n')}.py": filler(rng, rng.randrange(2, 40)) for _ in range(6)}
    return Module(
        path=f"{package}/{names('an')}.py",
        name=name,
        parameters=parameters,
        steps=(*steps, last),
        before=f'"""{name.title()} and what belongs to it."""\n\nimport {names("n")}\n\n\n'
        + filler(rng, rng.randrange(1, 14)),
        after=filler(rng, rng.randrange(1, 14)),
        others=others,
    )


def filler(rng: random.Random, functions: int) -> str:
    """Functions that nobody changes."""
    parts = []
    for _ in range(functions):
        names = Names(rng)
        known = [names("n"), names("n")]
        body = [line for _ in range(rng.randrange(3, 10)) for line in step(rng, names, known).right]
        head = f"def {names('vn')}({known[0]}, {known[1]}):"
        document = f'    """{names("v").title()} the {names("an").replace("_", " ")} of {known[0]}."""'
        parts.append("\n".join([head, document, *(f"    {line}" for line in body), f"    return {known[-1]}", ""]))
    return "\n\n".join(parts)


def two_bugs(rng: random.Random) -> tuple[Bug, Bug]:
    """Two bugs in one function whose repairs share no telling line."""
    while True:
        one = module(rng)
        first, second = rng.sample(range(len(one.steps)), 2)
        a, b = one.steps[first], one.steps[second]
        if a.right != b.right and set(a.right) - set(a.wrong) and set(b.right) - set(b.wrong):
            return Bug(one, first), Bug(one, second)
