"""A set with a shortcut is flagged for just that; a set without one is not, whatever the seed."""

import random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trajectories.auditing.audit import audit_pairs
from trajectories.auditing.classifiers import CLASSIFIERS, Facts, Side, place
from trajectories.auditing.folds import blocks, touched
from trajectories.auditing.readings import read_context
from trajectories.auditing.selection import logistic, selections, weights_of
from trajectories.auditing.significance import holm, noticeable, off_chance
from trajectories.records import MASK, ContextPair, ContextTurn, MaskedContext

WORDS = [f"{a}_{b}" for a in ("row", "key", "node", "page", "span") for b in ("sum", "map", "min", "set", "log", "end")]


def context(rng, name, *, dashes=0, word="", number=0, masks=1, ending=""):
    """A made-up context. What is not planted is filled up to the same length, so that a shortcut shows as itself."""

    def text(n):
        return " ".join(rng.choices(WORDS, k=n))

    def filled(planted):
        return planted or f"x{rng.randrange(10**9):09}"

    turns = [
        ContextTurn(
            text=f"I look at {text(8)} {filled(word)}",
            observation=f"{number or rng.randrange(1000, 9999)} {text(20)} {'-' * dashes}",
            tool="view",
        )
        for _ in range(4)
    ]
    marks = " ".join([MASK] * masks) + "  " * (3 - masks)
    turns.append(ContextTurn(text=f"edit {marks}", observation=f"done {filled(ending)}", tool="edit", edits=True))
    return MaskedContext(trajectory_id=name, instance_id=f"i{name}", problem_statement=text(12), turns=turns)


def pair_set(seed, pairs=300, functions=60, **planted):
    """Pairs whose two contexts are drawn alike. `planted`: what the anchor alone has, in three of four pairs."""
    rng = random.Random(seed)
    made = []
    for n in range(pairs):
        extra = {key: value(n) if callable(value) else value for key, value in planted.items()}
        names = rng.sample([f"{rng.randrange(10**9):09}" for _ in range(2)], 2)
        anchor = context(rng, names[0], **(extra if rng.random() < 0.75 else {}))
        made.append(
            ContextPair(
                repo="r",
                base_commit="c",
                file="m.py",
                function=f"m.py::f{n % functions}",
                answer=f"return {rng.choice(WORDS)}({n + 1000})\n",
                anchor=anchor,
                confounder=context(rng, names[1]),
            )
        )
    return made


def between_functions(seed, share=0.5, functions=40, pairs=400):
    """Pairs of stage repo: each function has a task with words of its own, which is the anchor of some pairs and the
    confounder of others. The mark stands in this share of the anchors, and in the others of the confounders.
    """
    rng = random.Random(seed)
    tasks = {f"m.py::f{n}": context(rng, f"{n}", word=f"mine_{'abcdefghij'[n % 10]}{n}") for n in range(functions)}

    def marked(ctx, mark):
        last = ctx.turns[-1].model_copy(update={"observation": f"done {mark}"})
        return ctx.model_copy(update={"turns": [*ctx.turns[:-1], last]})

    made = []
    for n in range(pairs):
        (function, anchor), (_, confounder) = rng.sample(sorted(tasks.items()), 2)
        sides = [
            marked(c, "zzmarker" if rng.random() < p else "other")
            for c, p in ((anchor, share), (confounder, 1 - share))
        ]
        shared = {"repo": "r", "base_commit": "c", "file": "m.py", "function": function, "stage": "repo"}
        made.append(ContextPair(**shared, answer=f"return {n + 1000}\n", anchor=sides[0], confounder=sides[1]))
    return made


def facts_of(pairs, rng, anchor_newer=0.5):
    """What a store might know; the anchor is the newer one in this share."""
    facts = {}
    for pair in pairs:
        first, last = rng.random(), 1 + rng.random()
        newer = rng.random() < anchor_newer
        for ctx, when in ((pair.anchor, last if newer else first), (pair.confounder, first if newer else last)):
            facts[ctx.trajectory_id] = Facts(int(1e6 * when), 1.7e9 + when, 3, "agent")
    return facts


