"""What a recorded verdict claims, against the one on the replay.

Invariant: whatever a verdict says that depends on the task and the patch alone is compared; how long the grading took,
how it was broken off and what showed the meddling differ from run to run.
"""

from __future__ import annotations

from collections.abc import Iterator

from trajectories.records import Verdict

_BROKEN_OFF = ("the tests ran out of time", "the test run did not finish")
"""Reasons of `envs.grading` that a slower or a smaller machine has more often."""


def verdict_differences(recorded: Verdict, found: Verdict) -> list[str]:
    """How two verdicts differ, one sentence each; test by test where both have statuses."""
    differs = []
    if recorded.resolved != found.resolved:
        differs.append(f"resolved: {_word(recorded.resolved)} then, {_word(found.resolved)} now")
    if recorded.tampered != found.tampered:
        differs.append(f"tampered with: {_word(recorded.tampered)} then, {_word(found.tampered)} now")
    for then, now in (
        (recorded.fail_to_pass, found.fail_to_pass),
        (recorded.pass_to_pass, found.pass_to_pass),
    ):
        if then and now:
            for test in sorted({*then, *now}):
                a, b = then.get(test, "missing"), now.get(test, "missing")
                differs += [f"{test}: {a} then, {b} now"] * (a != b)
    # Older verdicts and those of other programs have no hashes, and then neither the rest of this, or in other words.
    return [*differs, *_grounds(recorded, found)] if recorded.hashes and found.hashes else differs


def _grounds(recorded: Verdict, found: Verdict) -> Iterator[str]:
    if recorded.dropped != found.dropped:
        yield f"files that did not count: {_names(recorded.dropped)} then, {_names(found.dropped)} now"
    for what in sorted(recorded.hashes.keys() & found.hashes.keys()):
        if recorded.hashes[what] != found.hashes[what]:
            yield f"graded {what}: {recorded.hashes[what][:40]} then, {found.hashes[what][:40]} now"
    chance = recorded.tampered or found.tampered or {recorded.reason, found.reason} <= {*_BROKEN_OFF}
    if not chance and recorded.reason != found.reason:
        yield f"reason: {recorded.reason or 'none'} then, {found.reason or 'none'} now"


def reward_differences(recorded: float | None, earned: float | None) -> list[str]:
    """How a recorded reward differs from the one that the replay earned, in at most one sentence."""
    if recorded is None or earned is None or recorded == earned:
        return []
    return [f"reward: {recorded:g} then, {earned:g} now"]


def _word(value: bool) -> str:
    return "yes" if value else "no"


def _names(paths: tuple[str, ...]) -> str:
    return ", ".join(paths) or "none"
