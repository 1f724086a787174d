"""What is kept beside trajectories and pairs, and the pages of a sorted table, on both databases."""

import math

import pytest
from trajectory_builders import pair, trajectory, turn

from trajectories.protocol import Lesson, Margin, StoreError, StoreRefusal
from trajectories.records import Verdict
from trajectories.storage import later
from trajectories.storage.codec import LARGE
from trajectories.storage.upkeep import Upkeep
from trajectories.store import SQLStore


def test_diffs_come_back_as_they_were_and_stand_once(store):
    long = "".join(f"+line {i}\n" for i in range(LARGE))
    turns = [
        turn("view").model_copy(update={"diff": d, "tree": t}) for d, t in [(None, ""), ("", "a"), (long, "b")] * 2
    ]
    made = trajectory("i1", turns=turns)
    store.add(made)
    assert store.get(made.id) == made
    assert Upkeep(store).shared().uses == 2, "the problem statement and the long diff, each once"


def test_metrics_are_the_last_ones_of_each_iteration(store):
    store.add_metrics("r", 0, {"iteration": 0, "loss": 1.5})
    store.add_metrics("r", 1, {"iteration": 1, "loss": math.nan, "seconds": {"learn": math.inf, "rollout": 2}})
    store.add_metrics("r", 0, {"iteration": 0, "loss": 2.5})
    store.add_metrics("s", 0, {"iteration": 0})
    later = {"iteration": 1, "loss": None, "seconds": {"learn": None, "rollout": 2}}
    assert store.metrics("r") == [{"iteration": 0, "loss": 2.5}, later]
    assert store.metrics("r", after=0) == [later]
    assert store.metrics("unknown") == []


def test_a_run_knows_what_it_was_started_with(store):
    name = store.claim_run("r", {"recipe": {"seed": 3}})
    assert store.configuration(name) == {"recipe": {"seed": 3}}
    store.configure(name, {"recipe": {"seed": 4}})
    assert store.configuration(name) == {"recipe": {"seed": 4}}
    assert store.configuration("unknown") is None


def test_a_task_is_its_runs_own_else_anothers(store):
    store.add_tasks("r", {"i1": {"patch": "of r"}, "i2": {"patch": "ü"}})
    store.add_tasks("s", {"i1": {"patch": "of s"}})
    store.add_tasks("r", {"i1": {"patch": "of r, anew"}})
    assert store.task("i1", "r") == {"patch": "of r, anew"}
    assert store.task("i1", "s") == {"patch": "of s"}
    assert store.task("i2", "s") == store.task("i2") == {"patch": "ü"}
    assert store.task("i3") is None


def test_of_lessons_the_first_stays(store):
    store.add_many([trajectory("i1"), trajectory("i2")])
    store.add_lessons([Lesson("i1-0", 0.5, [-1.0, -0.25]), Lesson("unknown", 1.0, [])])
    store.add_lessons([Lesson("i1-0", 0.7, []), Lesson("i2-0", None, [])])
    assert store.lessons(["i1-0", "i2-0", "i3-0"]) == {
        "i1-0": Lesson("i1-0", 0.5, [-1.0, -0.25]),
        "i2-0": Lesson("i2-0", None, []),
    }


def test_margins_come_in_the_order_in_which_they_were_measured(store):
    measured = [Margin("p1", 0, True, -1.5), Margin("p2", 0, True, 1.0), Margin("p1", 3, False, 2.5)]
    store.add_margins(measured)
    store.add_margins([])
    assert store.margins("p1") == [measured[0], measured[2]]


def test_findings_the_newest_first(store):
    for number in range(3):
        store.add_finding("replay", "i1-0", {"number": number})
    store.add_finding("audit", "i1-0", {"number": 7})
    found = store.findings("replay", "i1-0", limit=2)
    assert [(f.kind, f.subject, f.document) for f in found] == [("replay", "i1-0", {"number": n}) for n in (2, 1)]
    with pytest.raises(StoreRefusal, match="JSON"):
        store.add_finding("audit", "r", {"share": math.nan})


def test_of_findings_that_are_alike_the_newest_stay(store):
    for number in range(5):
        for backend in ("docker", "local"):
            store.add_finding("replay", "i1-0", {"number": number, "backend": backend}, keep=3, alike="backend")
    store.add_finding("replay", "i2-0", {"number": 7, "backend": "local"}, keep=3, alike="backend")
    found = [(f.document["number"], f.document["backend"]) for f in store.findings("replay", "i1-0")]
    assert found == [(n, backend) for n in (4, 3, 2) for backend in ("local", "docker")]
    assert len(store.findings("replay", "i2-0")) == 1


def test_a_finding_that_cannot_be_read_is_left_alone(store):
    store.database.write(lambda connection: later.add_finding(connection, "replay", "i1-0", b"no document"))
    for number in range(3):
        store.add_finding("replay", "i1-0", {"number": number, "backend": "local"}, keep=2, alike="backend")
    assert [f.document["number"] for f in store.findings("replay", "i1-0", limit=2)] == [2, 1]
    with pytest.raises(StoreError):
        store.findings("replay", "i1-0", limit=3)


