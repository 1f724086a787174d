"""What was planted in predictions is what the result says."""

import pytest
from probe_toys import context, pair

from contextrl.probe.groups import UNKNOWN, evidence_place, groups_of, in_order, kind_of_id
from contextrl.probe.predictions import Prediction, Question, questions
from contextrl.probe.score import Scored
from contextrl.stats import clustered_proportion

PAIRS = [pair(i) for i in range(8)]


def prediction(number: int, anchor_first: bool, **fields) -> Prediction:
    return Prediction(model="m", pair=f"p{number}", anchor_first=anchor_first, question="q", **fields)


def both(number: int, first: float, second: float) -> list[Prediction]:
    return [prediction(number, True, margin=first), prediction(number, False, margin=second)]


def scored(predictions, pairs=PAIRS) -> Scored:
    return Scored("m", "set", pairs, predictions)


def test_a_prediction_is_right_wrong_or_half():
    assert [prediction(0, True, margin=m).correct for m in (0.1, -0.1, 0.0)] == [1.0, 0.0, 0.5]
    assert [prediction(0, first, letter="A").correct for first in (True, False)] == [1.0, 0.0]
    assert prediction(0, True).correct == 0.5 and not prediction(0, True).parsed
    assert [prediction(0, first, margin=1.0).says_a for first in (True, False)] == [1.0, 0.0]


def test_accuracy_order_bias_and_letters():
    """Six pairs right in both orders, two always A."""
    rows = [p for i in range(6) for p in both(i, 2.0, 1.0)] + [p for i in (6, 7) for p in both(i, 3.0, -3.0)]
    found = scored(rows).result({})
    assert found.accuracy.mean == pytest.approx((6 + 2 * 0.5) / 8)
    assert (found.accuracy.pairs, found.accuracy.functions) == (8, 4)
    assert (found.accuracy_anchor_first, found.accuracy_anchor_second) == (1.0, 0.75)
    assert found.order_bias == 0.25
    assert found.says_a == pytest.approx((8 + 2) / 16)
    assert found.mean_margin == pytest.approx((6 * 3.0 + 0.0) / 16)
    assert (found.by_margin, found.by_text, found.unreadable) == (16, 0, 0)


def test_intervals_take_functions_as_clusters():
    rows = [p for i in range(8) for p in both(i, 1.0 if i < 6 else -1.0, 1.0 if i < 6 else -1.0)]
    expected = clustered_proportion([(f"r::f.py::g{i // 2}", float(i < 6)) for i in range(8)])
    found = scored(rows).result({}).accuracy
    assert (found.low, found.high) == (expected.low, expected.high)
    alone = clustered_proportion([(str(i), float(i < 6)) for i in range(8)])
    assert found.high - found.low > alone.high - alone.low


def test_a_pair_that_is_left_out_in_one_order_counts_nowhere():
    rows = [*both(0, 1.0, 1.0), prediction(1, True, margin=-1.0), prediction(1, False, left_out="too long")]
    found = scored(rows, PAIRS[:2]).result({})
    assert (found.accuracy.mean, found.accuracy.pairs, found.by_margin) == (1.0, 1, 2)
    assert found.left_out == {"too long": 1}


def test_what_cannot_be_read_counts_half_and_is_counted():
    rows = [prediction(0, True, letter="A"), prediction(0, False), prediction(1, True), prediction(1, False)]
    found = scored(rows, PAIRS[:2]).result({})
    assert found.accuracy.mean == pytest.approx(0.625)
    assert (found.by_text, found.unreadable, found.by_margin, found.mean_margin) == (1, 3, 0, None)
    assert found.says_a == 1.0


def test_one_order_only_has_no_order_bias():
    found = scored([prediction(0, True, margin=1.0)], PAIRS[:1]).result({})
    assert (found.accuracy_anchor_second, found.order_bias) == (None, None)


