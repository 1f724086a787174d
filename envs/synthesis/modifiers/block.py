"""The text of one function or class, cut out of its file.

Invariant: putting back what was cut out gives the file byte for byte; a change writes the nodes that it replaces and no
others.
"""

from __future__ import annotations

import ast
from collections.abc import Mapping
from dataclasses import dataclass
from typing import cast

import libcst as cst
from libcst.metadata import CodeRange, MetadataWrapper, WhitespaceInclusivePositionProvider

from envs.synthesis.modifiers.module import module_facts
from envs.synthesis.modifiers.registry import Change
from envs.synthesis.modifiers.scope import Definition, Scope
from envs.synthesis.text import Text, split_lines


@dataclass(frozen=True, eq=False)
class Block:
    """A definition's lines, parsed alone."""

    before: str
    text: str
    after: str
    first_line: int
    """Of the definition in its file, from 1."""
    head: str
    """What holds an indented definition while it is parsed alone."""
    module: cst.Module
    scope: Scope
    ranges: Mapping[cst.CSTNode, CodeRange]
    lines: list[str]
    """Of the module."""

    def line_of(self, node: cst.CSTNode) -> int:
        """The line of the module on which a node starts."""
        return self.ranges[node].start.line

    def changed(self, change: Change) -> str | None:
        """The text with one change; None where the new node cannot stand there."""
        old, new = change.old, change.new
        line = self.scope.parent(old)
        if isinstance(new, cst.RemovalSentinel) and isinstance(line, cst.SimpleStatementLine) and len(line.body) == 1:
            old = line
        try:
            found = self.spliced(old, new)
            return (self.rewritten(old, new) if found is None else found)[len(self.head) :]
        except cst.CSTValidationError:
            return None

    def spliced(self, old: cst.CSTNode, new: object) -> str | None:
        """The module's text with a change within one line, or of whole lines; None where it is neither.

        What `rewritten` gives, many times faster.
        """
        start, end = self.ranges[old].start, self.ranges[old].end
        if isinstance(new, cst.CSTNode):
            text = self.module.code_for_node(new)
            if start.line != end.line or "\n" in text or "\r" in text:
                return None  # its lines need indentation
        elif isinstance(new, cst.RemovalSentinel) and isinstance(old, cst.BaseStatement) and self._has_company(old):
            text = ""
        else:
            return None
        before = [*self.lines[: start.line - 1], self.lines[start.line - 1][: start.column]]
        after = [self.lines[end.line - 1][end.column :], *self.lines[end.line :]] if end.line <= len(self.lines) else []
        return "".join([*before, text, *after])

    def rewritten(self, old: cst.CSTNode, new: object) -> str:
        """The module's text with any change: made anew from the changed node to the top, all else written as read."""
        while (place := self._place(old)) is not None:
            new = _with(*place, old, new)
            old = place[0]
        return cast(cst.Module, new).code

    def _has_company(self, statement: cst.CSTNode) -> bool:
        block = self.scope.parent(statement)
        return isinstance(block, cst.IndentedBlock) and len(block.body) > 1

    def _place(self, node: cst.CSTNode) -> tuple[cst.CSTNode, str] | None:
        """What holds a node, and in which field: outside the definition, only its head and the module do."""
        outer, field = self.scope.place(node)
        if outer is not None:
            return outer, field
        if node is self.module:
            return None
        top = self.module.body[0]
        block = top.body if isinstance(top, cst.If) else top
        return (self.module if node is top else top if node is block else block), "body"


def cut_out(source: str, text: Text, node: ast.stmt, qualname: str) -> Block:
    """Cut a function or a class out. Raises `ValueError` where it cannot be written as it was read."""
    first, last = node.lineno, node.end_lineno or node.lineno
    mark = source[: len(source) - len(source.removeprefix("\ufeff"))]
    block = "".join(text.lines[first - 1 : last])
    line = text.lines[0]
    head = "if 1:" + line[len(line.rstrip("\r\n")) :] if block[:1].isspace() else ""
    try:
        module = cst.parse_module(head + block)
    except cst.ParserSyntaxError as error:
        raise ValueError(error.message) from None
    if module.code != head + block:
        raise ValueError("it is not written as it was read")
    top = module.body[0]
    definition = top.body.body[0] if head and isinstance(top, cst.If) else top
    scope = Scope(cast(Definition, definition), module_facts(source), qualname)
    ranges = MetadataWrapper(module, unsafe_skip_copy=True).resolve(WhitespaceInclusivePositionProvider)
    before, after = mark + "".join(text.lines[: first - 1]), "".join(text.lines[last:])
    return Block(before, block, after, first, head, module, scope, ranges, split_lines(head + block))


def _with(parent: cst.CSTNode, field: str, old: cst.CSTNode, new: object) -> cst.CSTNode:
    """The parent with one child replaced, removed, or exchanged for several."""
    value = getattr(parent, field)
    if not isinstance(value, tuple | list):
        return parent.with_changes(**{field: None if isinstance(new, cst.RemovalSentinel) else new})
    instead = [] if isinstance(new, cst.RemovalSentinel) else [*new] if isinstance(new, cst.FlattenSentinel) else [new]
    children = [child for each in value for child in (instead if each is old else [each])]
    return parent.with_changes(**{field: children})