PLANTED = {
    "length": {"dashes": 100},
    "bag of words": {"word": "hereabouts"},
    "line numbers": {"number": lambda n: n + 1000},
    "masks": {"masks": 3},
    "ending": {"ending": "  3 passed"},
}
ALSO = {"ending": {"bag of words"}}
"""What a shortcut shows in as well."""


@pytest.mark.parametrize("name", PLANTED)
def test_a_planted_shortcut_is_flagged_for_what_it_is(name):
    pairs = pair_set(11, **PLANTED[name])
    report = audit_pairs(pairs, facts_of(pairs, random.Random(1)))
    flagged = {f.name for f in report.flagged}
    assert name in flagged and flagged <= {name} | ALSO.get(name, set()), report.flagged
    found = next(f for f in report.findings if f.name == name)
    assert 0.6 < found.low < found.accuracy < 0.95
    assert found.examples and found.p_adjusted < 0.05
    if name == "bag of words":
        assert found.examples[0] == "'hereabouts' speaks for the anchor"


def test_what_each_classifier_sees():
    """One pair by hand: what the anchor's numbers are beyond the confounder's."""

    def made(name, issue, *turns):
        return MaskedContext(trajectory_id=name, instance_id=f"i{name}", problem_statement=issue, turns=list(turns))

    anchor = made(
        "b",
        "total is wrong",
        ContextTurn(text="look at total", observation="12: total = 345", tool="view"),
        ContextTurn(text=f"edit {MASK}", observation=f"total {MASK} {MASK}", tool="edit", edits=True),
    )
    confounder = made("a", "it fails", ContextTurn(text="see", observation="67", tool="view"))
    pair = ContextPair(
        repo="r",
        base_commit="c",
        file="m.py",
        function="f",
        answer="total = 345 + 89\n",
        anchor=anchor,
        confounder=confounder,
    )
    seen = {}
    for classifier in CLASSIFIERS:
        facts = {c.trajectory_id: Facts(n, 2.0 - n, 3, "me") for n, c in enumerate((anchor, confounder))}
        sides = [Side(pair, c, read_context(c), facts[c.trajectory_id]) for c in (anchor, confounder)]
        seen[classifier.name] = classifier.difference(*sides)
    assert seen["position"].tolist() == [1, 1]
    assert seen["newer"].tolist() == [-1, 1, 0]
    assert not seen["agent"].any()
    assert seen["masks"].tolist() == [3, 1, 1]
    assert seen["line numbers"].tolist() == [1 / 2, 1]
    assert seen["answer overlap"].tolist() == [1, 1, np.log1p(3)]
    longest = len(anchor.turns[1].observation), len("67")
    assert seen["length"][1:].tolist() == pytest.approx([np.log(3 / 2), np.log((longest[0] + 1) / (longest[1] + 1))])
    bag = seen["bag of words"]
    assert bag[place("total")] == pytest.approx(np.log1p(1) + np.log1p(2))
    assert bag[place("see")] == pytest.approx(-np.log1p(1))
    issue = seen["issue only"]
    assert [issue[0], issue[1], issue[place("total")]] == pytest.approx([4, np.log(15 / 9), np.log(2)])


def test_progress_is_told():
    told = []
    pairs = pair_set(1, pairs=3)
    audit_pairs(pairs, classifiers=CLASSIFIERS[:2], on_progress=lambda *heard: told.append(heard))
    assert told == [*((n, 3, "reading") for n in range(3)), (0, 2, "length"), (1, 2, "position")]


def test_the_newer_trajectory():
    pairs = pair_set(3)
    report = audit_pairs(pairs, facts_of(pairs, random.Random(0), anchor_newer=0.8))
    assert [f.name for f in report.flagged] == ["newer"]
    assert abs(report.flagged[0].accuracy - 0.8) < 0.07
    assert "newer" in audit_pairs(pairs).skipped


