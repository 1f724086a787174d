"""Held-out pairs share no function with training pairs, over however many others they are linked."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trajectories.mining.splitting import split_pairs
from trajectories.records import ContextPair, MaskedContext

EMPTY = MaskedContext(trajectory_id="t", problem_statement="", turns=[])


def pair(name: str, function: str, repo: str = "r") -> ContextPair:
    return ContextPair(
        id=name, repo=repo, base_commit="c", file="f", function=function, answer="a", anchor=EMPTY, confounder=EMPTY
    )


side = st.sets(st.integers(0, 12), min_size=1, max_size=3)


@given(st.lists(st.tuples(side, side), min_size=1, max_size=30), st.floats(0, 0.9), st.integers(0, 5))
def test_no_function_is_on_both_sides(touched, share, seed):
    names = {str(i): tuple([f"f::{n}" for n in names] for names in two) for i, two in enumerate(touched)}
    pairs = [pair(i, found[0][0]) for i, found in names.items()]
    train, held, between = split = split_pairs(pairs, share, seed, lambda p: names[p.id])
    assert sorted(p.id for p in train + held + between) == sorted(names)
    on = [{n for p in some for two in names[p.id] for n in two} for some in (train, held)]
    assert not on[0] & on[1]
    again = split_pairs(list(reversed(pairs)), share, seed, lambda p: names[p.id])
    assert [sorted(p.id for p in some) for some in again] == [sorted(p.id for p in some) for some in split]


def test_as_many_are_held_out_as_were_asked_for_and_whole_groups():
    pairs = [pair(f"{i}.{j}", f"f::{i}") for i in range(20) for j in range(3)]

    def touched(p):
        return [p.function], [p.function]

    train, held, between = split_pairs(pairs, 0.25, 0, touched)
    assert (len(train), len(held), len(between)) == (45, 15, 0)
    assert {p.function for p in held} != {p.function for p in split_pairs(pairs, 0.25, 1, touched).heldout}


def test_nothing_is_cut_where_whole_groups_do():
    """Each group is two functions that are paired with each other."""
    pairs = [pair(f"{i}.{j}", f"f::{i}") for i in range(20) for j in range(3)]
    split = split_pairs(pairs, 0.25, 0, lambda p: ([p.function], [f"{p.function}'"]))
    assert [len(some) for some in split] == [45, 15, 0]


@pytest.mark.parametrize("share", [0.1, 0.2, 0.5])
def test_pairs_that_all_hang_together_are_cut(share):
    """As at the stage of repositories: a function is paired with any other."""
    rng = random.Random(0)
    ends = {f"{i}": rng.sample(range(60), 2) for i in range(2000)}
    pairs = [pair(i, f"f::{a}") for i, (a, _) in ends.items()]
    train, held, between = split_pairs(pairs, share, 0, lambda p: ([f"f::{ends[p.id][0]}"], [f"f::{ends[p.id][1]}"]))
    assert abs(len(held) / len(train + held) - share) < 0.05
    assert len(between) < 0.55 * len(pairs)
    assert not {n for p in train for n in ends[p.id]} & {n for p in held for n in ends[p.id]}


def test_the_same_name_in_another_repository_is_another_function():
    pairs = [pair(str(i), "f::g", repo=f"r{i}") for i in range(10)]
    assert len(split_pairs(pairs, 0.5, 0, lambda p: (["f::g"], ["f::g"])).heldout) == 5
