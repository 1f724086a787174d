"""What a failing test showed, as far as a person may be told.

Invariant: nothing here quotes a hidden line; what would is left out before it is shortened, so that no part stays.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass

from envs.synthesis.text import parse_text
from envs.testing.runner import Failure

PART = 190
_ADDRESS = re.compile(r"\b0?x[0-9a-fA-F]{6,}\b")
_NAME = re.compile(r"[\w.]+")
_LEAST = 8
"""A shorter line says nothing."""


@dataclass(frozen=True)
class Observed:
    """The plainest of the failing tests."""

    function: str
    path: str
    tests: tuple[str, ...]
    """All failing tests, shortened, this one first."""
    test: str
    quoted: str = ""
    """The test's own line."""
    type: str = ""
    """Of the error; empty if the test did not come to an end."""
    message: str = ""
    """One line: what it said."""
    call: str = ""
    expected: str = ""
    got: str = ""


def observe(
    function: str,
    failing: Collection[str],
    failures: Mapping[str, Failure],
    read: Callable[[str], str],
    hidden: Collection[str],
) -> Observed:
    """Choose the failing test that is told most plainly, and what of it may be told."""
    path, _, name = function.partition("::")
    said = [(test, failures[test], quoted_line(failures[test], read)) for test in failing if test in failures]
    said.sort(key=lambda entry: _plainness(*entry))
    first = said[0][0] if said else min(failing)
    tests = tuple(short_test(test) for test in sorted(failing, key=lambda test: (test != first, test)))
    if not said:
        return Observed(name, path, tests, tests[0])
    _, failure, quoted = said[0]
    if tells(quoted, hidden):
        quoted = ""
    silent = tells(failure.message, hidden) or any(line and line in one_line(failure) for line in hidden)
    message = failure.type if silent else one_line(failure)
    call, expected, got = _claim(quoted, name.rpartition(".")[2], "" if silent else failure.message)
    return Observed(name, path, tests, tests[0], cut(quoted), failure.type, message, call, expected, got)


def tells(text: str, hidden: Collection[str]) -> bool:
    """Whether a text quotes a hidden line that says something, whatever the white space."""
    flat = _flat(text)
    lines = (_flat(line) for line in hidden)
    return any(line in flat for line in lines if len(line) >= _LEAST and not _NAME.fullmatch(line))


def _flat(text: str) -> str:
    return " ".join(_ADDRESS.sub("0x...", text).replace("`", "'").split())


def _plainness(test: str, failure: Failure, quoted: str) -> tuple[bool, bool, int, str]:
    """Tests whose assertion failed, on one short line, come first."""
    return not quoted, failure.type != "AssertionError", len(cut(quoted)) + len(failure.message), test


def short_test(test: str) -> str:
    """`ChunkedTests.test_even`."""
    parts = test.split("::")[1:] or test.split(".")[-2:]
    return cut(".".join(parts), 100)


def quoted_line(failure: Failure, read: Callable[[str], str]) -> str:
    """The statement of the test file that failed; of a compound one, all of it."""
    if not failure.path:
        return ""
    try:
        text = parse_text(read(failure.path))
    except (OSError, SyntaxError, ValueError):
        return ""
    node = _innermost(text.tree.body, failure.line)
    return " ".join(text.segment(node).split()) if node is not None else ""


def _innermost(body: Sequence[ast.stmt], line: int) -> ast.stmt | None:
    """The smallest statement of a body, or inside it, that holds a line."""
    for node in body:
        if node.lineno <= line <= (node.end_lineno or node.lineno):
            inside = [child for child in ast.walk(node) if isinstance(child, ast.stmt) and child is not node]
            return _innermost(sorted(inside, key=lambda child: -child.col_offset), line) or node
    return None


def one_line(failure: Failure) -> str:
    """The first line: what unittest and pytest add below repeats it at length."""
    text = _flat(failure.message.strip().partition("\n")[0])
    return cut(f"{failure.type}: {text}" if text and failure.type != "AssertionError" else text or failure.type)


def _claim(quoted: str, name: str, message: str) -> tuple[str, str, str]:
    """The call, what the test expects of it and what came: empty where the test is not that simple."""
    try:
        statement = ast.parse(quoted).body[0]
    except (SyntaxError, ValueError, IndexError):
        return "", "", ""
    sides = _sides(statement)
    calls = [_calls(side, name) for side in sides]
    if calls.count(True) != 1:
        return "", "", ""
    at = calls.index(True)
    values = re.split(r" != | == ", message.strip().partition("\n")[0].removeprefix("assert "))
    got = cut(_flat(values[at])) if len(values) == 2 else ""
    return cut(ast.unparse(sides[at])), cut(ast.unparse(sides[1 - at])), got


def _sides(statement: ast.stmt) -> list[ast.expr]:
    """What is compared by `assert a == b` or `self.assertEqual(a, b)`."""
    if isinstance(statement, ast.Assert) and isinstance(test := statement.test, ast.Compare):
        return [test.left, *test.comparators] if [type(op) for op in test.ops] == [ast.Eq] else []
    if isinstance(statement, ast.Expr) and isinstance(call := statement.value, ast.Call):
        word = call.func.attr if isinstance(call.func, ast.Attribute) else ""
        return call.args[:2] if re.fullmatch(r"assert\w*Equals?", word) and "Not" not in word else []
    return []


def _calls(side: ast.expr, name: str) -> bool:
    called = (node.func for node in ast.walk(side) if isinstance(node, ast.Call))
    return any((f.id if isinstance(f, ast.Name) else getattr(f, "attr", "")) == name for f in called)


def cut(text: str, chars: int = PART) -> str:
    """Shortened, with dots to say so."""
    return text if len(text) <= chars else text[: chars - 3] + "..."
