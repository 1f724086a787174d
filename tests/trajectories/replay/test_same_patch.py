"""Two diffs say the same however they were made."""

from envs.patch import make_patch
from trajectories.replay.patches import same_patch

BEFORE = {"a.py": "".join(f"{n}\n" for n in range(30)), "b.py": "x\n"}
AFTER = {"a.py": BEFORE["a.py"].replace("5\n", "five\n", 1), "b.py": None, "c.py": "new\n"}
PATCH = make_patch(BEFORE, AFTER)
SHORT = """diff --git a/a.py b/a.py
index 1234567..89abcde 100644
--- a/a.py
+++ b/a.py
@@ -6 +6 @@
-5
+five
diff --git a/b.py b/b.py
deleted file mode 100755
--- a/b.py
+++ /dev/null
@@ -1 +0,0 @@
-x
diff --git a/c.py b/c.py
new file mode 100755
--- /dev/null
+++ b/c.py
@@ -0,0 +1 @@
+new
"""


def test_context_hashes_modes_and_line_ends_do_not_count():
    assert same_patch(PATCH, SHORT) and same_patch(PATCH, PATCH.replace("\n", "\r\n"))


def test_lines_and_files_count():
    assert not same_patch(PATCH, SHORT.replace("five", "six"))
    assert not same_patch(PATCH, SHORT.replace("c.py", "d.py"))
    assert not same_patch(PATCH, SHORT[: SHORT.index("diff --git a/c.py")])
    assert not same_patch(PATCH, "") and same_patch("", "no diff\n")


def test_where_a_hunk_begins_does_not_count():
    one = "--- a/a.py\n+++ b/a.py\n@@ -1,2 +1,3 @@\n }\n+{\n+}\n"
    other = "--- a/a.py\n+++ b/a.py\n@@ -1,2 +1,3 @@\n-}\n+}\n+{\n+}\n"
    assert same_patch(one, other)
