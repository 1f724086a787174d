"""A run that was killed finds every pair again that it had mined, and too long a pair costs no other its place."""

import json
from pathlib import Path
from typing import Any

import pytest
from learning_toys import byte_tokenizer

from contextrl.choice import ChoiceFormat, PairResult
from contextrl.config import ContextConfig
from contextrl.feed import PairFeed
from trajectories.queries import Margin
from trajectories.records import ToolCall, Trajectory, Turn, Verdict
from trajectories.store import SQLStore


def solved(name: str, shown: str, right: str, number: int) -> Trajectory:
    """An episode that reads a document and a source, edits, and is right."""
    answer = f"def area(a, b):\n    return a {right} b * 7\n"
    calls = [
        (ToolCall(name="view", arguments={"path": "docs/a.md"}), f"area is a {right} b times 7"),
        (ToolCall(name="view", arguments={"path": "a.py"}), f"def area(a, b):\n    return a {shown} b * 7\n"),
        (ToolCall(name="edit", arguments={"path": "a.py", "new": answer}), "edited a.py"),
    ]
    return Trajectory(
        id=f"{name}-{number}",
        run="r",
        instance_id=name,
        repo="pkg",
        base_commit="c" * 40,
        problem_statement=f"area is wrong: case {name}",
        turns=[
            Turn(text="".join((call.name, *call.arguments.values())), tool_call=call, observation=seen)
            for call, seen in calls
        ],
        patch=f"--- a/a.py\n+++ b/a.py\n@@ -2 +2 @@\n-    return a {shown} b * 7\n+    return a {right} b * 7\n",
        answer=answer,
        files=["a.py"],
        functions=["a.py::area"],
        verdict=Verdict(resolved=True),
        reward=1.0,
        agent="tools",
    )


@pytest.fixture
def store(tmp_path: Path):
    with SQLStore(tmp_path / "store.db") as opened:
        yield opened


def feed(store: SQLStore) -> PairFeed:
    return begun(store, 4096)


def begun(store: SQLStore, limit: int = 4096, state: dict[str, Any] | None = None, **options: Any) -> PairFeed:
    avoid = options.pop("avoid", frozenset())
    config = ContextConfig(**options)
    made = PairFeed(store, ChoiceFormat(byte_tokenizer(), limit), config, run="r", seed=0, avoid=avoid)
    made.begin(0, state)
    return made


def drawn(feed: PairFeed) -> set[str]:
    return {prompt.pair_id for prompt in feed.prompts(16)}


def test_pairs_mined_before_the_first_checkpoint_are_not_lost(store):
    first = feed(store)
    first.keep(solved("i1", "+", "-", 0))
    first.keep(solved("i2", "-", "+", 0))
    assert first.mined == 2 and len(drawn(first)) == 2
    again = feed(store)
    for i, trajectory in enumerate((solved("i1", "+", "-", 1), solved("i2", "-", "+", 1))):
        again.keep(trajectory)  # played again: the pairs are in the store already
        assert again.mined == 2, i
    assert drawn(again) == drawn(first)


def test_who_stands_in_a_pair_is_known_where_pairs_are_learned_from(store):
    first = feed(store)
    first.keep(solved("i1", "+", "-", 0))
    assert first.paired == set()
    state = first.state_dict()
    first.keep(solved("i2", "-", "+", 0))
    assert first.paired == {"i1-0", "i2-0"}
    whole = solved("i2", "-", "+", 1)
    failed = {"verdict": Verdict(resolved=False), "reward": 0.0, "turns": [*whole.turns[:2], *whole.turns[1:]]}
    first.keep(whole.model_copy(update=failed))
    assert first.paired == {"i1-0", "i2-0", "i2-1"}, "one that failed is the other's confounder"
    again = begun(store, state=state)
    again.keep(store.get("i2-0"))
    assert again.paired == {"i1-0", "i2-0"}, "gone through again"
    assert begun(store, enabled=False).paired is None


def test_pairs_mined_after_the_last_checkpoint_are_not_lost(store):
    first = feed(store)
    state = first.state_dict()
    first.keep(solved("i1", "+", "-", 0))
    first.keep(solved("i2", "-", "+", 0))
    again = begun(store, state=state)
    assert again.mined == 0 and drawn(again) == set(), "they come with their trajectories"
    again.keep(store.get("i1-0"))
    again.keep(store.get("i2-0"))
    assert again.mined == 2 and drawn(again) == drawn(first)


