"""Patches come back exactly, are what git reads, and refuse what they should."""

import subprocess

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from envs.patch import PatchError, apply_patch, make_patch, touched_files

CONTENTS = st.none() | st.lists(st.sampled_from(["a", "b", "", "\r", "-- x", "++ y", "@@ -1 +1 @@", "\x0c", "é"])).map(
    "\n".join
)
FILES = st.dictionaries(st.sampled_from(["m.py", "pkg/a b.py", "pkg/é.py"]), CONTENTS)

SWAP = """\
diff --git a/m.py b/m.py
--- a/m.py
+++ b/m.py
@@ -1,3 +1,3 @@
 one
-two
+TWO
 three
"""


@settings(max_examples=300, deadline=None)
@given(FILES, FILES)
@example({"m.py": "x"}, {"m.py": "x\n"})
@example({"m.py": None}, {"m.py": ""})
def test_applying_what_was_made_gives_back_the_after_side(before, after):
    changed = {p: after.get(p) for p in {*before, *after} if before.get(p) != after.get(p)}
    patch = make_patch(before, after)
    assert apply_patch(before.get, patch) == changed
    assert set(touched_files(patch)) == set(changed)


@settings(max_examples=15, deadline=None)
@given(FILES, FILES)
def test_git_reads_the_patch_the_same_way(tmp_path_factory, before, after):
    root = tmp_path_factory.mktemp("tree")
    for path, text in before.items():
        if text is not None:
            (root / path).parent.mkdir(exist_ok=True)
            (root / path).write_bytes(text.encode())
    patch = make_patch(before, after)
    if not patch:
        return
    subprocess.run(["git", "apply", "--whitespace=nowarn", "-"], input=patch.encode(), cwd=root, check=True)
    for path in {*before, *after}:
        text = after.get(path)
        assert (root / path).read_bytes() == text.encode() if text is not None else not (root / path).exists()


def test_a_small_edit_of_a_long_file_is_a_small_patch():
    lines = [f"line {i}\n" for i in range(20000)]
    before = "".join(lines)
    lines[12345] = "changed\n"
    patch = make_patch({"m.py": before}, {"m.py": "".join(lines)})
    assert patch.splitlines()[3] == "@@ -12343,7 +12343,7 @@"
    assert len(patch.splitlines()) == 4 + 8


def test_a_plain_unified_diff_and_a_rename_are_understood():
    plain = SWAP.partition("\n")[2]
    assert apply_patch({"m.py": "one\ntwo\nthree\n"}.get, plain) == {"m.py": "one\nTWO\nthree\n"}
    rename = "diff --git a/m.py b/n.py\nsimilarity index 100%\nrename from m.py\nrename to n.py\n"
    assert apply_patch({"m.py": "x\n"}.get, rename) == {"m.py": None, "n.py": "x\n"}


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ({"m.py": "one\n2\nthree\n"}, r"m\.py: hunk 1 does not match the file at line 1"),
        ({"m.py": "zero\none\ntwo\nthree\n"}, r"m\.py: hunk 1 does not match"),
        ({}, r"m\.py: no such file"),
    ],
)
def test_context_must_match_exactly(source, message):
    with pytest.raises(PatchError, match=message):
        apply_patch(source.get, SWAP)


@pytest.mark.parametrize(
    ("patch", "message"),
    [
        (SWAP.replace("m.py", "../m.py"), "not a path inside"),
        (SWAP.replace("a/m.py", "/etc/passwd"), "not a path inside"),
        (SWAP.replace("m.py", ".git/config"), "not a path inside"),
        (SWAP.replace("-1,3 +1,3", "-1,4 +1,4"), "ends too early|starts with"),
        (SWAP.replace("-1,3 +1,3", "-1,2 +1,3"), "hunk 1"),
        (SWAP.replace("@@ -1", "@@ x1"), "broken header"),
        (
            "diff --git a/l b/l\nnew file mode 120000\n--- /dev/null\n+++ b/l\n@@ -0,0 +1 @@\n+/etc\n",
            "mode 120000",
        ),
        (
            "diff --git a/l b/l\nindex 0123..4567 120000\n--- a/l\n+++ b/l\n@@ -1 +1 @@\n-x\n+/etc\n",
            "mode 120000",
        ),
        (
            "diff --git a/i.png b/i.png\nindex 1..2 100644\nBinary files a/i.png and b/i.png differ\n",
            "binary",
        ),
        ("--- /dev/null\n+++ b/m.py\n@@ -0,0 +1 @@\n+x\n", "there already"),
        ("--- a/m.py\n+++ /dev/null\n@@ -1 +0,0 @@\n-one\n", "leaves lines"),
        (
            "--- /dev/null\n+++ b/n\n@@ -0,0 +1 @@\n+x\n--- /dev/null\n+++ b/n/o\n@@ -0,0 +1 @@\n+x\n",
            "folders a file",
        ),
    ],
)
def test_what_is_refused(patch, message):
    with pytest.raises(PatchError, match=message):
        apply_patch({"m.py": "one\ntwo\nthree\n", "l": "x\n"}.get, patch)


@pytest.mark.parametrize("path", ["/abs.py", "a/../b.py", "", 'quo"te.py', "new\nline.py"])
def test_no_patch_is_made_for_a_path_it_could_not_apply(path):
    with pytest.raises(PatchError):
        make_patch({path: "x"}, {path: "y"})
