"""Names of runs are given once; what is not wanted goes with all that stands on it, and nothing else does."""

import random
import subprocess
import sys
from pathlib import Path

import pytest
from trajectory_builders import pair, trajectory, turn

from trajectories.storage.cleaning import Amount, Unused
from trajectories.storage.holders import describe, state_of, this_process
from trajectories.storage.upkeep import Upkeep
from trajectories.store import SQLStore

ROOT = Path(__file__).parents[2]
LONG = "".join(f"line {i} of what a tool printed\n" for i in range(100))


def with_view(instance, observation, **fields):
    return trajectory(instance, turns=[turn("view", observation, path="a.py"), turn("submit")], **fields)


@pytest.mark.slow
def test_a_megabyte_that_a_hundred_trajectories_saw_is_stored_once(store):
    seen = "".join(f"{i * 7919 % 1_000_003:07}" for i in range(150_000))
    made = [with_view(f"i{i}", seen) for i in range(100)]
    empty = Upkeep(store).size()
    store.add_many(made)
    shared = Upkeep(store).shared()
    assert shared.texts == 101 and shared.uses == 200, "with a problem statement for each"
    assert sum(part.bytes for part in Upkeep(store).parts("run")) < 100_000
    assert Upkeep(store).size() - empty < 3 * len(seen)
    assert store.query() == made


CLAIMER = """
import sys
from trajectories.store import SQLStore
with SQLStore(sys.argv[1]) as store:
    for _ in range(5):
        print(store.claim_run("r"))
"""


def test_runs_that_begin_at_once_under_one_name_get_two(store, request):
    where = store.where if "://" not in store.where else request.getfixturevalue("database")
    command = [sys.executable, "-c", CLAIMER, str(where)]
    processes = [subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) for _ in range(4)]
    given = [name for process in processes for name in process.communicate(timeout=60)[0].split()]
    assert sorted(given) == sorted(["r", *(f"r-{n}" for n in range(2, 21))])
    assert store.claim_run("r", {"seed": 1}) == "r-21"
    assert store.claim_run("other") == "other"


def test_a_name_under_which_something_is_stored_is_taken(store):
    store.add(trajectory("i1", run="r.before"))
    store.add(trajectory("i2", run="r-2"))
    assert store.claim_run("r") == "r-3"


def test_it_can_be_seen_who_trains_a_run(store):
    label = store.claim_run("r")
    assert Upkeep(store).holders() == {label: this_process()}
    store.release_run(label)
    assert Upkeep(store).holders() == {}
    store.hold_run(label)
    store.hold_run("from an older store")
    assert set(Upkeep(store).holders()) == {label, "from an older store"}
    assert state_of(this_process()) == "running"
    assert state_of("") == "ended"
    assert state_of("elsewhere 1 1") == "unknown" and describe("elsewhere 1 1") == "process 1 on elsewhere"
    code = "from trajectories.storage.holders import this_process; print(this_process())"
    ended = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert state_of(ended.stdout.strip()) == "ended"
    host, number, _ = this_process().split()
    assert state_of(f"{host} {number} 12345") == "ended", "another process with the same number"


def test_what_is_deleted_goes_with_its_pairs_and_nothing_else_does(store):
    keeper = Upkeep(store)
    made = [with_view(f"i{i}", LONG + f"{i % 2}", run="s" if i > 3 else "r") for i in range(6)]
    store.add_many(made)
    ids = [t.id for t in made]
    kept = pair(made[4], made[5], id="45", run="s")
    store.add_pairs([pair(made[0], made[1], id="01"), pair(made[4], made[3], id="43"), kept])
    store.finish_mining(store.position(ids[0]), "r", [], {"asked": 1})
    store.finish_mining(store.position(ids[4]), "s", [], {"asked": 2})
    store.claim_run("t")
    last = store.position(ids[5])
    assert keeper.unused() == Unused(0, 0, 0)
    assert keeper.count(run="r") == Amount(4, 2)
    told = []
    assert keeper.delete(told.append, run="r") == Amount(4, 2)
    assert told == [4]
    assert store.query() == made[4:] and [p.id for p in store.pairs()] == ["45"]
    assert store.unmined(None) == [ids[5]]
    assert (store.funnel("r"), store.funnel("s")) == ({}, {"asked": 2})
    assert store.count(function="pkg/a.py::area") == 2 and store.get(ids[5]) == made[5]
    unused = keeper.unused()
    assert (unused.texts, unused.contexts) == (4, 3), "four statements; both observations are still named"
    assert keeper.sweep() == unused and keeper.unused() == Unused(0, 0, 0)
    assert store.query() == made[4:] and store.get_pair("45") == kept
    keeper.delete()
    keeper.sweep()
    keeper.compact()
    assert keeper.shared().texts == 0 and store.count() == 0 and keeper.holders().keys() == {"t"}
    store.add(made[0])
    assert store.get(ids[0]) == made[0] and store.position(ids[0]) > last, "no position is given twice"


