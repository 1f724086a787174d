"""Rules on the label: exactly one of the two contexts supports the answer."""

from __future__ import annotations

import ast
import re
import textwrap

from trajectories.judging.limits import Finding, RuleLimits
from trajectories.judging.views import plain
from trajectories.records import ContextPair

_COMMENT = re.compile(r"(?:^|\s)#[^'\"\n]*$", re.MULTILINE)
_DEFINITION = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef
_TRAILING = re.compile(r",(?=[)\]}])")


def has_answer(pair: ContextPair, limits: RuleLimits) -> Finding | None:
    """A pair without an answer asks nothing."""
    return None if pair.answer.strip() else ("invalid", "the answer is empty")


def other_answer(pair: ContextPair, limits: RuleLimits) -> Finding | None:
    """The answer does not solve the confounder's task as well, not even in part."""
    if not pair.confounder_answer.strip():
        return "uncertain", "no right answer to the confounder's task is known yet"
    own, other = (_lines(text) for text in (pair.answer, pair.confounder_answer))
    if "".join(own) == "".join(other) or _same_code(pair.answer, pair.confounder_answer):
        return "invalid", "the answer solves the confounder's task as well"
    if other and set(other) <= set(own):
        return "invalid", "the answer has every line that the confounder's task needs"
    if own and set(own) <= set(other):
        return "invalid", "every line of the answer is one that the confounder's task needs"
    return None


def _lines(text: str) -> list[str]:
    """The lines as code: without comments, white space and commas before a closing bracket."""
    bare = _COMMENT.sub("", text)
    return [code for line in bare.splitlines() if (code := _TRAILING.sub("", plain(line)))]


def _same_code(a: str, b: str) -> bool:
    """Whether two texts are the same code in Python's eyes: other brackets, quotes, comments, docstrings."""
    if not 0.5 < (len(a) + 1) / (len(b) + 1) < 2:
        return False
    trees = [_tree(text) for text in (a, b)]
    return trees[0] is not None and trees[0] == trees[1]


def _tree(text: str) -> str | None:
    try:
        tree = ast.parse(textwrap.dedent(text))
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None
    for node in ast.walk(tree):
        if (
            isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)
            and ast.get_docstring(node) is not None
        ):
            node.body = node.body[1:]
    return ast.dump(tree) if tree.body else None
