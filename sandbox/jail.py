"""Turns a freshly forked process into process 1 of a sandbox: namespaces, mounts, limits, no privileges.

Invariant: when `enter` returns, this process sees its own root file system, processes, network and host name only,
and has neither a capability nor a way to get one. Whatever step fails raises `JailError` naming the step.

As root all mounts are made with root's rights and the user is changed afterwards; other users do the same inside
the launcher's user namespace. Either way the commands end up in a user namespace of their own in which no further
one can be made, so the kernel counts their processes apart from everybody else's.
"""

from __future__ import annotations

import contextlib
import os
import resource
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from sandbox import kernel

SANDBOX_UID = 65533
"""User and group of everything that runs in a sandbox."""

_ISOLATED = kernel.CLONE_NEWNS | kernel.CLONE_NEWIPC | kernel.CLONE_NEWUTS
_DEVICES = ("null", "zero", "full", "random", "urandom", "tty")
_COPIED_FROM_ETC = ("ld.so.cache", "ld.so.conf", "localtime", "mime.types", "protocols", "services")
_BOUND_FROM_ETC = ("alternatives", "ssl/certs", "ld.so.conf.d")
_ETC = {
    "passwd": f"root:x:0:0:root:/root:/bin/sh\nsandbox:x:{SANDBOX_UID}:{SANDBOX_UID}::/tmp:/bin/bash\n",
    "group": f"root:x:0:\nsandbox:x:{SANDBOX_UID}:\n",
    "hosts": "127.0.0.1 localhost sandbox\n::1 localhost\n",
    "nsswitch.conf": "passwd: files\ngroup: files\nhosts: files dns\n",
}


class JailError(Exception):
    """A step failed; `step` is one of the keys that the local backend explains to the user."""

    def __init__(self, step: str, error: OSError) -> None:
        super().__init__(f"{step}: {error.strerror or error}")
        self.step = step


@dataclass(frozen=True)
class Cell:
    """What one sandbox is made of. Travels as JSON from the backend to the launcher."""

    name: str
    lease: str
    """A folder of the host that the launcher makes for this sandbox: the mount point of all it can write."""
    tree: str
    """Becomes /testbed, under a writable layer."""
    binds: tuple[str, ...]
    """Folders of the host shown read-only at the same path."""
    python: str
    """Where `/opt/bin/python` points to."""
    env: dict[str, str]
    network: bool
    memory_mb: int
    pids: int
    cpus: float
    file_mb: int
    tmp_mb: int


