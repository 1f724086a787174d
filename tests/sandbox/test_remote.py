"""Sandboxes through a service: who may come in, where leases go, and what is left when either end dies.

That remote sandboxes do all that others do is the conformance suite's to show, and `test_owner.py` kills clients.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
import venv
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sandbox_helpers import new_mark, processes_with, until
from service_helpers import RunningService, running_service, service_command, service_environment
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from sandbox import (
    BackendOptions,
    BackendUnavailable,
    Image,
    Limits,
    LocalBackend,
    RemoteBackend,
    SandboxBackend,
    SandboxError,
    open_backend,
    wire,
)
from sandbox.remote.backend import REST_S
from sandbox.remote.service import websocket_url
from sandbox.service.door import Service
from sandbox.service.options import ServiceOptions, is_loopback, read_token
from sandbox.service.server import listen
from sandbox.wire import StartRequest

TOKEN = "correct-horse"


@pytest.fixture
def service(tmp_path: Path) -> Iterator[RunningService]:
    with running_service(tmp_path / "home", "--size", "4") as running:
        yield running


@contextlib.asynccontextmanager
async def opened(*services: RunningService | str, token: str | None = None) -> Any:
    backend = RemoteBackend([s if isinstance(s, str) else s.url for s in services], token)
    try:
        yield backend
    finally:
        await backend.close()


def get(url: str, token: str | None = None) -> tuple[int, str]:
    request = urllib.request.Request(url, headers={"Authorization": f"Bearer {token}"} if token else {})
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


async def gone(backend: SandboxBackend, names: set[str]) -> bool:
    for _ in range(500):
        if not names & set(await backend.alive()):
            return True
        await asyncio.sleep(0.02)
    return False


# --- the door


def test_without_the_token_nothing_but_the_health_check_is_served(tmp_path: Path) -> None:
    with running_service(tmp_path, "--size", "3", token=TOKEN) as service:
        assert get(f"{service.url}/health")[0] == 200
        for path in ("/status", "/lease", "/watch", "/", "/no-such", "/health/../status", "//status"):
            for token in (None, "wrong", TOKEN[:-1], TOKEN + "x", "ü"):
                assert get(f"{service.url}{path}", token) == (401, "")
        status, text = get(f"{service.url}/status", TOKEN)
        assert status == 200
        assert json.loads(text) == {"backend": "local", "size": 3, "leased": 0, "free": 3, "sandboxes": []}
        assert get(f"{service.url}/no-such", TOKEN) == (404, "")


async def test_a_client_with_a_wrong_token_is_told_what_to_set(tmp_path: Path, image: Image) -> None:
    with running_service(tmp_path, token=TOKEN) as service:
        for token in (None, "wrong"):
            async with opened(service, token=token) as backend:
                for call in (backend.check(), backend.alive(), backend.start(image, Limits())):
                    with pytest.raises(BackendUnavailable, match=r"set CONTEXTRL_SANDBOX_TOKEN \(or BackendOptions"):
                        await call
        async with opened(service, token=TOKEN) as backend:
            box = await backend.start(image, Limits())
            assert (await box.run("cat readme.txt")).stdout == "hello\n"


async def test_a_page_in_a_browser_is_not_let_in(service: RunningService) -> None:
    for path in (wire.LEASE, wire.WATCH):
        with pytest.raises(InvalidStatus, match="403"):
            await connect(websocket_url(service.url) + path, origin="http://localhost:8700")  # type: ignore[arg-type]


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "", "192.0.2.7", "no-such-host.invalid"])
def test_nothing_is_listened_to_beyond_loopback_without_a_token(tmp_path: Path, host: str) -> None:
    command = service_command("--backend", "local", "--host", host)
    ended = subprocess.run(
        command, capture_output=True, text=True, timeout=60, check=False, env=service_environment(tmp_path)
    )
    assert (ended.returncode, ended.stdout) == (2, "")
    assert re.fullmatch(r".*(without a token|no address of this machine).*\n", ended.stderr), ended.stderr


def test_what_a_service_may_be_started_with(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert all(map(is_loopback, ("127.0.0.1", "127.9.9.9", "localhost", "::1")))
    assert ServiceOptions(host="0.0.0.0", token="x").host == "0.0.0.0"
    for wrong in ({"size": 0}, {"port": 70000}, {"backend": "remote"}):
        with pytest.raises(ValueError, match=r"choose|room|port"):
            ServiceOptions(**wrong)  # type: ignore[arg-type]
    file = tmp_path / "token"
    monkeypatch.setenv(wire.TOKEN_VARIABLE, "from-variable")
    assert read_token(None) == "from-variable"
    file.write_text("from-file\n")
    assert read_token(file) == "from-file"
    for text in ("", "\n", "two words", "ü"):
        file.write_text(text)
        with pytest.raises(ValueError, match="token"):
            read_token(file)
    with pytest.raises(ValueError, match="No such file"):
        read_token(tmp_path / "missing")


def test_the_health_check_needs_no_other_program(service: RunningService) -> None:
    for url, code in ((service.url, 0), (f"http://127.0.0.1:{free_port()}", 1), ("nonsense://", 1)):
        command = [sys.executable, "-m", "sandbox.service", "--check", url]
        assert subprocess.run(command, stderr=subprocess.PIPE, timeout=60, check=False).returncode == code


def test_a_port_that_is_taken_is_one_sentence(service: RunningService, tmp_path: Path) -> None:
    command = [*service_command("--backend", "local"), "--port", service.url.rpartition(":")[2]]
    ended = subprocess.run(command, capture_output=True, text=True, env=service_environment(tmp_path), check=False)
    assert ended.returncode == 2
    assert re.fullmatch(r"the service cannot listen on 127.0.0.1, port \d+: Address already in use\n", ended.stderr)


# --- what clients say


async def _answer(service: RunningService, *messages: str | bytes) -> dict[str, Any]:
    """The last answer before the service closes the connection."""
    last = "{}"
    async with connect(websocket_url(service.url) + wire.LEASE) as connection:
        with contextlib.suppress(ConnectionClosed):
            for message in messages:
                await connection.send(message)
        with contextlib.suppress(ConnectionClosed):
            async with asyncio.timeout(20):
                while True:
                    last = str(await connection.recv())
    answer: dict[str, Any] = json.loads(last)
    return answer


def _request(**changes: Any) -> str:
    request = StartRequest("x", "0" * 64, None, (), Limits(), False)
    said = json.loads(request.text())
    return json.dumps({**said, **changes, "limits": {**said["limits"], **changes.get("limits", {})}})


@pytest.mark.parametrize(
    ("message", "told"),
    [
        ("", "words it knows"),
        (b"\0\1", "words it knows"),
        ("[]", "words it knows"),
        ('"guest"', "words it knows"),
        ("[" * 100_000, ""),
        (_request(guest="older"), "different versions of ContextRL"),
        (_request(more=1), "words it knows"),
        (_request(digest="../../etc"), "image that is none"),
        (_request(requirements="x"), "image that is none"),
        (_request(network=1), "image that is none"),
        (_request(limits={"pids": 0}), "the limit pids is 0"),
        (_request(limits={"pids": 1.5}), "the limit pids is 1.5: give a whole number"),
        (_request(limits={"memory_mb": "1"}), "the limit memory_mb"),
        (_request(limits={"timeout_s": float("nan")}), "the limit timeout_s is nan"),
        (_request(limits={"speed": 1}), "words it knows"),
    ],
)
async def test_words_the_service_does_not_know_are_refused(
    service: RunningService, message: str | bytes, told: str
) -> None:
    assert told in (await _answer(service, message))["refused"]
    assert json.loads(get(f"{service.url}/status")[1])["free"] == 4


async def test_a_tree_that_is_not_the_announced_one_is_refused_and_leaves_nothing(service: RunningService) -> None:
    trees = service.home / "service-trees"
    assert "not the one" in (await _answer(service, _request(), bytes(10240), "{}"))["refused"]
    assert "no proper tar" in (await _answer(service, _request(), b"junk" * 1000, "{}"))["refused"]
    async with connect(websocket_url(service.url) + wire.LEASE) as connection:
        await connection.send(_request())
        assert json.loads(await connection.recv()) == {"need": "0" * 64}
        await connection.send(b"junk" * 1000)
        assert list(trees.iterdir()) == []
        connection.transport.abort()  # half-way
    assert await until(lambda: json.loads(get(f"{service.url}/status")[1])["free"] == 4)
    assert list(trees.iterdir()) == []


async def test_local_services_use_no_folder_of_theirs_that_a_client_names(
    service: RunningService, image: Image, tmp_path: Path
) -> None:
    python = tmp_path / "home" / "service-trees" / "evil" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.symlink_to(sys.executable)
    mine = tmp_path / "home" / "repos" / "mine" / "bin" / "python"
    venv.EnvBuilder(symlinks=True, with_pip=False).create(mine.parent.parent)
    async with opened(service) as backend:
        for path in (python, Path("/usr/bin/python3"), mine.parent / ".." / ".." / ".." / "x" / "bin" / "python"):
            with pytest.raises(SandboxError, match="has no environment"):
                await backend.start(Image("x", image.tree, path), Limits())
        box = await backend.start(Image("x", image.tree, mine), Limits())
        prefix = await box.run(["python", "-c", "import sys; print(sys.prefix)"])
        assert prefix.stdout == f"{mine.parent.parent}\n", prefix.stderr


# --- trees


async def test_a_tree_is_sent_once(
    service: RunningService, image: Image, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import sandbox.remote.service as client

    sent = []
    pack = client.pack
    monkeypatch.setattr(client, "pack", lambda tree, archive: (sent.append(tree), pack(tree, archive)))
    async with opened(service) as one, opened(service) as two:
        boxes = await asyncio.gather(*(one.start(image, Limits()) for _ in range(3)))
        boxes.append(await two.start(Image("another name", image.tree), Limits()))
        assert [(await box.run("ls package")).stdout for box in boxes] == ["code.py\n"] * 4
    assert sent == [image.tree]
    (tmp_path / "home" / "service-trees").rename(tmp_path / "lost")
    (tmp_path / "home" / "service-trees").mkdir()
    async with opened(service) as backend:
        box = await backend.start(image, Limits())
        await box.stop()
        place = next((tmp_path / "home" / "service-trees").iterdir())
        place.rename(tmp_path / "lost-again")
        await backend.start(image, Limits())  # this object knows that it has sent it: it is asked again
    assert sent == [image.tree] * 3


async def test_a_large_tree_and_large_files_pass(service: RunningService, tmp_path: Path) -> None:
    tree, blob = tmp_path / "tree", os.urandom(9_000_000)
    tree.mkdir()
    (tree / "blob").write_bytes(blob)
    async with opened(service) as backend:
        box = await backend.start(Image("large", tree), Limits())
        assert await box.read("blob") == blob
        await box.write({"copy": blob[::-1]})
        assert await box.read("copy") == blob[::-1]


# --- where leases go


async def test_leases_go_where_most_is_free(tmp_path: Path, image: Image) -> None:
    with (
        running_service(tmp_path / "1", "--size", "5") as large,
        running_service(tmp_path / "2", "--size", "3") as small,
    ):
        async with opened(large, small) as backend, opened(small) as at_small, opened(large) as at_large:
            for _ in range(4):
                await backend.start(image, Limits())
            assert [len(await other.alive()) for other in (at_large, at_small)] == [3, 1]
            await asyncio.gather(*(backend.start(image, Limits()) for _ in range(4)))
            assert [len(await other.alive()) for other in (at_large, at_small)] == [5, 3]
            assert len(set(await backend.alive())) == 8


async def test_a_full_service_is_waited_for_and_a_cancelled_wait_holds_no_place(
    service: RunningService, image: Image
) -> None:
    def status() -> dict[str, Any]:
        return json.loads(get(f"{service.url}/status")[1])

    async with opened(service) as backend:
        boxes = [await backend.start(image, Limits()) for _ in range(4)]
        waiting = [asyncio.create_task(backend.start(image, Limits())) for _ in range(2)]
        assert await until(lambda: status()["free"] == -2)
        waiting[0].cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting[0]
        await boxes[0].stop()
        assert (await (await waiting[1]).run("echo on")).stdout == "on\n"
        assert status()["leased"] == 4
    assert await until(lambda: status()["free"] == 4)
    assert status()["sandboxes"] == []


async def test_a_dead_service_is_passed_over_and_tried_again_later(
    service: RunningService, image: Image, monkeypatch: pytest.MonkeyPatch
) -> None:
    port = free_port()
    dead = f"127.0.0.1:{port}"
    async with opened(dead, service) as backend:
        await backend.check()
        await backend.start(image, Limits())
        with running_service(service.home, "--size", "50", "--port", str(port)):
            await backend.start(image, Limits())
            assert len(await _names(service)) == 2
            later = time.monotonic() + REST_S
            monkeypatch.setattr("sandbox.remote.backend.time.monotonic", lambda: later)
            await backend.start(image, Limits())
            assert len(await _names(service)) == 2


async def _names(service: RunningService) -> list[str]:
    return list(json.loads((await asyncio.to_thread(get, f"{service.url}/status"))[1])["sandboxes"])


async def test_when_no_service_answers_each_is_named_with_its_reason(tmp_path: Path, image: Image) -> None:
    refusing = f"http://127.0.0.1:{free_port()}"
    with socket.create_server(("127.0.0.1", 0)) as silent, running_service(tmp_path, token=TOKEN) as closed:
        address = f"ws://127.0.0.1:{silent.getsockname()[1]}"
        async with opened(refusing, "http://no-such-host.invalid:1", address, closed) as backend:
            with pytest.raises(BackendUnavailable) as refusal:
                await backend.start(image, Limits())
    told = str(refusal.value)
    assert f"{refusing}: Connection refused;" in told
    assert "http://no-such-host.invalid:1: " in told
    assert f"{address}: no answer within 5 s" in told
    assert f"{closed.url}: it refused the token" in told


@pytest.mark.parametrize(
    ("said", "told"),
    [(b"HTTP/1.1 404 No\r\nContent-Length: 0\r\n\r\n", "status 404: is it"), (b"220 mail\r\n", "does not speak")],
)
async def test_a_server_of_another_kind_is_told(said: bytes, told: str) -> None:
    async def other(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.write(said)
        writer.close()

    server = await asyncio.start_server(other, "127.0.0.1", 0)
    address = f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
    async with server, opened(address) as backend:
        with pytest.raises(BackendUnavailable, match=told):
            await backend.check()


# --- opening it


async def test_opening_it_by_name(service: RunningService, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CONTEXTRL_SANDBOX_SERVICES", raising=False)
    with pytest.raises(BackendUnavailable, match="set CONTEXTRL_SANDBOX_SERVICES to their addresses"):
        await open_backend("remote")
    with pytest.raises(BackendUnavailable, match="'ftp://x' is no address of a sandbox service"):
        await open_backend("remote", BackendOptions(services=("ftp://x",)))
    monkeypatch.setenv("CONTEXTRL_SANDBOX_SERVICES", f" {service.url}, ,")
    backend = await open_backend("remote")
    assert (backend.name, await backend.alive(), await backend.gc()) == ("remote", [], [])
    await backend.close()


def test_addresses() -> None:
    assert websocket_url("host") == "ws://host:8700"
    assert websocket_url("host:1") == "ws://host:1"
    assert websocket_url("http://host:1/") == "ws://host:1"
    assert websocket_url("https://host/below/") == "wss://host/below"
    assert websocket_url("wss://[::1]:1") == "wss://[::1]:1"
    for wrong in ("", "http://", "ftp://host", "host:port", "http://a:b@host", "host?x=1", "host:99999"):
        with pytest.raises(ValueError, match="no address of a sandbox service"):
            websocket_url(wrong)


# --- the end


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGKILL])
async def test_a_service_that_ends_leaves_nothing_and_its_clients_know(
    tmp_path: Path, image: Image, number: signal.Signals
) -> None:
    mark = new_mark()
    with running_service(tmp_path, "--size", "2") as service:
        async with opened(service) as backend:
            one, two = [await backend.start(image, Limits()) for _ in range(2)]
            await one.run(f"setsid sleep {mark} &")
            busy = asyncio.create_task(two.run(["sleep", mark], timeout_s=1000))
            queued = asyncio.create_task(backend.start(image, Limits()))
            assert await until(lambda: len(processes_with(mark)) == 2)
            service.process.send_signal(number)
            with pytest.raises(SandboxError, match="a failure of the infrastructure, not of what ran"):
                await busy
            with pytest.raises(SandboxError):
                await queued
            assert await asyncio.to_thread(service.process.wait, 20) == (-9 if number == signal.SIGKILL else 0)
            assert await until(lambda: processes_with(mark) == [])
            for _ in range(2):
                with pytest.raises(SandboxError, match="infrastructure"):
                    await one.run("true")
            await one.stop()


async def test_a_sandbox_that_ends_by_itself_is_told_from_a_lost_connection(
    service: RunningService, image: Image
) -> None:
    async with opened(service) as backend:
        box = await backend.start(image, Limits(lease_s=0.5))
        await asyncio.sleep(0.3)
        with pytest.raises(SandboxError) as ended:
            await box.run("sleep 60")
        assert "infrastructure" not in str(ended.value)
        assert await gone(backend, {box.name})


_SILENT = """
import asyncio, sys
from pathlib import Path
from sandbox import Image, Limits, RemoteBackend

