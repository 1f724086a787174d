"""Problem statements from what a failing test showed.

Invariant: a statement says what was called, expected and got, as far as the test tells; never what the patch is or a
line that only the broken or only the repaired source has. It is shorter than `MAX_CHARS` (terse) or `LONG_CHARS`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection, Mapping
from typing import Literal, get_args

from envs.synthesis.observed import Observed, observe, tells
from envs.testing.runner import Failure

Style = Literal["terse", "issue", "traceback", "test"]
STYLES: tuple[Style, ...] = get_args(Style)

MAX_CHARS = 600
LONG_CHARS = 2000
_TESTS = 10
"""Failing tests that a statement names."""


def problem_statement(
    function: str,
    failing: Collection[str],
    failures: Mapping[str, Failure],
    read: Callable[[str], str],
    hidden: Collection[str] = (),
    style: Style = "terse",
) -> str:
    """The statement for `path::qualname`.

    `failing` are the FAIL_TO_PASS ids, `failures` what they said, `read` gives a test file's text, `hidden` are lines
    that must not be quoted. Raises `ValueError` for a style that there is not.
    """
    if style not in STYLES:
        raise ValueError(f"there is no style {style!r} of problem statements: choose of {', '.join(STYLES)}")
    observed = observe(function, failing, failures, read, hidden)
    text = _WRITERS[style](observed)
    return _nothing_said(observed) if tells(text, hidden) else text


def style_of(instance_id: str, seed: int = 0, styles: tuple[Style, ...] = STYLES) -> Style:
    """One of the styles for a task, by hash."""
    digest = hashlib.sha256(f"{seed}/style/{instance_id}".encode()).digest()
    return styles[int.from_bytes(digest[:8], "big") % len(styles)]


def _start(seen: Observed) -> str:
    return f"`{seen.function}` in {seen.path} does not behave as its tests expect"


def _nothing_said(seen: Observed) -> str:
    return f"{_start(seen)}. Fix it."


def _terse(seen: Observed) -> str:
    """One sentence."""
    if not seen.type:
        return f"{_start(seen)}: {seen.test} does not come to an end. Fix it."
    at = f" at `{seen.quoted}`" if seen.quoted else ""
    return f"{_start(seen)}: {seen.test} fails{at} with `{seen.message}`. Fix it."


def _issue(seen: Observed) -> str:
    """A title, steps to reproduce, what was expected, what came."""
    wrong = seen.type == "AssertionError"
    what = "returns a wrong result" if wrong else f"raises {seen.type}" if seen.type else "does not come to an end"
    steps = seen.call or seen.quoted or f"# {seen.test}"
    expected = f"`{seen.expected}`" if seen.expected else f"{seen.test} passes."
    actual = f"`{seen.got or seen.message}`" if seen.type else "It runs without an end."
    sections = {"Steps to reproduce": f"```python\n{steps}\n```", "Expected": expected, "Actual": actual}
    body = "\n\n".join(f"### {title}\n\n{text}" for title, text in sections.items())
    place = f"The function is in {seen.path}; the tests that fail: {_named(seen)}."
    return f"# `{seen.function}` {what}\n\n{body}\n\n{place}\n"


def _traceback(seen: Observed) -> str:
    """A user's report: what was run, and what it said."""
    if not seen.type:
        return f"Something hangs since I updated: `{seen.test}` never returns. I think it is `{seen.function}`.\n"
    error = seen.message if seen.message.startswith(seen.type) else f"{seen.type}: {seen.message}"
    line = f"\n    {seen.quoted}" if seen.quoted else ""
    trace = f"Traceback (most recent call last):\n  in {seen.test}{line}\n{error}"
    end = f"It should have been `{seen.expected}`. " if seen.expected else ""
    return (
        f"This used to work and now fails:\n\n```\n{trace}\n```\n\n{end}Can `{seen.function}` ({seen.path}) be fixed?\n"
    )


def _test(seen: Observed) -> str:
    """The tests that fail, by name."""
    said = f" The first one says `{seen.message}`." if seen.type else " The first one does not come to an end."
    return f"These tests of `{seen.function}` in {seen.path} fail: {_named(seen)}.{said} Make them pass.\n"


def _named(seen: Observed) -> str:
    more = len(seen.tests) - _TESTS
    return ", ".join(f"`{test}`" for test in seen.tests[:_TESTS]) + (f" and {more} more" if more > 0 else "")


_WRITERS: dict[Style, Callable[[Observed], str]] = {
    "terse": _terse,
    "issue": _issue,
    "traceback": _traceback,
    "test": _test,
}
