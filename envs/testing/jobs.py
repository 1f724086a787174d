"""A job of the driver, and what it did.

Invariant: pure data; nothing here runs anything.
"""

from __future__ import annotations

import base64
import json
import zlib
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Job:
    """Tests to run on the tree with some files changed (None: deleted)."""

    targets: tuple[str, ...]
    """Names that unittest loads, or pytest node ids."""
    files: Mapping[str, str | None] = field(default_factory=dict)
    cpu_s: float = 600.0
    wall_s: float = 900.0
    memory_mb: int = 1024
    profile: bool = False
    """Note which functions of the sources each test calls."""
    reverse: bool = False
    record: tuple[str, ...] = ()
    """Functions (`path::qualname`) of whose calls the arguments are noted."""
    calls: tuple[tuple[str, str], ...] = ()
    """(function, arguments) that are called and answered, instead of any tests."""
    plan: Mapping[str, str] | None = None
    """Guard against forged results: test id -> what its runs are, `t` the test and `c` a canary (see
    `envs.testing.driver.guard`). None: the results of code that is trusted, as when a repository is measured."""
    call_s: float = 0.5
    """CPU seconds that each of the calls may take."""
    lasting: bool = False
    """Whether a call that reads the clock fails."""


@dataclass(frozen=True)
class Failure:
    """What a failing test said; `path` and `line` are the innermost line of a test file on the way there."""

    type: str
    message: str
    path: str = ""
    line: int = 0


@dataclass(frozen=True)
class Outcome:
    """What a job did. `end` is `ok`, `cpu` or `wall` (a limit), or `crash`."""

    end: str
    reason: str = ""
    """What a `crash` said, where it did."""
    code: int = 0
    """Exit code of the test runner."""
    changed: tuple[str, ...] = ()
    """Parts of the runner that are not as they were before the tests (of a guarded job)."""
    unready: frozenset[str] = frozenset()
    """Tests that failed before or after their own body (under pytest)."""
    runs: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Test id -> the statuses of all its runs, in their order."""
    seconds: float = 0.0
    cpu_seconds: float = 0.0
    statuses: Mapping[str, str] = field(default_factory=dict)
    """Test id -> passed, failed, skipped or xfail, in the order they ran."""
    failures: Mapping[str, Failure] = field(default_factory=dict)
    times: Mapping[str, float] = field(default_factory=dict)
    calls: Mapping[str, tuple[tuple[str, str, int], ...]] = field(default_factory=dict)
    """Test id -> (path, qualified name, calls from the test to it the shortest way) of the functions that it called."""
    recorded: tuple[tuple[str, str], ...] = ()
    """(function, arguments) of the different calls that the tests made; texts of `envs.testing.values`."""
    ways: tuple[tuple[str, str, str], ...] = ()
    """(function, other function, arguments): calls of others, made by tests themselves, that led to a function."""
    answers: tuple[str, ...] = ()
    """What the calls answered, in their order; fewer than they are where one of them ended the process."""

    @property
    def passed(self) -> frozenset[str]:
        """Ids of the tests that passed."""
        return frozenset(test for test, status in self.statuses.items() if status == "passed")


def outcome_of(line: str) -> Outcome:
    """The outcome that the driver tells in a line of text."""
    data = json.loads(zlib.decompress(base64.b64decode(line)))
    tests = [record for record in data["tests"] if "id" in record]
    recorded = [call for record in data["tests"] for call in record.get("recorded", ())]
    runs: defaultdict[str, list[str]] = defaultdict(list)
    for test in tests:
        runs[test["id"]].append(test["status"])
    return Outcome(
        end=data["end"],
        reason=": ".join(data["failure"][key] for key in ("type", "message")) if data.get("failure") else "",
        code=data.get("code", 0),
        changed=tuple(data.get("changed", ())),
        unready=frozenset(test["id"] for test in tests if test.get("unready")),
        runs={test: tuple(statuses) for test, statuses in runs.items()},
        seconds=data["seconds"],
        cpu_seconds=data["cpu_seconds"],
        statuses={test["id"]: test["status"] for test in tests},
        failures={test["id"]: Failure(**test["failure"]) for test in tests if test["failure"]},
        times={test["id"]: test["seconds"] for test in tests},
        calls={
            test["id"]: tuple((path, name, away) for path, name, away in test["calls"])
            for test in tests
            if test["calls"]
        },
        recorded=tuple((function, arguments) for watched, function, arguments in recorded if watched == function),
        ways=tuple((watched, function, arguments) for watched, function, arguments in recorded if watched != function),
        answers=tuple(record["answer"] for record in data["tests"] if "answer" in record),
    )
