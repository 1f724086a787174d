"""What happens to a store that real accidents happen to: one clear sentence, and nothing that was told is lost."""

import os
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest
import sqlalchemy as sa
from test_migrations import DATA, TRAJECTORIES
from test_store import ROOT, writer
from trajectory_builders import trajectory

from trajectories.protocol import StoreError
from trajectories.store import SQLStore


@pytest.fixture
def path(tmp_path):
    return tmp_path / "store.db"


@pytest.mark.slow
def test_kill_9_again_and_again_while_others_write(path):
    """Three processes write; one after the other is killed and followed by a new one."""
    rng, told, killed = random.Random(0), set(), 0
    writers = [writer(path, f"w{i}", 100_000) for i in range(3)]
    while writers:
        process = writers.pop(0)
        told |= {process.stdout.readline().strip() for _ in range(rng.randint(5, 60))}
        process.send_signal(signal.SIGKILL)
        told |= {line for line in process.stdout.read().split() if line.endswith("-0")}
        process.wait()
        killed += 1
        if killed < 10:
            writers.append(writer(path, f"w{killed + 2}", 100_000))
    assert len(told) > 100
    with sqlite3.connect(path) as raw:
        assert raw.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    with SQLStore(path) as store:
        kept = store.query()
        assert told <= {t.id for t in kept}
        assert len(kept) <= len(told) + killed, "each lost what it was telling, and no more"
        assert all(t == trajectory(t.instance_id) for t in kept)
        assert store.count(function="pkg/a.py::area") == len(kept)
        store.add(trajectory("after"))


def test_kill_9_in_the_middle_of_an_upgrade_leaves_the_older_store(path):
    shutil.copy(DATA / "version_1.db", path)
    code = f"""
import os, signal
from trajectories.store import SQLStore
def die(done, of):
    if done == {len(TRAJECTORIES)}:
        os.kill(os.getpid(), signal.SIGKILL)
SQLStore({str(path)!r}, progress=die)
"""
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == -signal.SIGKILL
    with sqlite3.connect(path) as raw:
        assert raw.execute("SELECT value FROM store_meta").fetchall() == [("1",)]
        assert raw.execute("SELECT count(*) FROM touches WHERE stage = 'repo'").fetchone() == (len(TRAJECTORIES),)
    with SQLStore(path) as store:
        assert store.query() == TRAJECTORIES


FULL = """
import sys
from pathlib import Path
from trajectory_builders import trajectory
from trajectories.protocol import StoreError
from trajectories.store import SQLStore

folder, ballast = Path(sys.argv[1]), Path(sys.argv[1]) / "ballast"
ballast.write_bytes(bytes(1_000_000))
told = []
with SQLStore(folder / "store.db") as store:
    try:
        for i in range(100_000):
            store.add(trajectory(f"i{i}"))
            told.append(f"i{i}-0")
    except StoreError as error:
        print(error)
    ballast.unlink()
    store.add(trajectory("after"))
with SQLStore(folder / "store.db") as store:
    kept = store.query()
    assert [t.id for t in kept] == [*told, "after-0"], (len(kept), len(told))
    assert all(t == trajectory(t.instance_id) for t in kept)
print(len(told))
"""


def test_a_disk_that_is_really_full_loses_nothing_and_writing_goes_on_when_there_is_room(tmp_path):
    """On a small file system of its own, in a namespace of its own."""
    mount = 'mount -t tmpfs -o size=4m tmpfs "$1" && exec "$2" -c "$3" "$1"'
    done = subprocess.run(
        ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c", mount, "", str(tmp_path), sys.executable, FULL],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": f"{ROOT}:{Path(__file__).parent}"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    said, count = done.stdout.strip().splitlines()
    assert "what was stored before is intact" in said and "Traceback" not in said
    assert int(count) > 20


def test_a_store_that_may_only_be_read(path, tmp_path):
    """Nobody is refused a look; a write is one sentence. Not as root, who may write everything."""
    with SQLStore(path) as store:
        store.add(trajectory("kept"))
    code = f"""
import os
from trajectory_builders import trajectory
from trajectories.protocol import StoreError
from trajectories.store import SQLStore
if os.getuid() == 0:
    os.setgroups([])
    os.setgid(65534)
    os.setuid(65534)
with SQLStore({str(path)!r}) as store:
    assert store.query() == [trajectory("kept")]
    try:
        store.add(trajectory("new"))
    except StoreError as error:
        print(error)
"""
    for file in path.parent.iterdir():
        file.chmod(0o444)
    for folder in (path.parent, *(p for p in path.parents if p.stat().st_uid == os.getuid() and p != Path("/"))):
        folder.chmod(0o555 if folder == path.parent else folder.stat().st_mode | 0o555)
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        env={"PYTHONPATH": f"{ROOT}:{Path(__file__).parent}"},
        capture_output=True,
        text=True,
        check=False,
    )
    path.parent.chmod(0o755)
    assert "cannot be written: its file or folder is read-only" in done.stdout, done.stderr
    with SQLStore(path) as store:
        assert store.query() == [trajectory("kept")]


def test_a_text_that_is_gone_is_told(path):
    with SQLStore(path) as store:
        store.add(trajectory("i1"))
        with sqlite3.connect(path) as raw:
            raw.execute("DELETE FROM blobs")
        with pytest.raises(StoreError, match="the store is damaged; restore a copy"):
            store.get("i1-0")


def test_a_token_id_that_is_none_is_refused(path):
    t = trajectory("i1")
    turn = t.turns[0].model_copy(update={"completion_ids": [2**40], "logprobs": [0.0]})
    with SQLStore(path) as store:
        with pytest.raises(StoreError, match="token id beyond 32 bits"):
            store.add(t.model_copy(update={"turns": [turn]}))
        assert store.count() == 0


def test_ctrl_c_in_the_middle_of_a_write_lets_go_of_the_lock(tmp_path):
    """Also while the interruption is being handled, when there may be something left to write."""

    def stop(number, frame):
        raise KeyboardInterrupt

    rows = sa.text("WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT i FROM n")
    with SQLStore(tmp_path / "store.db", timeout_s=0.5) as store:
        before = signal.signal(signal.SIGALRM, stop)
        signal.setitimer(signal.ITIMER_REAL, 0.2)
        try:
            store.database.write(lambda connection: sum(1 for _ in connection.execute(rows)))
        except KeyboardInterrupt:
            store.add(trajectory())
        finally:
            signal.signal(signal.SIGALRM, before)
        assert store.count() == 1
