"""What the evaluation script of a published task says about its image."""

import pytest

from envs.published import published_profile
from envs.runtime import image_of, test_command
from envs.task import TaskInstance

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
