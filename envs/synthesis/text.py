"""Syntax trees with exact places in their source.

Invariant: a place is a line and a column of UTF-8 bytes, as the parser counts them; lines end at `\\n`,
`\\r\\n` and `\\r` and nowhere else.
"""

from __future__ import annotations

import ast
import re
import warnings
from dataclasses import dataclass
from functools import lru_cache

Function = ast.FunctionDef | ast.AsyncFunctionDef
_LINE = re.compile(r"[^\r\n]*(?:\r\n|\r|\n|$)")


@dataclass(frozen=True, eq=False)
class Text:
    """One parsed source."""

    lines: list[str]
    """With their ends. Joined they are the source, without a byte order mark."""
    tree: ast.Module

    def segment(self, node: ast.expr | ast.stmt) -> str:
        """The node's own text; parentheses around it are not its own."""
        last = (node.end_lineno or node.lineno) - 1
        lines = self.lines[node.lineno - 1 : last + 1]
        lines[-1] = lines[-1].encode()[: node.end_col_offset].decode()
        lines[0] = lines[0].encode()[node.col_offset :].decode()
        return "".join(lines)


@lru_cache(maxsize=16)
def parse_text(source: str) -> Text:
    """Parse, once per source. An encoding that it declares is not heeded: it is text already. Raises `SyntaxError`."""
    source = source.removeprefix("\ufeff")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        tree = ast.parse(source)
    return Text(split_lines(source), tree)


def split_lines(source: str) -> list[str]:
    """The lines as Python counts them, with their ends."""
    return [line for line in _LINE.findall(source) if line]


def find_function(tree: ast.Module, qualname: str) -> Function | None:
    """A function or method by its qualified name; the last of several (after overloads, under conditions)."""
    found = [node for node in _named(tree, qualname) if isinstance(node, Function)]
    return found[-1] if found else None


def find_class(tree: ast.Module, qualname: str) -> ast.ClassDef | None:
    """A class by its qualified name; the last of several."""
    found = [node for node in _named(tree, qualname) if isinstance(node, ast.ClassDef)]
    return found[-1] if found else None


def _named(tree: ast.Module, qualname: str) -> list[Function | ast.ClassDef]:
    body: list[ast.stmt] = tree.body
    *classes, name = qualname.split(".")
    for wanted in classes:
        outer = [node for node in statements(body) if isinstance(node, ast.ClassDef) and node.name == wanted]
        body = [inner for node in outer for inner in node.body]
    return [node for node in statements(body) if isinstance(node, Function | ast.ClassDef) and node.name == name]


def statements(body: list[ast.stmt]) -> list[ast.stmt]:
    """The statements of a body, those under `if` and `try` included."""
    found: list[ast.stmt] = []
    for node in body:
        found.append(node)
        if isinstance(node, ast.If | ast.Try):
            found += statements([s for part in ast.iter_child_nodes(node) for s in _block(part)])
    return found


def _block(part: ast.AST) -> list[ast.stmt]:
    if isinstance(part, ast.ExceptHandler):
        return part.body
    return [part] if isinstance(part, ast.stmt) else []
