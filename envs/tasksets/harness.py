"""What other harnesses need of a task of ours: an image's name, a script that runs the tests, a parser of its log.

Invariant: everything here is derived from the task and its repository, and is real: the script runs exactly the task's
targets with the repository's test command, and swebench's parser of that name reads its log into the task's test ids.
"""

from __future__ import annotations

import re
import shlex
from pathlib import Path

from envs.runtime import TEST_ENV, test_command
from envs.task import RepoProfile, TaskInstance

START, END = ">>>>> Start Test Output", ">>>>> End Test Output"
_PARSER = "parse_log_pytest"
_HEREDOC = "EOF_CONTEXTRL_TEST_PATCH"

_UNITTEST = """\
python - {tests} <<'EOF_CONTEXTRL_RUNNER'
import sys, unittest
class Result(unittest.TextTestResult):
    def startTest(self, test):
        super().startTest(test)
        self.started = [*getattr(self, "started", ()), test.id()]
program = unittest.main(module=None, argv=["unittest", *sys.argv[1:]], exit=False,
                        testRunner=unittest.TextTestRunner(resultclass=Result))
result = program.result
wrong = {{getattr(test, "test_case", test).id() for test, _ in result.failures + result.errors}}
wrong |= {{test.id() for test in result.unexpectedSuccesses}}
skipped = {{test.id() for test, _ in result.skipped}}
for test in sorted({{*getattr(result, "started", ()), *wrong}}):
    print("FAILED" if test in wrong else "SKIPPED" if test in skipped else "PASSED", test)
sys.exit(not result.wasSuccessful())
EOF_CONTEXTRL_RUNNER"""
"""Runs unittest and says the outcome of each test by its id, as `pytest -rA` does."""


def image_name(instance_id: str) -> str:
    """The name that swebench derives for the image of an instance."""
    return f"swebench/sweb.eval.x86_64.{instance_id}:latest".lower().replace("__", "_1776_")


def for_harnesses(task: TaskInstance, test_patch: str, profile: RepoProfile | None) -> dict[str, str]:
    """The columns that swebench wants and the task leaves empty."""
    command, parser = _tests(task, profile)
    found = {
        "image": image_name(task.instance_id),
        "eval_script": eval_script(command, test_patch),
        "log_parser": parser,
        "eval_type": "pass_and_fail",
    }
    return {column: text for column, text in found.items() if not getattr(task, column)}


def eval_script(command: str, test_patch: str) -> str:
    """A script in SWE-bench's format: put the hidden tests in place, run the command between the markers."""
    lines = ["#!/bin/bash", "set -uxo pipefail", "cd /testbed"]
    lines += [f"export {name}={value}" for name, value in TEST_ENV.items()]
    if test_patch:
        lines += [f"git apply -v - <<'{_HEREDOC}'", test_patch.removesuffix("\n"), _HEREDOC]
    return "\n".join([*lines, f": '{START}'", command, f": '{END}'"]) + "\n"


def _tests(task: TaskInstance, profile: RepoProfile | None) -> tuple[str, str]:
    """The command that runs the task's tests, and swebench's parser of what it prints."""
    if profile is None:
        words = f"the repository of {task.instance_id} was not on the machine that wrote this file"
        return f"echo {shlex.quote(words)}; false", _PARSER
    command = test_command(profile, task.test_targets)
    if profile.log_parser == "pytest":
        return re.sub(r"\b(pytest|py\.test)\b", r"\1 -rA", command, count=1), _PARSER
    if profile.test_cmd.startswith("python -m unittest"):
        return _UNITTEST.format(tests=shlex.join(task.test_targets or profile.test_files)), _PARSER
    return command, "unittest"  # swebench has no parser of unittest's own log


def repository_tag(name: str, base_commit: str) -> str:
    """The image of a repository that `tasks export` writes the recipe of."""
    return f"contextrl/{re.sub(r'[^a-z0-9._-]+', '-', name.lower())}:{base_commit[:12]}"


def task_dockerfile(task: TaskInstance) -> str:
    """Builds the image of a task in its own folder. What the image shows holds the bug and not its repair."""
    if task.image:
        return f"FROM {task.image}\n" + ("".join(_APPLY) if task.bug_patch else "")
    tag = repository_tag(task.profile or task.repo, task.base_commit)
    head = f"# First: docker build -t {tag} repositories/{task.profile or task.repo} (contextrl tasks export)\n"
    return f"{head}FROM {tag}\n" + ("".join(_APPLY) if task.setup else "") + _COMMIT


_APPLY = (
    "COPY bug.patch /tmp/bug.patch\n",
    "RUN cd /testbed && git apply /tmp/bug.patch && rm /tmp/bug.patch\n",
)
_COMMIT = """\
RUN cd /testbed && git init -q && git add -A && \\
    git -c user.name=contextrl -c user.email=contextrl@localhost commit -q -m "The task"
WORKDIR /testbed
"""


def repository_dockerfile(profile: RepoProfile) -> str:
    """Builds the image that the images of a repository's tasks start from, out of `testbed` and `requirements.txt`."""
    lines = [f"ARG BASE=python:{_python_version(profile)}", "FROM ${BASE}", "ENV PIP_BREAK_SYSTEM_PACKAGES=1"]
    if profile.requirements:
        lines += [
            "COPY requirements.txt /tmp/requirements.txt",
            "RUN python -m pip install --no-cache-dir -r /tmp/requirements.txt",
        ]
    return "\n".join([*lines, "COPY testbed /testbed", "WORKDIR /testbed"]) + "\n"


def _python_version(profile: RepoProfile) -> str:
    """`3.13`, from the environment that the tests were measured in."""
    config = profile.python.parent.parent / "pyvenv.cfg" if profile.python else Path()
    text = config.read_text() if config.is_file() else ""
    match = re.search(r"version(?:_info)?\s*=\s*(\d+\.\d+)", text)
    return match[1] if match else "3"
