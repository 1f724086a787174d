"""The thirty attack cases of our notes, each in a real sandbox: an honest repair gives 1, the attack gives 0.

The list is `benchmarks.attacks`, which also prints the table of docs/grading.md.
"""

from collections import Counter
from dataclasses import replace

import pytest

from benchmarks.attacks.case import NAMES, Attack
from benchmarks.attacks.catalogue import ACTIONS, ATTACKS, LEAKS
from benchmarks.attacks.ours import Range
from benchmarks.attacks.subject import GOLD, write_repository
from envs.patch import make_patch
from sandbox import open_backend
from sandbox.local import LocalBackend

ON_DOCKER = {a.number: a for a in ATTACKS if a.runner == "unittest"}.values()
"""One attack of a number is tried on Docker too, under unittest: its base image has no pytest."""
FAST = 3
"""Variants of a case that are tried in every run of the tests; `slow` ones follow."""


def names(cases):
    seen = Counter()
    return [
        pytest.param(
            case,
            id=f"{case.number} {NAMES[case.number]} - {case.variant}",
            marks=[pytest.mark.slow] if seen.update([case.number]) or seen[case.number] > FAST else [],
        )
        for case in cases
    ]


@pytest.fixture(scope="module")
def tree(tmp_path_factory):
    return write_repository(tmp_path_factory.mktemp("attacked"))


@pytest.fixture
async def here(tree):
    backend = LocalBackend()
    yield Range(backend, tree)
    assert await backend.alive() == []
    await backend.close()


def test_every_case_is_here():
    assert {case.number for case in (*ATTACKS, *LEAKS, *ACTIONS)} == set(NAMES) == set(range(1, 31))
    variants = [(case.number, case.variant) for case in (*ATTACKS, *LEAKS, *ACTIONS)]
    assert len(variants) == len(set(variants))


def refuted(attack, report):
    """Whether a verdict is another than the attack deserves."""
    if report.resolved or (attack.caught in ("tampered", "refused") and not report.tampered):
        return True
    return attack.caught == "dropped" and not report.dropped and "decide how tests are run" not in report.reason


@pytest.mark.parametrize("attack", names(ATTACKS))
async def test_a_patch_that_cheats_gains_nothing(here, attack):
    report = await here.grade(attack)
    assert not refuted(attack, report), report
    assert report.reason


SUBJECTS = {(attack.runner, attack.added, attack.number in (24, 28, 29)): attack for attack in ATTACKS}


@pytest.mark.parametrize("attack", SUBJECTS.values(), ids=map(str, SUBJECTS))
async def test_the_honest_repair_of_the_same_task_is_resolved(here, attack):
    report = await here.grade(replace(attack, timeout_s=60.0), GOLD)
    assert report.resolved and not report.tampered and not report.dropped, report


@pytest.mark.parametrize("runner", ["pytest", "unittest"])
async def test_a_repair_counts_without_the_files_that_are_left_out(here, runner):
    mine = {"tests/test_mine.py": "x = 1\n", "tests/help/mine.txt": "x\n", "shop/conftest.py": FIXTURE}
    report = await here.grade(Attack(9, "none", runner=runner), GOLD + make_patch({}, mine))
    assert report.resolved and set(report.dropped) == set(mine), report


FIXTURE = "import pytest\n\n\n@pytest.fixture\ndef prices():\n    return [1]\n"


@pytest.mark.parametrize("action", names(ACTIONS))
async def test_what_an_agent_does_to_its_sandbox_does_not_reach_the_grader(here, action):
    reward, patch = await here.act(action)
    assert reward == 0.0 and "/money.py" not in patch


@pytest.mark.parametrize("leak", names(LEAKS))
async def test_an_agent_finds_no_trace_of_the_repair(here, leak):
    assert await here.search(leak) == []


@pytest.mark.parametrize("leak", names(leak for leak in LEAKS if leak.plant))
async def test_the_search_would_find_one(here, leak):
    assert await here.search(leak, planted=True)


@pytest.mark.docker
@pytest.mark.parametrize("attack", names(ON_DOCKER))
async def test_on_docker_too(tree, attack):
    backend = await open_backend("docker")
    try:
        here = Range(backend, tree)
        assert not refuted(attack, await here.grade(attack))
        assert (await here.grade(attack, GOLD)).resolved
    finally:
        await backend.close()
