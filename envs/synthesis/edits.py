"""The bugs that can be made in a function: every place, every kind.

Invariant: an edit replaces one span of the source and nothing else, so that the rest keeps its formatting; the same
source always gives the same edits in the same order.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from envs.synthesis.text import Function, Text

_COMPARISONS = {
    ast.Lt: ("<", ("<=", ">")),
    ast.LtE: ("<=", ("<", ">=")),
    ast.Gt: (">", (">=", "<")),
    ast.GtE: (">=", (">", "<=")),
    ast.Eq: ("==", ("!=",)),
    ast.NotEq: ("!=", ("==",)),
    ast.Is: ("is", ("is not",)),
    ast.IsNot: (r"is\s+not", ("is",)),
    ast.In: ("in", ("not in",)),
    ast.NotIn: (r"not\s+in", ("in",)),
}
_OPERATORS = {
    ast.Add: ("+", ("-",)),
    ast.Sub: ("-", ("+",)),
    ast.Mult: ("*", ("+", "-")),
    ast.Div: ("/", ("*", "//")),
    ast.FloorDiv: ("//", ("*", "/")),
    ast.Mod: ("%", ("//",)),
    ast.Pow: ("**", ("*",)),
    ast.LShift: ("<<", (">>",)),
    ast.RShift: (">>", ("<<",)),
    ast.BitAnd: ("&", ("|",)),
    ast.BitOr: ("|", ("&",)),
    ast.BitXor: ("^", ("&",)),
}
_SIBLINGS = [("min", "max"), ("any", "all"), ("append", "appendleft"), ("pop", "popleft"), ("upper", "lower")]
_SIBLINGS += [("startswith", "endswith"), ("lstrip", "rstrip"), ("find", "rfind"), ("floor", "ceil")]
_SIBLINGS += [("union", "intersection"), ("add", "discard"), ("keys", "values"), ("first", "last")]
_SIBLINGS += [("takewhile", "dropwhile"), ("sum", "max")]
_BUILTINS = {"min", "max", "any", "all"}
_UNSWAPPABLE = {"isinstance", "issubclass", "getattr", "hasattr", "setattr", "super", "zip", "min", "max"}
_SIMPLE = ast.Name | ast.Attribute | ast.Call | ast.Subscript


@dataclass(frozen=True)
class Edit:
    """Replace the bytes from `start` to `end` by `text`."""

    kind: str
    start: int
    end: int
    text: str


Maker = Callable[[Text, ast.AST, "Scope"], Iterator[Edit]]


@dataclass(frozen=True)
class Scope:
    """What an edit may know of the function around it."""

    locals: dict[str, int]
    """Arguments and variables -> the line of their first assignment."""
    boundaries: frozenset[int]
    """Ids of the nodes that are bounds: of a slice, of `range`."""
    defaults: frozenset[int]
    called: frozenset[int]
    """Ids of the nodes that are called."""


def edits(text: Text, function: Function) -> Iterator[Edit]:
    """Every edit, in the order of the source."""
    nodes = list(_walk(function))
    scope = _scope(function, nodes)
    for node in nodes:
        for make in _MAKERS:
            yield from make(text, node, scope)


def _walk(function: Function) -> Iterator[ast.AST]:
    """The nodes that run: no docstring, annotation or decorator; no f-string (its places are not exact)."""
    defaults = [*function.args.defaults, *(d for d in function.args.kw_defaults if d is not None)]
    stack: list[ast.AST] = [*reversed(function.body), *reversed(defaults)]
    while stack:
        node = stack.pop()
        if isinstance(node, ast.JoinedStr) or (isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)):
            continue
        yield node
        if isinstance(node, ast.AnnAssign):
            stack += [child for child in (node.value, node.target) if child is not None]
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            stack += reversed(node.body)
        else:
            stack += reversed(list(ast.iter_child_nodes(node)))


def _scope(function: Function, nodes: list[ast.AST]) -> Scope:
    arguments = [*function.args.posonlyargs, *function.args.args, *function.args.kwonlyargs]
    names = {argument.arg: 0 for argument in arguments if argument.arg not in ("self", "cls")}
    for node in nodes:
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            names.setdefault(node.id, node.lineno)
    calls = [node for node in nodes if isinstance(node, ast.Call)]
    slices = [node for node in nodes if isinstance(node, ast.Slice)]
    ends = [part for s in slices for part in (s.lower, s.upper) if part is not None]
    ends += [a for c in calls if isinstance(c.func, ast.Name) and c.func.id == "range" for a in c.args[:2]]
    defaults = [*function.args.defaults, *(d for d in function.args.kw_defaults if d is not None)]
    return Scope(names, frozenset(map(id, ends)), frozenset(map(id, defaults)), frozenset(id(c.func) for c in calls))


def _between(text: Text, left: ast.expr, right: ast.expr, word: str) -> tuple[int, int] | None:
    """Where an operator (a pattern) stands between two operands."""
    start, end = text.span(left)[1], text.span(right)[0]
    gap = text.data[start:end].decode()
    found = re.search(word, gap)
    return (start + found.start(), start + found.end()) if found and "#" not in gap and gap.isascii() else None


def _comparison(text: Text, node: ast.AST, scope: Scope) -> Iterator[Edit]:
    if isinstance(node, ast.Compare):
        for left, op, right in zip([node.left, *node.comparators], node.ops, node.comparators, strict=False):
            word, others = _COMPARISONS[type(op)]
            if place := _between(text, left, right, word):
                yield from (Edit("comparison", *place, other) for other in others)


def _operator(text: Text, node: ast.AST, scope: Scope) -> Iterator[Edit]:
    if isinstance(node, ast.BinOp):
        left, right = node.left, node.right
    elif isinstance(node, ast.AugAssign):
        left, right = node.target, node.value
    else:
        return
    if any(isinstance(part, ast.JoinedStr) or _is_string(part) for part in (left, right)):
        return  # formatting and joining: another operator is only a TypeError
    word, others = _OPERATORS[type(node.op)]
    if place := _between(text, left, right, re.escape(word)):
        yield from (Edit("operator", *place, other) for other in others)


def _is_string(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and isinstance(node.value, str | bytes)


def _constant(text: Text, node: ast.AST, scope: Scope) -> Iterator[Edit]:
    if not isinstance(node, ast.Constant):
        return
    kind = "default" if id(node) in scope.defaults else "boundary" if id(node) in scope.boundaries else "constant"
    if isinstance(node.value, bool):
        yield Edit(kind, *text.span(node), str(not node.value))
    elif isinstance(node.value, int | float):
        others = [node.value + 1, node.value - 1] if node.value > 0 else [node.value + 1]
        yield from (Edit(kind, *text.span(node), repr(other)) for other in others)


def _boundary(text: Text, node: ast.AST, scope: Scope) -> Iterator[Edit]:
    if isinstance(node, ast.expr) and id(node) in scope.boundaries and not isinstance(node, ast.Constant):
        own = text.segment(node)
        own = own if isinstance(node, _SIMPLE) else f"({own})"
        yield from (Edit("boundary", *text.span(node), f"{own} {sign} 1") for sign in "+-")


def _boolean(text: Text, node: ast.AST, scope: Scope) -> Iterator[Edit]:
    if isinstance(node, ast.BoolOp):
        word, other = ("and", "or") if isinstance(node.op, ast.And) else ("or", "and")
        for left, right in zip(node.values, node.values[1:], strict=False):
            if place := _between(text, left, right, rf"\b{word}\b"):
                yield Edit("boolean", *place, other)


def _condition(text: Text, node: ast.AST, scope: Scope) -> Iterator[Edit]:
    """Negated; a single comparison is left to `_comparison`."""
    tests = [node.test] if isinstance(node, ast.If | ast.IfExp) else []
    tests += node.ifs if isinstance(node, ast.comprehension) else []
    for test in tests:
        if isinstance(test, ast.BoolOp | ast.Name | ast.Attribute | ast.Call | ast.Subscript):
            own = text.segment(test)
            yield Edit("condition", *text.span(test), f"not ({own})" if isinstance(test, ast.BoolOp) else f"not {own}")


def _dropped_not(text: Text, node: ast.AST, scope: Scope) -> Iterator[Edit]:
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
        start, end = text.span(node)
        word = re.match(rb"not\s*", text.data[start:end])
        yield Edit("negation", start, start + (word.end() if word else 0), "")


def _variable(text: Text, node: ast.AST, scope: Scope) -> Iterator[Edit]:
    """Another variable that is in scope there."""
    if not (isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load) and node.id in scope.locals):
        return
    if id(node) not in scope.called:
        others = [name for name, line in scope.locals.items() if line < node.lineno and name != node.id]
        yield from (Edit("variable", *text.span(node), name) for name in others)


def _arguments(text: Text, node: ast.AST, scope: Scope) -> Iterator[Edit]:
    if not isinstance(node, ast.Call) or len(node.args) < 2 or any(isinstance(a, ast.Starred) for a in node.args[:2]):
        return
    if isinstance(node.func, ast.Name) and node.func.id in _UNSWAPPABLE:
        return
    (start, a), (b, end) = text.span(node.args[0]), text.span(node.args[1])
    yield Edit("argument", start, end, (text.data[b:end] + text.data[a:b] + text.data[start:a]).decode())


def _call(text: Text, node: ast.AST, scope: Scope) -> Iterator[Edit]:
    """A sibling of the function or method that is called, where the module knows it."""
    if not isinstance(node, ast.Name | ast.Attribute) or id(node) not in scope.called:
        return
    name = node.id if isinstance(node, ast.Name) else node.attr
    end = text.span(node)[1]
    for pair in _SIBLINGS:
        other = pair[1 - pair.index(name)] if name in pair else ""
        if other and (isinstance(node, ast.Attribute) or other in _BUILTINS or _knows(text.tree, other)):
            yield Edit("call", end - len(name.encode()), end, other)


def _knows(module: ast.Module, name: str) -> bool:
    imported = (alias for node in module.body if isinstance(node, ast.ImportFrom) for alias in node.names)
    defined = (node.name for node in module.body if isinstance(node, ast.FunctionDef))
    return name in defined or name in ((alias.asname or alias.name) for alias in imported)


def _returned(text: Text, node: ast.AST, scope: Scope) -> Iterator[Edit]:
    value = node.value if isinstance(node, ast.Return | ast.Yield) else None
    if value is None or (isinstance(value, ast.Constant) and value.value is None):
        return
    if isinstance(value, ast.Tuple) and len(value.elts) >= 2:
        (start, a), (b, end) = text.span(value.elts[0]), text.span(value.elts[1])
        yield Edit("return", start, end, (text.data[b:end] + text.data[a:b] + text.data[start:a]).decode())
    elif isinstance(value, ast.Compare | ast.BoolOp):
        yield Edit("return", *text.span(value), f"not ({text.segment(value)})")
    else:
        yield Edit("return", *text.span(value), "None")


def _removed(text: Text, node: ast.AST, scope: Scope) -> Iterator[Edit]:
    """A statement, a guard or an `else` that is lost."""
    if isinstance(node, ast.Assign | ast.AugAssign | ast.Delete | ast.Raise) or (
        isinstance(node, ast.Expr) and isinstance(node.value, ast.Call | ast.Yield | ast.YieldFrom)
    ):
        yield Edit("statement", *text.span(node), "pass")
    elif isinstance(node, ast.If) and not node.orelse:
        if isinstance(node.body[-1], ast.Return | ast.Raise | ast.Continue | ast.Break):
            yield Edit("guard", *text.span(node), "pass")
    elif isinstance(node, ast.If) and not text.segment(node.orelse[0]).startswith("elif"):
        yield Edit("branch", text.span(node.body[-1])[1], text.span(node.orelse[-1])[1], "")


def _control(text: Text, node: ast.AST, scope: Scope) -> Iterator[Edit]:
    if isinstance(node, ast.Break | ast.Continue):
        yield Edit("control", *text.span(node), "continue" if isinstance(node, ast.Break) else "break")


_MAKERS: tuple[Maker, ...] = (_comparison, _operator, _constant, _boundary, _boolean, _condition, _dropped_not)
_MAKERS += (_variable, _arguments, _call, _returned, _removed, _control)
