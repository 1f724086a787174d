"""A socket of this machine shown to one container, through which its guest calls back.

Invariant: only one connection is ever taken, before any command runs; then the socket's name is gone, on this machine
and in the container.

Nothing stands between owner and guest then. The engine's own attach stream passes through two more processes, which
costs a tenth of a millisecond for each command and as much processor time again. It stays for engines that do not
see this machine's files.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import socket
import tempfile
import time
from pathlib import Path

from sandbox.channel import Channel, open_channel

FOLDER = "/run/contextrl"
"""Where the container finds the folder with the socket."""
SOCKET = f"{FOLDER}/socket"
_VARIABLE = "CONTEXTRL_SOCKETS"
_PREFIX = "contextrl-socket-"
_OLD_S = 600.0


class Rendezvous:
    """Make it, start the container with `mount`, await `meet`; `close` in any case."""

    def __init__(self) -> None:
        """In `$CONTEXTRL_SOCKETS`, a folder that lies at the same path for the engine, else in the temporary folder."""
        self.folder = tempfile.mkdtemp(prefix=_PREFIX, dir=os.environ.get(_VARIABLE))
        self._socket = socket.socket(socket.AF_UNIX)
        try:
            os.chmod(self.folder, 0o711)
            self._socket.bind(f"{self.folder}/socket")
            os.chmod(f"{self.folder}/socket", 0o777)  # the guest is another user
            self._socket.listen(1)
            self._socket.setblocking(False)
        except OSError:
            self.close()
            raise

    @property
    def mount(self) -> dict[str, object]:
        """For the container's recipe. The engine refuses it when it does not see the folder."""
        return {"Type": "bind", "Source": self.folder, "Target": FOLDER, "ReadOnly": True}

    async def meet(self, patience_s: float) -> Channel:
        """The channel to the guest. Raises `TimeoutError` when it does not call."""
        async with asyncio.timeout(patience_s):
            connected, _ = await asyncio.get_running_loop().sock_accept(self._socket)
        return await open_channel(connected)

    def close(self) -> None:
        """Take no call any more; nothing is left of it."""
        self._socket.close()
        shutil.rmtree(self.folder, ignore_errors=True)


def sweep() -> None:
    """Remove what owners left that were killed while they waited for a call; nobody waits that long."""
    for folder in Path(os.environ.get(_VARIABLE) or tempfile.gettempdir()).glob(f"{_PREFIX}*"):
        try:
            if time.time() - folder.stat().st_mtime > _OLD_S and folder.stat().st_uid == os.geteuid():
                shutil.rmtree(folder, ignore_errors=True)
        except OSError:  # its owner was faster
            continue
