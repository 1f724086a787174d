"""What holds for containers only: their labels, the two ways to speak to them, large trees, a restarted engine."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from sandbox import DockerBackend, Image, Limits, lease, owners
from sandbox.docker_recipe import EXPIRES_LABEL, LEASE_LABEL, MACHINE_LABEL, OWNER_LABEL
from sandbox.engine_api import Engine, engine_socket
from sandbox.rendezvous import Rendezvous

pytestmark = [pytest.mark.docker, pytest.mark.asyncio]
_ROOT = Path(__file__).parents[2]

_UNSEEN = """
import asyncio, sys
from pathlib import Path
from sandbox import DockerBackend, Image, Limits, lease

async def main():
    docker = DockerBackend()
    for _ in range(2):
        async with lease(docker, Image("conformance", Path(sys.argv[1]))) as box:
            assert (await box.run("cd /tmp; echo by attaching")).stdout == "by attaching\\n"
            assert (await box.run("pwd")).stdout == "/tmp\\n"
            await box.write({"blob": bytes(3_000_000)})
            assert await box.read("blob") == bytes(3_000_000)
    print("ok", docker._calls_back)
    await docker.close()

asyncio.run(main())
"""


async def _inspect(name: str) -> dict[str, Any]:
    found: dict[str, Any] = await Engine(engine_socket()).json("GET", f"/containers/{name}/json")
    return found


@pytest.fixture
def large(tmp_path: Path) -> Image:
    """A tree that is too large to be copied into every container."""
    for number in range(2_001):
        (tmp_path / f"{number}.txt").write_text("x")
    return Image("large", tmp_path)


async def test_a_container_is_hardened_and_labelled(image: Image) -> None:
    docker = DockerBackend()
    async with lease(docker, image, Limits(lease_s=100, pids=77, memory_mb=99)) as box:
        found = await _inspect(box.name)
        host, labels = found["HostConfig"], found["Config"]["Labels"]
        assert host["NetworkMode"] == "none"
        assert host["ReadonlyRootfs"]
        assert host["CapDrop"] == ["ALL"]
        assert host["SecurityOpt"] == ["no-new-privileges"]
        assert (host["PidsLimit"], host["Memory"]) == (77, 99 << 20)
        assert not host["Privileged"]
        assert "seccomp" not in str(host["SecurityOpt"])
        assert labels[LEASE_LABEL] == box.name
        assert labels[MACHINE_LABEL] == owners.machine()
        assert labels[OWNER_LABEL] == owners.me()
        assert 90 < float(labels[EXPIRES_LABEL]) - time.time() <= 100
        for path in ("/x", "/etc/x", "/usr/x", "/opt/x", "/run/contextrl/x", "/var/tmp/x"):
            assert (await box.run(["touch", path])).exit_code != 0, path
        assert (await box.run("ls -A /run/contextrl; grep Seccomp: /proc/self/status")).stdout == "Seccomp:\t2\n"
    await docker.close()


async def test_an_engine_that_does_not_see_our_files_is_spoken_to_by_attaching(image: Image) -> None:
    script = 'mount -t tmpfs hidden "$0" && exec env TMPDIR="$0" "$1" -c "$2" "$3"'
    hidden = image.tree.parent / "hidden"
    hidden.mkdir()
    done = subprocess.run(  # noqa: ASYNC221
        ["unshare", "-m", "sh", "-c", script, str(hidden), sys.executable, _UNSEEN, str(image.tree)],
        env={**os.environ, "PYTHONPATH": str(_ROOT)},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.stdout == "ok False\n", done.stderr


async def test_a_large_tree_is_not_copied_and_its_disk_is_watched(large: Image) -> None:
    docker = DockerBackend()
    async with lease(docker, large, Limits(tmp_mb=100, file_mb=60)) as box:
        assert not (await _inspect(box.name))["HostConfig"]["ReadonlyRootfs"]
        assert (await box.run("ls | wc -l; touch /etc/x /usr/x /x /var/tmp/x /opt/x || echo closed")).stdout == (
            "2001\nclosed\n"
        )
        fill = await box.run("for i in $(seq 40); do head -c 50000000 /dev/zero >fill-$i; sleep 0.05; done")
        assert fill.exit_code == 137
        assert "more than 100 MiB written to /testbed" in fill.stderr
        assert (await box.run("rm -f fill-*; echo on")).stdout == "on\n"
        for number in range(4):  # many small steps come to the same
            end = await box.run(f"head -c 45000000 /dev/zero >slow-{number}; sleep 0.3")
        assert end.exit_code == 137
    await docker.close()


async def test_a_lease_ends_itself_when_it_expires(image: Image) -> None:
    docker = DockerBackend()
    box = await docker.start(image, Limits(lease_s=1.0))
    started = time.monotonic()
    busy = asyncio.create_task(box.run("sleep 60"))
    while box.name in await docker.alive():
        assert time.monotonic() - started < 10
        await asyncio.sleep(0.1)
    with pytest.raises(Exception, match="expired"):
        await busy
    await docker.close()


async def test_sockets_that_nobody_waits_at_are_swept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CONTEXTRL_SOCKETS", str(tmp_path))
    left, waiting = Rendezvous(), Rendezvous()
    os.utime(left.folder, (0, 0))
    await DockerBackend().gc()
    assert os.listdir(tmp_path) == [Path(waiting.folder).name]
    waiting.close()
    assert os.listdir(tmp_path) == []


async def test_the_reaper_removes_what_has_expired_wherever_it_came_from(image: Image) -> None:
    engine = Engine(engine_socket())
    docker = DockerBackend()
    async with lease(docker, image) as box:
        tag = (await _inspect(box.name))["Image"]
    old, new = (f"contextrl-test-{os.getpid()}-{age}" for age in ("old", "new"))
    for name, left_s in ((old, -5), (new, 60)):
        expires = str(int(time.time() + left_s))
        labels = {OWNER_LABEL: "x", MACHINE_LABEL: "elsewhere", LEASE_LABEL: name, EXPIRES_LABEL: expires}
        recipe = {"Image": tag, "Cmd": ["true"], "Labels": labels}
        await engine.json("POST", "/containers/create", {"name": name}, recipe)
    try:
        again = DockerBackend()
        async with lease(again, image):  # the first start of a backend sweeps
            for _ in range(100):
                if old not in await again.alive():
                    break
                await asyncio.sleep(0.05)
            alive = await again.alive()
        await again.close()
        assert old not in alive
        assert new in alive
    finally:
        await engine.json("DELETE", f"/containers/{new}", {"force": 1})
        await docker.close()


async def test_sandboxes_with_an_open_network_do_not_reach_each_other(image: Image) -> None:
    docker = DockerBackend()
    async with lease(docker, image, network=True) as one, lease(docker, image, network=True) as two:
        networks = (await _inspect(one.name))["NetworkSettings"]["Networks"]
        address = next(iter(networks.values()))["IPAddress"]
        serve = "import socket, time; s = socket.create_server(('0.0.0.0', 8999)); time.sleep(60)"
        await one.run(f'python -c "{serve}" & sleep 0.5')
        call = f"import socket; socket.create_connection(('{address}', 8999), 2)"
        assert (await one.run(["python", "-c", call])).exit_code == 0
        assert (await two.run(["python", "-c", call])).exit_code == 1
    await docker.close()


async def test_an_image_that_was_removed_meanwhile_is_built_again(tmp_path: Path) -> None:
    (tmp_path / "only-here.txt").write_text(str(os.getpid()))
    docker, mine = DockerBackend(), Image("removed", tmp_path)
    async with lease(docker, mine) as box:
        tag = (await _inspect(box.name))["Config"]["Image"]
    await Engine(engine_socket()).json("DELETE", f"/images/{tag}")
    async with lease(docker, mine) as box:
        assert (await box.read("only-here.txt")).decode() == str(os.getpid())
    await docker.close()
