"""Every question that a store answers about trajectories and pairs, on both databases."""

import hashlib

import pytest
from trajectory_builders import pair, trajectory

from trajectories.protocol import PairLife, StoreError
from trajectories.records import Verdict


def test_rewards_times_reasons_and_positions_filter(store):
    for i, reward in enumerate([0.0, 0.5, None, 1.0]):
        store.add(trajectory(f"i{i}", reward=reward, created_at=10.0 * i))

    def found(**filters):
        assert store.count(**filters) == len(store.summaries(**filters))
        return [s.instance_id for s in store.summaries(**filters)]

    assert found(min_reward=0.5) == ["i1", "i3"]
    assert found(max_reward=0.5) == ["i0", "i1"]
    assert found(min_reward=0.5, max_reward=0.9) == ["i1"]
    assert found(since=10.0) == ["i1", "i2", "i3"]
    assert found(since=10.0, until=30.0) == ["i1", "i2"]
    first, second, *_ = store.summaries()
    assert found(after=first.position) == ["i1", "i2", "i3"]
    assert found(before=second.position) == ["i0"]
    assert [s.instance_id for s in store.summaries(before=second.position + 2, order="newest", limit=2)] == ["i2", "i1"]


def test_why_a_trajectory_is_not_learned_from_is_kept_beside_it(store):
    for i in range(3):
        store.add(trajectory(f"i{i}"))
    store.mark_filtered(["i0-0", "i2-0", "unknown"], "all of its group have one reward")
    assert [s.filtered for s in store.scan()] == ["all of its group have one reward", "", store.summaries()[2].filtered]
    assert [s.id for s in store.summaries(filtered=True)] == ["i0-0", "i2-0"]
    assert [s.id for s in store.summaries(filtered=False)] == ["i1-0"]
    assert store.get("i0-0") == trajectory("i0")
    store.add(trajectory("i0"))  # the same again is no conflict
    store.mark_filtered(["i0-0"], "")
    assert store.count(filtered=True) == 1


def test_a_scan_comes_in_pages_and_sees_what_is_added_meanwhile(store):
    for i in range(7):
        store.add(trajectory(f"i{i}", run="r" if i % 2 else "s"))
    assert [s.instance_id for s in store.scan(batch=2)] == [f"i{i}" for i in range(7)]
    assert [s.instance_id for s in store.scan(run="r", batch=2)] == ["i1", "i3", "i5"]
    assert [s.instance_id for s in store.scan(run="r", after=store.position("i1-0"))] == ["i3", "i5"]
    scan = store.scan(batch=7)
    next(scan)
    store.add(trajectory("late"))
    assert list(scan)[-1].instance_id == "late"


def test_problem_statements_are_stored_once_and_found_by_key(store):
    store.add(trajectory("i1", problem_statement="one"))
    store.add(trajectory("i2", problem_statement="two"))
    store.add(trajectory("i3", problem_statement="one"))
    keys = [s.statement for s in store.summaries()]
    assert keys[0] == keys[2] == hashlib.sha256(b"one").hexdigest() != keys[1]
    assert store.statements([*keys, "0" * 64]) == {keys[0]: "one", keys[1]: "two"}


def test_summaries_name_the_first_tests_only(store):
    tests = {f"t{i}": "passed" for i in range(60)}
    store.add(trajectory("i1", verdict=Verdict(resolved=True, fail_to_pass=tests)))
    store.add(trajectory("i2", verdict=None))
    first, second = store.summaries()
    assert first.tests == [f"t{i}" for i in range(50)] and second.tests == []


def test_ids_are_found_by_how_they_start(store):
    for i in ("ab1", "ab2", "aB3", "ac", "a_b", "\u00e9"):
        store.add(trajectory(id=i))
    assert store.find_ids("ab", "trajectories") == ["ab1", "ab2"]
    assert store.find_ids("a", "trajectories") == ["aB3", "a_b", "ab1", "ab2", "ac"]
    assert store.find_ids("", "trajectories", limit=2) == ["aB3", "a_b"]
    assert store.find_ids("\u00e9", "trajectories") == ["\u00e9"]
    assert store.find_ids("ab", "pairs") == []
    store.add_pairs([pair(trajectory("i1"), trajectory("i2"), id="abc")])
    assert store.find_ids("ab", "pairs") == ["abc"]


def test_many_are_added_together_or_not_at_all(store):
    told = []
    store.subscribe(told.append)
    store.add(trajectory("i0"))
    store.add_many(trajectory(f"i{i}") for i in range(3))
    assert [t.instance_id for t in told] == ["i0", "i1", "i2"]
    with pytest.raises(StoreError, match="already stored with other contents"):
        store.add_many([trajectory("i3"), trajectory("i1", reward=0.1)])
    assert store.count() == 3
    store.add_many([])
    store.add(trajectory("i3", file="pkg/new.py"))  # what was taken back left no wrong number behind
    assert store.count(file="pkg/new.py") == 1


def test_a_pair_has_a_life(store):
    a, b = trajectory("i1"), trajectory("i2")
    store.add_pairs([pair(a, b, id="p", created_at=2.0), pair(b, a, id="q", judgement="uncertain")])
    assert store.pair_life(["p", "unknown"]) == {"p": PairLife(0, None, None, "", 2.0)}
    store.use_pairs(["p", "p", "q"], 3)
    store.use_pairs(["p"], 5)
    store.check_pairs(["p"], 4)
    assert store.pair_life(["p"]) == {"p": PairLife(3, 5, 4, "", 2.0)}
    assert store.pair_life(["q"])["q"][:3] == (1, 3, None)
    store.retire_pairs(["p"], "learned")
    assert store.pair_life(["p"])["p"].retired == "learned"
    assert [p.id for p in store.pairs(retired=True)] == ["p"]
    assert [p.id for p in store.pairs(retired=False)] == ["q"]
    store.retire_pairs(["p"], "")
    assert store.count_pairs(retired=True) == 0
    assert store.get_pair("p") == pair(a, b, id="p", created_at=2.0)


def test_pairs_of_an_instance(store):
    a, b, c = (trajectory(f"i{i}") for i in (1, 2, 3))
    store.add_pairs(
        [
            pair(a, b, id="ab"),
            pair(b, a, id="ba"),
            pair(b, c, id="bc"),
            pair(a, c, id="ac", judgement="invalid"),
            pair(c, b, id="cb"),
        ]
    )
    store.retire_pairs(["cb"], "old")
    assert [p.id for p in store.pairs(instance_id="i1")] == ["ab", "ba", "ac"]
    assert [p.id for p in store.live_pairs_of(["i2", "i3"])] == ["ab", "bc"]
    assert store.live_pairs_of([]) == []
    assert [p.id for p in store.scan_pairs(batch=2)] == ["ab", "ba", "bc", "ac", "cb"]
    assert [p.id for p in store.scan_pairs(batch=2, judgement="valid", instance_id="i2")] == ["ab", "ba", "bc", "cb"]


def test_why_a_trajectory_gave_no_pair_is_kept(store):
    for i in range(3):
        store.add(trajectory(f"i{i}", run=f"r{i}"))
    ids = [s.id for s in store.summaries()]
    store.finish_mining(store.position(ids[0]), "r0", [], {}, "no masked edit")
    store.finish_mining(store.position(ids[1]), "r1", [], {})
    store.finish_mining(store.position(ids[0]), "r0", [], {}, "told twice")
    assert store.mining_reasons(ids) == {ids[0]: "no masked edit"}
    assert store.unmined(None) == [ids[2]] == store.unmined("r2")
