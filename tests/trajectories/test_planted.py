"""The rules reject nearly all pairs with a planted fault and keep nearly all others: benchmarks/planted.py in short."""

import pytest

from benchmarks.planted import measure
from benchmarks.planting.faults import FAULTS, planted
from trajectories.judge import RULES, RuleJudge

SEEDS = range(1000, 1014)


@pytest.mark.parametrize("kind", FAULTS)
def test_what_is_planted_is_found_and_what_is_clean_is_kept(kind):
    (tally,) = measure(RuleJudge(), SEEDS, [kind])
    assert tally.enough, (tally.judged, tally.slipped)


OWN = {
    "length gap": "like_length",
    "format gap": "like_format",
    "mask inconsistency": "masked_alike",
    "same bug twice": "other_answer",
    "ambiguous label": "other_answer",
    "identical contexts": "decisive_line",
} | {kind: "no_leak" for kind in FAULTS if kind.startswith("leak")}


@pytest.mark.parametrize("kind", OWN)
def test_it_is_the_rule_for_it_that_finds_it(kind):
    """Without the rule most pairs pass, so the faults are nothing else; but for edits that are not masked."""
    judge = RuleJudge(rules={name: rule for name, rule in RULES.items() if name != OWN[kind]})
    (tally,) = measure(judge, SEEDS[:6], [kind])
    if kind != "leak: here-document or edit":
        assert tally.judged["valid"] > tally.judged.total() / 2, tally.judged


def test_pairs_are_the_same_every_time():
    first, again = (planted("leak: diff after the edit", "editor", 3) for _ in range(2))
    assert first.model_copy(update={"id": "", "created_at": 0}) == again.model_copy(update={"id": "", "created_at": 0})
