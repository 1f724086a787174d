"""What a container is made of: its labels, its process 1 and its walls.

Invariant: nothing is open that a caller did not ask for by name. Network none, no capability, no way to gain one,
an ordinary user, and a limit on everything that can grow.
"""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from typing import Any

from sandbox import boot, owners
from sandbox.client import COMMAND_ENV
from sandbox.docker_images import Built
from sandbox.jail import SANDBOX_UID
from sandbox.protocol import TESTBED, Limits

OWNER_LABEL = "contextrl.owner"
MACHINE_LABEL = "contextrl.machine"
LEASE_LABEL = "contextrl.lease"
STARTED_LABEL = "contextrl.started"
EXPIRES_LABEL = "contextrl.expires"
NETWORK: dict[str, Any] = {
    "Name": "contextrl",
    "Driver": "bridge",
    "CheckDuplicate": True,
    "Labels": {"contextrl.network": "open"},
    "Options": {"com.docker.network.bridge.enable_icc": "false"},
}
"""What containers whose task opens the network are on: the way out, but none to each other."""
_INODES = 200_000
_SHM_MB = 64


def recipe(
    lease: str, built: Built, limits: Limits, network: bool, extra: Mapping[str, str], mount: dict[str, object] | None
) -> dict[str, Any]:
    """The body of a create request. `mount` shows the guest its socket; without, it is spoken to by attaching."""
    attached = mount is None
    return {
        "Image": built.tag,
        "Entrypoint": boot.command(built.python),
        "Cmd": [],
        "User": f"{SANDBOX_UID}:{SANDBOX_UID}",
        "WorkingDir": "/",
        "Hostname": "sandbox",
        "Env": [f"{key}={value}" for key, value in COMMAND_ENV.items()],
        "Labels": {
            **extra,
            OWNER_LABEL: owners.me(),
            MACHINE_LABEL: owners.machine(),
            LEASE_LABEL: lease,
            STARTED_LABEL: str(int(time.time())),
            EXPIRES_LABEL: str(int(time.time() + limits.lease_s)),
        },
        "AttachStdin": attached,
        "AttachStdout": attached,
        "AttachStderr": attached,
        "OpenStdin": attached,
        "StdinOnce": attached,
        "NetworkDisabled": not network,
        "HostConfig": {
            "NetworkMode": NETWORK["Name"] if network else "none",
            "Mounts": [] if mount is None else [mount],
            **_walls(built, limits),
        },
    }


def _walls(built: Built, limits: Limits) -> dict[str, Any]:
    """What the kernel holds the container to."""
    file_bytes = limits.file_mb << 20
    tmpfs = {"/tmp": _tmpfs(limits.tmp_mb, "mode=1777"), "/dev/shm": _tmpfs(_SHM_MB, "mode=1777")}
    if built.sealed:
        owner = f"mode=755,uid={SANDBOX_UID},gid={SANDBOX_UID}"
        tmpfs[TESTBED] = _tmpfs(limits.tmp_mb + built.size_mb, owner)
    return {
        "AutoRemove": True,
        "ReadonlyRootfs": built.sealed,
        "CapDrop": ["ALL"],
        "SecurityOpt": ["no-new-privileges"],
        "PidsLimit": limits.pids,
        "Memory": limits.memory_mb << 20,
        "MemorySwap": limits.memory_mb << 20,
        "NanoCpus": int(min(limits.cpus, os.cpu_count() or 1) * 1e9),
        "Tmpfs": tmpfs,
        "IpcMode": "private",
        "LogConfig": {"Type": "none"},
        "Ulimits": [
            {"Name": "fsize", "Soft": file_bytes, "Hard": file_bytes},
            {"Name": "core", "Soft": 0, "Hard": 0},
            {"Name": "nofile", "Soft": 1024, "Hard": 1024},
        ],
    }


def _tmpfs(size_mb: int, options: str) -> str:
    return f"rw,exec,nosuid,nodev,size={size_mb}m,nr_inodes={_INODES},{options}"