@contextlib.contextmanager
def _step(name: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise JailError(name, error) from error


def enter(cell: Cell, limited_by_cgroup: bool) -> None:
    """Build the sandbox around this process, which must be process 1 of a new pid namespace.

    It needs CAP_SYS_ADMIN: as root, or as the launcher in the user namespace that it made for itself.
    """
    root = os.geteuid() == 0
    with _step("namespaces"):
        kernel.unshare(_ISOLATED | (0 if cell.network else kernel.CLONE_NEWNET))
    if not cell.network:
        with _step("loopback"):
            kernel.loopback_up()
    with _step("host name"):
        socket.sethostname("sandbox")
    os.umask(0o022)
    _mount_all(cell)
    with _step("limits"):
        _limit_files(cell)
    if root:
        with _step("user"):
            _leave_root()
    _isolate_user(optional=limited_by_cgroup)
    with _step("limits"):
        with contextlib.suppress(OSError):  # needs the capability in the innermost user namespace
            Path("/proc/sys/user/max_user_namespaces").write_text("0")
        _limit(resource.RLIMIT_NPROC, cell.pids)
        if not limited_by_cgroup:
            _limit(resource.RLIMIT_AS, cell.memory_mb << 20)
    with _step("capabilities"):
        kernel.drop_capabilities()


def new_user_namespace(inside: int, uid: int, gid: int) -> None:
    """Enter a new user namespace in which the calling user and group are known as `inside`."""
    with _step("user namespace"):
        kernel.unshare(kernel.CLONE_NEWUSER)
        kernel.set_dumpable(True)  # else /proc/self belongs to root
        Path("/proc/self/setgroups").write_text("deny")
        Path("/proc/self/uid_map").write_text(f"{inside} {uid} 1")
        Path("/proc/self/gid_map").write_text(f"{inside} {gid} 1")


def _mount_all(cell: Cell) -> None:
    root = f"{cell.lease}/root"
    with _step("root file system"):
        kernel.mount(None, "/", None, kernel.MS_REC | kernel.MS_PRIVATE)
        flags = kernel.MS_NOSUID | kernel.MS_NODEV
        kernel.mount("tmpfs", cell.lease, "tmpfs", flags, f"size={cell.tmp_mb}m,nr_inodes=200k,mode=755")
        for name in ("root", "lower", "upper", "work", "tmp", "shm"):
            os.mkdir(f"{cell.lease}/{name}")
        for name in ("tmp", "shm"):
            os.chmod(f"{cell.lease}/{name}", 0o1777)
        kernel.mount(root, root, None, kernel.MS_BIND)
        _mount_system(root)
        _mount_devices(cell, root)
        os.mkdir(f"{root}/tmp")
        kernel.bind(f"{cell.lease}/tmp", f"{root}/tmp")
        _write_etc(root, cell.network)
    with _step("python"):
        os.makedirs(f"{root}/opt/bin")
        os.symlink(cell.python, f"{root}/opt/bin/python")
        for path in cell.binds:
            os.makedirs(root + path, exist_ok=True)
            kernel.bind(path, root + path)
            kernel.make_readonly(root + path)
    with _step("overlay"):
        _mount_testbed(cell, root)
    with _step("proc"):
        os.mkdir(f"{root}/proc")
        kernel.mount("proc", f"{root}/proc", "proc", kernel.MS_NOSUID | kernel.MS_NODEV | kernel.MS_NOEXEC)
    with _step("root file system"):
        kernel.make_readonly(root, recursive=False)
        kernel.change_root(root)


def _mount_system(root: str) -> None:
    os.mkdir(f"{root}/usr")
    kernel.bind("/usr", f"{root}/usr")
    kernel.make_readonly(f"{root}/usr")
    for name in ("bin", "sbin", "lib", "lib32", "lib64", "libx32"):
        if os.path.islink(f"/{name}"):
            os.symlink(os.readlink(f"/{name}"), f"{root}/{name}")
        elif os.path.isdir(f"/{name}"):
            os.mkdir(f"{root}/{name}")
            kernel.bind(f"/{name}", f"{root}/{name}")
            kernel.make_readonly(f"{root}/{name}")


def _mount_devices(cell: Cell, root: str) -> None:
    os.makedirs(f"{root}/dev/pts")
    os.mkdir(f"{root}/dev/shm")
    for name in _DEVICES:
        Path(f"{root}/dev/{name}").touch()
        kernel.bind(f"/dev/{name}", f"{root}/dev/{name}")
    for name, target in (("fd", ""), ("stdin", "/0"), ("stdout", "/1"), ("stderr", "/2")):
        os.symlink(f"/proc/self/fd{target}", f"{root}/dev/{name}")
    flags = kernel.MS_NOSUID | kernel.MS_NOEXEC
    kernel.mount("devpts", f"{root}/dev/pts", "devpts", flags, "newinstance,ptmxmode=0666,mode=600")
    os.symlink("pts/ptmx", f"{root}/dev/ptmx")
    kernel.bind(f"{cell.lease}/shm", f"{root}/dev/shm")


def _write_etc(root: str, network: bool) -> None:
    os.mkdir(f"{root}/etc")
    for name, text in _ETC.items():
        Path(f"{root}/etc/{name}").write_text(text)
    for name in _COPIED_FROM_ETC + (("resolv.conf",) if network else ()):
        if os.path.isfile(f"/etc/{name}"):
            Path(f"{root}/etc/{name}").write_bytes(Path(f"/etc/{name}").read_bytes())
    for name in _BOUND_FROM_ETC:
        if os.path.isdir(f"/etc/{name}"):
            os.makedirs(f"{root}/etc/{name}")
            kernel.bind(f"/etc/{name}", f"{root}/etc/{name}")
            kernel.make_readonly(f"{root}/etc/{name}")


def _mount_testbed(cell: Cell, root: str) -> None:
    """Relative names: they need no escaping, and /proc/mounts inside tells nothing about the host's folders."""
    kernel.bind(cell.tree, f"{cell.lease}/lower")
    kernel.make_readonly(f"{cell.lease}/lower")
    if os.geteuid() == 0:
        os.chown(f"{cell.lease}/upper", SANDBOX_UID, SANDBOX_UID)
    os.mkdir(f"{root}/testbed")
    os.chdir(cell.lease)
    layers = "lowerdir=lower,upperdir=upper,workdir=work,userxattr"
    kernel.mount("overlay", f"{root}/testbed", "overlay", kernel.MS_NOSUID | kernel.MS_NODEV, layers)


def _leave_root() -> None:
    kernel.empty_bounding_set()
    os.setgroups([])
    os.setresgid(SANDBOX_UID, SANDBOX_UID, SANDBOX_UID)
    os.setresuid(SANDBOX_UID, SANDBOX_UID, SANDBOX_UID)
    kernel.set_dumpable(True)


def _isolate_user(optional: bool) -> None:
    """A user namespace of its own, so that RLIMIT_NPROC counts this sandbox only; cgroups do as well."""
    try:
        new_user_namespace(SANDBOX_UID, SANDBOX_UID, SANDBOX_UID)
        kernel.empty_bounding_set()
    except JailError:
        if not optional:
            raise


def _limit_files(cell: Cell) -> None:
    _limit(resource.RLIMIT_CORE, 0)
    _limit(resource.RLIMIT_FSIZE, cell.file_mb << 20)
    _limit(resource.RLIMIT_NOFILE, 1024)


def _limit(kind: int, value: int) -> None:
    hard = resource.getrlimit(kind)[1]
    value = value if hard == resource.RLIM_INFINITY else min(value, hard)
    resource.setrlimit(kind, (value, value))