def test_the_older_go_only_with_what_was_added(store, monkeypatch):
    """All of it is one transaction."""
    for number in range(3):
        store.add_finding("replay", "i1-0", {"number": number})

    def breaks(*_):
        raise StoreRefusal("no")

    monkeypatch.setattr(later, "drop_older", breaks)
    with pytest.raises(StoreRefusal):
        store.add_finding("replay", "i1-0", {"number": 3}, keep=1)
    assert [f.document["number"] for f in store.findings("replay", "i1-0")] == [2, 1, 0]


def test_the_pulse_is_the_stores_own_and_changes_with_every_write(store, tmp_path):
    store.add(trajectory("i1"))
    (kept,) = store.add_pairs([pair(trajectory("i1"), trajectory("i2"))])
    writes = [
        lambda: store.add(trajectory("i2")),
        lambda: store.mark_filtered(["i1-0"], "no reason"),
        lambda: store.add_lessons([Lesson("i1-0", 0.5, [])]),
        lambda: store.add_margins([Margin(kept.id, 0, True, 1.0)]),
        lambda: store.use_pairs([kept.id], 3),
        lambda: store.add_funnel("r", {"commit": 2}),
        lambda: store.add_metrics("r", 0, {}),
        lambda: store.add_finding("audit", "r", {}),
        lambda: Upkeep(store).delete(run="r"),
    ]
    seen = [store.pulse()]
    for write in writes:
        write()
        seen.append(store.pulse())
        assert store.pulse() == seen[-1], "asking changes nothing"
    assert len(set(seen)) == len(seen) and len({identity for identity, _ in seen}) == 1
    with SQLStore(tmp_path / "another.db") as another:
        assert another.pulse()[0] != seen[0][0]


def test_what_goes_takes_what_was_learned_of_it_along(store):
    store.add_many([trajectory("i1"), trajectory("i2", run="s")])
    (kept,) = store.add_pairs([pair(trajectory("i1"), trajectory("i2"), run="r")])
    store.add_lessons([Lesson("i1-0", 0.5, [])])
    store.add_margins([Margin(kept.id, 0, True, 1.0), Margin("another", 0, True, 1.0)])
    store.add_metrics("r", 0, {})
    store.add_tasks("r", {"i1": {}})
    for kind, subject in (("replay", "i1-0"), ("audit", "r"), ("audit", "s")):
        store.add_finding(kind, subject, {})
    Upkeep(store).delete(run="r")
    assert store.margins(kept.id) == [] and store.margins("another")
    assert (store.lessons(["i1-0"]), store.metrics("r"), store.task("i1")) == ({}, [], None)
    assert [len(store.findings(k, s)) for k, s in (("replay", "i1-0"), ("audit", "r"), ("audit", "s"))] == [0, 0, 1]


def rows(store, **asked):
    return [(s.instance_id, s.id[-1]) for s in store.page(**asked)]


def test_pages_of_a_sorted_table(store):
    rewards = [0.5, None, 0.25, 0.5]
    store.add_many(trajectory(f"i{i}", reward=reward, number=i) for i, reward in enumerate(rewards))
    newest = [("i3", "3"), ("i2", "2"), ("i1", "1"), ("i0", "0")]
    assert rows(store) == newest
    assert rows(store, descending=False) == newest[::-1]
    assert [i for i, _ in rows(store, sort="reward")] == ["i3", "i0", "i2", "i1"]
    assert [i for i, _ in rows(store, sort="reward", descending=False)] == ["i2", "i3", "i0", "i1"]
    assert [i for i, _ in rows(store, sort="reward", offset=1, limit=2)] == ["i0", "i2"]
    assert rows(store, sort="instance_id", limit=1, instance_id="i2") == [("i2", "2")]
    with pytest.raises(StoreError, match="cannot be sorted by 'colour'"):
        store.page(sort="colour")


def test_who_tampered_is_asked_by(store):
    store.add(trajectory("i1", verdict=Verdict(resolved=False, tampered=True, reason="a canary is gone")))
    store.add(trajectory("i2"))
    store.add(trajectory("i3", verdict=None, reward=None))
    assert [(s.id, s.tampered) for s in store.summaries(tampered=True)] == [("i1-0", True)]
    assert [s.id for s in store.summaries(tampered=False)] == ["i2-0", "i3-0"]


def test_a_store_that_may_only_be_read_answers(tmp_path):
    where = tmp_path / "s.db"
    with SQLStore(where) as store:
        store.add(trajectory("i1"))
    where.chmod(0o444)
    tmp_path.chmod(0o555)
    try:
        with SQLStore(where, create=False) as store:
            assert store.count(text="area") == 1
            assert store.pulse()[1] > 0
    finally:
        tmp_path.chmod(0o755)
