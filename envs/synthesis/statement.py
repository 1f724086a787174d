"""Problem statements from what a failing test showed.

Invariant: a statement says what was called, expected and got, as far as the test tells; never what the patch is or the
line that was mutated. It is shorter than `MAX_CHARS`.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Collection, Mapping, Sequence

from envs.synthesis.text import parse_text
from envs.testing.runner import Failure

MAX_CHARS = 600
_PART = 190
_ADDRESS = re.compile(r"\b0?x[0-9a-fA-F]{6,}\b")


def problem_statement(
    function: str,
    failing: Collection[str],
    failures: Mapping[str, Failure],
    read: Callable[[str], str],
    hidden: Collection[str] = (),
) -> str:
    """The statement for `path::qualname`.

    `failing` are the FAIL_TO_PASS ids, `failures` what they said, `read` gives a test file's text, `hidden` are lines
    that must not be quoted.
    """
    path, _, name = function.partition("::")
    said = [(test, failures[test], _quoted(failures[test], read)) for test in failing if test in failures]
    said.sort(key=lambda entry: _plainness(*entry))
    start = f"`{name}` in {path} does not behave as its tests expect"
    if not said:
        return f"{start}: {_short_test(min(failing))} does not come to an end. Fix it."
    test, failure, quoted = said[0]
    at = f" at `{quoted}`" if quoted else ""
    text = _message(failure)
    if any(line and line in text for line in hidden):
        text = failure.type
    return f"{start}: {_short_test(test)} fails{at} with `{text}`. Fix it."


def _plainness(test: str, failure: Failure, quoted: str) -> tuple[bool, bool, int, str]:
    """Tests whose assertion failed, on one short line, come first."""
    return not quoted, failure.type != "AssertionError", len(quoted) + len(failure.message), test


def _short_test(test: str) -> str:
    """`ChunkedTests.test_even`."""
    parts = test.split("::")[1:] or test.split(".")[-2:]
    return _cut(".".join(parts), 100)


def _quoted(failure: Failure, read: Callable[[str], str]) -> str:
    """The statement of the test file that failed; of a compound one, its head."""
    if not failure.path:
        return ""
    try:
        text = parse_text(read(failure.path))
    except (OSError, SyntaxError, ValueError):
        return ""
    node = _innermost(text.tree.body, failure.line)
    return _cut(" ".join(text.segment(node).split()), _PART) if node is not None else ""


def _innermost(body: Sequence[ast.stmt], line: int) -> ast.stmt | None:
    """The smallest statement of a body, or inside it, that holds a line."""
    for node in body:
        if node.lineno <= line <= (node.end_lineno or node.lineno):
            inside = [child for child in ast.walk(node) if isinstance(child, ast.stmt) and child is not node]
            return _innermost(sorted(inside, key=lambda child: -child.col_offset), line) or node
    return None


def _message(failure: Failure) -> str:
    """The first line: what unittest and pytest add below repeats it at length."""
    text = " ".join(failure.message.strip().partition("\n")[0].split())
    text = _ADDRESS.sub("0x...", text).replace("`", "'")
    return _cut(f"{failure.type}: {text}" if text and failure.type != "AssertionError" else text or failure.type, _PART)


def _cut(text: str, chars: int) -> str:
    return text if len(text) <= chars else text[: chars - 3] + "..."
