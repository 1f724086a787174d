"""The viewer shows what is stored, as text, and to nobody else."""

import os
import re
import signal
import subprocess
import sys
import threading
import urllib.request
from http.client import HTTPConnection
from pathlib import Path

import pytest
from trajectory_builders import trajectory, turn

from trajectories.store import SQLStore
from trajectories.web import Viewer

ROOT = Path(__file__).parents[2]


@pytest.fixture
def place(tmp_path):
    return str(tmp_path / "store.db")


@pytest.fixture
def serve(place):
    """Makes viewers, and ends them."""
    running = []

    def make(**options):
        viewer = Viewer(place, port=0, **options)
        running.append(viewer)
        threading.Thread(target=viewer.serve_forever, daemon=True).start()
        return viewer

    yield make
    for viewer in running:
        viewer.shutdown()
        viewer.server_close()


def get(viewer, path, **headers):
    """Status, headers and text; redirections are not followed."""
    connection = HTTPConnection("127.0.0.1", viewer.server_port, timeout=10)
    connection.request("GET", path, headers=headers)
    answer = connection.getresponse()
    return answer.status, answer.headers, answer.read().decode()


def test_from_the_runs_to_a_trajectory(serve, place):
    viewer = serve()
    assert "Nothing is stored yet" in get(viewer, "/")[2]
    assert get(viewer, "/health")[0] == 200 and not Path(place).exists()
    with SQLStore(place) as store:
        for i in range(51):
            store.add(trajectory(f"i{i}", run="a run & more"))
        store.add(trajectory("other", run="", resolved=False))
    status, _, runs = get(viewer, "/")
    (link,) = re.findall(r'href="(/run[^"]*)">a run &amp; more', runs)
    assert status == 200 and "<td>51</td>" in runs
    first, second = get(viewer, link)[2], get(viewer, f"{link}&page=2")[2]
    assert [len(re.findall(r'href="/trajectory', page)) for page in (first, second)] == [50, 1]
    assert "i50-0" in first and "i0-0" in second and "other" not in first
    (older,) = re.findall(r'href="([^"]*)">older', first)
    assert get(viewer, older.replace("&amp;", "&"))[2] == second and ">older<" not in second
    status, _, shown = get(viewer, "/trajectory?id=i7-0")
    assert status == 200 and "area gives a - b times 7" in shown and "1 of 1 tests passed" in shown


def test_who_was_not_judged_is_not_called_failed_and_a_time_that_is_none_is_shown(serve, place):
    with SQLStore(place) as store:
        store.add_many([trajectory("a"), trajectory("b", resolved=False), trajectory("c", verdict=None, reward=None)])
        store.add(trajectory("late", run="far", created_at=1.76e12))
    viewer = serve()
    _, _, runs = get(viewer, "/")
    assert "<td>3</td><td>1</td><td>1</td>" in runs and "<td>1.76e+12</td>" in runs
    listed = get(viewer, "/run?name=r")[2]
    assert re.findall(r"<td>(yes|no|not graded)</td>", listed) == ["not graded", "no", "yes"]


def test_the_funnel_of_mining_is_drawn(serve, place):
    name = "<i>set & run"
    with SQLStore(place) as store:
        store.add_funnel(name, {"commit": 999, "file": 99, "related": 9, "valid": 0})
    viewer = serve()
    _, _, first = get(viewer, "/")
    (path,) = re.findall(r'href="(/funnel[^"]*)"', first)
    status, _, text = get(viewer, path.replace("&amp;", "&"))
    assert status == 200 and "<i>" not in text
    assert re.findall(r"<td>(\w+)</td><td>(\d+)</td>.*?width: (\d+)px", text) == [
        ("commit", "999", "400"),
        ("file", "99", "267"),
        ("related", "9", "133"),
        ("valid", "0", "0"),
    ]