async def main():
    backend = RemoteBackend([sys.argv[1]])
    boxes = [await backend.start(Image("conformance", Path(sys.argv[2])), Limits()) for _ in range(2)]
    print("started", flush=True)
    await asyncio.sleep(1000)

asyncio.run(main())
"""


async def test_a_client_that_falls_silent_loses_its_sandboxes(
    tmp_path: Path, image: Image, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CONTEXTRL_HOME", str(tmp_path))
    monkeypatch.setitem(wire.CONNECTION, "ping_interval", 0.2)
    monkeypatch.setitem(wire.CONNECTION, "ping_timeout", 0.5)
    monkeypatch.setitem(wire.CONNECTION, "close_timeout", 0.5)
    local = LocalBackend()
    service = Service(local, 4, None)
    server = await listen(service, ServiceOptions(port=0))
    port = next(iter(server.sockets)).getsockname()[1]
    command = [sys.executable, "-c", _SILENT, f"127.0.0.1:{port}", str(image.tree)]
    client = await asyncio.create_subprocess_exec(*command, stdout=subprocess.PIPE, env=service_environment())
    try:
        assert client.stdout is not None
        assert await client.stdout.readline() == b"started\n"
        await asyncio.sleep(1)
        assert service.status()["leased"] == 2
        client.send_signal(signal.SIGSTOP)
        assert await until(lambda: service.status()["free"] == 4, 20)
    finally:
        client.kill()
        await client.wait()
        server.close()
        await server.wait_closed()
        await service.house.pool.close()
        assert await local.alive() == []
        await local.close()


async def test_junk_at_the_door_harms_nobody(service: RunningService, image: Image) -> None:
    port = int(service.url.rpartition(":")[2])
    key = base64.b64encode(os.urandom(16)).decode()
    upgrade = (
        f"GET /lease HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: {key}\r\n"
    )
    junk = [b"", b"\0" * 100, b"POST /lease HTTP/1.1\r\nContent-Length: 9\r\n\r\n", b"GET /lease HTTP/1.1\r\n\r\n"]
    junk += [f"{upgrade}Sec-WebSocket-Version: 13\r\n\r\n".encode() + b"\xff" * 50, b"x" * 100_000]
    for data in junk:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(data)
        writer.close()
    async with opened(service) as backend:
        assert (await (await backend.start(image, Limits())).run("echo on")).stdout == "on\n"
    assert await until(lambda: json.loads(get(f"{service.url}/status")[1])["free"] == 4)


@pytest.mark.docker
async def test_a_service_of_docker_sandboxes(tmp_path: Path, image: Image) -> None:
    with running_service(tmp_path, "--size", "2", backend="docker") as service:
        async with opened(service) as backend:
            one, two = await asyncio.gather(*(backend.start(image, Limits()) for _ in range(2)))
            await one.run("cd package; x=1; echo changed >code.py")
            assert (await one.run("pwd; echo $x; cat code.py")).stdout == "/testbed/package\n1\nchanged\n"
            assert (await two.run("cat package/code.py")).stdout == "x = 1\n"
            names = {one.name, two.name}
            assert set(await backend.alive()) == names
            docker = await open_backend("docker")
            assert names <= set(await docker.alive())
            await one.stop()
            assert one.name not in await docker.alive()
        service.process.terminate()
        assert await asyncio.to_thread(service.process.wait, 30) == 0
        assert not names & set(await docker.alive())
        await docker.close()