def test_differences_are_of_the_pairs_that_both_answered():
    one = scored([p for i in range(4) for p in both(i, 1.0, 1.0)], PAIRS[:4])
    rows = [*both(0, 1.0, 1.0), *both(1, 1.0, -1.0), *both(2, -1.0, -1.0), prediction(3, True, left_out="x")]
    rows.append(prediction(3, False, left_out="x"))
    other = Scored("n", "set", PAIRS[:4], rows)
    found = other.minus(one)
    assert found.difference.mean == pytest.approx((0 - 0.5 - 1) / 3)
    assert (found.difference.pairs, found.difference.functions) == (3, 2)
    assert (found.model, found.against) == ("n", "m")
    nothing = Scored("n", "set", [], [])
    assert nothing.minus(one) is None


def test_groups_have_their_own_accuracy():
    rows = [p for i in range(8) for p in both(i, 1.0 if i % 2 else -1.0, 1.0 if i % 2 else -1.0)]
    by = scored(rows).result({}).by
    assert {name: (e.mean, e.pairs) for name, e in by["kind of bug"].items()} == {"loop": (1.0, 4), "swap": (0.0, 4)}
    assert {name: e.pairs for name, e in by["repository"].items()} == {"r": 8}
    assert {sum(e.pairs for e in groups.values()) for groups in by.values()} == {8}


@pytest.mark.parametrize(
    ("instance_id", "kind"),
    [
        ("oauthlib__oauthlib.1fd52536.combine_file__09vlzwgc", "combine_file"),
        ("pydantic__pydantic.acb0f10f.lm_rewrite__b02t33j7", "lm_rewrite"),
        ("john-kurkowski__tldextract.3d1bf184.pr_123", "pr"),
        ("more-itertools__6d159c67.argument__0a1b2c3d", "argument"),
        ("generated-0__cemu-cole-5", UNKNOWN),
        ("django__django-11099", UNKNOWN),
        ("", UNKNOWN),
    ],
)
def test_ids_that_say_how_a_bug_was_made(instance_id, kind):
    assert kind_of_id(instance_id) == kind


def test_groups_of_a_pair():
    found = dict(groups_of(pair(0, similarity=0.8, stage="file", repo="a"), {}))
    assert found == {
        "repository": "a",
        "kind of bug": "swap",
        "stage": "file",
        "similarity": "0.8 to 0.9",
        "length": "below 2,000 characters",
        "evidence": "first third",
    }
    assert dict(groups_of(pair(0), {pair(0).anchor.instance_id: "told"}))["kind of bug"] == "told"
    assert dict(groups_of(pair(0, similarity=1.0, turns=20), {}))["similarity"] == "from 0.9"
    assert dict(groups_of(pair(0, turns=20), {}))["length"] == "2,000 to 8,000 characters"


@pytest.mark.parametrize(
    ("turn", "third"), [(0, "first third"), (15, "middle third"), (29, "last third"), (None, UNKNOWN)]
)
def test_where_the_evidence_lies(turn, third):
    assert evidence_place(context("x", evidence=turn, turns=30)) == third


def test_the_first_turn_with_evidence_counts():
    there = context("x", evidence=2, turns=30)
    marked = [t.model_copy(update={"evidence": "too"}) if i > 20 else t for i, t in enumerate(there.turns)]
    assert evidence_place(there.model_copy(update={"turns": marked})) == "first third"


def test_groups_stand_in_their_order():
    assert in_order(["from 0.9", UNKNOWN, "0.8 to 0.9", "below 0.5"]) == [
        "below 0.5",
        "0.8 to 0.9",
        "from 0.9",
        UNKNOWN,
    ]


def test_questions_in_both_orders_or_balanced():
    assert [(q.pair.id, q.anchor_first) for q in questions(PAIRS[:2], "both", 0)] == [
        ("p0", True),
        ("p0", False),
        ("p1", True),
        ("p1", False),
    ]
    drawn = [questions(PAIRS, "balanced", seed) for seed in range(8)]
    assert all(sum(q.anchor_first for q in some) == 4 and len(some) == 8 for some in drawn)
    assert len({tuple(q.anchor_first for q in some) for some in drawn}) > 1
    assert drawn[3] == questions(PAIRS, "balanced", 3)


def test_a_digest_is_of_the_text_and_the_order():
    digests = {Question(p, first).digest for p in (pair(0), pair(1)) for first in (True, False)}
    assert len(digests) == 4
    assert Question(pair(0), True).digest == Question(pair(0, repo="elsewhere"), True).digest
