"""The functions, methods and classes of a Python source, by qualified name, with their own text.

Invariant: what this says of a source is what `envs.definitions` says of it (a test holds them together: this room may
not import that one). A function's own text is all of its lines, decorators and nested functions included; a class's own
text is its lines without those of its methods and without blank ones. What does not parse has no definitions.
"""

from __future__ import annotations

import ast
import re
import warnings
from collections.abc import Iterator
from functools import lru_cache

_FUNCTION = (ast.FunctionDef, ast.AsyncFunctionDef)
_LINE = re.compile(r"[^\r\n]*(?:\r\n|\r|\n)|[^\r\n]+")


def parse(source: str) -> ast.Module | None:
    """The syntax tree, or None where the source does not parse."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return ast.parse(source)
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            return None


@lru_cache(maxsize=64)
def outline(source: str) -> dict[str, str] | None:
    """Qualified name -> own text, in order of appearance; None where the source does not parse.

    Texts of one name (overloads, a property's setter) stand one after another.
    """
    tree = parse(source)
    if tree is None:
        return None
    texts: dict[str, str] = {}
    for name, text, _ in _walk(tree, "", _LINE.findall(source)):
        texts[name] = texts.get(name, "") + text
    return texts


def _walk(node: ast.AST, prefix: str, lines: list[str]) -> Iterator[tuple[str, str, range]]:
    """Name, own text and lines of each definition."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, _FUNCTION):
            span = _span(child)
            yield prefix + child.name, "".join(lines[span.start : span.stop]), span
        elif isinstance(child, ast.ClassDef):
            members = list(_walk(child, f"{prefix}{child.name}.", lines))
            taken = {i for _, _, span in members for i in span}
            own = [lines[i] for i in _span(child) if i not in taken and lines[i].strip()]
            yield prefix + child.name, "".join(own), _span(child)
            yield from members
        elif isinstance(child, ast.stmt | ast.ExceptHandler | ast.match_case):
            yield from _walk(child, prefix, lines)  # definitions under if, try, with


def _span(node: ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) -> range:
    """Its lines, from 0, decorators included."""
    first = min([node.lineno, *(d.lineno for d in node.decorator_list)])
    return range(first - 1, node.end_lineno or node.lineno)
