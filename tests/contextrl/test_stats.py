import random
from math import comb

import pytest

from contextrl.stats import (
    by_cluster,
    clustered_proportion,
    mean_over_seeds,
    paired_difference,
    rate_over_seeds,
    wilson,
)


def test_wilson_against_the_textbook():
    """Newcombe (1998), table I: 81 of 263, and the extremes."""
    interval = wilson(81, 263)
    assert (round(interval.low, 4), round(interval.high, 4)) == (0.2553, 0.3662)
    interval = wilson(0, 20)
    assert interval.low == 0.0 and round(interval.high, 4) == 0.1611
    interval = wilson(1, 29)
    assert (round(interval.low, 4), round(interval.high, 4)) == (0.0061, 0.1718)
    assert wilson(20, 20).high == 1.0
    assert wilson(5, 10, 0.99).low < wilson(5, 10, 0.95).low


@pytest.mark.parametrize(("successes", "n"), [(0, 0), (3, 2), (-1, 5)])
def test_wilson_refuses_nonsense(successes, n):
    with pytest.raises(ValueError, match="a proportion needs"):
        wilson(successes, n)


@pytest.mark.parametrize("p", [0.1, 0.5, 0.9])
def test_wilson_covers(p):
    n = 40
    covered = sum(
        comb(n, k) * p**k * (1 - p) ** (n - k) for k in range(n + 1) if wilson(k, n).low <= p <= wilson(k, n).high
    )
    assert 0.92 < covered < 0.98


def test_clusters_are_averaged():
    assert by_cluster([("a", 1.0), ("b", 0.0), ("a", 0.0)]) == {"a": 0.5, "b": 0.0}


def test_one_value_per_cluster_is_nearly_wilson():
    values = [(str(i), float(i % 3 == 0)) for i in range(99)]
    ours, plain = clustered_proportion(values), wilson(33, 99)
    assert (ours.mean, ours.n) == (plain.mean, 99)
    assert ours.low == pytest.approx(plain.low, abs=2e-3) and ours.high == pytest.approx(plain.high, abs=2e-3)


def test_repeating_each_value_adds_no_information():
    values = [(str(i), float(i % 3 == 0)) for i in range(99)]
    once, thrice = clustered_proportion(values), clustered_proportion(values * 3)
    assert thrice.low == pytest.approx(once.low, abs=2e-3) and thrice.n == 99
    assert wilson(99, 297).low > thrice.low + 0.02, "counted as 297 they would look far surer"


def test_a_letter_habit_is_chance_with_a_sane_interval():
    interval = clustered_proportion([(str(i), float(order)) for i in range(50) for order in (0, 1)])
    assert interval.mean == 0.5 and 0.3 < interval.low < 0.45


@pytest.mark.parametrize("value", [0.0, 1.0])
def test_all_the_same_is_not_certainty(value):
    interval = clustered_proportion([(str(i), value) for i in range(20)])
    assert interval.low == pytest.approx(wilson(20 * value, 20).low)
    assert interval.high - interval.low > 0.1
    with pytest.raises(ValueError, match="no observations"):
        clustered_proportion([])


def test_paired_difference_uses_the_pairing():
    """Tasks differ much, the change on each is alike: the paired interval is narrow."""
    rng = random.Random(0)
    before = {str(i): rng.random() for i in range(100)}
    after = {k: v + 0.1 + 0.02 * rng.random() for k, v in before.items()}
    interval = paired_difference(before, after)
    assert interval.mean == pytest.approx(0.11, abs=0.005)
    assert interval.low > 0.1 and interval.high < 0.12 and interval.n == 100
    assert paired_difference(before, after) == interval
    flipped = paired_difference(after, before)
    assert flipped.mean == pytest.approx(-interval.mean)


