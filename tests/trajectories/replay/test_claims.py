"""What a record says of itself besides its observations: diffs, the patch, the reward, what the verdict is about."""

import pytest
from replay_ground import SCRIPT, record, replayed, with_turn

from envs.tools import Action
from trajectories.records import Verdict
from trajectories.replay.showing import divergence_panel, outcome, summary
from trajectories.replay.verdicts import verdict_differences

LAST = len(SCRIPT)
PLANTED = "diff --git a/x b/x\n--- a/x\n+++ b/x\n@@ -1,1 +1,1 @@\n-a\n+b\n"


def differing(report):
    return {step.number: step.differs for step in report.divergences}


def text(report):
    return "\n".join(line.plain for line in summary(report))


@pytest.mark.parametrize("number", (1, 5, LAST))
async def test_another_diff_is_named_at_its_step(number, backend, episode, profile, task):
    report = await replayed(with_turn(episode, number, diff=PLANTED), backend, profile, task)
    assert differing(report) == {number: ["diff"]} and not report.agrees
    step = report.divergences[0]
    assert step.expected_diff == PLANTED and step.diff == episode.turns[number - 1].diff
    assert outcome(step) == "another diff than the one recorded"
    assert "-+b" in divergence_panel(step).renderable.plain


async def test_our_own_diffs_are_compared_to_the_letter(backend, episode, profile, task):
    diff = episode.turns[4].diff
    moved = diff.replace("@@ -", "@@ -1", 1)  # the same lines, elsewhere
    assert differing(await replayed(with_turn(episode, 5, diff=moved), backend, profile, task)) == {5: ["diff"]}
    report = await replayed(with_turn(episode, 5, diff=moved, tree=""), backend, profile, task)
    assert differing(report) == {}, "others' by the lines that they change"


async def test_a_diff_that_was_not_kept_is_not_compared(backend, episode, profile, task):
    assert (await replayed(with_turn(episode, 5, diff=None), backend, profile, task)).agrees


@pytest.mark.parametrize("patch", (PLANTED, ""))
async def test_another_patch_is_named_at_the_last_step(patch, backend, episode, profile, task):
    report = await replayed(episode.model_copy(update={"patch": patch}), backend, profile, task)
    assert differing(report) == {LAST: ["patch"]}
    assert report.steps[-1].expected_diff == patch and report.steps[-1].diff == episode.patch


async def test_the_patch_of_an_episode_without_an_end_is_compared_too(backend, profile, task):
    given_up = await record(backend, profile, task, SCRIPT[:6])
    assert given_up.status == "truncated" and (await replayed(given_up, backend, profile, task)).agrees
    report = await replayed(given_up.model_copy(update={"patch": PLANTED}), backend, profile, task)
    assert differing(report) == {6: ["patch"]}


async def test_another_reward_is_said(backend, episode, profile, task):
    report = await replayed(episode.model_copy(update={"reward": 0.5}), backend, profile, task)
    assert report.verdict_differs == ["reward: 0.5 then, 1 now"] and report.diverged_at is None
    assert report.verdict_same is False and not report.agrees and "reward: 0.5 then, 1 now" in text(report)


async def test_a_reward_without_a_verdict(backend, profile, task):
    given_up = await record(backend, profile, task, SCRIPT[:4])
    report = await replayed(given_up.model_copy(update={"reward": 1.0}), backend, profile, task)
    assert report.verdict is None and not report.agrees and "reward: 1 then, 0 now" in text(report)
    for reward in (None, 0.0):
        report = await replayed(given_up.model_copy(update={"reward": reward}), backend, profile, task)
        assert report.agrees and report.verdict_same is None


PLANTS = {
    "dropped": ("a.py",),
    "reason": "no reason",
    "hashes": {"patch": "0" * 64, "image": "another"},
}


@pytest.mark.parametrize("field", PLANTS)
async def test_what_a_verdict_is_about_is_compared(field, backend, episode, profile, task):
    verdict = episode.verdict.model_copy(update={field: PLANTS[field]})
    report = await replayed(episode.model_copy(update={"verdict": verdict}), backend, profile, task)
    assert report.diverged_at is None and report.verdict_same is False
    said = {"dropped": "files that did not count: a.py then, none now", "reason": "reason: no reason then, none now"}
    expected = said.get(field, f"graded image: another then, {episode.verdict.hashes['image']} now")
    assert report.verdict_differs[0] == expected


async def test_an_honest_failure_is_the_same_in_either_backend(either, profile, task):
    failed = await record(either, profile, task, (Action("edit", {"path": "a.txt", "new": "x"}), Action("submit")))
    assert not failed.resolved and failed.verdict.hashes and failed.verdict.reason
    report = await replayed(failed, either, profile, task)
    assert report.agrees and report.verdict_same


def test_what_another_run_may_say_otherwise_is_not_compared():
    now = Verdict(resolved=False, reason="the tests ran out of time", dropped=("a.py",), hashes={"patch": "1"})
    older = now.model_copy(update={"hashes": {}, "dropped": (), "reason": "in other words"})
    assert verdict_differences(older, now) == [] == verdict_differences(now, older)
    assert verdict_differences(now.model_copy(update={"reason": "the test run did not finish"}), now) == []
    twins = now.model_copy(update={"tampered": True, "reason": "a twin of a passed"})
    assert verdict_differences(twins, twins.model_copy(update={"reason": "a twin of b passed"})) == []
    assert verdict_differences(now.model_copy(update={"reason": "still failing: t"}), now) != []