def test_both_directions_of_a_couple_cancel_what_a_context_alone_has():
    pairs = pair_set(3, pairs=120, dashes=99, word="hereabouts", masks=4)
    mirrored = [p.model_copy(update={"id": f"{p.id}m", "anchor": p.confounder, "confounder": p.anchor}) for p in pairs]
    report = audit_pairs(pairs + mirrored)
    accuracy = {f.name: f.accuracy for f in report.findings}
    assert report.flagged == []
    assert accuracy["length"] == accuracy["bag of words"] == accuracy["masks"] == 0.5


def test_clean_sets_are_rarely_flagged():
    """About 5% of all clean sets: of 24, more than 4 would be a wonder (p < 0.01)."""
    alarms = 0
    for seed in range(24):
        pairs = pair_set(100 + seed, pairs=120, functions=40)
        report = audit_pairs(pairs, facts_of(pairs, random.Random(seed)), seed=seed)
        alarms += bool(report.flagged)
    assert alarms <= 4


def test_a_shortcut_between_functions_is_flagged_and_no_function_turns_against_itself():
    """What a task is as a confounder must not be learned from and turned against it as an anchor."""
    marked, plain = (audit_pairs(between_functions(4, share)) for share in (0.7, 0.5))
    assert "bag of words" in {f.name for f in marked.flagged}
    (found,) = (f for f in marked.findings if f.name == "bag of words")
    assert 0.62 < found.accuracy < 0.78 and "zzmarker" in found.examples[0]
    assert plain.flagged == []
    assert all(0.42 < f.accuracy < 0.58 for f in plain.findings), plain.findings


def test_what_is_reliably_wrong_is_said_to_be_below_chance_and_not_flagged():
    """Half of the functions have the longer anchors, half the shorter: what the others show is always wrong."""
    pairs = []
    for n, pair in enumerate(pair_set(7, pairs=160, functions=8)):
        longer = context(random.Random(n), pair.anchor.trajectory_id, dashes=300)
        side = "anchor" if n % 2 else "confounder"
        pairs.append(pair.model_copy(update={side: longer}))
    report = audit_pairs(pairs, classifiers=CLASSIFIERS[:1])
    (found,) = report.below
    assert (found.name, found.flagged, found.examples) == ("length", False, ()) and found.accuracy < 0.1
    assert found.p_adjusted < 0.05 and found.high < 0.5 and report.flagged == []


@pytest.mark.slow
def test_the_alarm_rate_of_one_classifier():
    """Clean sets with pairs of one function that agree: 300 sets, each classifier by itself."""
    rng = np.random.default_rng(0)
    groups = [frozenset([f"g{i // 5}"]) for i in range(150)]
    alarms = below = 0
    for seed in range(300):
        shared = np.repeat(rng.normal(size=(30, 3)), 5, axis=0)
        differences = (shared + 0.3 * rng.normal(size=(150, 3))).astype(np.float32)
        right = selections(differences, groups, hashed=False, seed=seed)
        if off_chance(list(zip(groups, right, strict=True)), seed) < 0.05:
            alarms, below = alarms + (right.mean() > 0.5), below + (right.mean() < 0.5)
    assert 0.01 < alarms / 300 < 0.09
    assert below / 300 > 0.09, "why that flags no set"


