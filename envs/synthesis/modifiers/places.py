"""What part a node plays where it stands.

Invariant: an expression has one role or none, so that one place is one kind of constant.
"""

from __future__ import annotations

import libcst as cst

from envs.synthesis.modifiers.scope import Scope

_DEFAULT_ARGUMENT = {"get": 1, "pop": 1, "setdefault": 1, "getattr": 2, "next": 1}
"""Function or method -> the position of the argument that is its default."""


def role(node: cst.BaseExpression, scope: Scope) -> str:
    """`default` (of a parameter, of `get` and its like), `boundary` (of a slice, an index, `range`), or nothing."""
    parent, field = scope.place(node)
    if isinstance(parent, cst.UnaryOperation) and isinstance(parent.operator, cst.Minus):
        return role(parent, scope)
    if isinstance(parent, cst.Param) and field == "default":
        return "default"
    if isinstance(parent, cst.Slice | cst.Index) and field in ("lower", "upper", "value"):
        return "boundary"
    call = scope.parent(parent) if isinstance(parent, cst.Arg) else None
    if isinstance(parent, cst.Arg) and isinstance(call, cst.Call) and not parent.star:
        position = next(i for i, arg in enumerate(call.args) if arg is parent)
        name = called_name(call)
        if isinstance(call.func, cst.Name) and name == "range":
            return "boundary" if position < 2 else ""
        if position and position == _DEFAULT_ARGUMENT.get(name):
            return "default"
    return ""


def called_name(call: cst.Call) -> str:
    """The last name of what is called."""
    func = call.func
    return func.value if isinstance(func, cst.Name) else func.attr.value if isinstance(func, cst.Attribute) else ""


def is_test(node: cst.CSTNode, scope: Scope) -> bool:
    """Whether it decides a branch or a filter."""
    parent, field = scope.place(node)
    return isinstance(parent, cst.If | cst.IfExp | cst.CompIf) and field == "test"
