"""The language of generated modules: functions of two parameters that return one arithmetic expression.

Invariant: an expression is a flat list of lexemes (names, constants, operators, brackets) that is valid Python when
joined, so that a bug is one lexeme replaced by another of its kind.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, replace

from envs.generated.names import CONSTANTS, IDENTIFIERS

WORDS = {"+": "plus", "-": "minus", "*": "times"}
"""How documents spell the operators."""
OPERATORS = tuple(WORDS)


@dataclass(frozen=True)
class Function:
    """`def name(first, second): return <expression>`."""

    name: str
    first: str
    second: str
    expression: tuple[str, ...]

    @property
    def calls(self) -> bool:
        """Whether the expression calls another function of the module."""
        return "(" in self.expression

    def source(self) -> str:
        """The definition, as it stands in the module."""
        return f"def {self.name}({self.first}, {self.second}):\n    return {spell(self.expression)}\n"


@dataclass(frozen=True)
class Module:
    """A module: a name and its functions, callees before callers."""

    name: str
    functions: tuple[Function, ...]

    def with_function(self, index: int, expression: tuple[str, ...]) -> Module:
        """The same module with another expression in one function."""
        functions = list(self.functions)
        functions[index] = replace(functions[index], expression=expression)
        return replace(self, functions=tuple(functions))

    def source(self) -> str:
        """The module's Python source."""
        return "\n\n".join(f.source() for f in self.functions)


def spell(expression: tuple[str, ...], words: bool = False) -> str:
    """An expression as text: Python, or with the operators in words as documents have it."""
    out = ""
    for lexeme in expression:
        if lexeme in OPERATORS:
            out += f" {WORDS[lexeme] if words else lexeme} "
        else:
            out += ", " if lexeme == "," else lexeme
    return out


def random_expression(rng: random.Random, first: str, second: str, helpers: list[str]) -> tuple[str, ...]:
    """Two or three terms; three times in ten the first one calls a helper, if there is one."""
    count = rng.choice((2, 3))
    terms: list[list[str]] = []
    for position in range(count):
        if position == 0 and helpers and rng.random() < 0.3:
            a, b = (first, second) if rng.random() < 0.5 else (second, first)
            terms.append([rng.choice(helpers), "(", a, ",", b, ")"])
        elif position == 0:
            terms.append([rng.choice((first, second))])
        elif (position == count - 1 and count == 2) or rng.random() >= 0.4:
            terms.append([str(rng.choice(CONSTANTS))])
        else:
            terms.append([rng.choice((first, second))])
    expression = terms[0]
    for term in terms[1:]:
        expression = [*expression, rng.choice(OPERATORS), *term]
    return tuple(expression)


def random_module(rng: random.Random, name: str, functions: int) -> Module:
    """A module with fresh names: no name is used twice in it."""
    names = rng.sample([n for n in IDENTIFIERS if n != name], 3 * functions)
    made: list[Function] = []
    for index in range(functions):
        own, first, second = names[3 * index : 3 * index + 3]
        helpers = [f.name for f in made if not f.calls]
        made.append(Function(own, first, second, random_expression(rng, first, second, helpers)))
    return Module(name, tuple(made))


def mutate(rng: random.Random, module: Module, index: int, expression: tuple[str, ...]) -> tuple[tuple[str, ...], str]:
    """Replace one lexeme of `expression` by another of its kind; the new expression and the kind.

    Kinds: `variable`, `constant` (three in ten one up or down, else any other), `operator`, `helper`.
    """
    function = module.functions[index]
    while True:
        at = rng.randrange(len(expression))
        new, kind = _other(rng, module, index, function, expression[at])
        if kind:
            return (*expression[:at], new, *expression[at + 1 :]), kind


def _other(rng: random.Random, module: Module, index: int, function: Function, lexeme: str) -> tuple[str, str]:
    if lexeme in (function.first, function.second):
        return (function.second if lexeme == function.first else function.first), "variable"
    if lexeme.isdigit():
        value = int(lexeme)
        near = [c for c in (value - 1, value + 1) if c in CONSTANTS]
        return str(rng.choice(near if rng.random() < 0.3 else [c for c in CONSTANTS if c != value])), "constant"
    if lexeme in OPERATORS:
        return rng.choice([o for o in OPERATORS if o != lexeme]), "operator"
    if lexeme in "(),":
        return lexeme, ""
    helpers = [f.name for f in module.functions[:index] if f.name != lexeme and not f.calls]
    return (rng.choice(helpers), "helper") if helpers else (lexeme, "")
