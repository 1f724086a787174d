"""The store keeps everything exactly, finds it by every index, survives kill -9, and says plainly what is wrong."""

import signal
import sqlite3
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy.dialects.sqlite import dialect
from trajectory_builders import pair, trajectory

from trajectories.protocol import Bucket, RightAnswer, StoreError, StoreMissing
from trajectories.records import ToolCall, Trajectory, Turn, Verdict
from trajectories.storage.codec import LARGE, decode, encode, unpack
from trajectories.storage.lives import LIVING
from trajectories.storage.statements import NEIGHBOURS
from trajectories.store import SQLStore

ROOT = Path(__file__).parents[2]


ids = st.lists(st.integers(0, 2**31 - 1), max_size=6)
floats = st.floats(allow_nan=False)
text = st.text(max_size=20)
turns = st.builds(
    Turn,
    prompt_ids=ids,
    completion_ids=ids,
    logprobs=st.lists(floats, max_size=6),
    text=text,
    observation=text | text.map(lambda t: t * LARGE),
    tool_call=st.builds(ToolCall, name=text, arguments=st.dictionaries(text, text, max_size=2)),
)
trajectories = st.builds(
    Trajectory,
    instance_id=text,
    repo=text,
    base_commit=text,
    problem_statement=text,
    turns=st.lists(turns, max_size=4),
    verdict=st.none() | st.builds(Verdict, resolved=st.booleans()),
    reward=st.none() | st.floats(-1, 1),
    extra=st.dictionaries(text, st.none() | st.booleans() | st.integers() | text, max_size=3),
)


@given(trajectories)
def test_encoding_keeps_every_bit(t):
    e = encode(t)
    texts = {key: unpack(text).decode() for key, text in e.texts.items()}
    assert decode(e.document, e.tokens, e.blobs, texts) == t
    assert [x.text for x in decode(e.document, None, e.blobs, texts).turns] == [x.text for x in t.turns]


@settings(max_examples=20)
@given(trajectories)
def test_what_goes_in_comes_out(t):
    with SQLStore("sqlite://") as store:
        store.add(t)
        assert store.get(t.id) == t
        assert store.query() == [t]


def test_every_filter_finds_and_excludes(store):
    t = trajectory(group="g1", policy_version=3, iteration=2, agent="tools")
    other = trajectory(
        "i2",
        run="s",
        repo="q",
        base_commit="d" * 40,
        resolved=False,
        function="volume",
        file="pkg/b.py",
        status="truncated",
        group="g2",
        policy_version=4,
        iteration=5,
        agent="expert",
    )
    store.add(t)
    store.add(other)
    wanted = {
        "run": "r",
        "repo": "pkg",
        "base_commit": "c" * 40,
        "file": "pkg/a.py",
        "function": "pkg/a.py::area",
        "resolved": True,
        "policy_version": 3,
        "iteration": 2,
        "group": "g1",
        "instance_id": "i1",
        "status": "submitted",
        "agent": "tools",
    }
    for name, value in wanted.items():
        assert [s.id for s in store.summaries(**{name: value})] == [t.id], name
        assert store.count(**{name: value}) == 1
    assert store.query(**wanted) == [t]
    assert store.query(run="r", resolved=False) == []
    assert store.count(run=None) == 2
    with pytest.raises(StoreError, match="filtered by 'colour'"):
        store.query(colour="red")


def test_order_limit_and_summaries(store):
    for i in range(5):
        store.add(trajectory(f"i{i}"))
    assert [t.instance_id for t in store.query(limit=2)] == ["i0", "i1"]
    assert [t.instance_id for t in store.query(limit=2, order="newest")] == ["i4", "i3"]
    first = store.summaries()[0]
    assert (first.turns, first.tokens, first.functions) == (5, len(trajectory().token_ids()), ["pkg/a.py::area"])