def test_paired_difference_matches_the_normal_interval():
    before = {str(i): 0.0 for i in range(400)}
    after = {str(i): float(i % 4 == 0) - float(i % 4 == 1) for i in range(400)}
    interval = paired_difference(before, after)
    half = 1.96 * (0.5 / 400) ** 0.5
    assert interval.low == pytest.approx(-half, abs=0.01) and interval.high == pytest.approx(half, abs=0.01)


def test_paired_difference_needs_the_same_tasks():
    with pytest.raises(ValueError, match="2 and 1, 1 in common"):
        paired_difference({"a": 0.0, "b": 1.0}, {"a": 0.0})
    with pytest.raises(ValueError, match="at least one"):
        paired_difference({}, {})


def test_a_paired_difference_resamples_clusters():
    before = {f"{place}-{i}": 0.0 for place in "abcdefgh" for i in range(5)}
    after = {key: float(key[0] in "abcd") for key in before}
    plain = paired_difference(before, after)
    clustered = paired_difference(before, after, clusters={key: key[0] for key in before})
    assert plain.mean == clustered.mean == 0.5 and (plain.n, clustered.n) == (40, 8)
    assert clustered.high - clustered.low > 1.8 * (plain.high - plain.low)


def test_one_seed_is_the_bootstrap_over_its_tasks():
    values = {f"t{i}": float(i % 3 == 0) for i in range(60)}
    places = {key: str(i // 2) for i, key in enumerate(values)}
    one = mean_over_seeds({7: values}, clusters={7: places})
    other = paired_difference(dict.fromkeys(values, 0.0), values, clusters=places)
    assert (one.mean, one.n, other.n) == (pytest.approx(1 / 3), 1, 30) and one.mean == pytest.approx(other.mean)
    assert one.low == pytest.approx(other.low, abs=0.02) and one.high == pytest.approx(other.high, abs=0.02)


def test_every_seed_weighs_the_same_and_seeds_are_drawn_too():
    apart = {0: dict.fromkeys("abcdefgh", 0.0), 1: {"a": 1.0}}
    interval = mean_over_seeds(apart)
    assert (interval.mean, interval.low, interval.high, interval.n) == (0.5, 0.0, 1.0, 2)
    alike = mean_over_seeds({seed: {f"t{i}": float(i % 2) for i in range(40)} for seed in range(10)})
    once = mean_over_seeds({0: {f"t{i}": float(i % 2) for i in range(40)}})
    assert alike.high - alike.low < 0.5 * (once.high - once.low)


def test_a_mean_over_seeds_covers():
    """Seeds with means of their own, ten tasks each: the interval holds the true mean about as often as it says."""
    rng, covered = random.Random(5), 0
    for trial in range(200):
        seeds = {}
        for seed in range(8):
            rate = rng.uniform(0.4, 0.8)
            seeds[seed] = {f"t{i}": float(rng.random() < rate) for i in range(20)}
        interval = mean_over_seeds(seeds, resamples=400, seed=trial)
        covered += interval.low <= 0.6 <= interval.high
    assert 0.9 < covered / 200 <= 1.0


@pytest.mark.parametrize("values", [{}, {0: {}}])
def test_a_mean_over_nothing_is_refused(values):
    with pytest.raises(ValueError, match="at least one seed"):
        mean_over_seeds(values)


def test_a_rate_over_seeds_that_is_always_the_same_is_not_certain():
    none = rate_over_seeds({seed: {f"t{i}": 0.0 for i in range(6)} for seed in range(2)})
    assert (none.mean, none.low) == (0.0, 0.0) and none.high == pytest.approx(wilson(0, 12).high)
    few = rate_over_seeds(
        {seed: {f"t{i}": 1.0 for i in range(6)} for seed in (0, 1)},
        clusters={0: dict.fromkeys((f"t{i}" for i in range(6)), "one"), 1: {}},
    )
    assert few.low == pytest.approx(wilson(7, 7).low) and few.high == 1.0
    some = {0: {f"t{i}": float(i % 2) for i in range(20)}}
    assert rate_over_seeds(some) == mean_over_seeds(some)
