"""The local backend: Linux namespaces and an overlay per sandbox, neither Docker nor root needed.

Invariant: a sandbox never outlives its owner. Its processes hang from the launcher (`sandbox.zygote`), which ends them
all and removes their folders when this process's end of the control socket closes, however this process ended.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import json
import os
import socket
import subprocess
import sys
from pathlib import Path

from sandbox import cgroups, owners
from sandbox.channel import open_channel
from sandbox.client import COMMAND_ENV, GuestSandbox, LaunchFailed
from sandbox.home import home
from sandbox.jail import SANDBOX_UID, Cell
from sandbox.protocol import BackendUnavailable, Image, Limits, Sandbox, SandboxError
from sandbox.trees import Listings, owned_tree, prune_copies, python_folders, refuse_shown
from sandbox.whole_start import whole_start

_PACKET = 1 << 17
_START_LAUNCHER = "import sys; sys.path.insert(0, {!r}); from sandbox.zygote import main; main()"

_REMEDIES = {
    "user namespace": "let users make user namespaces (sysctl user.max_user_namespaces above 0; on Debian and Ubuntu "
    "also kernel.unprivileged_userns_clone=1, kernel.apparmor_restrict_unprivileged_userns=0), or run as root",
    "namespaces": "run as root, or allow unprivileged user namespaces their capabilities (on Ubuntu "
    "kernel.apparmor_restrict_unprivileged_userns=0); a surrounding container needs CAP_SYS_ADMIN",
    "root file system": "Linux 5.12 or newer is needed, and in a container CAP_SYS_ADMIN and no AppArmor profile "
    "that forbids mounts",
    "overlay": "Linux 5.12 or newer with overlayfs is needed",
    "proc": "the surrounding container must not mask /proc (for Docker: --security-opt systempaths=unconfined)",
}


class LocalBackend:
    """Starts sandboxes in namespaces of this machine's kernel. Belongs to the event loop it is first used on."""

    def __init__(self) -> None:
        self._control: socket.socket | None = None
        self._launcher: subprocess.Popen[bytes] | None = None
        self._listener: asyncio.Task[None] | None = None
        self._opening = asyncio.Lock()
        self._gone: dict[str, asyncio.Event] = {}
        self._running: dict[str, GuestSandbox] = {}
        self._listings: Listings = {}

    @property
    def name(self) -> str:
        """`local`."""
        return "local"

    async def check(self) -> None:
        """Start and stop an empty sandbox. Raises `BackendUnavailable` in one sentence that says what to enable."""
        empty = home() / "empty"
        empty.mkdir(mode=0o755, exist_ok=True)
        try:
            box = await self.start(Image("check", empty), Limits())
            await box.stop()
        except LaunchFailed as error:
            await self.close()
            remedy = _REMEDIES.get(error.step, "use the Docker backend")
            raise BackendUnavailable(f"the local backend cannot work here ({error.reason}): {remedy}") from error

    async def start(self, image: Image, limits: Limits, *, network: bool = False) -> Sandbox:
        """A fresh sandbox of the image. With `network` it shares the network of this machine."""
        return await whole_start(self._start(image, limits, network))

    async def _start(self, image: Image, limits: Limits, network: bool) -> GuestSandbox:
        control = await self._open()
        cell = await asyncio.to_thread(make_cell, image, limits, network, self._listings)
        self._gone[cell.name] = asyncio.Event()
        ours, theirs = socket.socketpair()
        with theirs:
            await _send(control, {"start": dataclasses.asdict(cell)}, theirs)
        box = GuestSandbox(cell.name, limits, await open_channel(ours), lambda: self._remove(cell.name))
        self._running[cell.name] = box
        try:
            await box.begin()
        except BaseException:
            await box.stop()
            raise
        return box

    async def alive(self) -> list[str]:
        """Names of the local sandboxes of this user on this machine, whoever started them."""
        return sorted(entry.name for entry in leases().iterdir() if owners.is_alive(entry.name))

    async def gc(self) -> list[str]:
        """Remove what owners left whose launcher was killed too, and old copies of trees. No process is left."""
        left = {entry.name for entry in leases().iterdir()} | (cgroups.names() if os.geteuid() == 0 else set())
        dead = sorted(name for name in left if not owners.is_alive(name))
        for name in dead:
            await asyncio.to_thread(_remove_remains, name)
        await asyncio.to_thread(prune_copies)
        return dead

    async def close(self) -> None:
        """Stop all sandboxes that this object started, and the launcher."""
        await asyncio.gather(*(box.stop() for box in list(self._running.values())))
        if self._listener is None or self._launcher is None:
            return
        self._listener.cancel()  # it closes the control socket, at which the launcher ends
        await asyncio.gather(self._listener, return_exceptions=True)
        await asyncio.to_thread(self._launcher.communicate)
        self._launcher = self._listener = None

    async def _open(self) -> socket.socket:
        """The control socket of the launcher, which is started if it does not run."""
        async with self._opening:
            if self._control is None:
                ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
                with theirs:
                    self._launcher = await asyncio.to_thread(start_launcher, theirs)
                ours.setblocking(False)
                hello = await asyncio.get_running_loop().sock_recv(ours, _PACKET)
                message = json.loads(hello) if hello else {"failed": "launcher", "reason": "the launcher died"}
                if "failed" in message:
                    ours.close()
                    errors = (await asyncio.to_thread(self._launcher.communicate))[1].decode().strip()
                    reason = f"{message['reason']} {errors}".strip()
                    raise LaunchFailed(message["failed"], reason)
                self._control = ours
                self._listener = asyncio.create_task(self._listen(ours))
            return self._control

    async def _listen(self, control: socket.socket) -> None:
        """Note which sandboxes are gone. When the launcher itself is, so are all of them."""
        loop = asyncio.get_running_loop()
        try:
            while message := await loop.sock_recv(control, _PACKET):
                self._forget(json.loads(message)["gone"])
        except OSError:
            pass
        finally:  # also when the loop ends: who waits for the end of a sandbox must not wait for ever
            control.close()
            self._control = None
            for name in list(self._gone):
                _remove_remains(name)
                self._forget(name)

    def _forget(self, name: str) -> None:
        self._running.pop(name, None)
        if event := self._gone.pop(name, None):
            event.set()

    async def _remove(self, name: str) -> None:
        event = self._gone.get(name)
        if event is not None and self._control is not None:
            with contextlib.suppress(OSError):  # the launcher died: the listener notices and sets the event
                await _send(self._control, {"kill": name})
            await event.wait()