@pytest.mark.slow
def test_the_alarm_rate_where_a_few_functions_are_the_confounder_of_all():
    """300 clean sets of 60 functions, five of which are all confounders: clustered by anchors, 27% alarm."""
    rng = np.random.default_rng(0)
    alarms = 0
    for seed in range(300):
        worth = rng.normal(size=(60, 3)).repeat(4, axis=0) + 0.5 * rng.normal(size=(240, 3))
        anchors, confounders = rng.integers(20, 240, 300), rng.integers(0, 20, 300)
        functions = [frozenset((f"f{a // 4}", f"f{c // 4}")) for a, c in zip(anchors, confounders, strict=True)]
        differences = (worth[anchors] - worth[confounders]).astype(np.float32)
        right = selections(differences, functions, hashed=False, seed=seed)
        alarms += right.mean() > 0.5 and off_chance(list(zip(functions, right, strict=True)), seed) < 0.05
    assert alarms / 300 < 0.09


def test_too_few_pairs_are_said_to_be_too_few():
    few = audit_pairs(pair_set(5, pairs=12, functions=4))
    assert not few.enough and few.noticeable == 1.0
    one = audit_pairs(pair_set(5, pairs=200, functions=1, dashes=99))
    assert not one.enough and one.flagged == [] and one.noticeable == 1.0
    (alone, *_) = one.findings
    assert (alone.pairs, alone.accuracy, alone.low, alone.high) == (0, 0.5, 0.0, 1.0)
    linked = [
        pair.model_copy(update={"anchor": pair.anchor.model_copy(update={"instance_id": "of all"})})
        for pair in pair_set(5, dashes=99)
    ]
    alike = audit_pairs(linked)
    assert (alike.measured, alike.enough) == (0, False), "one task is in all pairs: nothing is learned elsewhere"
    many = audit_pairs(pair_set(5))
    assert many.enough and 0.5 < many.noticeable < 0.75
    assert audit_pairs(pair_set(5), classifiers=CLASSIFIERS[:1]).noticeable < many.noticeable
    with pytest.raises(ValueError, match="no pairs"):
        audit_pairs([])


def test_a_report_is_plain_data():
    report = audit_pairs(pair_set(1, pairs=60, functions=30, dashes=99)).to_json()
    assert report["flagged"] == ["length"]
    assert {"accuracy", "low", "high", "p_adjusted", "examples"} <= report["findings"][0].keys()


@given(
    st.lists(st.frozensets(st.sampled_from("abcdefghijkl"), min_size=1, max_size=3), min_size=1, max_size=60),
    st.integers(0, 5),
)
def test_nothing_is_learned_from_a_pair_that_shares_a_function_with_what_is_measured(pairs, seed):
    parts = blocks(pairs, seed)
    assert sorted(i for part in parts.values() for i in part) == list(range(len(pairs)))
    names = {folds: frozenset().union(*(pairs[i] for i in part)) for folds, part in parts.items()}
    assert all(a.isdisjoint(b) for f, a in names.items() for g, b in names.items() if f.isdisjoint(g))
    assert len(frozenset().union(*parts)) == min(8, len(frozenset().union(*pairs)))


def test_the_functions_of_both_tasks():
    """A confounder's is known where it is the anchor of another pair, or shares the pair's; else it is the task."""
    rng = random.Random(0)
    a, b, c, d = (context(rng, name) for name in "abcd")

    def pair(anchor, confounder, function, stage):
        shared = {"repo": "r", "base_commit": "c", "file": "m.py", "answer": "x\n"}
        return ContextPair(**shared, function=function, anchor=anchor, confounder=confounder, stage=stage)

    pairs = [pair(a, b, "f", "repo"), pair(b, a, "g", "repo"), pair(a, c, "f", "function"), pair(b, d, "", "file")]
    assert touched(pairs) == [
        {"r f", "r g", "r m.py"},
        {"r f", "r g", "r m.py"},
        {"r f"},
        {"r g", "r m.py", "r task id"},
    ]


def test_logistic_regression_against_its_own_conditions():
    """At the minimum the gradient is zero; without a reference library at hand this is what defines it."""
    rng = np.random.default_rng(0)
    x = (rng.normal(size=(200, 5)) + np.array([0.5, -0.2, 0, 0, 1])).astype(np.float32) * np.array([1, 10, 0.1, 5, 2])
    w = logistic(x.astype(np.float32))
    scale = np.sqrt(np.mean(x**2, axis=0))
    gradient = -(x / scale).T @ (1 / (1 + np.exp(x @ w))) + w * scale
    assert np.abs(gradient).max() < 1e-3
    assert w[0] > 0 > w[1] and w[4] > 0


