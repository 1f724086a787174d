"""Nothing leaks: what is left of sandboxes whose owner died, and who may clear it away."""

from __future__ import annotations

import asyncio
import dataclasses
import json
import os
import select
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from sandbox_helpers import new_mark, processes_with, until

from sandbox import Image, Limits, SandboxBackend, cgroups, owners
from sandbox.docker import DockerBackend
from sandbox.docker_recipe import MACHINE_LABEL, OWNER_LABEL
from sandbox.engine_api import Engine, engine_socket
from sandbox.guest.frames import FRAME
from sandbox.local import LocalBackend, leases, make_cell, start_launcher

pytestmark = pytest.mark.asyncio(loop_scope="module")

_TRIES = 5
"""Reapers of other tests' backends may be faster."""
_OWNER = """
import asyncio, sys
from pathlib import Path
from sandbox import Image, Limits, open_backend

async def main():
    backend = await open_backend(sys.argv[1])
    image = Image("conformance", Path(sys.argv[2]))
    one, two = [await backend.start(image, Limits()) for _ in range(2)]
    await one.run(f"setsid sleep {sys.argv[3]} & sleep {sys.argv[3]} &")
    busy = asyncio.create_task(two.run(f"sleep {sys.argv[3]}", timeout_s=1000))
    await asyncio.sleep(0.2)
    print(one.name, two.name, flush=True)
    await busy

asyncio.run(main())
"""


def _start_owner(backend: SandboxBackend, image: Image, mark: str) -> tuple[subprocess.Popen[str], list[str]]:
    command = [sys.executable, "-c", _OWNER, backend.name, str(image.tree), mark]
    root = str(Path(__file__).parents[2])
    owner = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env={**os.environ, "PYTHONPATH": root})
    assert owner.stdout is not None
    return owner, owner.stdout.readline().split()


async def test_an_owner_killed_with_sigkill_leaves_nothing(backend: SandboxBackend, image: Image) -> None:
    mark = new_mark()
    owner, names = _start_owner(backend, image, mark)
    assert set(names) <= set(await backend.alive())
    assert await until(lambda: len(processes_with(mark)) >= 4)
    owner.send_signal(signal.SIGKILL)
    owner.wait()
    assert await until(lambda: processes_with(mark) == [])
    for _ in range(200):
        if not set(names) & set(await backend.alive()):
            break
        await asyncio.sleep(0.05)
    assert not set(names) & set(await backend.alive())
    if backend.name == "local":
        assert await until(lambda: not any(map(_there, names)))
        assert [name for name in names if cgroups.of(name)] == []


async def test_an_owner_that_ends_without_closing_leaves_nothing(backend: SandboxBackend, image: Image) -> None:
    mark = new_mark()
    owner, _ = _start_owner(backend, image, mark)
    owner.send_signal(signal.SIGINT)
    assert owner.wait(20) != 0
    assert await until(lambda: processes_with(mark) == [])


async def test_a_killed_launcher_takes_its_sandboxes_along(image: Image) -> None:
    mark = new_mark()
    owner, names = _start_owner(LocalBackend(), image, mark)
    try:
        launchers = [pid for pid in processes_with("sandbox.zygote") if _parent(pid) == owner.pid]
        assert len(launchers) == 1
        os.kill(launchers[0], signal.SIGKILL)
        assert await until(lambda: processes_with(mark) == [])
    finally:
        owner.kill()
        owner.wait()
    await LocalBackend().gc()
    assert not any(map(_there, names))
    assert [name for name in names if cgroups.of(name)] == []


async def test_answers_that_nobody_read_do_not_keep_the_launcher_from_clearing_up(image: Image) -> None:
    control, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with theirs:
        launcher = start_launcher(theirs)
    control.recv(1000)
    cell = make_cell(image, Limits(), network=False)
    channel, guests_end = socket.socketpair()
    with guests_end:
        request = json.dumps({"start": dataclasses.asdict(cell)}).encode()
        socket.send_fds(control, [request], [guests_end.fileno()])
    begin = json.dumps({"seed": 0, "disk_mb": None, "lease_s": 60}).encode()
    channel.send(FRAME.pack(len(begin), 0) + begin)
    assert channel.recv(1000)
    assert _there(cell.name)
    control.send(b'{"kill": "nobody"}')
    assert await until(lambda: bool(select.select([control], [], [], 0)[0]))
    control.close()
    assert launcher.communicate()[1] == b""
    assert not _there(cell.name)
    channel.close()


async def test_local_gc_removes_what_dead_owners_left_and_nothing_else() -> None:
    local = LocalBackend()
    dead = f"contextrl-{os.getpid()}-1-0"  # our process id, but another start time
    living = owners.new_name()
    (leases() / living).mkdir()
    for _ in range(_TRIES):
        (leases() / dead).mkdir()
        assert dead not in await local.alive()
        removed = await local.gc()
        assert living not in removed
        assert not (leases() / dead).exists()
        if dead in removed:
            break
    else:
        raise AssertionError("gc removes nothing")
    (leases() / living).rmdir()


@pytest.mark.docker
async def test_docker_gc_removes_containers_of_dead_owners_on_this_machine_only(image: Image) -> None:
    docker = DockerBackend()
    engine = Engine(engine_socket())
    await (await docker.start(image, Limits())).stop()
    tag = (await engine.json("GET", "/images/json", {"filters": '{"label":["contextrl.image=conformance"]}'}))[0]["Id"]
    dead, foreign = f"contextrl-{os.getpid()}-1-0", f"contextrl-{os.getpid()}-2-0"

    async def leave(name: str, machine: str) -> None:
        recipe = {"Image": tag, "Cmd": ["true"], "Labels": {OWNER_LABEL: name, MACHINE_LABEL: machine}}
        await engine.json("POST", "/containers/create", {"name": name}, recipe)

    await leave(foreign, "elsewhere")
    try:
        for _ in range(_TRIES):
            await leave(dead, owners.machine())
            removed = await docker.gc()
            alive = await docker.alive()
            assert dead not in alive
            assert foreign not in removed
            assert foreign in alive
            if dead in removed:
                break
        else:
            raise AssertionError("gc removes nothing")
    finally:
        await engine.json("DELETE", f"/containers/{foreign}", {"force": 1})
        await docker.close()


def _parent(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


def _there(name: str) -> bool:
    return (leases() / name).exists()