def test_what_is_gone_through_again_draws_the_same_and_ends_alike(store):
    """A label falls meanwhile, and a pair is used up: both happen again, neither before its time."""
    first = begun(store, max_uses=3)
    first.keep(solved("i1", "+", "-", 0))
    state = json.loads(json.dumps(first.state_dict()))
    played = [solved("i2", "-", "+", 0), solved("i3", "*", "/", 0), solved("i2", "*", "-", 1)]

    def rest(some: PairFeed) -> tuple[list[Any], dict[str, Any]]:
        draws = []
        for trajectory in played:
            some.keep(trajectory)
            draws.append([(p.pair_id, p.anchor_first) for p in some.prompts(2)])
            some.learned([PairResult(pair_id, first, 1.0) for pair_id, first in draws[-1]])
        lives = store.pair_life([p.id for p in store.pairs()])
        return draws, {key: (life.uses, life.retired) for key, life in lives.items()}

    once = rest(first)
    assert any("solves" in retired for _, retired in once[1].values())
    again = begun(store, state=state, max_uses=3)
    assert not any(life.retired for life in store.pair_life([p.id for p in store.pairs()]).values())
    assert rest(again) == once


def test_what_was_stored_but_not_mined_is_mined(store):
    feed(store).keep(solved("i1", "+", "-", 0))
    store.add(solved("i2", "-", "+", 0))
    assert feed(store).mined == 2


def test_a_pair_that_is_too_long_is_replaced_and_not_drawn_again(store):
    whole = feed(store)
    for name, shown, right in (("i1", "+", "-"), ("i2", "-", "+"), ("i3" * 10, "*", "/")):
        episode = solved(name, shown, right, 0)
        whole.keep(episode.model_copy(update={"turns": episode.turns[1:]}))  # two turns: none that could be cut
    form = ChoiceFormat(byte_tokenizer(), 100_000)
    pairs = store.pairs(judgement="valid")
    lengths = {p.id: max(len(form.prompt(p, first).ids) for first in (True, False)) for p in pairs}
    limit = min(lengths.values()) + 9
    short = {key for key, length in lengths.items() if length <= limit}
    assert 0 < len(short) < len(lengths) == whole.mined

    def limited() -> PairFeed:
        return begun(store, limit)

    for count in range(1, len(lengths) + 1):
        some = limited()
        assert some.too_long is None
        assert len(some.prompts(count)) == min(count, len(short))
    assert some.too_long == len(lengths) - len(short)
    assert drawn(some) == short and some.too_long == 0
    again = begun(store, limit, json.loads(json.dumps(some.state_dict())))
    assert drawn(again) == short and again.too_long == 0


def test_the_store_knows_how_often_a_pair_was_learned_from_and_why_no_more(store):
    used = begun(store, max_uses=2)
    used.keep(solved("i1", "+", "-", 0))
    used.keep(solved("i2", "-", "+", 0))
    ids = [p.id for p in store.pairs(judgement="valid")]
    for iteration in range(3):
        used.iteration = iteration
        assert len(used.prompts(2)) == (2 if iteration < 2 else 0)
    lives = store.pair_life(ids)
    assert {(life.uses, life.last_used, life.retired) for life in lives.values()} == {(2, 1, "learned from 2 times")}
    assert drawn(feed(store)) == set()


def test_how_the_policy_chose_is_kept_with_its_version(store):
    some = feed(store)
    some.keep(solved("i1", "+", "-", 0))
    some.keep(solved("i2", "-", "+", 0))
    first, second = (p.id for p in store.pairs(judgement="valid"))
    for some.iteration, margin in ((0, -1.5), (4, 2.5)):
        some.learned([PairResult(first, bool(some.iteration), margin), PairResult(second, False, 0.5)])
    assert store.margins(first) == [Margin(first, 0, False, -1.5), Margin(first, 4, True, 2.5)]


def test_a_pair_whose_label_fell_is_not_learned_from(store):
    some = feed(store)
    some.keep(solved("i1", "+", "-", 0))
    some.keep(solved("i2", "-", "+", 0))
    assert len(drawn(some)) == 2
    some.keep(solved("i2", "*", "-", 1))  # the answer to i1 solves i2 as well
    fallen = {p.id for p in store.pairs(retired=True)}
    assert fallen and not fallen & drawn(some)


def test_trajectories_that_touch_a_held_out_function_are_stored_and_not_mined(store):
    held = frozenset({"pkg a.py::area"})
    some = begun(store, avoid=held)
    some.keep(solved("i1", "+", "-", 0))
    some.keep(solved("i2", "-", "+", 0))
    assert (store.count(), some.mined) == (2, 0)
    assert set(store.mining_reasons(["i1-0", "i2-0"]).values()) == {"touches a held-out function"}


def test_why_nothing_is_learned_from_a_trajectory_is_kept(store):
    some = feed(store)
    some.keep(solved("i1", "+", "-", 0))
    some.keep(solved("i2", "-", "+", 0))
    before = store.get("i1-0")
    some.left_out({"i1-0": "all rewards of its group are the same"})
    found = store.summaries(filtered=True)
    assert [(t.id, t.filtered) for t in found] == [("i1-0", "all rewards of its group are the same")]
    assert store.get("i1-0") == before
