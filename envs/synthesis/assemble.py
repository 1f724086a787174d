"""`task_from`: the task that a valid candidate is.

Invariant: a task holds what the runs showed and nothing that they did not; its gold patch turns what the agent is given
into the repaired files exactly.
"""

from __future__ import annotations

from envs.patch import make_patch
from envs.repos.store import call_distances
from envs.synthesis.candidate import Candidate
from envs.synthesis.statement import Style, problem_statement
from envs.synthesis.units import file_of
from envs.synthesis.validate import Validation
from envs.task import Difficulty, RepoProfile, TaskInstance
from envs.testing.driver.records import UNKNOWN


def task_from(
    profile: RepoProfile, candidate: Candidate, verdict: Validation, suite: str, style: Style = "terse"
) -> TaskInstance:
    """The task that a candidate is, by its verdict. With `suite` full, every file with a test that counts grades it.

    `style` is that of the problem statement, where the candidate has none. Raises `ValueError` for one there is not.
    """

    def in_tree(path: str) -> str:
        return (profile.tree / path).read_bytes().decode()

    def read(path: str) -> str:
        return candidate.tests.get(path) or in_tree(path)

    def differs(path: str, text: str) -> bool:
        return not (profile.tree / path).is_file() or in_tree(path) != text

    secret = tuple(getattr(candidate, "changed", ()))
    failing = verdict.FAIL_TO_PASS
    statement = candidate.problem_statement or problem_statement(
        candidate.function, failing, verdict.failures, read, secret, style
    )
    patch = make_patch({path: candidate.broken.get(path) for path in candidate.fixed}, dict(candidate.fixed))
    counted = sorted({file_of(test, profile) for test in (*failing, *verdict.PASS_TO_PASS)}) if suite == "full" else ()
    return TaskInstance(
        instance_id=f"{profile.name}__{candidate.instance_id}",
        repo=profile.name,
        base_commit=profile.base_commit,
        problem_statement=statement,
        patch=patch,
        FAIL_TO_PASS=failing,
        PASS_TO_PASS=verdict.PASS_TO_PASS,
        version=profile.version,
        environment_setup_commit=profile.base_commit,
        profile=profile.name,
        setup={path: text for path, text in candidate.broken.items() if differs(path, text)},
        tests=candidate.tests,
        test_targets=tuple(counted) or candidate.targets,
        files=tuple(sorted(candidate.fixed)),
        functions=(candidate.function, *getattr(candidate, "also", ())),
        hidden=candidate.hidden,
        kind=candidate.kind,
        difficulty=_difficulty(profile, candidate.function, patch, failing),
        flaky=verdict.flaky,
    )


def _difficulty(profile: RepoProfile, function: str, patch: str, failing: tuple[str, ...]) -> Difficulty:
    lines = [line for line in patch.splitlines() if line[:1] in ("+", "-") and line[:4] not in ("+++ ", "--- ")]
    inside = [key for key in profile.covers if key == function or key.startswith(f"{function}.")]  # a class: methods
    away = [call_distances(profile, key) for key in inside]
    steps = min((calls[test] for calls in away for test in failing if test in calls), default=UNKNOWN)
    return Difficulty(lines=len(lines), tests_broken=len(failing), distance=steps if steps < UNKNOWN else None)