def test_logistic_regression_where_whole_steps_do_not_descend():
    """Found among 40,000 random sets: plain Newton's method goes round in circles on it."""
    rows = [
        [0.14622414, -0.5116871, -40.20913],
        [-3.2469585, 394.45535, -0.018068878],
        [411.57812, 487.27908, -2.7598085],
        [-0.7108871, -2255.7935, -220.44507],
        [1494.2686, 1559.5773, 23.764576],
        [-0.013149878, -11.234384, -0.95741045],
        [-4083.3086, 0.8584427, 0.022803573],
        [0.018013239, 0.09574559, 0.063142866],
    ]
    x = np.repeat(np.array(rows, np.float32), [3, 98, 158, 2, 56, 5, 112, 56], axis=0)
    w, scale = logistic(x), np.sqrt(np.mean(x.astype(float) ** 2, axis=0))
    pull = 1 / (1 + np.exp(np.clip(x @ w, -700, 700)))
    assert np.abs((x / scale).T @ pull - w * scale).max() < 1e-3


def test_a_bag_is_judged_by_its_most_one_sided_words():
    """A word in 30 of 30 anchors, among 80 that stand in all pairs and lean a little."""
    rng = np.random.default_rng(0)
    differences = np.zeros((900, 100), np.float32)
    differences[:, :80] = np.where(rng.random((900, 80)) < 0.52, 1, -1)
    differences[:30, 99] = 1
    weights = weights_of(differences, hashed=True)
    assert weights[99] > 0 and np.count_nonzero(weights) == 64


def test_flips_exactly_and_at_random():
    right = [("a", 1.0), ("a", 1.0), ("b", 1.0), ("c", 0.0), ("d", 0.5)]
    assert off_chance(right) == 2 * 3 / 8  # the excess is 1 + 0.5 - 0.5; three of eight signings have as much
    assert off_chance([(name, 1 - value) for name, value in right]) == 2 * 3 / 8
    many = [(str(i), float(i % 10 < 7)) for i in range(200)]
    assert off_chance(many) < 0.001
    assert off_chance([(name, 1 - value) for name, value in many]) == off_chance(many)
    assert off_chance([(str(i), 0.5) for i in range(50)]) == 1.0
    assert off_chance([("a", 1.0), ("b", 0.0)]) == 1.0
    assert off_chance([(("a", "b"), 1.0), (("a", "c"), 1.0)]) == 2 * 3 / 8  # 1 + 0.5 + 0.5 against a total of 1


def test_holm_by_hand():
    assert holm({"a": 0.01, "b": 0.04, "c": 0.03, "d": 0.005}) == pytest.approx(
        {"d": 0.02, "a": 0.03, "c": 0.06, "b": 0.06}
    )


def test_more_functions_notice_more():
    few, some, many = ([(str(i % n),) for i in range(5 * n)] for n in (10, 100, 1000))
    assert noticeable(few, 10, 0.05) > noticeable(some, 10, 0.05) > noticeable(many, 10, 0.05) > 0.5
    assert noticeable(some, 20, 0.05) > noticeable(some, 10, 0.05)
    assert noticeable([("a",)] * 500, 10, 0.05) == 1.0
    twos = [(f"{i}", f"other {i}") for i in range(100)]
    assert noticeable(twos, 10, 0.05) < noticeable([(name,) for name, _ in twos], 10, 0.05)
    hub = [("hub", str(i)) for i in range(500)]
    assert noticeable(hub, 10, 0.05) > 0.9 > noticeable([(str(i), str(i + 1)) for i in range(500)], 10, 0.05)