def test_what_was_written_is_never_mark_up(serve, place):
    evil = "<script>alert(1)</script>\"'\x1b[31m"
    with SQLStore(place) as store:
        turns = [turn("view", evil, think=evil)]
        store.add(trajectory(evil, run=evil, problem_statement=evil, turns=turns, answer=evil, agent=evil))
    viewer = serve()
    runs = get(viewer, "/")[2]
    (link,) = re.findall(r'href="(/run[^"]*)"', runs)
    trajectories = get(viewer, link)[2]
    (link,) = re.findall(r'href="(/trajectory[^"]*)"', trajectories)
    whole = get(viewer, link)[2]
    for page in (runs, trajectories, whole, get(viewer, f"/run?name={'%3Cscript%3E'}")[2]):
        assert "<script" not in page and "\x1b" not in page
        assert "&lt;script" in page
    _, headers, _ = get(viewer, "/")
    assert headers["Content-Security-Policy"].startswith("default-src 'none'; style-src 'unsafe-inline'")


@pytest.mark.parametrize(
    "path", ["/nothing", "/trajectory?id=none", "/trajectory", "/run?page=x", "/run?page=0", "/run?page=" + "9" * 30]
)
def test_what_is_not_there_is_a_sentence(path, serve, place):
    SQLStore(place).close()
    status, _, page = get(serve(), path)
    assert status == 404 and "That cannot be shown" in page and page.count(".</html>") == 1


def test_a_broken_store_is_unhealthy(serve, place):
    Path(place).write_text("this is no database " * 99)
    viewer = serve()
    assert get(viewer, "/health")[0] == 503
    assert "is not a database" in get(viewer, "/")[2]


def test_nobody_enters_without_the_token(serve, place):
    with SQLStore(place) as store:
        store.add(trajectory(run="mine"))
    viewer = serve(host="0.0.0.0", token="se cret")
    for headers in (
        {},
        {"Authorization": "Bearer wrong"},
        {"Cookie": "contextrl-viewer=wrong"},
        {"Authorization": "Bearer"},
    ):
        for path in ("/", "/run?name=mine", "/trajectory?id=i1-0", "/?token=wrong", "/?token="):
            status, _, page = get(viewer, path, **headers)
            assert status == 401 and "mine" not in page and "i1" not in page
    assert get(viewer, "/health")[0] == 200
    assert "mine" in get(viewer, "/", Authorization="Bearer se cret")[2]
    status, headers, _ = get(viewer, "/run?name=mine&token=se+cret")
    assert (status, headers["Location"]) == (303, "/run?name=mine")
    cookie = headers["Set-Cookie"]
    assert "HttpOnly" in cookie and "cret" not in cookie
    assert "i1-0" in get(viewer, headers["Location"], Cookie=f"other=1; {cookie.partition(';')[0]}")[2]


def test_beyond_loopback_a_token_is_needed(place):
    with pytest.raises(ValueError, match="without a token the viewer listens on loopback only"):
        Viewer(place, host="0.0.0.0", port=0)


def test_a_foreign_name_for_this_machine_is_refused(serve, place):
    """A page of somebody else's may have its own name resolved to 127.0.0.1 and read what answers there."""
    viewer = serve()
    assert get(viewer, "/", Host="evil.example:8600")[0] == 401
    assert get(viewer, "/", Host="localhost:8600")[0] == 200


def test_the_command_ends_when_told(place):
    SQLStore(place).close()
    command = [sys.executable, "-m", "contextrl", "view", "--store", place, "--port", "0"]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    url = process.stdout.readline().strip()
    assert urllib.request.urlopen(url, timeout=10).status == 200
    process.send_signal(signal.SIGTERM)
    assert process.wait(10) == 0 and process.stderr.read() == ""


def test_the_command_tells_what_is_wrong(place):
    command = [sys.executable, "-m", "contextrl", "view", "--store", place]
    ran = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert ran.returncode == 2 and ran.stderr.startswith("There is no trajectory store at")


def test_it_needs_little():
    """What the viewer's image does not have."""
    code = (
        "import sys, trajectories.web; sys.exit(bool({'torch', 'numpy', 'yaml', 'typer', 'jinja2'} & set(sys.modules)))"
    )
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=environment, check=False).returncode == 0
