"""Lines of a diff, each with what it is."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trajectories.touching.marking import marked, sizes

SQL = "--- a/x.sql\n+++ b/x.sql\n@@ -1,3 +1,3 @@\n same\n--- drop old\n+++ new\n same\n"
SQL += "--- a/y\n+++ b/y\n@@ -1 +1 @@ f\n-a\n+b\n"


def test_a_line_inside_a_hunk_is_what_its_sign_says():
    kinds = [kind for kind, _ in marked(SQL)]
    assert kinds == ["file", "file", "hunk", "same", "del", "add", "same", "file", "file", "hunk", "del", "add"]
    assert sizes(SQL) == (2, 2)


def test_what_is_no_diff_is_passed_through():
    text = "words\n+ and more\n\n--- \n@@ what\n\\ No newline"
    assert [line for _, line in marked(text)] == text.split("\n")
    assert list(marked("")) == []
    short = "@@ -1,9 +1,9 @@\n a\ndiff --git a/x b/x\nnew file mode 100644\n+++ b/x\n"
    assert [kind for kind, _ in marked(short)] == ["hunk", "same", "file", "file", "file"]


@pytest.mark.parametrize("newline", ["\n", "\r\n"])
@given(st.data())
def test_parts_of_a_diff_are_marked_as_in_the_whole(newline, data):
    text = SQL.replace("\n", newline)
    start = data.draw(st.integers(0, len(text)))
    end = data.draw(st.integers(start, len(text)))
    lines, at = [], 0
    for kind, line in marked(text):
        lines.append((kind, line, at))
        at += len(line) + 1
    cut = [(kind, line[max(0, start - at) : max(0, end - at)]) for kind, line, at in lines]
    assert [(k, line) for k, line in marked(text, start, end) if line] == [(k, line) for k, line in cut if line]
    assert "".join(line for _, line in marked(text, start, end)) == text[start:end].replace("\n", "")
