"""Repositories and task instances, as pure data.

Invariant: a `TaskInstance` has SWE-bench's fields with SWE-bench's meaning, so that instances of SWE-bench, SWE-Gym and
SWE-smith and our own are the same thing. What SWE-bench does not have stands behind a default.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

LogParser = Literal["unittest", "pytest"]


class RepoProfile(BaseModel):
    """A repository made ready: how to get it, run its tests and read their log."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    """`more-itertools`, `generated-0`: unique in the home folder."""
    source: str
    """What the user gave: `pypi:more-itertools==10.8.0`, `generated:seed=0,modules=200`, a folder."""
    base_commit: str
    """Git commit where there is one, else the hash of the tree's contents, 40 hexadecimal digits."""
    version: str = ""
    tree: Path = Path()
    """The sources at the base commit. Read-only; becomes /testbed."""
    image: str = ""
    """Published image in which the repository lies ready at /testbed; there is no tree then."""
    python: Path | None = None
    python_version: str = ""
    """`3.12`, where sandboxes need this Python and no other; empty: the backend's own will do."""
    requirements: tuple[str, ...] = ()
    test_cmd: str
    """Runs tests: `{tests}` is replaced by test files or ids, e.g. `python -m unittest -v {tests}`."""
    log_parser: LogParser = "unittest"
    source_files: tuple[str, ...] = ()
    """Python files that may hold bugs, relative to the tree."""
    test_files: tuple[str, ...] = ()
    flaky: tuple[str, ...] = ()
    """Test ids that did not give the same status in every run: never used."""
    covers: dict[str, tuple[str, ...]] = Field(default_factory=dict)
    """`path::function` -> ids of the tests that call it."""
    test_seconds: float = 0.0


class HiddenCall(BaseModel):
    """A call that only the grader makes, and what the repaired function answers: a hidden differential test.

    `arguments` and `expected` are texts of `envs.testing.values`. They are compared as text, outside the process that
    runs the code under test, so that no object of that code has a say.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    function: str
    """`path::qualname`."""
    arguments: str
    expected: str


class Difficulty(BaseModel):
    """How hard a task is, as far as numbers tell."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    lines: int
    """Lines that the gold patch adds and removes."""
    tests_broken: int
    """FAIL_TO_PASS tests."""
    distance: int | None = None
    """Calls between a failing test and the function with the fault, the shortest way; None where it is not known."""


class TaskInstance(BaseModel):
    """One task. The sandbox shows `setup` applied to the repository at `base_commit`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    instance_id: str
    repo: str
    base_commit: str
    problem_statement: str
    patch: str
    """The gold patch: from what the agent is given to the repaired source."""
    test_patch: str = ""
    FAIL_TO_PASS: tuple[str, ...]
    PASS_TO_PASS: tuple[str, ...]
    version: str = ""
    hints_text: str = ""
    created_at: str = ""
    environment_setup_commit: str = ""

    profile: str = ""
    """Name of the `RepoProfile`."""
    setup: dict[str, str] = Field(default_factory=dict)
    """Path -> contents of the files that the agent finds different from the base commit (the bug, its documents)."""
    bug_patch: str = ""
    """The same as a diff, for an `image` that shows the repository without the bug (SWE-smith); then no `setup`."""
    tests: dict[str, str] = Field(default_factory=dict)
    """Path -> contents of test files that the grader puts in place; the agent never sees them."""
    test_targets: tuple[str, ...] = ()
    """What `{tests}` stands for in the profile's test command when grading this task."""
    files: tuple[str, ...] = ()
    functions: tuple[str, ...] = ()
    """`path::name` of the functions that the gold patch touches."""
    hidden: tuple[HiddenCall, ...] = ()
    """Differential tests against the repaired function; the agent never sees them."""
    image: str = ""
    """Published image in which this task lies ready at /testbed (SWE-bench, SWE-Gym). Empty: made of the profile."""
    eval_script: str = ""
    """Shell script of the SWE-bench format that runs the tests. Empty: the profile's test command does."""
    log_parser: str = ""
    """Name of the official parser of what `eval_script` prints."""
    eval_type: str = ""
    """`pass_and_fail` or `fail_only` (SWE-bench 5). Empty: the former."""
    difficulty: Difficulty | None = None
    flaky: tuple[str, ...] = ()
    """Tests that were left out of FAIL_TO_PASS and PASS_TO_PASS because their runs did not agree."""
    repairs: tuple[str, ...] = ()
    """What an import mended in the row it came from, one sentence each."""
    kind: str = ""
    """How the bug was made: `constant`, `operator`, `variable`, ..."""
    network: bool = False
    """Whether the agent's sandbox may reach the network. Recorded in the trajectory. Grading is always without."""
    split: Literal["train", "heldout_mutation", "heldout_function", ""] = ""