def test_adding_twice_changes_nothing_and_a_conflict_is_refused(store):
    told = []
    store.subscribe(told.append)
    store.add(trajectory())
    store.add(trajectory())
    with pytest.raises(StoreError, match="already stored with other contents"):
        store.add(trajectory(reward=0.5))
    assert store.count() == 1
    assert told == [trajectory()]


def test_a_subscription_ends(store):
    told = []
    end = store.subscribe(told.append)
    end()
    store.add(trajectory())
    assert told == []


def test_text_that_is_no_unicode_is_refused(store):
    with pytest.raises(StoreError, match="not Unicode"):
        store.add(trajectory(problem_statement="\ud800"))
    assert store.count() == 0


def test_failures_are_kept(store):
    store.add(trajectory("dead", status="infra_error", verdict=None, reward=None, patch="", files=[], functions=[]))
    assert store.get("dead-0").reward is None
    (run,) = store.runs()
    assert (run.trajectories, run.resolved, run.graded, run.infra_errors) == (1, 0, 0, 1)


def test_who_was_not_judged_is_neither_resolved_nor_failed(store):
    store.add_many([trajectory("yes"), trajectory("no", resolved=False)])
    store.add_many([trajectory("open", verdict=None, reward=None), trajectory("late", verdict=None, reward=0.0)])
    found = {name: [s.instance_id for s in store.summaries(**{name: False})] for name in ("resolved", "graded")}
    assert found == {"resolved": ["no", "late"], "graded": ["open"]}
    assert [s.instance_id for s in store.summaries(graded=True)] == ["yes", "no", "late"]
    assert [s.outcome for s in store.summaries()] == [True, False, None, False]
    assert (store.runs()[0].resolved, store.runs()[0].graded) == (1, 3)


def test_buckets_hold_what_touches_them_newest_first(store):
    for i, function in enumerate(["area", "volume", "area", "area"]):
        store.add(trajectory(f"i{i}", function=function))
    store.add(trajectory("elsewhere", base_commit="d" * 40))
    store.add(trajectory("other run", run="s"))
    store.add(trajectory("other repository", repo="q"))
    bucket = Bucket("function", "pkg/a.py::area", "pkg", "c" * 40, "r")
    before = store.position("i3-0")
    assert [s.instance_id for s in store.neighbours(bucket, before=before, limit=9)] == ["i2", "i0"]
    assert [s.instance_id for s in store.neighbours(bucket, before=before, limit=1)] == ["i2"]
    assert store.bucket_sizes({bucket: 0}, before=before) == {bucket: 2}
    assert store.bucket_sizes({bucket: store.position("i0-0")}, before=before) == {bucket: 1}
    assert store.bucket_sizes({replace(bucket, run=None): 0}, before=99) == {replace(bucket, run=None): 4}
    anywhere = replace(bucket, base_commit=None)
    assert [s.instance_id for s in store.neighbours(anywhere, before=99, limit=2)] == ["elsewhere", "i3"]
    assert store.bucket_sizes({anywhere: 0, replace(anywhere, run=None): before}, before=99) == {
        anywhere: 4,
        replace(anywhere, run=None): 2,
    }


@pytest.mark.parametrize(
    ("any_commit", "range_"),
    [
        (False, "SEARCH touches USING PRIMARY KEY (place=? AND base_commit=? AND position<?)"),
        (True, "SEARCH touches USING COVERING INDEX touches_of_any_commit (place=? AND position<?)"),
    ],
)
@pytest.mark.parametrize("any_run", [True, False])
def test_a_bucket_is_one_range_of_the_index(any_commit, any_run, range_, path):
    SQLStore(path).close()
    query = str(NEIGHBOURS[any_commit, any_run].compile(dialect=dialect()))
    with sqlite3.connect(path) as raw:
        plan = [row[3] for row in raw.execute(f"EXPLAIN QUERY PLAN {query}", [1] * query.count("?"))]
    assert range_ in plan and not any("SCAN touches" in step or "SCAN trajectories" in step for step in plan)