def make_cell(image: Image, limits: Limits, network: bool, listings: Listings | None = None) -> Cell:
    """The description from which the launcher makes a sandbox. Raises `SandboxError` when the image is unusable."""
    if image.reference:
        raise BackendUnavailable(
            f"image {image.name} starts from the Docker image {image.reference}, which a local sandbox cannot: "
            "use the Docker backend, or a service that has it"
        )
    uid = SANDBOX_UID if os.geteuid() == 0 else os.geteuid()
    python, binds = python_folders(image.python, uid)
    tree = owned_tree(image, uid, listings)
    refuse_shown(image, (image.tree.resolve(), tree), binds)
    name = owners.new_name()
    path = f"{python.parent}:/opt/bin:/usr/local/bin:/usr/bin:/bin"
    return Cell(
        name=name,
        lease=str(leases() / name),
        tree=str(tree),
        binds=binds,
        python=str(python),
        env={**COMMAND_ENV, "PATH": path},
        network=network,
        memory_mb=limits.memory_mb,
        pids=limits.pids,
        cpus=limits.cpus,
        file_mb=limits.file_mb,
        tmp_mb=limits.tmp_mb,
    )


def leases() -> Path:
    """Where every living local sandbox of this user on this machine has a folder of its name."""
    folder = home() / "leases" / owners.machine()
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _remove_remains(name: str) -> None:
    if os.geteuid() == 0:
        cgroups.remove(cgroups.of(name))
    with contextlib.suppress(OSError):
        (leases() / name).rmdir()


def start_launcher(control: socket.socket) -> subprocess.Popen[bytes]:
    """The launcher, a process in a session of its own with `control` as its standard input."""
    code = _START_LAUNCHER.format(str(Path(__file__).resolve().parent.parent))
    return subprocess.Popen(
        [sys.executable, "-I", "-S", "-c", code],
        stdin=control.fileno(),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        env={},
        cwd="/",
        start_new_session=True,
    )


async def _send(control: socket.socket, message: dict[str, object], passed: socket.socket | None = None) -> None:
    data = json.dumps(message).encode()
    if len(data) > _PACKET:
        raise SandboxError(f"the description of the sandbox is too long: {len(data)} bytes")
    while True:
        try:
            socket.send_fds(control, [data], [passed.fileno()] if passed else [])
            return
        except BlockingIOError:
            await asyncio.sleep(0.001)
