"""Attacks on the machine around the sandbox: nothing of it can be read, changed or signalled."""

from __future__ import annotations

import os
import secrets
import socket

from sandbox.conformance.attacks.attempts import attempt, fails, unharmed
from sandbox.conformance.bed import Bed

_HARMLESS = {
    "PATH",
    "HOME",
    "LANG",
    "USER",
    "TERM",
    "SHELL",
    "PWD",
    "OLDPWD",
    "SHLVL",
    "_",
    "LC_ALL",
    "LOGNAME",
    "HOSTNAME",
}

_WRITE_EVERYWHERE = """
mine = ("/testbed", "/tmp", "/dev/shm", "/dev/mqueue", "/proc")
devices = ("null", "zero", "full", "random", "urandom", "tty", "ptmx", "fd", "stdin", "stdout", "stderr")
for folder, folders, files in os.walk("/"):
    folders[:] = [name for name in folders if os.path.join(folder, name) not in mine]
    path = os.path.join(folder, "sandbox-was-here")
    try:
        os.close(os.open(path, os.O_CREAT | os.O_WRONLY))
        print("made", path)
        os.remove(path)
    except OSError:
        pass
    for name in files:
        path = os.path.join(folder, name)
        if os.path.islink(path) or folder in ("/dev", "/dev/pts") and (name in devices or name.isdigit()):
            continue
        try:
            os.close(os.open(path, os.O_WRONLY | os.O_NONBLOCK))
            print("opened", path)
        except OSError:
            pass
"""

_PROC = """
def change(path):
    try:
        fd = os.open(path, os.O_WRONLY | os.O_NONBLOCK)
        if os.fstat(fd).st_mode & 0o170000 == 0o020000: return  # hidden behind /dev/null
        try:
            old = open(path, "rb").read(4096)
        except OSError:
            old = b"\\n"
        os.write(fd, old)
        print("wrote to", path)
    except OSError:
        pass

for top in ("/proc/sys", "/proc/irq", "/proc/bus", "/proc/fs", "/proc/acpi", "/proc/scsi", "/proc/driver", "/sys"):
    for folder, folders, files in os.walk(top):
        for name in files: change(os.path.join(folder, name))
for name in ("sysrq-trigger", "mtrr", "timer_list", "1/mem", "1/oom_score_adj", "1/attr/current", "1/comm"):
    change("/proc/" + name)
for name in ("kcore", "kmem", "kmsg", "1/mem", "1/environ", "1/maps", "1/auxv", "1/stack"):
    try:
        if open("/proc/" + name, "rb").read(10): print("read", name)
    except OSError:
        pass
"""

_READ_EVERYTHING = """
needles = [word.encode() for word in sys.argv[1:]]
for folder, folders, files in os.walk("/proc"):
    folders[:] = [name for name in folders if name not in ("net", "fdinfo", "map_files", "task", "sys")]
    if folder.startswith(f"/proc/{os.getpid()}"): continue
    for name in files:
        if name not in ("environ", "cmdline", "mounts", "mountinfo", "comm", "cgroup", "maps", "status"): continue
        try:
            data = open(os.path.join(folder, name), "rb").read()
        except OSError:
            continue
        for needle in needles:
            if needle in data: print(needle, "is in", os.path.join(folder, name))
data = repr(dict(os.environ)).encode()
for needle in needles:
    if needle in data: print(needle, "is in the environment")
"""


async def host_environment(bed: Bed) -> None:
    """No variable of the owner's environment is found in the sandbox, its processes or their /proc entries."""
    secret = secrets.token_hex(16)
    os.environ["CONTEXTRL_TEST_SECRET"] = secret
    try:
        box = await bed.start()
        await fails(box, _READ_EVERYTHING.replace("sys.argv[1:]", f"['{secret[:20]}' + '{secret[20:]}']"))
    finally:
        del os.environ["CONTEXTRL_TEST_SECRET"]
    lines = (await box.run("env")).stdout.splitlines() + (await box.run(["env"])).stdout.splitlines()
    inside = dict(line.partition("=")[::2] for line in lines)
    leaked = {name for name, value in inside.items() if os.environ.get(name) == value and name not in _HARMLESS}
    assert not leaked - {"PYTHONDONTWRITEBYTECODE"}
    assert not [name for name in inside if name.startswith(("CONTEXTRL", "DOCKER", "PIP_", "SSL_"))]


async def host_proc(bed: Bed) -> None:
    """/proc shows the sandbox's own processes only."""
    box = await bed.start()
    assert int((await box.run("ls /proc | grep -c '^[0-9]'")).stdout) < 10
    assert str(os.getpid()) not in (await box.run("ls /proc")).stdout.split()


async def host_proc_sys(bed: Bed) -> None:
    """Nothing in /proc/sys, /sys and their like can be written, and no memory of the kernel be read."""
    await fails(await bed.start(), _PROC, timeout_s=120)


async def host_files(bed: Bed) -> None:
    """No file of this machine is found by its path, through process 1 or by its handle."""
    box = await bed.start()
    secret = bed.folder / "secret.txt"
    secret.write_text("secret")
    for path in (secret, f"/proc/1/root{secret}", f"/proc/self/root{secret}", f"/proc/1/cwd{secret}", f"/..{secret}"):
        assert (await box.run(["cat", str(path)])).stdout == ""
    host = (
        await box.run("cat /etc/shadow /etc/ssh/* /root/.ssh/* /root/.bash_history /etc/machine-id; hostname")
    ).stdout
    assert socket.gethostname() not in host
    assert "root:" not in host


async def host_kernel_log(bed: Bed) -> None:
    """The kernel's log, where other programs' addresses and names stand, cannot be read."""
    program = """
buffer = ctypes.create_string_buffer(4096)
if libc.klogctl(3, buffer, 4096) > 0: print(buffer.value[:200])
for name in ("kmsg", "mem", "port", "kvm", "fuse", "loop-control", "vsock", "net/tun", "uinput", "sda", "vda"):
    try: print(name, os.open("/dev/" + name, os.O_RDONLY | os.O_NONBLOCK))
    except OSError: pass
"""
    await fails(await bed.start(), program)


async def host_processes(bed: Bed) -> None:
    """Signals to every process number reach nobody outside: not the owner, not its neighbours, not process 1."""
    box, neighbour = await bed.start(), await bed.start()
    mark = bed.mark()
    await neighbour.run(f"sleep {mark} &")
    program = """
for number in range(1, 65):
    for pid in (1, int(sys.argv[1]), int(sys.argv[2])):
        if pid != os.getpid() and (number != 9 or pid == 1 or pid > 1000):
            try: os.kill(pid, number)
            except OSError: pass
for pid in range(2, 70_000):
    if pid != os.getpid():
        try: os.kill(pid, 9)
        except OSError: pass
try: os.kill(-1, 9)
except OSError: pass
"""
    await attempt(box, program, str(os.getpid()), str(os.getppid()))
    assert await bed.count(mark, neighbour) == 1
    await unharmed(bed, box, neighbour)


async def writable_places(bed: Bed) -> None:
    """Nothing outside /testbed, /tmp and /dev/shm can be made or opened for writing."""
    await fails(await bed.start(), _WRITE_EVERYWHERE, timeout_s=180)