def test_the_pairs_of_a_function_are_counted_by_its_own_index(path):
    SQLStore(path).close()
    query = str(LIVING.compile(dialect=dialect()))
    with sqlite3.connect(path) as raw:
        plan = [row[3] for row in raw.execute(f"EXPLAIN QUERY PLAN {query}", [1] * query.count("?"))]
    assert plan == ["SEARCH pairs USING INDEX pairs_by_function (function=?)"]


def test_pairs_come_back_and_are_kept_once(store):
    a, b = trajectory("i1"), trajectory("i2", shown=("-", 7), right=("+", 7))
    p = pair(a, b, similarity=0.5, reasons=["because"], created_at=2.0)
    assert store.add_pairs([p, p]) == [p]
    assert store.add_pairs([pair(a, b)]) == []
    assert store.add_pairs([pair(b, a, stage="file")]) != []
    assert store.pairs(stage="function") == [p] == store.pairs(limit=1)
    assert store.get_pair(p.id) == p
    assert store.pair_use([a.id, b.id, "none"], "file") == {a.id: 1, b.id: 1, "none": 0}
    assert store.count_pairs(run="r", judgement="valid") == 2
    assert store.runs() == []
    with pytest.raises(StoreError, match="already stored"):
        store.add_pairs([pair(a, a, id=p.id)])
    with pytest.raises(StoreError, match="no pair nothing"):
        store.get_pair("nothing")


def test_another_run_keeps_its_own_pairs(store):
    a, b = trajectory("i1"), trajectory("i2")
    assert store.add_pairs([pair(a, b)])
    assert store.add_pairs([pair(a, b, run="s")])


def test_a_decided_pair_replaces_an_uncertain_one_only(store):
    a, b = trajectory("i1"), trajectory("i2")
    store.add_pairs([pair(a, b, judgement="uncertain", reasons=["?"])])
    assert store.add_pairs([pair(a, b, judgement="uncertain")]) == []
    assert len(store.add_pairs([pair(a, b, judgement="valid", confounder_answer="x")])) == 1
    assert store.add_pairs([pair(a, b, judgement="invalid")]) == []
    (stored,) = store.pairs()
    assert (stored.judgement, stored.reasons, stored.confounder_answer) == ("valid", [], "x")


def test_a_stored_pair_is_judged_again_and_nothing_else_of_it_changes(store):
    first, other = pair(trajectory("i1"), trajectory("i2")), pair(trajectory("i3"), trajectory("i4"))
    store.add_pairs([first, other])
    store.rejudge_pairs([first.model_copy(update={"judgement": "uncertain", "reasons": ["?"], "answer": "x"})])
    judged, same = store.pairs()
    assert judged == first.model_copy(update={"judgement": "uncertain", "reasons": ["?"]}) and same == other


def test_the_funnel_adds_up(store):
    store.add_funnel("r", {"commit": 2, "file": 1})
    store.add_funnel("r", {"commit": 3})
    assert store.funnel("r") == {"commit": 5, "file": 1}
    assert store.funnel("s") == {}


def test_mining_is_finished_once(store):
    a, b = trajectory("i1"), trajectory("i2")
    store.add(a)
    store.add(b)
    position = store.position(b.id)
    assert len(store.finish_mining(position, "r", [pair(a, b)], {"asked": 1})) == 1
    assert store.finish_mining(position, "r", [pair(b, a)], {"asked": 1}) == []
    assert (store.funnel("r"), store.count_pairs(), store.unmined("r")) == ({"asked": 1}, 1, [a.id])


def test_right_answers_are_those_of_resolved_trajectories(store):
    store.add(trajectory("i1", resolved=False, right=("*", 9)))
    store.add(right := trajectory("i1", number=1))
    store.add(trajectory("i1", number=2, right=("*", 9)))
    store.add(trajectory("i2", resolved=False))
    assert store.right_answers(["i1", "i2", "i3"]) == {"i1": RightAnswer(right.answer, right.patch)}
    assert store.right_answers(["i1"], run="s") == {}


