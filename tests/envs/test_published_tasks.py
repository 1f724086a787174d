"""What the evaluation script of a published task says about its image."""

import subprocess
import sys

import pytest

from envs.patch import make_patch
from envs.published import published_profile
from envs.runtime import image_of, test_command
from envs.task import TaskInstance
from envs.workspace import open_workspace
from sandbox import Limits, open_backend

SCRIPT = """#!/bin/bash
set -uxo pipefail
source /opt/miniconda3/bin/activate
conda activate testbed
cd /testbed
git config --global --add safe.directory /testbed
cd /testbed
git status
source /opt/miniconda3/bin/activate
conda activate testbed
python -m pip install -e .
git checkout abc {file}
: '>>>>> Start Test Output'
{command}
: '>>>>> End Test Output'
git checkout abc {file}
"""
READY = "source /opt/miniconda3/bin/activate && conda activate testbed && cd /testbed && "


def published(command, file="testing/test_x.py", **update):
    patch = f"diff --git a/{file} b/{file}\n--- a/{file}\n+++ b/{file}\n@@ -1 +1 @@\n-a\n+b\n"
    row = {"instance_id": "o__r-1", "repo": "o/r", "base_commit": "abc", "problem_statement": "x", "patch": ""}
    row |= {"FAIL_TO_PASS": (), "PASS_TO_PASS": (), "image": "ns/image:tag", "test_patch": patch}
    return TaskInstance(**row, eval_script=SCRIPT.format(command=command, file=file)).model_copy(update=update)


def test_pytest_takes_other_tests_as_well():
    profile = published_profile(published("pytest -rA testing/test_x.py"))
    assert (profile.name, profile.log_parser, profile.test_files) == ("o__r", "pytest", ("testing/test_x.py",))
    assert test_command(profile, []) == READY + "pytest -rA testing/test_x.py"
    assert test_command(profile, ["a.py::b[c d]"]) == READY + "pytest -rA 'a.py::b[c d]'"


def test_another_runner_runs_as_it_is():
    profile = published_profile(published("./tests/runtests.py --verbosity 2 x.tests", "tests/x/tests.py"))
    assert profile.log_parser == "unittest"
    assert test_command(profile, ["y"]) == READY + "./tests/runtests.py --verbosity 2 x.tests"


def test_a_script_without_marks_and_a_task_without_an_image():
    assert published_profile(published("", eval_script="")).test_cmd == "python -m pytest -rA {tests}"
    image = image_of(published_profile(published("pytest -rA")))
    assert image.reference == "ns/image:tag" and "/" not in image.name
    with pytest.raises(ValueError, match="o__r-1 names neither a profile nor an image"):
        published_profile(published("pytest", image=""))


IMAGE = """FROM {base}
RUN mkdir /testbed && cd /testbed && printf 'def f():\\n    return 1\\n' >a.py && echo notes >b.txt && git init -q \\
 && git add . && git -c user.name=x -c user.email=x@x commit -qm one
"""


@pytest.fixture
def image(tmp_path):
    base = subprocess.run([sys.executable, "-m", "sandbox.base_image"], capture_output=True, text=True, check=True)
    (tmp_path / "Dockerfile").write_text(IMAGE.format(base=base.stdout.split()[-1]))
    subprocess.run(["docker", "build", "-q", "-t", "contextrl-test-bug:1", tmp_path], check=True, capture_output=True)
    return "contextrl-test-bug:1"


@pytest.mark.docker
async def test_a_bug_that_the_image_lacks_is_there_for_the_agent_and_its_repair_nowhere(image):
    fixed, broken = "def f():\n    return 1\n", "def f():\n    return 2\n"
    task = published("pytest -rA", image=image).model_copy(
        update={"bug_patch": make_patch({"a.py": fixed}, {"a.py": broken})}
    )
    backend = await open_backend("docker")
    place = await open_workspace(backend, task, published_profile(task), Limits())
    look = "cat a.py; find . -newermt 2000-01-02; git status --short; git log --all --format=%s; git reflog"
    looked = await place.sandbox.run(look)
    assert looked.output == broken + "Initial commit\n"
    assert "return 1" not in (await place.sandbox.run("git cat-file --batch-all-objects --batch")).output
    changes = await place.changes()
    assert (changes.before, changes.after, changes.left_out) == ({}, {}, [])
    await place.sandbox.run("sed -i s/2/3/ a.py; rm b.txt")
    changes = await place.changes()
    assert (changes.before, changes.after) == (
        {"a.py": broken, "b.txt": "notes\n"},
        {"a.py": broken.replace("2", "3"), "b.txt": None},
    )
    await place.close()
    await backend.close()
