"""What of a shell command is the patch: what was written goes, where and how it was written stays."""

import pytest

from trajectories.mining.edits import mask_command, masked_arguments
from trajectories.mining.lines import telling
from trajectories.records import ToolCall

FILES = ["pkg/m.py"]
HIDDEN = telling(["    return a - b * 7"])


@pytest.mark.parametrize(
    ("command", "masked"),
    [
        ("edit 3:4\n    c = 1\nend_of_edit", "edit 3:4\n<PATCH_MASKED>\nend_of_edit"),
        ("sed -i '3s/a/b/' pkg/m.py", "sed -i '<PATCH_MASKED>' pkg/m.py"),
        ("sed -i '3s/a/b/' '/repo/pkg/m.py'", "sed -i '<PATCH_MASKED>' '/repo/pkg/m.py'"),
        ("cat > pkg/m.py <<'EOF'\nc = 1\nEOF\nls", "cat > pkg/m.py <<'EOF'\n<PATCH_MASKED>\nEOF\nls"),
        ("echo 'c = 1' | tee -a m.py", "echo '<PATCH_MASKED>' | tee -a m.py"),
        (
            "python - <<'EOF'\nopen('pkg/m.py', 'w').write('c = 1')\nEOF",
            "python - <<'EOF'\n<PATCH_MASKED>\nEOF",
        ),
        ("git apply - <<EOF\n--- a/pkg/m.py\nEOF", "git apply - <<EOF\n<PATCH_MASKED>\nEOF"),
        ("python -c 'print(1); return a  - b*7'", "python -c '<PATCH_MASKED>'"),
        ("cat > t.py <<EOF\nreturn a - b * 7\nEOF", "cat > t.py <<EOF\n<PATCH_MASKED>\nEOF"),
    ],
)
def test_what_a_command_writes_is_masked(command, masked):
    assert mask_command(command, FILES, HIDDEN) == masked


@pytest.mark.parametrize(
    "command",
    [
        "sed -n '1,9p' pkg/m.py",
        "sed -i '3s/a/b/' pkg/other.py",
        "grep -n 'def f' pkg/m.py > /dev/null 2>&1",
        "echo 'c = 1' > out.txt",
        "cat > reproduce.py <<'EOF'\nfrom pkg import m\nprint(m.f(1, 2))\nEOF",
        "python - <<'EOF'\nprint(open('pkg/m.py').read())\nEOF",
        "echo 'one' && python - <<EOF\nprint(1)\nEOF\necho 'two' <<END\n3\nEND\necho 'three'",
    ],
)
def test_what_looks_runs_and_reproduces_stays(command):
    assert mask_command(command, FILES, HIDDEN) == command


def test_of_an_unknown_patch_all_that_is_written_is_masked():
    assert mask_command("echo 'c = 1' > out.txt", [], []) == "echo '<PATCH_MASKED>' > out.txt"
    assert mask_command("python t.py 2>&1 > /dev/null 'c = 1'", [], []) == "python t.py 2>&1 > /dev/null 'c = 1'"


def bash(command):
    return ToolCall(name="bash", arguments={"command": command})


def test_a_command_that_writes_into_the_file_is_an_edit_whatever_it_writes():
    assert masked_arguments(bash("sed -i '4,5d' pkg/m.py"), FILES, HIDDEN) == {
        "command": "sed -i '<PATCH_MASKED>' pkg/m.py"
    }
    assert masked_arguments(bash("sed -n '4,5p' pkg/m.py"), FILES, HIDDEN) is None


@pytest.mark.parametrize(("open_file", "edits"), [("reproduce.py", False), ("/repo/pkg/m.py", True), ("", True)])
def test_the_line_editor_changes_the_file_that_is_open(open_file, edits):
    command = "edit 3:4\n    c = 1\nend_of_edit"
    assert (masked_arguments(bash(command), FILES, HIDDEN, open_file) is not None) == edits
    assert masked_arguments(bash("ls pkg"), FILES, HIDDEN, open_file) is None
