"""Work spread over processes: in order, and nothing is left or waited for when one dies."""

import os
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import pytest

from trajectories.mining.workers import WorkerDied, spread


def times(factor):
    return partial(product, factor)


def product(factor, job):
    if job == "die":
        os.kill(os.getpid(), signal.SIGKILL)
    if job == "leave":
        os._exit(3)
    if job == "fail":
        raise ValueError("no such job")
    time.sleep(job % 3 / 100)
    return factor * job


def test_results_come_in_the_order_of_the_jobs():
    assert list(spread(3, times, (2,), range(40))) == [2 * i for i in range(40)]


@pytest.mark.parametrize(
    ("job", "error", "says"),
    [
        ("die", WorkerDied, "killed \\(SIGKILL.*--processes 1"),
        ("leave", WorkerDied, "code 3"),
        ("fail", ValueError, "no such job"),
    ],
)
def test_the_end_of_a_process_is_told_at_once(job, error, says):
    begun = time.monotonic()
    found = []
    with pytest.raises(error, match=says):
        found.extend(spread(2, times, (2,), [1, 2, job, *range(400)]))
    assert found in ([], [2], [2, 4])
    assert time.monotonic() - begun < 10
    assert not children(os.getpid(), "spawn_main")


def test_who_stops_listening_leaves_no_process():
    results = spread(2, times, (2,), range(400))
    assert next(results) == 0
    results.close()
    assert not children(os.getpid(), "spawn_main")


def test_ctrl_c_is_told_once(tmp_path):
    """It goes to all processes of a terminal, also while they start."""
    program = tmp_path / "work.py"
    program.write_text(
        "import sys\n"
        f"sys.path[:0] = [{str(Path(__file__).parent)!r}, {str(Path(__file__).parents[2])!r}]\n"
        "from test_workers import times\n"
        "from trajectories.mining.workers import spread\n"
        "if __name__ == '__main__':\n"
        "    print('begun', flush=True)\n"
        "    for found in spread(2, times, (2,), range(100_000)):\n"
        "        print(found, flush=True)\n"
    )
    for wait in (0.0, 0.3, 1.5):
        process = subprocess.Popen(
            [sys.executable, str(program)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            start_new_session=True,
        )  # fmt: skip
        assert process.stdout.readline() == "begun\n"
        time.sleep(wait)
        os.killpg(process.pid, signal.SIGINT)
        _, said = process.communicate(timeout=20)
        assert said.count("Traceback") == 1, said
        assert said.rstrip().endswith("KeyboardInterrupt")


def children(pid, kind):
    """Command lines of the processes that this one has started, of one kind."""
    ids = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    lines = [Path(f"/proc/{child}/cmdline").read_text().replace("\0", " ") for child in ids]
    return [line for line in lines if kind in line]