@pytest.mark.parametrize("where", ["file", "memory"])
def test_threads_share_a_store(where, path):
    with SQLStore(path if where == "file" else "sqlite://") as store, ThreadPoolExecutor(16) as threads:
        list(threads.map(lambda i: store.add(trajectory(f"i{i}")), range(64)))
        assert len({t.id for t in threads.map(lambda i: store.get(f"i{i}-0"), range(64))}) == 64


WRITER = """
import sys
from trajectory_builders import pair, trajectory
from trajectories.store import SQLStore
with SQLStore(sys.argv[1]) as store:
    for i in range(int(sys.argv[3])):
        store.add(trajectory(f"{sys.argv[2]}.{i}"))
        print(f"{sys.argv[2]}.{i}-0", flush=True)
"""


def writer(path: Path, name: str, count: int, before: str = "") -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", before + WRITER, str(path), name, str(count)],
        cwd=ROOT,
        env={"PYTHONPATH": f"{ROOT}:{Path(__file__).parent}"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_processes_share_a_store_from_its_first_moment(path):
    writers = [writer(path, f"w{i}", 20) for i in range(4)]
    for process in writers:
        _, err = process.communicate(timeout=60)
        assert process.returncode == 0, err
    with SQLStore(path, create=False) as store:
        assert store.count() == 80


def test_kill_9_loses_at_most_what_was_being_written(path):
    process = writer(path, "w", 100_000)
    told = [process.stdout.readline().strip() for _ in range(50)]
    process.send_signal(signal.SIGKILL)
    told += process.stdout.read().split()  # with what readline had read ahead, which `communicate` would lose
    process.wait()
    whole = [line for line in told if line.endswith("-0")]
    with SQLStore(path) as store:
        kept = store.query()
        assert set(whole) <= {t.id for t in kept}
        assert len(kept) <= len(whole) + 1
        assert all(t == trajectory(t.instance_id) for t in kept)
        store.add(trajectory("after"))
    with sqlite3.connect(path) as raw:
        assert raw.execute("PRAGMA integrity_check").fetchall() == [("ok",)]


def test_a_full_disk_is_one_sentence_and_loses_nothing(path):
    with SQLStore(path) as store:
        store.add(trajectory("kept"))
    limit = "import resource, signal; resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, 300_000))\n"
    process = writer(path, "w", 100_000, before=limit)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 1
    assert "what was stored before is intact" in err.strip().splitlines()[-1]
    with SQLStore(path) as store:
        assert {"kept-0", *out.split()} <= {s.id for s in store.summaries()}


def test_a_locked_store_is_one_sentence(path):
    with SQLStore(path, timeout_s=0.1) as store, sqlite3.connect(path, isolation_level=None) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(StoreError, match=r"is locked by another process for more than 0.1 s"):
            store.add(trajectory())
        assert store.count() == 0  # readers are not held up
        other.execute("ROLLBACK")
        store.add(trajectory())
        assert store.count() == 1


def test_places_that_are_no_store(tmp_path):
    (tmp_path / "text").write_text("this is a text, and by no means a database " * 99)
    with sqlite3.connect(tmp_path / "other.db") as raw:
        raw.execute("CREATE TABLE mine (x)")
    for place, message in [
        (tmp_path / "text", "is not a database"),
        (tmp_path / "other.db", "not a trajectory store"),
        (tmp_path, "is a folder"),
        (tmp_path / "text" / "store.db", "cannot be made"),
        ("nothing+at://all", "a kind of database that holds no trajectory store: give the path of a file, or postgres"),
        ("mysql://me:secret@host/x", r"mysql://me:\*\*\*@host/x is of a kind"),
        ("", "has no name: give the path"),
        ("://", "neither a path nor a database URL"),
    ]:
        with pytest.raises(StoreError, match=message):
            SQLStore(place)
    with pytest.raises(StoreError, match="no trajectory store at"):
        SQLStore(tmp_path / "missing.db", create=False)
    assert not (tmp_path / "missing.db").exists()


@pytest.mark.parametrize("create", [True, False])
@pytest.mark.parametrize("kind", ["other", "store_meta", "wal", "text"])
def test_what_is_not_ours_is_not_changed_by_looking(kind, create, tmp_path):
    place = tmp_path / "other.db"
    with sqlite3.connect(place) as raw:
        raw.execute("PRAGMA journal_mode=WAL" if kind == "wal" else "PRAGMA journal_mode=DELETE")
        raw.execute("CREATE TABLE store_meta (a, b)" if kind == "store_meta" else "CREATE TABLE mine (x)")
    raw.close()
    if kind == "text":
        place.write_text("by no means a database " * 99)
    before = place.read_bytes()
    with pytest.raises(StoreError, match=r"not a (trajectory store|database)"):
        SQLStore(place, create=create)
    assert place.read_bytes() == before and [p.name for p in tmp_path.iterdir()] == ["other.db"]


def test_another_program_that_is_at_work_is_not_disturbed(tmp_path):
    place = tmp_path / "other.db"
    with sqlite3.connect(place) as raw:
        raw.execute("PRAGMA journal_mode=WAL")
        raw.execute("CREATE TABLE mine (x)")
        raw.commit()
        log = Path(f"{place}-wal").read_bytes()
        with pytest.raises(StoreError, match="not a trajectory store"):
            SQLStore(place)
        assert Path(f"{place}-wal").read_bytes() == log
        raw.execute("INSERT INTO mine VALUES (1)")


def test_an_empty_file_becomes_a_store_only_when_one_is_to_be_made(path):
    path.parent.mkdir()
    path.touch()
    with pytest.raises(StoreMissing, match="no trajectory store at"):
        SQLStore(path, create=False)
    assert path.read_bytes() == b""
    with SQLStore(path) as store:
        store.add(trajectory())
    with SQLStore(path, create=False) as store:
        assert store.count() == 1


def test_a_store_in_memory_cannot_be_there_already():
    with pytest.raises(StoreMissing, match="in memory begins empty: give the path of a file"):
        SQLStore("sqlite://", create=False)


def test_a_number_that_no_column_holds_is_one_sentence(path):
    with SQLStore(path) as store:
        with pytest.raises(StoreError, match="A number is too large for the trajectory store"):
            store.add(trajectory(policy_version=10**30))
        with pytest.raises(StoreError, match="A number is too large"):
            store.summaries(policy_version=10**30)
        assert store.count() == 0


def test_another_schema_version_is_refused(path):
    SQLStore(path).close()
    with sqlite3.connect(path) as raw:
        raw.execute("UPDATE store_meta SET value = '999'")
    with pytest.raises(StoreError, match="schema version 999, this program reads version 4"):
        SQLStore(path)


def test_a_damaged_file_is_one_sentence(path):
    with SQLStore(path) as store:
        for i in range(50):
            store.add(trajectory(f"i{i}"))
    with path.open("r+b") as file:
        file.seek(4096)
        file.write(b"\xff" * 4096 * 8)
    with pytest.raises(StoreError, match="damaged"), SQLStore(path) as store:
        store.query()


def test_unknown_ids(store):
    with pytest.raises(StoreError, match="no trajectory x"):
        store.get("x")
    with pytest.raises(StoreError, match="no trajectory x"):
        store.position("x")
    assert store.get_many(["x"]) == {}


def test_closing_twice_is_fine(path):
    store = SQLStore(path)
    store.close()
    store.close()


def test_no_torch_and_quick():
    code = "import sys, trajectories.store, trajectories.mining.miner; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0


def test_a_url_is_a_path_too(tmp_path):
    with SQLStore(f"sqlite:///{tmp_path}/store.db") as store:
        store.add(trajectory())
    with SQLStore(tmp_path / "store.db", create=False) as store:
        assert store.count() == 1
