"""`contextrl traj gc` that is stopped, by Ctrl-C or by kill -9."""

import signal
import sqlite3
import subprocess
import sys

import pytest
from test_cli import contextrl, refused
from test_traj import made

from trajectories.store import SQLStore

STOPPED = """
import os, signal, sys
from contextrl.cli import main
from trajectories.storage.upkeep import Upkeep

moment, kind = sys.argv.pop(1), int(sys.argv.pop(1))
whole = getattr(Upkeep, moment)
def stopped(self, *given, **more):
    if moment == "delete":
        given = (lambda done: os.kill(os.getpid(), kind),)
    else:
        os.kill(os.getpid(), kind)
    return whole(self, *given, **more)
setattr(Upkeep, moment, stopped)
main()
"""


@pytest.mark.parametrize("kind", [signal.SIGINT, signal.SIGKILL])
@pytest.mark.parametrize("moment", ["delete", "sweep", "compact"])
def test_gc_that_is_stopped_leaves_a_store_that_is_whole_and_the_same_command_goes_on(moment, kind, tmp_path):
    path = str(tmp_path / "store.db")
    with SQLStore(path) as opened:
        opened.add_many(made(i, id=f"{i:032}", run="keep" if i % 3 == 0 else "quick") for i in range(1500))
    command = ("traj", "gc", "--run", "quick", "--yes", "--store", path)
    done = subprocess.run(
        [sys.executable, "-c", STOPPED, moment, str(int(kind)), *command], capture_output=True, text=True, check=False
    )
    if kind == signal.SIGINT:
        assert done.returncode == 130 and "The store is whole, and the same command goes on." in done.stderr
        assert "Traceback" not in done.stderr
    else:
        assert done.returncode == -signal.SIGKILL
    with sqlite3.connect(path) as raw:
        assert raw.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    with SQLStore(path) as opened:
        assert opened.count(run="keep") == 500 and opened.count(run="quick") == (500 if moment == "delete" else 0)
    assert "there is no run 'quic'" in contextrl("traj", "gc", "--run", "quic", "--yes", "--store", path).stderr
    result = contextrl(*command)
    assert result.exit_code == 0 and "The database took" in result.stdout
    with sqlite3.connect(path) as raw:
        assert raw.execute("PRAGMA freelist_count").fetchone() == (0,)
        assert raw.execute("SELECT count(*) FROM blobs").fetchone() == (501,)
    assert "there is no run 'quick'" in refused(*command), "nothing is left to go on with"
