"""Held-out pairs share no function with training pairs, over however many others they are linked."""

from hypothesis import given
from hypothesis import strategies as st

from trajectories.mining.splitting import split_pairs
from trajectories.records import ContextPair, MaskedContext

EMPTY = MaskedContext(trajectory_id="t", problem_statement="", turns=[])


def pair(name: str, function: str, repo: str = "r") -> ContextPair:
    return ContextPair(
        id=name, repo=repo, base_commit="c", file="f", function=function, answer="a", anchor=EMPTY, confounder=EMPTY
    )


functions = st.lists(st.sets(st.integers(0, 12), min_size=1, max_size=3), min_size=1, max_size=30)


@given(functions, st.floats(0, 0.9), st.integers(0, 5))
def test_no_function_is_on_both_sides(touched, share, seed):
    names = {str(i): [f"f::{n}" for n in group] for i, group in enumerate(touched)}
    pairs = [pair(i, found[0]) for i, found in names.items()]
    train, held = split_pairs(pairs, share, seed, lambda p: names[p.id])
    assert sorted(p.id for p in train + held) == sorted(names)
    assert not {n for p in train for n in names[p.id]} & {n for p in held for n in names[p.id]}
    assert split_pairs(pairs, share, seed, lambda p: names[p.id]) == (train, held)


def test_as_many_are_held_out_as_were_asked_for_and_whole_groups():
    pairs = [pair(f"{i}.{j}", f"f::{i}") for i in range(20) for j in range(3)]
    train, held = split_pairs(pairs, 0.25, 0, lambda p: ())
    assert (len(train), len(held)) == (45, 15)
    assert {p.function for p in held} != {p.function for p in split_pairs(pairs, 0.25, 1, lambda p: ())[1]}


def test_the_same_name_in_another_repository_is_another_function():
    pairs = [pair(str(i), "f::g", repo=f"r{i}") for i in range(10)]
    assert len(split_pairs(pairs, 0.5, 0, lambda p: ["f::g"])[1]) == 5