def test_the_counts_of_a_set_go_with_its_last_pair(store):
    made = [trajectory(f"i{i}", run="s" if i > 1 else "r") for i in range(4)]
    store.add_many(made)
    store.claim_set("mined", {})
    store.add_funnel("mined", {"valid": 2})
    store.add_pairs([pair(made[0], made[1], id="01", run="mined"), pair(made[2], made[3], id="23", run="mined")])
    Upkeep(store).delete(run="r")
    assert store.funnel("mined") == {"valid": 2}, "it holds a pair yet"
    Upkeep(store).delete(run="s")
    assert store.funnel("mined") == {} and Upkeep(store).names("set") == []


def test_deleting_goes_on_from_where_it_was_stopped(store):
    store.add_many(trajectory(f"i{i}", status="infra_error" if i % 2 else "submitted") for i in range(1200))

    def stop(done):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        Upkeep(store).delete(stop, status="infra_error")
    assert store.count(status="infra_error") == 100
    assert Upkeep(store).delete(status="infra_error") == Amount(100, 0)
    assert store.count() == 600


def test_space_is_given_back(tmp_path):
    path = tmp_path / "store.db"
    with SQLStore(path) as store:
        store.add_many(with_view(f"i{i}", random.Random(i).randbytes(9000).hex()) for i in range(100))
        full = Upkeep(store).size()
        Upkeep(store).delete()
        Upkeep(store).sweep()
        Upkeep(store).compact()
        assert Upkeep(store).size() < full / 4
        assert path.stat().st_size == Upkeep(store).size()


def test_numbers_of_runs_and_repositories(store):
    store.add(trajectory("i1"))
    store.add(trajectory("i2", resolved=False, status="truncated", repo="q"))
    store.add(trajectory("i3", run="s", status="infra_error", verdict=None, reward=None))
    store.mark_filtered(["i1-0"], "too long")
    first, second = Upkeep(store).parts("run")
    tokens = len(trajectory("i1").token_ids())
    assert first[:6] == ("r", 2, 1, 2, 10, tokens + len(trajectory("i2").token_ids()))
    assert (first.statuses, first.filtered) == ({"submitted": 1, "truncated": 1}, {"too long": 1})
    assert (second.name, second.resolved, second.graded, second.statuses, second.filtered) == (
        "s",
        0,
        0,
        {"infra_error": 1},
        {},
    )
    assert [(p.name, p.trajectories) for p in Upkeep(store).parts("repo")] == [("pkg", 2), ("q", 1)]
    assert first.bytes > 500
    (only,) = Upkeep(store).parts("repo", run="r", resolved=False)
    assert (only.name, only.trajectories, only.statuses, only.filtered) == ("q", 1, {"truncated": 1}, {})


def test_names_are_found_by_their_end(store):
    keeper = Upkeep(store)
    store.add(trajectory("i1", files=["pkg/a.py"], functions=["pkg/a.py::Shape.area", "pkg/a.py::Shape"]))
    store.add(trajectory("i2", repo="q", files=["pkg/b.py"], functions=["pkg/b.py::area"]))
    store.add(trajectory("i3", files=["lib/pkg/a.py"], functions=[]))
    assert keeper.called("function", "area") == ["pkg/a.py::Shape.area", "pkg/b.py::area"]
    assert keeper.called("function", "area", repo="q") == ["pkg/b.py::area"]
    assert (
        keeper.called("function", "Shape.area")
        == ["pkg/a.py::Shape.area"]
        == keeper.called("function", "a.py::Shape.area")
    )
    assert keeper.called("function", "pkg/b.py::area") == ["pkg/b.py::area"]
    assert keeper.called("function", "rea") == []
    assert keeper.called("file", "a.py") == ["lib/pkg/a.py", "pkg/a.py"]
    assert keeper.called("file", "pkg/a.py") == ["pkg/a.py"], "what is a name in full is meant in full"
    assert keeper.called("file", "b.py") == ["pkg/b.py"]
