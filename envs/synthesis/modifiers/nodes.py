"""Small helpers on nodes.

Invariant: what is put into an expression keeps its meaning there: it gets parentheses where it would be read otherwise.
"""

from __future__ import annotations

from typing import TypeVar

import libcst as cst

Node = TypeVar("Node", bound=cst.CSTNode)

_LOOSE = cst.BooleanOperation | cst.IfExp | cst.Lambda | cst.NamedExpr | cst.Yield | cst.Comparison | cst.UnaryOperation
_LOOSE |= cst.BinaryOperation | cst.Await
NAME_LIKE = (cst.Name, cst.Attribute, cst.Call, cst.Subscript)


def parenthesized(node: cst.BaseExpression) -> cst.BaseExpression:
    """With parentheses around it if it has none and is more than a name, a call or a literal."""
    if node.lpar or not isinstance(node, _LOOSE | cst.Tuple):
        return node
    grouped: cst.BaseExpression = node.with_changes(lpar=[cst.LeftParen()], rpar=[cst.RightParen()])
    return grouped


def negated(node: cst.BaseExpression) -> cst.UnaryOperation:
    """`not` it. Tighter than a comparison, `not` needs no parentheses around it where a condition stands."""
    bare = node if isinstance(node, cst.Comparison) else parenthesized(node)
    return cst.UnaryOperation(cst.Not(), bare)


def leaves(block: cst.BaseSuite) -> bool:
    """Whether a block ends with return, raise, continue or break."""
    last: cst.CSTNode | None = block.body[-1] if block.body else None
    if isinstance(last, cst.SimpleStatementLine):
        last = last.body[-1] if last.body else None
    return isinstance(last, cst.Return | cst.Raise | cst.Continue | cst.Break)


def swapped(items: list[Node], a: int, b: int) -> list[Node]:
    """A copy in which two elements changed places."""
    items = list(items)
    items[a], items[b] = items[b], items[a]
    return items
