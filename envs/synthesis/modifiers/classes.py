"""Bugs in classes.

Invariant: what is left of the class can still be made: nothing that another line of its body needs is taken away.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations

import libcst as cst

from envs.synthesis.modifiers.nodes import swapped
from envs.synthesis.modifiers.registry import class_modifier
from envs.synthesis.modifiers.scope import Scope


@class_modifier("class_rm_base")
def class_rm_base(node: cst.ClassDef, scope: Scope) -> Iterator[cst.CSTNode]:
    """A class that loses one of its bases."""
    for i, base in enumerate(node.bases):
        left = [*node.bases[:i], *node.bases[i + 1 :]]
        if left and base is node.bases[-1]:
            left[-1] = left[-1].with_changes(comma=cst.MaybeSentinel.DEFAULT)
        yield node.with_changes(bases=left)


@class_modifier("class_rm_funcs", weight=2)
def class_rm_funcs(node: cst.ClassDef, scope: Scope) -> Iterator[cst.CSTNode]:
    """A class that loses one of its methods."""
    body: list[cst.CSTNode] = list(node.body.body)
    for method in _methods(node):
        others = [statement for statement in body if statement is not method]
        if method.name.value not in _needed(others):
            yield node.with_changes(body=node.body.with_changes(body=others))


@class_modifier("class_shuffle_funcs")
def class_shuffle_funcs(node: cst.ClassDef, scope: Scope) -> Iterator[cst.CSTNode]:
    """Two methods with the same parameters change their bodies. (Their order alone would change nothing.)"""
    body: list[cst.CSTNode] = list(node.body.body)
    for a, b in combinations(_methods(node), 2):
        if a.params.deep_equals(b.params) and not (a.decorators or b.decorators):
            i, j = (next(n for n, statement in enumerate(body) if statement is method) for method in (a, b))
            new = swapped(body, i, j)
            new[i] = b.with_changes(name=a.name, leading_lines=a.leading_lines)
            new[j] = a.with_changes(name=b.name, leading_lines=b.leading_lines)
            yield node.with_changes(body=node.body.with_changes(body=new))


def _methods(node: cst.ClassDef) -> list[cst.FunctionDef]:
    return [statement for statement in node.body.body if isinstance(statement, cst.FunctionDef)]


def _needed(body: list[cst.CSTNode]) -> set[str]:
    """Names that are used while the class is made: by its statements, decorators and defaults."""
    found: set[str] = set()
    for statement in body:
        if isinstance(statement, cst.FunctionDef):
            parts: list[cst.CSTNode] = [*statement.decorators, statement.params]
        else:
            parts = [statement]
        found.update(*(_names(part) for part in parts))
    return found


def _names(node: cst.CSTNode) -> set[str]:
    found = {node.value} if isinstance(node, cst.Name) else set()
    return found.union(*(_names(child) for child in node.children))
