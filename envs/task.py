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
    tree: Path
    """The sources at the base commit. Read-only; becomes /testbed."""
    python: Path | None = None
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
    tests: dict[str, str] = Field(default_factory=dict)
    """Path -> contents of test files that the grader puts in place; the agent never sees them."""
    test_targets: tuple[str, ...] = ()
    """What `{tests}` stands for in the profile's test command when grading this task."""
    files: tuple[str, ...] = ()
    functions: tuple[str, ...] = ()
    """`path::name` of the functions that the gold patch touches."""
    kind: str = ""
    """How the bug was made: `constant`, `operator`, `variable`, ..."""
    network: bool = False
    """Whether the agent's sandbox may reach the network. Recorded in the trajectory. Grading is always without."""
    split: Literal["train", "heldout_mutation", "heldout_function", ""] = ""
