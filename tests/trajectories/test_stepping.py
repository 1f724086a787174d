"""What one step changed, from what had changed before it and after it."""

import subprocess
from difflib import unified_diff

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trajectories.touching.diffs import apply, parse
from trajectories.touching.stepping import step_diff


def diff(old, new, path="a.py", context=3):
    lines = unified_diff(old.splitlines(True), new.splitlines(True), f"a/{path}", f"b/{path}", n=context)
    return "".join(line if line.endswith("\n") else f"{line}\n\\ No newline at end of file\n" for line in lines)


lines = st.lists(st.sampled_from(["a\n", "b\n", "c\n", "\n", "    d\n", "--- e\n", "@@ f\n"]), max_size=40)


@st.composite
def edits(draw, of):
    """The lines after a few edits."""
    new = list(of)
    for _ in range(draw(st.integers(0, 3))):
        at = draw(st.integers(0, len(new)))
        new[at : at + draw(st.integers(0, 3))] = draw(st.lists(st.sampled_from(["x\n", "y\n", "a\n"]), max_size=3))
    return new


@given(st.data())
def test_it_leads_from_the_one_state_to_the_other(data):
    base = data.draw(lines)
    before, after = ("".join(data.draw(edits(base))) for _ in range(2))
    found = step_diff(diff("".join(base), before), diff("".join(base), after))
    if before == after:
        assert found == ""
    else:
        (file,) = parse(found)
        assert apply(before, file.hunks) == after


def test_files_that_the_step_did_not_touch_are_not_in_it():
    kept = diff("a\n", "b\n", "kept.py")
    assert (
        step_diff(kept, kept + diff("a\n", "c\n", "new.py")) == "--- a/new.py\n+++ b/new.py\n@@ -1,1 +1,1 @@\n-a\n+c\n"
    )
    assert step_diff(kept, kept) == step_diff("", "") == ""


@pytest.mark.parametrize("back", [False, True])
def test_an_empty_file_that_is_made_or_removed_can_be_applied(tmp_path, back):
    made = "diff --git a/e.py b/e.py\nnew file mode 100644\nindex 0000000..e69de29\n"
    found = step_diff(made, "") if back else step_diff("", made)
    if back:
        (tmp_path / "e.py").touch()
    subprocess.run(["git", "apply", "-"], cwd=tmp_path, input=found, text=True, check=True)
    assert (tmp_path / "e.py").exists() != back
    (file,) = parse(found)
    assert (file.old, file.new) == (("e.py", None) if back else (None, "e.py"))


def test_a_step_back_is_told_as_one():
    made = diff("a\nb\n", "a\nc\n")
    assert [line for line in step_diff(made, "").splitlines() if line[0] in "+-"][2:] == ["-c", "+b"]


@pytest.mark.parametrize(
    ("before", "after", "heads"), [("", "new", ("/dev/null", "b/a.py")), ("new", "", ("a/a.py", "/dev/null"))]
)
def test_a_file_that_is_made_or_taken_away_again(before, after, heads):
    made = "diff --git a/a.py b/a.py\nnew file mode 100644\n--- /dev/null\n+++ b/a.py\n@@ -0,0 +1 @@\n+x\n"
    known = {"": "", "new": made}
    found = step_diff(known[before], known[after]).splitlines()
    assert (found[0], found[1]) == (f"--- {heads[0]}", f"+++ {heads[1]}")
    assert found[3] == ("+x" if after else "-x")


def test_what_is_no_diff_is_no_error():
    assert step_diff("gibberish\n", "Binary files a/x and b/x differ\n") == ""


def test_what_was_changed_above_before_moves_the_lines_and_is_not_told_again():
    base = "".join(f"line {i}\n" for i in range(60))
    before = base.replace("line 5\n", "line 5\nmore\nand more\n")
    after = before.replace("line 50\n", "line fifty\n")
    found = step_diff(diff(base, before), diff(base, after))
    assert found == diff(before, after) and found.count("@@") == 2


def test_lines_that_are_all_alike_are_counted():
    eight, seven = "a\n" * 8, "a\n" * 7
    found = step_diff(diff(eight + "b\n", eight + "c\n", context=20), diff(eight + "b\n", seven + "c\n", context=20))
    (file,) = parse(found)
    assert apply(eight + "c\n", file.hunks) == seven + "c\n"
