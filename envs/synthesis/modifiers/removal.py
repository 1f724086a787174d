"""Bugs of what is lost.

Invariant: a statement is gone with its whole line, and no `pass` tells where it was unless its block would be empty.
"""

from __future__ import annotations

from collections.abc import Iterator

import libcst as cst

from envs.synthesis.modifiers.nodes import leaves
from envs.synthesis.modifiers.registry import Replacement, modifier
from envs.synthesis.modifiers.scope import Scope

_ASSIGNMENTS = cst.Assign | cst.AugAssign | cst.AnnAssign


def _targets(node: cst.CSTNode, scope: Scope) -> set[str]:
    return {name.value for name in scope.within(node) if isinstance(name, cst.Name) and name in scope.stores}


@modifier("remove_assign", cst.Assign, cst.AugAssign, cst.AnnAssign)
def remove_assign(node: cst.CSTNode, scope: Scope) -> Iterator[Replacement]:
    """An assignment that is lost: what the name, attribute or element held before is stale."""
    names = _targets(node, scope)
    if names <= set(scope.variables(node)):
        yield cst.RemoveFromParent()


@modifier("definition", cst.Assign, cst.AnnAssign, weight=2)
def definition(node: cst.CSTNode, scope: Scope) -> Iterator[Replacement]:
    """The first definition of a variable is lost, and a later line still uses it."""
    names = _targets(node, scope) - set(scope.variables(node))
    if names & scope.names_after(node):
        yield cst.RemoveFromParent()


@modifier("statement", cst.Expr, cst.Del, cst.Raise)
def statement(node: cst.Expr | cst.Del | cst.Raise, scope: Scope) -> Iterator[Replacement]:
    """A call, a `yield`, a `del` or a `raise` that is lost."""
    value = node.value if isinstance(node, cst.Expr) else None
    if not isinstance(node, cst.Expr) or isinstance(value, cst.Call | cst.Yield | cst.Await):
        yield cst.RemoveFromParent()


@modifier("guard", cst.If, weight=3)
def guard(node: cst.If, scope: Scope) -> Iterator[Replacement]:
    """A guard that is dropped: an `if` that only returns, raises or goes on."""
    if not _is_elif(node, scope) and node.orelse is None and leaves(node.body):
        yield cst.RemoveFromParent()


@modifier("remove_cond", cst.If)
def remove_cond(node: cst.If, scope: Scope) -> Iterator[Replacement]:
    """A condition that is lost with what depends on it, or without: then it always runs."""
    if _is_elif(node, scope) or not isinstance(node.body, cst.IndentedBlock):
        return
    if node.orelse is None and not leaves(node.body):
        yield cst.RemoveFromParent()
        yield cst.FlattenSentinel(node.body.body)
    elif isinstance(node.orelse, cst.Else) and isinstance(node.orelse.body, cst.IndentedBlock):
        yield cst.FlattenSentinel(node.body.body)
        yield cst.FlattenSentinel(node.orelse.body.body)


@modifier("branch", cst.If)
def branch(node: cst.If, scope: Scope) -> Iterator[Replacement]:
    """An `elif` or `else` that is lost."""
    rest = node.orelse
    if rest is not None:
        yield node.with_changes(orelse=rest.orelse if isinstance(rest, cst.If) else None)


@modifier("remove_loop", cst.For, cst.While)
def remove_loop(node: cst.For | cst.While, scope: Scope) -> Iterator[Replacement]:
    """A loop that is lost; a `while` that runs once."""
    yield cst.RemoveFromParent()
    jumps = [inner for inner in scope.within(node.body) if isinstance(inner, cst.Break | cst.Continue)]
    if isinstance(node, cst.While) and node.orelse is None and not jumps:
        fields = {"test": node.test, "body": node.body, "leading_lines": node.leading_lines}
        yield cst.If(**fields, whitespace_before_test=node.whitespace_after_while)  # type: ignore[arg-type]


@modifier("remove_wrapper", cst.With, cst.Try, weight=2)
def remove_wrapper(node: cst.With | cst.Try, scope: Scope) -> Iterator[Replacement]:
    """What a `with` or `try` guards is done without it; a `finally` is forgotten."""
    if isinstance(node.body, cst.IndentedBlock):
        yield cst.FlattenSentinel(node.body.body)
    if isinstance(node, cst.Try) and node.finalbody is not None and node.handlers:
        yield node.with_changes(finalbody=None)


def _is_elif(node: cst.If, scope: Scope) -> bool:
    return scope.place(node)[1] == "orelse"
