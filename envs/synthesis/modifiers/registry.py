"""Modifiers by name.

Invariant: the name of a modifier is the `kind` of the bugs that it makes; the thirteen of SWE-smith bear its names.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, TypeVar

import libcst as cst

from envs.synthesis.modifiers.scope import Scope

Replacement = cst.CSTNode | cst.RemovalSentinel | cst.FlattenSentinel[Any]
"""What `libcst` lets stand in a node's place: a node, nothing, several statements."""
Make = Callable[[Any, Scope], Iterator[Replacement]]
Made = TypeVar("Made", bound=Make)


@dataclass(frozen=True)
class Modifier:
    """One kind of bug."""

    name: str
    make: Make
    nodes: tuple[type[cst.CSTNode], ...]
    """The types of node that it is asked about."""
    weight: float
    """How often its bugs come early, beside those of others: more where the repair takes understanding."""

    @property
    def summary(self) -> str:
        """What it does, in one line."""
        return (self.make.__doc__ or "").partition("\n")[0]


@dataclass(frozen=True)
class Change:
    """A place and what may stand there instead."""

    kind: str
    old: cst.CSTNode
    new: Replacement


FUNCTION_MODIFIERS: dict[str, Modifier] = {}
CLASS_MODIFIERS: dict[str, Modifier] = {}


def modifier(name: str, *nodes: type[cst.CSTNode], weight: float = 1.0) -> Callable[[Made], Made]:
    """Enter a modifier of functions."""
    return _entering(FUNCTION_MODIFIERS, name, nodes, weight)


def class_modifier(name: str, weight: float = 1.0) -> Callable[[Made], Made]:
    """Enter a modifier of classes. It is asked about the class itself."""
    return _entering(CLASS_MODIFIERS, name, (cst.ClassDef,), weight)


def _entering(
    registry: dict[str, Modifier], name: str, nodes: tuple[type[cst.CSTNode], ...], weight: float
) -> Callable[[Made], Made]:
    def enter(make: Made) -> Made:
        registry[name] = Modifier(name, make, nodes, weight)
        return make

    return enter


def changes(scope: Scope, modifiers: dict[str, Modifier]) -> Iterator[Change]:
    """Every change of every place, in the order of the source."""
    for node in scope.nodes:
        for each in modifiers.values():
            if isinstance(node, each.nodes):
                try:
                    yield from (Change(each.name, node, new) for new in each.make(node, scope))
                except cst.CSTValidationError:  # `(a)or(b)` has no space for what would stand there
                    continue
