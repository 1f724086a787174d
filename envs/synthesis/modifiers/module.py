"""What a module offers to the functions in it.

Invariant: only what stands in the module's own text is known: nothing is imported or run.
"""

from __future__ import annotations

import ast
from dataclasses import dataclass, field
from functools import lru_cache

from envs.synthesis.text import Function, parse_text, statements


@dataclass(frozen=True)
class Arity:
    """How many arguments by position a function takes, without `self`."""

    least: int
    most: float


@dataclass(frozen=True)
class ModuleFacts:
    """Functions of the module, methods of each class, and names that are imported."""

    functions: dict[str, Arity] = field(default_factory=dict)
    methods: dict[str, dict[str, Arity]] = field(default_factory=dict)
    """Qualified name of a class -> its methods."""
    imported: frozenset[str] = frozenset()

    def knows(self, name: str) -> bool:
        """Whether the module defines or imports a name."""
        return name in self.functions or name in self.imported


@lru_cache(maxsize=16)
def module_facts(source: str) -> ModuleFacts:
    """Look at a module's text. Raises `SyntaxError`."""
    body = statements(parse_text(source).tree.body)
    imported = {
        alias.asname or alias.name
        for node in body
        if isinstance(node, ast.Import | ast.ImportFrom)
        for alias in node.names
    }
    methods: dict[str, dict[str, Arity]] = {}
    _collect(body, "", methods)
    return ModuleFacts(_functions(body, 0), methods, frozenset(imported))


def _collect(body: list[ast.stmt], outer: str, methods: dict[str, dict[str, Arity]]) -> None:
    for node in body:
        if isinstance(node, ast.ClassDef):
            inner = statements(node.body)
            methods[outer + node.name] = _functions(inner, 1)
            _collect(inner, f"{outer}{node.name}.", methods)


def _functions(body: list[ast.stmt], bound: int) -> dict[str, Arity]:
    found = [node for node in body if isinstance(node, Function)]
    return {node.name: _arity(node.args, 0 if _is_static(node) else bound) for node in found if not _is_property(node)}


def _is_static(node: Function) -> bool:
    return any(isinstance(d, ast.Name) and d.id == "staticmethod" for d in node.decorator_list)


def _is_property(node: Function) -> bool:
    words = {
        d.id if isinstance(d, ast.Name) else d.attr
        for d in node.decorator_list
        if isinstance(d, ast.Name | ast.Attribute)
    }
    return bool(words & {"property", "cached_property", "setter", "deleter", "overload"})


def _arity(args: ast.arguments, bound: int) -> Arity:
    count = len(args.posonlyargs) + len(args.args) - bound
    keywords = sum(default is None for default in args.kw_defaults)
    least = count - len(args.defaults) if not keywords else 10_000  # it cannot be called by position alone
    return Arity(least, float("inf") if args.vararg else count)
