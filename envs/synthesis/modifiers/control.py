"""Bugs in the order of what runs.

Invariant: no statement is lost or made: branches, statements and jumps only change places.
"""

from __future__ import annotations

from collections.abc import Iterator

import libcst as cst

from envs.synthesis.modifiers.nodes import swapped
from envs.synthesis.modifiers.registry import modifier
from envs.synthesis.modifiers.scope import Scope


@modifier("ctrl_invert_if", cst.If, cst.IfExp)
def ctrl_invert_if(node: cst.If | cst.IfExp, scope: Scope) -> Iterator[cst.CSTNode]:
    """What `if` and `else` do is exchanged."""
    if isinstance(node, cst.IfExp):
        yield node.with_changes(body=node.orelse, orelse=node.body)
    elif isinstance(node.orelse, cst.Else):
        yield node.with_changes(body=node.orelse.body, orelse=node.orelse.with_changes(body=node.body))


@modifier("ctrl_shuffle", cst.IndentedBlock)
def ctrl_shuffle(node: cst.IndentedBlock, scope: Scope) -> Iterator[cst.CSTNode]:
    """Two neighbouring statements, one of which needs the other, change places."""
    for i, (first, second) in enumerate(zip(node.body, node.body[1:], strict=False)):
        if not (_is_fixed(first) or _is_fixed(second)):
            needed, changed = _uses(second, scope), _uses(first, scope)
            if needed.isdisjoint(changed):
                continue
            written = {*_written(first, scope), *_written(second, scope)}
            if written & needed & changed:
                yield node.with_changes(body=swapped(list(node.body), i, i + 1))


def _is_fixed(statement: cst.CSTNode) -> bool:
    """Definitions, docstrings and jumps keep their place."""
    if isinstance(statement, cst.FunctionDef | cst.ClassDef):
        return True
    inner = statement.body[0] if isinstance(statement, cst.SimpleStatementLine) else None
    if isinstance(inner, cst.Expr) and isinstance(inner.value, cst.SimpleString | cst.ConcatenatedString):
        return True
    return isinstance(
        inner, cst.Return | cst.Raise | cst.Continue | cst.Break | cst.Import | cst.ImportFrom | cst.Global
    )


def _uses(statement: cst.CSTNode, scope: Scope) -> set[str]:
    return {node.value for node in scope.within(statement) if isinstance(node, cst.Name)}


def _written(statement: cst.CSTNode, scope: Scope) -> set[str]:
    """Names that it assigns to, or on which it calls a method."""
    found = {node.value for node in scope.within(statement) if isinstance(node, cst.Name) and node in scope.stores}
    calls = [
        node.func.value
        for node in scope.within(statement)
        if isinstance(node, cst.Call) and isinstance(node.func, cst.Attribute)
    ]
    return found | {owner.value for owner in calls if isinstance(owner, cst.Name) and owner.value != "self"}


@modifier("control", cst.Break, cst.Continue)
def control(node: cst.Break | cst.Continue, scope: Scope) -> Iterator[cst.CSTNode]:
    """`continue` for `break`, `break` for `continue`."""
    yield cst.Continue(node.semicolon) if isinstance(node, cst.Break) else cst.Break(node.semicolon)
