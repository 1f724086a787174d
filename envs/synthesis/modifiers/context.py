"""Bugs that look right where they stand: only what is around them tells.

Invariant: what is put in place is already in reach there: a variable that is defined by then, an attribute that its
owner has, a function that takes as many arguments.
"""

from __future__ import annotations

from collections.abc import Iterator
from difflib import SequenceMatcher
from itertools import islice, pairwise

import libcst as cst

from envs.synthesis.modifiers.module import Arity
from envs.synthesis.modifiers.nodes import NAME_LIKE, parenthesized, swapped
from envs.synthesis.modifiers.operators import other_constants
from envs.synthesis.modifiers.places import called_name, role
from envs.synthesis.modifiers.registry import modifier
from envs.synthesis.modifiers.scope import Scope

_PAIRS = [("min", "max"), ("any", "all"), ("append", "appendleft"), ("pop", "popleft"), ("upper", "lower")]
_PAIRS += [("startswith", "endswith"), ("lstrip", "rstrip"), ("find", "rfind"), ("floor", "ceil"), ("first", "last")]
_PAIRS += [
    ("union", "intersection"),
    ("add", "discard"),
    ("keys", "values"),
    ("takewhile", "dropwhile"),
    ("sum", "max"),
]
_PAIRS += [("index", "rindex"), ("split", "rsplit"), ("append", "extend"), ("partition", "rpartition")]
_BUILTINS = {"min", "max", "any", "all", "sum"}
_UNSWAPPABLE = {"isinstance", "issubclass", "getattr", "hasattr", "setattr", "super", "zip", "min", "max"}
_MOST = 2
"""Functions of the module that one call is exchanged for."""


@modifier("variable", cst.Name, weight=3)
def variable(node: cst.Name, scope: Scope) -> Iterator[cst.CSTNode]:
    """Another variable that is in scope there."""
    names = scope.variables(node) if scope.is_variable(node) else []
    if node.value in names:
        yield from (node.with_changes(value=name) for name in names if name != node.value)


@modifier("attribute", cst.Attribute, weight=3)
def attribute(node: cst.Attribute, scope: Scope) -> Iterator[cst.CSTNode]:
    """Another attribute of the same object, one that the function uses elsewhere."""
    if not isinstance(node.value, cst.Name) or _is_called(node, scope):
        return
    owned = [
        other.attr.value
        for other in scope.nodes
        if isinstance(other, cst.Attribute) and isinstance(other.value, cst.Name) and not _is_called(other, scope)
        if other.value.value == node.value.value
    ]
    others = [name for name in dict.fromkeys(owned) if name != node.attr.value]
    yield from (node.with_changes(attr=cst.Name(name)) for name in others)


def _is_called(node: cst.CSTNode, scope: Scope) -> bool:
    return scope.place(node)[1] == "func"


@modifier("argument", cst.Call, weight=3)
def argument(node: cst.Call, scope: Scope) -> Iterator[cst.CSTNode]:
    """Two arguments that change places."""
    plain = [i for i, arg in enumerate(node.args) if not arg.star]
    if called_name(node) in _UNSWAPPABLE:
        return
    for a, b in pairwise(plain):
        if (node.args[a].keyword is None) == (node.args[b].keyword is None):
            values = swapped([arg.value for arg in node.args], a, b)
            args = [arg.with_changes(value=value) for arg, value in zip(node.args, values, strict=True)]
            yield node.with_changes(args=args)


@modifier("call", cst.Call, weight=3)
def call(node: cst.Call, scope: Scope) -> Iterator[cst.CSTNode]:
    """A sibling of the function or method that is called: its counterpart, or one of the same module or class."""
    name, func = called_name(node), node.func
    plain = isinstance(func, cst.Name)
    others = [pair[1 - pair.index(name)] for pair in _PAIRS if name in pair]
    others = [other for other in others if not plain or other in _BUILTINS or scope.facts.knows(other)]
    if not any(arg.star or arg.keyword for arg in node.args):
        others += islice((n for n in _siblings(node, scope) if n not in others), _MOST)
    for other in others:
        new = cst.Name(other)
        yield node.with_changes(func=new if isinstance(func, cst.Name) else func.with_changes(attr=new))


def _siblings(node: cst.Call, scope: Scope) -> list[str]:
    """Functions beside the one that is called that take as many arguments, those with a similar name first."""
    outer, _, own = scope.qualname.rpartition(".")
    known: dict[str, Arity] = {}
    if isinstance(node.func, cst.Name):
        known = scope.facts.functions
    elif (
        isinstance(node.func, cst.Attribute)
        and isinstance(node.func.value, cst.Name)
        and node.func.value.value == "self"
    ):
        known = scope.facts.methods.get(outer, {})
    name = called_name(node)
    if name not in known:
        return []
    fit = [n for n, a in known.items() if n not in (name, own) and a.least <= len(node.args) <= a.most]
    return sorted((n for n in fit if not n.startswith("__")), key=lambda n: -SequenceMatcher(None, n, name).ratio())


@modifier("boundary", *NAME_LIKE, cst.Integer, cst.BinaryOperation, weight=3)
def boundary(node: cst.BaseExpression, scope: Scope) -> Iterator[cst.CSTNode]:
    """One off at the bound of a slice or of `range`, or at an index."""
    if role(node, scope) != "boundary":
        return
    if isinstance(node, cst.Integer):
        yield from other_constants(node)
    elif not isinstance(scope.parent(node), cst.Index | cst.UnaryOperation):
        yield from (
            cst.BinaryOperation(parenthesized(node), sign, cst.Integer("1")) for sign in (cst.Add(), cst.Subtract())
        )


@modifier("default", cst.Integer, cst.Float, cst.Name, weight=3)
def default(node: cst.BaseExpression, scope: Scope) -> Iterator[cst.CSTNode]:
    """A stale default: of a parameter, or of `get`, `pop`, `getattr` and `next`."""
    if role(node, scope) == "default":
        yield from other_constants(node)


@modifier("return", cst.Return, cst.Yield, weight=2)
def returned(node: cst.Return | cst.Yield, scope: Scope) -> Iterator[cst.CSTNode]:
    """A result that is turned round, negated or forgotten."""
    value = node.value
    if value is None or isinstance(value, cst.From) or (isinstance(value, cst.Name) and value.value == "None"):
        return
    if isinstance(value, cst.Tuple) and len(value.elements) >= 2:
        values = swapped([element.value for element in value.elements], 0, 1)
        elements = [e.with_changes(value=v) for e, v in zip(value.elements, values, strict=True)]
        yield node.with_changes(value=value.with_changes(elements=elements))
    elif isinstance(value, cst.Comparison | cst.BooleanOperation):
        yield node.with_changes(value=cst.UnaryOperation(cst.Not(), parenthesized(value)))
    else:
        yield node.with_changes(value=cst.Name("None"))
