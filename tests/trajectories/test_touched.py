"""Which functions a patch touches: exactly with the source, and as well as can be from what an episode showed."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from envs.definitions import changed_definitions, touched_functions, touched_sources
from envs.patch import make_patch, touched_files
from trajectories.touching.touched import touched

MODULE = '''\
import os

LIMITS = {
    "low": 1,
    "high": 2,
}

@cache
def top(a, *,
        b=1):
    """Text.

Not indented.
"""
    def inner(c):
        return c

    value = [
        a,
        b,
    ]
    return inner(value)

class Box(Base):
    size = 3
    names = (
        "one",
        "two",
    )

    @property
    def area(self):
        if self.size > (2 +
                1):
            return 0
        # a comment

        return self.size

    class Lid:
        def open(
            self,
        ):
            return True

    async def close(self):
        await self.lid

def last():
    return 1

if os.name:
    def late():
        return 2
'''
LINES = MODULE.splitlines(keepends=True)
LINE = st.one_of(st.sampled_from(LINES), st.text("ab :#'\"()@\t\n", max_size=8).map(lambda text: f"    {text}\n"))


@st.composite
def edits(draw):
    """The module after some lines were put in, changed or taken out."""
    lines = list(LINES)
    for _ in range(draw(st.integers(0, 4))):
        at = draw(st.integers(0, len(lines) - 1))
        lines[at : at + draw(st.integers(0, 2))] = draw(st.lists(LINE, max_size=2))
    return "".join(lines)


@given(edits(), st.sampled_from(["same", "renamed", "new", "deleted"]))
def test_with_the_source_it_says_what_envs_says(after, kind):
    before = {} if kind == "new" else {"pkg/m.py": MODULE}
    then = {"renamed": {"pkg/m.py": None, "pkg/n.py": after}, "deleted": {"pkg/m.py": None}}
    states = {**before}, then.get(kind, {"pkg/m.py": after})
    patch = make_patch(*states)
    found = touched(patch, before)
    assert found.functions == touched_functions(*states)
    assert found.sources == touched_sources(*states)
    assert found.answer == changed_definitions(*states)
    assert set(found.files) == set(touched_files(patch))
    assert not found.guessed


GUTTERS = {
    "cat -n": lambda i, line: f"{i:6}\t{line}",
    "swe-agent": lambda i, line: f"{i}:{line}",
    "bar": lambda i, line: f"{i}|{line}",
    "none": lambda i, line: line,
    "grep": lambda i, line: f"pkg/m.py:{i}:{line}",
}


@pytest.mark.parametrize("gutter", GUTTERS)
def test_one_changed_line_is_told_from_a_view(gutter):
    """Every line of the module in turn, with a view of the whole file before the edit."""
    view = "cat pkg/m.py\n<output>\n" + "".join(GUTTERS[gutter](i, line) for i, line in enumerate(LINES, 1))
    wrong = []
    for i, line in enumerate(LINES):
        after = "".join([*LINES[:i], line.rstrip() + " # changed\n", *LINES[i + 1 :]])
        states = {"pkg/m.py": MODULE}, {"pkg/m.py": after}
        exact = touched_functions(*states)
        found = touched(make_patch(*states), None, [view])
        if line.strip() and found.functions != exact:
            wrong.append(line)
        assert found.guessed == ["pkg/m.py"]
        assert all(text == touched_sources(*states).get(name) for name, text in found.sources.items() if name in exact)
    # Only text that is not indented is taken for the module's own.
    assert wrong == ["Not indented.\n", '"""\n']


HUNK = """\
--- a/pkg/m.py
+++ b/pkg/m.py
@@ -100,5 +100,5 @@ {}
         first = 1
         second = 2
-        third = 3
+        third = 4
         fourth = 4
         fifth = 5
"""


@pytest.mark.parametrize(
    ("heading", "seen", "functions"),
    [
        ("", [], []),
        ("class Foo:", [], ["Foo"]),
        ("def bar(self, x):", [], ["bar"]),
        ("def bar(self, x):", ["    80\tclass Foo:\n    81\t    def bar(self, x):\n"], ["Foo.bar"]),
        ("def bar(self, x):", ["class Foo:\n\n    def bar(self, x):\n        pass\n"], ["Foo.bar"]),
        (
            "class Foo:",
            ["class Foo:\n    def z(self):\n        first = 1\n        second = 2\n        third = 3\n"],
            ["Foo.z"],
        ),
        ("LIMITS = {", [], []),
    ],
)
def test_without_a_view_the_heading_counts(heading, seen, functions):
    assert touched(HUNK.format(heading), None, seen).functions == [f"pkg/m.py::{name}" for name in functions]


