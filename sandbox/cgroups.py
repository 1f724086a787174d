"""Memory, process and CPU limits for a whole sandbox, where this process may make control groups (root usually may).

Invariant: a sandbox is either under all three limits here or under none, and then rlimits stand in for them.
Works with version 1 (a hierarchy per controller) and version 2 (one for all).
"""

from __future__ import annotations

import os
import time
from pathlib import Path

_OURS = "contextrl"
_CONTROLLERS = ("memory", "pids", "cpu")
_PATIENCE = 500


def parents() -> tuple[str, ...]:
    """The folders below which each sandbox gets its groups: three (version 1), one (version 2), none (not allowed)."""
    mounts = _mounts()
    try:
        if all(name in mounts for name in _CONTROLLERS):
            return tuple(_parent_v1(name, mounts[name]) for name in _CONTROLLERS)
        if "" in mounts:
            return (_parent_v2(mounts[""]),)
    except OSError:
        pass
    return ()


def make(parent_folders: tuple[str, ...], name: str, memory_mb: int, pids: int, cpus: float) -> list[str]:
    """Make the groups of one sandbox; the folders to join and later remove. Raises `OSError`."""
    quota = int(cpus * 100_000)
    limits = {
        "memory.limit_in_bytes": str(memory_mb << 20),
        "memory.max": str(memory_mb << 20),
        "memory.swap.max": "0",
        "pids.max": str(pids),
        "cpu.cfs_quota_us": str(quota),
        "cpu.max": f"{quota} 100000",
    }
    made = []
    for parent in parent_folders:
        folder = f"{parent}/{name}"
        os.mkdir(folder)
        made.append(folder)
        for file, value in limits.items():
            if os.path.exists(f"{folder}/{file}"):
                Path(f"{folder}/{file}").write_text(value)
    return made


def join(folders: list[str]) -> None:
    """Move the calling process into the groups."""
    for folder in folders:
        Path(f"{folder}/cgroup.procs").write_text("0")


def remove(folders: list[str]) -> None:
    """Remove groups whose processes have ended or are about to; what stays busy for a second stays."""
    for folder in folders:
        for _ in range(_PATIENCE):
            try:
                os.rmdir(folder)
            except FileNotFoundError:
                break
            except OSError:
                time.sleep(0.002)
            else:
                break


def of(name: str) -> list[str]:
    """The groups that a sandbox of this name has now."""
    return [folder for parent in parents() if os.path.isdir(folder := f"{parent}/{name}")]


def names() -> set[str]:
    """The sandboxes that have groups now."""
    return {entry.name for parent in parents() for entry in Path(parent).iterdir() if entry.is_dir()}


def _mounts() -> dict[str, str]:
    """Controller (version 2: the empty name) -> where its hierarchy is mounted."""
    found = {}
    for line in Path("/proc/self/mounts").read_text().splitlines():
        _, target, kind, options, *_ = line.split()
        if kind == "cgroup":
            for option in options.split(","):
                found[option] = target
        elif kind == "cgroup2":
            found[""] = target
    return found


def _parent_v1(controller: str, mount: str) -> str:
    """Below the group that this process is in, so that limits set on us hold for the sandboxes too."""
    own = "/"
    for line in Path("/proc/self/cgroup").read_text().splitlines():
        _, names, path = line.split(":", 2)
        if controller in names.split(","):
            own = path
    base = mount + own if own != "/" and os.path.isdir(mount + own) else mount
    folder = f"{base}/{_OURS}"
    os.makedirs(folder, exist_ok=True)
    if controller == "cpu":
        Path(f"{folder}/cpu.shares").write_text(str(1024 * _weight()))
    return folder


def _weight() -> int:
    """How many ordinary processes all sandboxes together weigh; with the kernel's default it would be one."""
    return 8 * (os.cpu_count() or 1)


def _parent_v2(mount: str) -> str:
    folder = f"{mount}/{_OURS}"
    wanted = " ".join(f"+{name}" for name in _CONTROLLERS)
    Path(f"{mount}/cgroup.subtree_control").write_text(wanted)
    os.makedirs(folder, exist_ok=True)
    Path(f"{folder}/cgroup.subtree_control").write_text(wanted)
    Path(f"{folder}/cpu.weight").write_text(str(min(100 * _weight(), 10_000)))
    return folder
