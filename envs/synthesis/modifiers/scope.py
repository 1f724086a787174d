"""What a modifier may know of the code around a node.

Invariant: `nodes` are those that run, in the order in which they do: no docstring, annotation, decorator or f-string
(what a message says is seldom tested), and no white space.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache

import libcst as cst

from envs.synthesis.modifiers.module import ModuleFacts

Definition = cst.FunctionDef | cst.ClassDef
_SILENT: tuple[type[cst.CSTNode], ...] = (
    cst.BaseParenthesizableWhitespace, cst.TrailingWhitespace, cst.EmptyLine, cst.Newline, cst.Comment, cst.Comma,
    cst.Semicolon, cst.Colon, cst.Dot, cst.AssignEqual, cst.LeftParen, cst.RightParen, cst.LeftSquareBracket,
    cst.RightSquareBracket, cst.Annotation, cst.Decorator, cst.FormattedString,
)  # fmt: skip
_OWN_NAMES = (cst.FunctionDef, cst.Lambda, cst.ListComp, cst.SetComp, cst.DictComp, cst.GeneratorExp)
_TARGETS = {
    (cst.AssignTarget, "target"), (cst.AnnAssign, "target"), (cst.AugAssign, "target"), (cst.For, "target"),
    (cst.CompFor, "target"), (cst.NamedExpr, "target"), (cst.AsName, "name"),
}  # fmt: skip
_NO_VARIABLES = {
    (cst.Attribute, "attr"), (cst.Arg, "keyword"), (cst.FunctionDef, "name"), (cst.ClassDef, "name"),
    (cst.Call, "func"), (cst.ImportAlias, "name"), (cst.NameItem, "item"), (cst.Del, "target"),
    (cst.ExceptHandler, "type"),
}  # fmt: skip


@dataclass(frozen=True, eq=False)
class Frame:
    """The names of one function, lambda or comprehension -> when they are first defined."""

    outer: Frame | None
    names: dict[str, int] = field(default_factory=dict)

    def visible(self, moment: int) -> dict[str, int]:
        """Names that are defined by then, those of the frames around included."""
        outer = self.outer.visible(moment) if self.outer else {}
        return outer | {name: when for name, when in self.names.items() if when < moment}


class Scope:
    """A function or a class within its module, looked at once."""

    def __init__(self, definition: Definition, facts: ModuleFacts, qualname: str) -> None:
        self.definition, self.facts, self.qualname = definition, facts, qualname
        self.nodes: list[cst.CSTNode] = []
        self.stores: dict[cst.Name, str] = {}
        """Names that are assigned to, each with the name of the frame's variable."""
        self._places: dict[cst.CSTNode, tuple[cst.CSTNode, str]] = {}
        self._moments: dict[cst.CSTNode, int] = {}
        self._frames: dict[cst.CSTNode, Frame] = {}
        self._walk(definition, Frame(None))

    def parent(self, node: cst.CSTNode) -> cst.CSTNode | None:
        """The node around it."""
        return self._places[node][0] if node in self._places else None

    def place(self, node: cst.CSTNode) -> tuple[cst.CSTNode | None, str]:
        """The node around it and the name of the field that it stands in."""
        return self._places.get(node, (None, ""))

    def moment(self, node: cst.CSTNode) -> int:
        """Its turn in the order of evaluation."""
        return self._moments[node]

    def around(self, node: cst.CSTNode) -> Iterator[cst.CSTNode]:
        """The nodes around it, the nearest first."""
        outer = self.parent(node)
        while outer is not None:
            yield outer
            outer = self.parent(outer)

    def variables(self, node: cst.CSTNode) -> list[str]:
        """Arguments and variables that are defined where a node stands, but for `self` and `cls`."""
        return [n for n in self._frames[node].visible(self._moments[node]) if n not in ("self", "cls", "_")]

    def is_variable(self, node: cst.Name) -> bool:
        """Whether it reads a name, and does not call it."""
        parent, name = self.place(node)
        return (
            node not in self.stores and (type(parent), name) not in _NO_VARIABLES and not isinstance(parent, cst.Param)
        )

    def names_after(self, node: cst.CSTNode) -> set[str]:
        """Variables that are read later in the source."""
        end = max(self._moments[inner] for inner in self.within(node))
        later = (other for other in self.nodes if self._moments[other] > end and isinstance(other, cst.Name))
        return {other.value for other in later if other not in self.stores}

    def within(self, node: cst.CSTNode) -> list[cst.CSTNode]:
        """The node and those inside it that run."""
        return [other for other in _descend(node) if other in self._moments]

    def _walk(self, node: cst.CSTNode, frame: Frame) -> None:
        self._moments[node], self._frames[node] = len(self.nodes), frame
        self.nodes.append(node)
        if isinstance(node, _OWN_NAMES):
            frame = Frame(frame)
        for name, child in _children(node):
            self._places[child] = (node, name)
            if isinstance(child, cst.Param):
                frame.names.setdefault(child.name.value, self._moments[node])
            if (type(node), name) in _TARGETS:
                self._store(child, frame)
            if isinstance(node, cst.FunctionDef) and name == "name" and node is not self.definition and frame.outer:
                frame.outer.names.setdefault(node.name.value, self._moments[node])
            if not _is_docstring(child):
                self._walk(child, frame)

    def _store(self, target: cst.CSTNode, frame: Frame) -> None:
        if isinstance(target, cst.Name):
            self.stores[target] = target.value
            frame.names.setdefault(target.value, len(self.nodes))
        elif isinstance(target, cst.Tuple | cst.List):
            for element in target.elements:
                self._store(element.value, frame)


def _is_docstring(node: cst.CSTNode) -> bool:
    return isinstance(node, cst.Expr) and isinstance(node.value, cst.SimpleString | cst.ConcatenatedString)


def _descend(node: cst.CSTNode) -> Iterator[cst.CSTNode]:
    yield node
    for _, child in _children(node):
        yield from _descend(child)


@cache
def _fields(kind: type[cst.CSTNode]) -> tuple[str, ...]:
    """What is evaluated first comes first: an iterable before the target, a value before what it is assigned to."""
    names = [f.name for f in dataclasses.fields(kind) if "whitespace" not in f.name and "lines" not in f.name]
    return tuple(sorted(names, key=lambda name: name not in ("for_in", "iter", "value")))


def _children(node: cst.CSTNode) -> Iterator[tuple[str, cst.CSTNode]]:
    for name in _fields(type(node)):
        value = getattr(node, name)
        for child in value if isinstance(value, tuple | list) else (value,):
            if isinstance(child, cst.CSTNode) and not isinstance(child, _SILENT):
                yield name, child
