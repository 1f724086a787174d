"""The functions and classes of a Python source: where they stand, what a change did to them.

Invariant: every line of a source belongs to at most one definition's own text. A function's own text is all of
its lines, decorators and nested functions included; a class's own text is its lines without those of its methods.
Sources that do not parse have no definitions.
"""

from __future__ import annotations

import ast
import re
import textwrap
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache

_FUNCTION = (ast.FunctionDef, ast.AsyncFunctionDef)
_LINE = re.compile(r"[^\r\n]*(?:\r\n|\r|\n)|[^\r\n]+")


class DefinitionError(ValueError):
    """A definition was asked for that is not there, or not unique, or is not one; the message is one line."""


@dataclass(frozen=True)
class Definition:
    """One function or class: lines `start` (decorators included) to `end`, 0-based, end exclusive."""

    qualname: str
    start: int
    end: int
    text: str
    """Its own text (see the module's invariant)."""

    @property
    def name(self) -> str:
        """The last part of the qualified name."""
        return self.qualname.rpartition(".")[2]


def source_lines(source: str) -> list[str]:
    """Lines with their endings, counted as the Python parser counts them (form feeds do not end a line)."""
    return _LINE.findall(source)


@lru_cache(maxsize=8)
def parse(source: str) -> ast.Module | None:
    """The syntax tree, or None where the source does not parse.

    Cached, with `definitions`: the same few sources come back in thousands of episodes, and a long one takes 50 ms.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return ast.parse(source)
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            return None


@lru_cache(maxsize=256)
def definitions(source: str) -> tuple[Definition, ...]:
    """All functions, methods and classes of a source, outermost first, in order of appearance."""
    tree = parse(source)
    return tuple(_walk(tree, "", source_lines(source))) if tree is not None else ()


def _walk(node: ast.AST, prefix: str, lines: list[str]) -> Iterator[Definition]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, _FUNCTION):
            start, end = _span(child)
            yield Definition(prefix + child.name, start, end, "".join(lines[start:end]))
        elif isinstance(child, ast.ClassDef):
            members = list(_walk(child, f"{prefix}{child.name}.", lines))
            start, end = _span(child)
            taken = {i for m in members for i in range(m.start, m.end)}
            own = [lines[i] for i in range(start, end) if i not in taken and lines[i].strip()]
            yield Definition(prefix + child.name, start, end, "".join(own))
            yield from members
        elif isinstance(child, ast.stmt | ast.ExceptHandler | ast.match_case):
            yield from _walk(child, prefix, lines)  # definitions under if, try, with


def _span(node: ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) -> tuple[int, int]:
    first = min([node.lineno, *(d.lineno for d in node.decorator_list)])
    return first - 1, node.end_lineno or node.lineno


def touched_functions(before: Mapping[str, str | None], after: Mapping[str, str | None]) -> list[str]:
    """`path::qualname` of every definition whose own text differs between two states of some files.

    A path that is missing on one side does not exist there. A file that does not parse on one side counts as
    touching nothing. Order: file by file as they stand after the change, then those that are gone.
    """
    return [f"{path}::{qualname}" for path, qualname, _, _ in _changes(before, after)]


def touched_sources(before: Mapping[str, str | None], after: Mapping[str, str | None]) -> dict[str, str]:
    """Those of the touched definitions that were there before, as they read then: `path::qualname` -> own text."""
    return {f"{path}::{qualname}": old for path, qualname, old, _ in _changes(before, after) if old}


def changed_definitions(before: Mapping[str, str | None], after: Mapping[str, str | None]) -> str:
    """The changed definitions as they read after the change: the answer A of a context pair (paper 1).

    After-side only, since the lines that a diff removes quote what the anchor trajectory saw.
    """
    return "\n".join(new for _, _, _, new in _changes(before, after) if new)


def _changes(before: Mapping[str, str | None], after: Mapping[str, str | None]) -> Iterator[tuple[str, str, str, str]]:
    """Path, qualified name, own text before and after of each definition that differs."""
    for path in sorted({*before, *after}):
        if not path.endswith(".py") or before.get(path) == after.get(path):
            continue
        sources = before.get(path) or "", after.get(path) or ""
        if None in map(parse, sources):
            continue
        old, new = map(_texts, sources)
        for qualname in [*new, *(q for q in old if q not in new)]:
            if old.get(qualname) != new.get(qualname):
                yield path, qualname, old.get(qualname, ""), new.get(qualname, "")


def _texts(source: str) -> dict[str, str]:
    """Qualified name -> own text; texts of the same name (overloads, property setters) one after another."""
    texts: dict[str, str] = {}
    for item in definitions(source):
        texts[item.qualname] = texts.get(item.qualname, "") + item.text
    return texts


def replace_definition(source: str, path: str, new: str) -> str:
    """`source` with the definition that `new` defines put in place of the one of the same name.

    `new` is one complete function or class, at any indentation. Its name must be unique among the top-level
    definitions, or else among all. The text is re-indented to where it goes. Raises `DefinitionError`.
    """
    tree = parse(textwrap.dedent(new))
    if tree is None:
        raise DefinitionError("new does not parse as Python")
    if len(tree.body) != 1 or not isinstance(tree.body[0], (*_FUNCTION, ast.ClassDef)):
        raise DefinitionError("new must be one complete function or class when old is not given")
    target = _find(source, path, tree.body[0].name)
    lines = source_lines(source)
    margin, text = _margin(lines[target.start]), new.strip("\r\n")
    if _margin(text) != margin:
        text = textwrap.indent(textwrap.dedent(text), margin)
    ending = "\n" if lines[target.end - 1].endswith(("\n", "\r")) else ""
    return "".join([*lines[: target.start], text + ending, *lines[target.end :]])


def _margin(text: str) -> str:
    return text[: len(text) - len(text.lstrip(" \t"))]


def _find(source: str, path: str, name: str) -> Definition:
    if parse(source) is None:
        raise DefinitionError(f"{path} does not parse as Python: give old and new")
    named = [d for d in definitions(source) if d.name == name]
    top = [d for d in named if d.qualname == name]
    if not named:
        raise DefinitionError(f"no function {name} in {path}")
    if len(top or named) > 1:
        raise DefinitionError(f"{len(top or named)} definitions named {name} in {path}: give old and new")
    return (top or named)[0]
