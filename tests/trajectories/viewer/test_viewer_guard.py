"""The viewer shows what is stored to nobody else, and says what is wrong."""

import os
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path

import pytest
from starlette.testclient import TestClient
from trajectory_builders import trajectory

from trajectories.store import SQLStore
from trajectories.viewer.app import make_app
from trajectories.viewer.serving import Viewer

ROOT = Path(__file__).parents[3]


def guarded(place, token=""):
    return TestClient(make_app(place, token=token), base_url="http://localhost", follow_redirects=False)


def test_nobody_enters_without_the_token(store, place):
    store.add(trajectory(run="mine"))
    viewer = guarded(place, "se cret")
    for headers in (
        {},
        {"Authorization": "Bearer wrong"},
        {"Cookie": "contextrl-viewer=wrong"},
        {"Cookie": 'contextrl-viewer="'},
        {"Authorization": "Bearer"},
    ):
        for path in (
            "/",
            "/run?name=mine",
            "/trajectory?id=i1-0",
            "/pulse",
            "/text?id=i1-0",
            "/?token=wrong",
            "/?token=",
        ):
            answer = viewer.get(path, headers=headers)
            assert answer.status_code == 401 and "mine" not in answer.text and "i1" not in answer.text
    assert viewer.get("/health").status_code == 200
    assert viewer.get("/static/viewer.css").status_code == 200
    assert "mine" in viewer.get("/", headers={"Authorization": "Bearer se cret"}).text


def test_who_gave_the_token_once_needs_no_other(store, place):
    store.add(trajectory(run="mine"))
    viewer = guarded(place, "se cret")
    answer = viewer.get("/run?name=mine&token=se+cret")
    assert (answer.status_code, answer.headers["Location"]) == (303, "/run?name=mine")
    cookie = answer.headers["Set-Cookie"]
    assert "HttpOnly" in cookie and "cret" not in cookie
    given = {"Cookie": f"other=1; {cookie.partition(';')[0]}"}
    assert "Run mine" in viewer.get(answer.headers["Location"], headers=given).text


def test_the_token_leads_nowhere_else(place):
    answer = guarded(place, "t").get("http://localhost//evil.example/?token=t")
    assert answer.headers["Location"] == "/evil.example/"


def test_beyond_loopback_a_token_is_needed(place):
    with pytest.raises(ValueError, match="without a token the viewer listens on loopback only"):
        Viewer(place, host="0.0.0.0", port=0)


@pytest.mark.parametrize(("token", "said"), [("x", "can be guessed"), ("\udcff" * 20, "ASCII characters only")])
def test_a_token_that_is_none_is_refused(place, token, said):
    with pytest.raises(ValueError, match=said):
        Viewer(place, port=0, token=token)


def test_a_port_that_is_taken_is_a_sentence(place):
    with (
        Viewer(place, port=0) as viewer,
        pytest.raises(ValueError, match=f"cannot listen on 127.0.0.1, port {viewer.port}: something else listens"),
    ):
        Viewer(place, port=viewer.port)


@pytest.mark.parametrize(
    "host", ["evil.example:8600", "evil.example", "", "[", "localhost.evil.example", "127.0.0.1.nip"]
)
def test_a_foreign_name_for_this_machine_is_refused(client, host):
    """A page of somebody else's may have its own name resolved to 127.0.0.1 and read what answers there."""
    answer = client.get("/", headers={"Host": host})
    assert answer.status_code == 421 and "answers to names of this machine only" in answer.text
    assert "token=..." not in answer.text
    assert client.get("/health", headers={"Host": host}).status_code == 421


@pytest.mark.parametrize("host", ["localhost:8600", "127.0.0.1", "[::1]:8600", "127.1.2.3", "localhost.", "LOCALHOST"])
def test_this_machine_is_served_under_its_own_names(client, host):
    assert client.get("/", headers={"Host": host}).status_code == 200


@pytest.mark.parametrize("path", ["/", "/nothing", "/pulse", "/static/viewer.js", "/trajectory?id=x"])
def test_no_page_may_run_or_load_what_is_not_the_viewers_own(client, path):
    headers = client.get(path).headers
    policy = headers["Content-Security-Policy"]
    assert policy.startswith("default-src 'none'; script-src 'self'; style-src 'self'")
    assert "unsafe" not in policy and headers["X-Content-Type-Options"] == "nosniff"


def test_nothing_can_be_written(client):
    for method in ("POST", "PUT", "DELETE", "PATCH"):
        answer = client.request(method, "/")
        assert answer.status_code == 405 and "The viewer only shows what is stored." in answer.text


def test_a_store_that_comes_later_is_shown(client, place):
    assert "Nothing is stored yet" in client.get("/").text
    assert client.get("/pulse").json()["pulse"] == ""
    assert client.get("/health").text == "There is no store yet." and not Path(place).exists()
    answer = client.get("/trajectory?id=x")
    assert answer.status_code == 404 and "<title>Nothing is stored yet" in answer.text
    with SQLStore(place) as store:
        assert "no trajectories yet" in client.get("/").text
        store.add(trajectory(run="mine"))
    assert "mine" in client.get("/").text
    Path(place).unlink()
    assert "There is no trajectory store" in client.get("/pulse").json()["problem"]
    with SQLStore(place) as store:
        store.add(trajectory(run="other"))
    assert "other" in client.get("/").text and "mine" not in client.get("/").text


def test_a_broken_store_is_unhealthy(client, place):
    Path(place).write_text("this is no database " * 99)
    assert client.get("/health").status_code == 503
    answer = client.get("/pulse")
    assert answer.status_code == 503 and "is not a database" in answer.json()["problem"]
    for path in ("/", "/trajectory?id=x", "/text?id=x"):
        answer = client.get(path)
        assert answer.status_code == 503 and "is not a database" in answer.text
    assert 'data-live="yes"' in client.get("/").text


def test_it_is_served_over_a_socket_and_ends(store, place):
    store.add(trajectory(run="mine"))
    with Viewer(place, port=0) as viewer:
        assert b"mine" in urllib.request.urlopen(viewer.url, timeout=10).read()
    with pytest.raises(urllib.error.URLError):
        urllib.request.urlopen(viewer.url, timeout=1)


@pytest.mark.parametrize("program", [["contextrl", "view"], ["trajectories.viewer"]])
def test_the_command_ends_when_told(store, place, program):
    command = [sys.executable, "-m", *program, "--store", place, "--port", "0"]
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
        "import sys, trajectories.viewer.serving; "
        "sys.exit(bool({'torch', 'numpy', 'yaml', 'typer', 'tokenizers'} & set(sys.modules)))"
    )
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=environment, check=False).returncode == 0
