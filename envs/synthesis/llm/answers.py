"""Code in what a language model answers, and where it goes.

Invariant: code is taken only if it parses and holds the wanted function; every byte outside that function stays.
"""

from __future__ import annotations

import ast
import re
import textwrap

from envs.synthesis.text import Function, find_function, parse_text, split_lines

_FENCE = re.compile(r"^[ \t]*(`{3,}|~{3,})[^\n]*\n(.*?)(?:^[ \t]*\1[ \t]*$|\Z)", re.DOTALL | re.MULTILINE)


def code_blocks(answer: str) -> list[str]:
    """The fenced blocks (the last may lack its end), then the whole answer: some models write code alone."""
    text = answer.replace("\r\n", "\n")
    return [textwrap.dedent(found.group(2)) for found in _FENCE.finditer(text)] + [textwrap.dedent(text)]


def function_in(answer: str, name: str) -> str | None:
    """The text of the function of that name, without indentation; of several, the last. None if there is none."""
    for block in reversed(code_blocks(answer)[:-1] or code_blocks(answer)):
        try:
            tree = ast.parse(block)
        except (SyntaxError, ValueError):
            continue
        found = [node for node in ast.walk(tree) if isinstance(node, Function) and node.name == name]
        if found:
            node = found[-1]
            return dedented("".join(split_lines(block)[node.lineno - 1 : node.end_lineno]))
    return None


def function_text(source: str, qualname: str) -> str:
    """A function's own lines without indentation and decorators. Raises `ValueError`, `SyntaxError`."""
    first, last, lines = _place(source, qualname)
    return dedented("".join(lines[first:last]))


def dedented(text: str) -> str:
    """A definition moved to the margin; what stands in strings, but for the documentation, stays where it is."""
    indent = text[: len(text) - len(text.lstrip())]
    inside = _inside_strings("if 1:\n" + text, 1) if indent else set()
    return "".join(
        line if number in inside else line.removeprefix(indent) for number, line in enumerate(split_lines(text), 1)
    )


def _indented(text: str, indent: str) -> list[str]:
    """The lines of a definition, moved to the right, without their ends."""
    inside = _inside_strings(text, 0)
    lines = enumerate((line.rstrip("\r\n") for line in split_lines(text)), 1)
    return [line if number in inside or not line.strip() else indent + line for number, line in lines]


def _inside_strings(text: str, shift: int) -> set[int]:
    """Lines that begin inside a string that is not documentation. Raises `SyntaxError`."""
    tree = ast.parse(text)
    owners = ast.Module | ast.ClassDef | Function
    docs = {id(node.body[0].value) for node in ast.walk(tree) if isinstance(node, owners) and _documented(node)}  # type: ignore[attr-defined]
    strings = [
        node for node in ast.walk(tree) if isinstance(node, ast.Constant | ast.JoinedStr) and id(node) not in docs
    ]
    return {line - shift for node in strings for line in range(node.lineno + 1, (node.end_lineno or 0) + 1)}


def _documented(node: ast.Module | ast.ClassDef | Function) -> bool:
    return ast.get_docstring(node, clean=False) is not None


def put_function(source: str, qualname: str, text: str) -> str:
    """The source with a function's lines replaced, at its indentation and with its ends of lines.

    Raises `ValueError` if there is no such function or the result does not parse.
    """
    first, last, lines = _place(source, qualname)
    head = lines[first]
    indent = head[: len(head) - len(head.lstrip())]
    newline = head[len(head.rstrip("\r\n")) :] or "\n"
    tail = lines[last - 1][len(lines[last - 1].rstrip("\r\n")) :]
    mark = "\ufeff" if source.startswith("\ufeff") else ""
    try:
        body = _indented(text.strip("\r\n"), indent)
        new = mark + "".join(lines[:first]) + newline.join(body) + tail + "".join(lines[last:])
        parse_text(new)
    except SyntaxError as error:
        raise ValueError(f"the new text of {qualname} does not parse: {error}") from None
    return new


def _place(source: str, qualname: str) -> tuple[int, int, list[str]]:
    text = parse_text(source)
    node = find_function(text.tree, qualname)
    if node is None:
        raise ValueError(f"there is no function {qualname} in the source")
    return node.lineno - 1, node.end_lineno or node.lineno, text.lines