def test_a_view_after_the_edit_gives_no_source():
    after = MODULE.replace("return self.size", "return -self.size").replace("return 1\n", "return 3\n")
    patch = make_patch({"m.py": MODULE}, {"m.py": after})
    half = MODULE.replace("return self.size", "return -self.size")
    for shown in (after, half):
        view = "cat m.py\n" + "".join(f"{i:6}\t{line}" for i, line in enumerate(shown.splitlines(keepends=True), 1))
        found = touched(patch, None, ["sed -i 's/return self.size/return -self.size/' m.py", view])
        assert all(text in MODULE for text in found.sources.values())
        assert "m.py::last" in found.functions


def test_numbers_of_a_view_after_the_edit_are_not_those_of_the_base_commit():
    body = "".join(f"    x{i} = {i}\n" for i in range(20))
    before = f"import os\n\n\ndef f():\n{body}\n\ndef g():\n    pass\n"
    after = before.replace("import os\n", "import os\nimport sys_a\nimport sys_b\nimport sys_c\n").replace(
        "x19 = 19", "x19 = 0"
    )
    patch = make_patch({"m.py": before}, {"m.py": after})
    lines = after.splitlines(keepends=True)
    view = "sed -n '7,20p' m.py\n" + "".join(f"{i:6}\t{lines[i - 1]}" for i in range(7, 21))
    edit = "sed -i '1a import sys_a\nimport sys_b\nimport sys_c' m.py"
    assert touched(patch, None, [edit, view]).sources == {}
    early = before.splitlines(keepends=True)
    view = "cat m.py\n" + "".join(f"{i:6}\t{early[i - 1]}" for i in range(4, 22))
    assert touched(patch, None, [view, edit]).sources == {"m.py::f": f"def f():\n{body}"}


def test_what_stands_around_quoted_code_is_no_code():
    quoted = "It reads:\n```python\n        first = 1\n        second = 2\n        third = 3\n```\n"
    assert touched(HUNK.format("def bar(x):"), None, [quoted]).functions == ["pkg/m.py::bar"]


def test_line_ends_of_a_terminal_are_passed_over():
    patch = make_patch({"m.py": MODULE}, {"m.py": MODULE.replace("return 1\n", "return 3\n")}).replace("\n", "\r\n")
    assert touched(patch, None, [MODULE.replace("\n", "\r\n")]).sources == {"m.py::last": "def last():\n    return 1\n"}


@given(st.text("+- @,0123abdef():\n\\/", max_size=200), st.text("+- @,012abdef():\n", max_size=100))
def test_no_text_is_too_odd(patch, view):
    head = "diff --git a/m.py b/m.py\n--- a/m.py\n+++ b/m.py\n@@ -1,3 +1,4 @@ def x\n"
    for text in (patch, head + patch):
        touched(text, None, [view])
        touched(text, {"m.py": view}, [view])


def test_most_of_a_real_package_is_told_right_from_a_window():
    """Random edits in the standard library, each with the lines around it and the heading that git writes."""
    rng = random.Random(0)
    right = total = 0
    for path in sorted(Path(random.__file__).parent.glob("[a-d]*.py")):
        lines = path.read_text(errors="replace").splitlines(keepends=True)
        for i in rng.sample(range(len(lines)), 8 if len(lines) > 50 else 0):
            states = [
                {"m.py": "".join([*lines[:i], new, *lines[i + 1 :]])} for new in (lines[i], lines[i].rstrip() + " #\n")
            ]
            exact = touched_functions(*states)
            if exact and lines[i].strip():
                start = max(0, i - 150)
                view = "".join(f"{n + 1:6}\t{lines[n]}" for n in range(start, min(len(lines), i + 50)))
                patch = make_patch(*states)
                heading = next((line.strip() for line in reversed(lines[: max(0, i - 3)]) if line[0].isalpha()), "")
                found = touched(patch.replace(" @@\n", f" @@ {heading[:80]}\n"), None, [f"cat m.py\n{view}"])
                right += found.functions == exact
                total += 1
    assert total > 100
    assert right / total > 0.95, (right, total)
