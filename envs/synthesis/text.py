"""Syntax trees with exact places in their source.

Invariant: offsets are bytes of the UTF-8 source, as the parser counts them; replacing a span leaves the rest as it is.
"""

from __future__ import annotations

import ast
import warnings
from bisect import bisect_right
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import accumulate

Function = ast.FunctionDef | ast.AsyncFunctionDef


@dataclass(frozen=True, eq=False)
class Text:
    """One parsed source."""

    data: bytes
    tree: ast.Module
    _starts: list[int] = field(default_factory=list)

    def offset(self, line: int, column: int) -> int:
        """Byte offset of a place; lines count from 1."""
        return self._starts[line - 1] + column

    def span(self, node: ast.expr | ast.stmt) -> tuple[int, int]:
        """Where a node begins and ends; parentheses around it are not its own."""
        start = self.offset(node.lineno, node.col_offset)
        return start, self.offset(node.end_lineno or node.lineno, node.end_col_offset or node.col_offset)

    def segment(self, node: ast.expr | ast.stmt) -> str:
        """The node's own text."""
        start, end = self.span(node)
        return self.data[start:end].decode()

    def line_of(self, offset: int) -> int:
        """The line, from 1, that holds a byte."""
        return bisect_right(self._starts, offset)


@lru_cache(maxsize=16)
def parse_text(source: str) -> Text:
    """Parse, once per source. Raises `SyntaxError`."""
    data = source.encode()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        tree = ast.parse(data)
    starts = [0, *accumulate(len(line) for line in data.splitlines(keepends=True))]
    return Text(data, tree, starts)


def find_function(tree: ast.Module, qualname: str) -> Function | None:
    """A function or method by its qualified name; the last of several (after overloads, under conditions)."""
    body: list[ast.stmt] = tree.body
    *classes, name = qualname.split(".")
    for wanted in classes:
        body = [
            s for node in _statements(body) if isinstance(node, ast.ClassDef) and node.name == wanted for s in node.body
        ]
    found = [node for node in _statements(body) if isinstance(node, Function) and node.name == name]
    return found[-1] if found else None


def _statements(body: list[ast.stmt]) -> list[ast.stmt]:
    """The statements of a body, those under `if` and `try` included."""
    found: list[ast.stmt] = []
    for node in body:
        found.append(node)
        if isinstance(node, ast.If | ast.Try):
            found += _statements([s for part in ast.iter_child_nodes(node) for s in _block(part)])
    return found


def _block(part: ast.AST) -> list[ast.stmt]:
    if isinstance(part, ast.ExceptHandler):
        return part.body
    return [part] if isinstance(part, ast.stmt) else []
