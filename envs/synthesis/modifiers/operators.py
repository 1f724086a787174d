"""Bugs in operators and constants.

Invariant: the operands stay what they were; an operator is exchanged for one that takes the same kinds of them.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import libcst as cst

from envs.synthesis.modifiers.nodes import NAME_LIKE, negated, parenthesized
from envs.synthesis.modifiers.places import is_test, role
from envs.synthesis.modifiers.registry import modifier
from envs.synthesis.modifiers.scope import Scope

_COMPARISONS: dict[type[cst.BaseCompOp], tuple[type[cst.BaseCompOp], ...]] = {
    cst.LessThan: (cst.LessThanEqual, cst.GreaterThan),
    cst.LessThanEqual: (cst.LessThan, cst.GreaterThanEqual),
    cst.GreaterThan: (cst.GreaterThanEqual, cst.LessThan),
    cst.GreaterThanEqual: (cst.GreaterThan, cst.LessThanEqual),
    cst.Equal: (cst.NotEqual,),
    cst.NotEqual: (cst.Equal,),
    cst.Is: (cst.IsNot,),
    cst.IsNot: (cst.Is,),
    cst.In: (cst.NotIn,),
    cst.NotIn: (cst.In,),
}
_BINARY: dict[type[cst.BaseBinaryOp], tuple[type[cst.BaseBinaryOp], ...]] = {
    cst.Add: (cst.Subtract,),
    cst.Subtract: (cst.Add,),
    cst.Multiply: (cst.Add, cst.Subtract),
    cst.Divide: (cst.Multiply, cst.FloorDivide),
    cst.FloorDivide: (cst.Multiply, cst.Divide),
    cst.Modulo: (cst.FloorDivide,),
    cst.Power: (cst.Multiply,),
    cst.LeftShift: (cst.RightShift,),
    cst.RightShift: (cst.LeftShift,),
    cst.BitAnd: (cst.BitOr,),
    cst.BitOr: (cst.BitAnd,),
    cst.BitXor: (cst.BitAnd,),
}
_AUGMENTED: dict[type[cst.BaseAugOp], tuple[type[cst.BaseAugOp], ...]] = {
    cst.AddAssign: (cst.SubtractAssign,),
    cst.SubtractAssign: (cst.AddAssign,),
    cst.MultiplyAssign: (cst.AddAssign,),
    cst.DivideAssign: (cst.MultiplyAssign, cst.FloorDivideAssign),
    cst.FloorDivideAssign: (cst.MultiplyAssign, cst.DivideAssign),
    cst.ModuloAssign: (cst.FloorDivideAssign,),
    cst.PowerAssign: (cst.MultiplyAssign,),
    cst.LeftShiftAssign: (cst.RightShiftAssign,),
    cst.RightShiftAssign: (cst.LeftShiftAssign,),
    cst.BitAndAssign: (cst.BitOrAssign,),
    cst.BitOrAssign: (cst.BitAndAssign,),
    cst.BitXorAssign: (cst.BitAndAssign,),
}
_TEXTS = cst.SimpleString | cst.ConcatenatedString | cst.FormattedString
_ONE_WAY = (cst.Subtract, cst.Divide, cst.FloorDivide, cst.Modulo, cst.Power, cst.LeftShift, cst.RightShift)
_ORDERED = (cst.LessThan, cst.LessThanEqual, cst.GreaterThan, cst.GreaterThanEqual)
_NEUTRAL = {"0": (cst.Add, cst.Subtract, cst.AddAssign, cst.SubtractAssign)}
_NEUTRAL["1"] = (cst.Multiply, cst.Divide, cst.FloorDivide, cst.Power)  # type: ignore[assignment]


@modifier("comparison", *_COMPARISONS)
def comparison(node: cst.BaseCompOp, scope: Scope) -> Iterator[cst.BaseCompOp]:
    """A comparison that turns round, or takes in its bound."""
    yield from (other(**_space(node)) for other in _COMPARISONS.get(type(node), ()))


def _space(operator: cst.CSTNode) -> dict[str, Any]:
    """The white space around an operator."""
    return {name: getattr(operator, name) for name in ("whitespace_before", "whitespace_after")}


@modifier("op_change", cst.BinaryOperation, cst.AugAssign)
def op_change(node: cst.BinaryOperation | cst.AugAssign, scope: Scope) -> Iterator[cst.CSTNode]:
    """Another arithmetic operator."""
    left, right = (node.left, node.right) if isinstance(node, cst.BinaryOperation) else (node.target, node.value)
    old = node.operator
    if isinstance(left, _TEXTS) or isinstance(right, _TEXTS):
        return  # formatting and joining: another operator is only a TypeError
    for other in _BINARY.get(type(old), ()) if isinstance(old, cst.BaseBinaryOp) else _AUGMENTED.get(type(old), ()):
        if not (isinstance(right, cst.Integer) and other in _NEUTRAL.get(right.value, ())):
            yield node.with_changes(operator=other(**_space(old)))


@modifier("op_swap", cst.BinaryOperation, cst.Comparison, cst.BooleanOperation)
def op_swap(node: cst.BinaryOperation | cst.Comparison | cst.BooleanOperation, scope: Scope) -> Iterator[cst.CSTNode]:
    """Operands that change places, where their order says something."""
    if isinstance(node, cst.Comparison):
        (target, *more) = node.comparisons
        if not more and isinstance(target.operator, _ORDERED):
            turned = target.with_changes(comparator=parenthesized(node.left))
            yield node.with_changes(left=parenthesized(target.comparator), comparisons=[turned])
    elif isinstance(node, cst.BooleanOperation):
        if _names(node.left) & _names(node.right):  # the left one guards the right one
            yield node.with_changes(left=parenthesized(node.right), right=parenthesized(node.left))
    elif isinstance(node.operator, _ONE_WAY) and not isinstance(node.left, _TEXTS):
        yield node.with_changes(left=parenthesized(node.right), right=parenthesized(node.left))


def _names(node: cst.CSTNode) -> set[str]:
    found = {node.value} if isinstance(node, cst.Name) else set()
    return found.union(*(_names(child) for child in node.children))


@modifier("op_break_chains", cst.BinaryOperation, cst.BooleanOperation, cst.Comparison)
def op_break_chains(
    node: cst.BinaryOperation | cst.BooleanOperation | cst.Comparison, scope: Scope
) -> Iterator[cst.CSTNode]:
    """A chain that loses a link."""
    if isinstance(node, cst.Comparison):
        if len(node.comparisons) > 1:
            yield node.with_changes(comparisons=node.comparisons[:-1])
        return
    left = node.left
    if type(left) is type(node) and not left.lpar:
        yield node.with_changes(left=left.left)
    if isinstance(node, cst.BooleanOperation) and not node.lpar:
        yield left
        yield node.right


@modifier("boolean", cst.BooleanOperation)
def boolean(node: cst.BooleanOperation, scope: Scope) -> Iterator[cst.CSTNode]:
    """`and` for `or`, `or` for `and`."""
    old = node.operator
    other = cst.Or if isinstance(old, cst.And) else cst.And
    yield node.with_changes(operator=other(old.whitespace_before, old.whitespace_after))


@modifier("condition", *NAME_LIKE, cst.BooleanOperation)
def condition(node: cst.BaseExpression, scope: Scope) -> Iterator[cst.CSTNode]:
    """A condition turned round. A single comparison is left to `comparison`."""
    if is_test(node, scope):
        yield negated(node)


@modifier("negation", cst.UnaryOperation)
def negation(node: cst.UnaryOperation, scope: Scope) -> Iterator[cst.CSTNode]:
    """A `not` that is lost."""
    if isinstance(node.operator, cst.Not):
        yield node.expression if not node.lpar else parenthesized(node.expression)


@modifier("op_change_const", cst.Integer, cst.Float, cst.Name)
def op_change_const(node: cst.Integer | cst.Float | cst.Name, scope: Scope) -> Iterator[cst.CSTNode]:
    """A number that is one off, or a truth value that is the other one."""
    if not role(node, scope):
        yield from other_constants(node)


def other_constants(node: cst.BaseExpression) -> Iterator[cst.CSTNode]:
    """A number's neighbours; the other truth value."""
    if isinstance(node, cst.Name) and node.value in ("True", "False"):
        yield node.with_changes(value="False" if node.value == "True" else "True")
    elif isinstance(node, cst.Integer | cst.Float):
        value = node.evaluated_value
        others = [value + 1, value - 1] if value >= 1 else [value + 1]
        yield from (node.with_changes(value=repr(other)) for other in others if math.isfinite(other))
