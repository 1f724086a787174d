"""The source of functions and generator expressions that no name leads to.

Invariant: what is found is the one definition that the code object was compiled from, told by the places of its
instructions, or nothing.
"""

from __future__ import annotations

import ast
import functools
import types

_KINDS: dict[str, type[ast.AST]] = {"<lambda>": ast.Lambda, "<genexpr>": ast.GeneratorExp}
Place = tuple[int, int]


def definition(code: types.CodeType) -> ast.AST | None:
    """The definition that a code object comes from; None where its file cannot be read or does not tell it."""
    wanted = _KINDS.get(code.co_name, ast.FunctionDef)
    try:
        nodes = _definitions(code.co_filename).get(code.co_firstlineno, [])
    except (OSError, SyntaxError, ValueError):
        return None
    fitting = [node for node in nodes if isinstance(node, wanted) and _holds(node, code)]
    fitting.sort(key=lambda node: len(ast.dump(node)))
    return fitting[0] if len(fitting) == 1 or (fitting and wanted is not ast.FunctionDef) else None


@functools.lru_cache(maxsize=8)
def _definitions(file: str) -> dict[int, list[ast.AST]]:
    """Line -> the functions without decorators, lambdas and generator expressions that begin on it."""
    found: dict[int, list[ast.AST]] = {}
    with open(file, encoding="utf-8") as source:
        for node in ast.walk(ast.parse(source.read())):
            kinds = (ast.Lambda, ast.FunctionDef, ast.GeneratorExp)
            if isinstance(node, kinds) and not getattr(node, "decorator_list", ()):
                found.setdefault(node.lineno, []).append(node)
    return found


def _holds(node: ast.AST, code: types.CodeType) -> bool:
    """Whether all instructions lie in the definition: of a lambda in its body, so that an outer one is no inner one."""
    part = node.body if isinstance(node, ast.Lambda) else node
    begin, end = (part.lineno, part.col_offset), (part.end_lineno, part.end_col_offset)  # type: ignore[attr-defined]
    return all(begin <= start and stop <= end for start, stop in _places(code))


def _places(code: types.CodeType) -> list[tuple[Place, Place]]:
    """Begin and end of every instruction that has some extent."""
    found = []
    for line, last, column, stop in code.co_positions():
        if line is not None and last is not None and column is not None and stop is not None:
            found += [((line, column), (last, stop))] * ((line, column) < (last, stop))
    return found
