"""Whether two texts of one definition can be told apart by running them.

Invariant: equal meanings are equal programs; different ones may be equal all the same, which only tests can show.
"""

from __future__ import annotations

import ast
import dis
import warnings
from collections.abc import Iterator
from types import CodeType

Meaning = tuple[object, ...]
_WITH_CONSTANT = frozenset(dis.hasconst)


def meaning(block: str) -> Meaning | None:
    """What a definition's lines compile to, whatever their indentation; None if they do not compile.

    Code that cannot be reached and arithmetic of constants are gone from it, as are comments and line numbers.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            tree = ast.parse("if 1:\n" + block if block[:1].isspace() else block)
            code = compile(tree, "bug", "exec", dont_inherit=True)
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            return None
    return _of(code)


def _of(code: CodeType) -> Meaning:
    names = (code.co_name, code.co_names, code.co_varnames, code.co_freevars, code.co_cellvars)
    counts = (code.co_argcount, code.co_posonlyargcount, code.co_kwonlyargcount, code.co_flags)
    table = getattr(code, "co_exceptiontable", b"")
    return (table, *names, *counts, _constant(code.co_consts[:1]), *_instructions(code))


def _instructions(code: CodeType) -> Iterator[object]:
    """Operations and arguments; constants by value: those of code that cannot be reached shift the others' places."""
    extended = 0
    for operation, byte in zip(code.co_code[::2], code.co_code[1::2], strict=True):
        argument = extended << 8 | byte
        extended = argument if operation == dis.EXTENDED_ARG else 0
        yield operation
        yield _constant(code.co_consts[argument]) if operation in _WITH_CONSTANT else argument


def _constant(value: object) -> object:
    """With its type: 1, 1.0 and True are equal but not the same constant."""
    if isinstance(value, CodeType):
        return _of(value)
    if isinstance(value, tuple | frozenset):
        return type(value), *map(_constant, value if isinstance(value, tuple) else sorted(value, key=repr))
    return type(value), repr(value)
