"""Bugs in one function, by a language model.

Invariant: a candidate differs from the original in that function alone, and in what it compiles to.
"""

from __future__ import annotations

import ast
import hashlib

from envs.synthesis.candidate import Mutant
from envs.synthesis.changes import changed_lines
from envs.synthesis.llm.answers import function_in, function_text, put_function
from envs.synthesis.llm.client import ChatModel
from envs.synthesis.meaning import meaning

_MODIFY = """You make tasks for programmers. Given a Python function, put exactly one subtle bug into it: one that \
existing unit tests notice, that raises no error when the file is imported, and that takes understanding of the \
function to find. Change as little as you can. Leave no comment about the bug. Answer with the whole function in one \
code block."""
_REWRITE = """You are a programmer. Given the signature and documentation of a Python function, write it. Keep its \
name and its parameters. Answer with the whole function in one code block."""


async def modify(model: ChatModel, path: str, source: str, qualname: str, targets: tuple[str, ...]) -> Mutant | None:
    """One subtle bug in a function; None where the answer holds none. Raises `ModelError`, `ValueError`."""
    function = function_text(source, qualname)
    answer = await model.ask(_MODIFY, f"`{qualname}` of {path}:\n\n```python\n{function}\n```")
    return _mutant("lm_modify", path, source, qualname, targets, answer)


async def rewrite(model: ChatModel, path: str, source: str, qualname: str, targets: tuple[str, ...]) -> Mutant | None:
    """A function written anew from signature and documentation alone, with the mistakes that this brings."""
    stub = stub_of(function_text(source, qualname))
    answer = await model.ask(_REWRITE, f"`{qualname}` of {path}:\n\n```python\n{stub}\n```")
    return _mutant("lm_rewrite", path, source, qualname, targets, answer)


def stub_of(function: str) -> str:
    """A function's signature and documentation, with dots for the rest. Raises `SyntaxError`."""
    node = ast.parse(function).body[0]
    if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
        raise ValueError("this is not the text of a function")
    documented = ast.get_docstring(node, clean=False) is not None
    node.body = [*node.body[: int(documented)], ast.Expr(ast.Constant(...))]
    return ast.unparse(node)


def _mutant(kind: str, path: str, source: str, qualname: str, targets: tuple[str, ...], answer: str) -> Mutant | None:
    new = function_in(answer, qualname.rpartition(".")[2])
    if new is None or meaning(new) in (None, meaning(function_text(source, qualname))):
        return None
    try:
        broken = put_function(source, qualname, new)
    except ValueError:
        return None
    digest = hashlib.sha256(f"{path}\0{broken}".encode()).hexdigest()[:8]
    hidden = changed_lines(source, broken)
    return Mutant(f"{kind}__{digest}", kind, f"{path}::{qualname}", {path: broken}, {path: source}, targets, hidden)
