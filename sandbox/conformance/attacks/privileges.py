"""Attacks on privileges: none can be gained, and the calls that need one are refused."""

from __future__ import annotations

from sandbox.conformance.attacks.attempts import fails
from sandbox.conformance.bed import Bed

_SETUID = """
import re, subprocess
found = []
for folder, folders, files in os.walk("/"):
    folders[:] = [name for name in folders if folder != "/" or name not in ("proc", "sys", "dev")]
    for name in files:
        path = os.path.join(folder, name)
        try:
            if os.lstat(path).st_mode & 0o6000: found.append(path)
        except OSError:
            pass
for path in found:
    # The loader prints this for programs that gained nothing, and is silent for those that did.
    try:
        shown = subprocess.run([path, "--help"], env={"LD_SHOW_AUXV": "1"}, stdin=subprocess.DEVNULL,
                               capture_output=True, timeout=20).stdout
    except PermissionError:
        continue
    if not re.search(rb"AT_SECURE: +0", shown): print(path, shown[:300])
import shutil
shutil.copy("/bin/cat", "/tmp/cat")
os.chmod("/tmp/cat", 0o6777)
for target in (0, 1, 65534):
    for change in (os.setuid, os.setgid, lambda n: os.setgroups([n]), lambda n: os.chown("/tmp/cat", n, n)):
        try:
            change(target)
            print("became", target)
        except OSError:
            pass
"""

_MOUNT = """
tmp = b"/tmp"
for source, target, kind, flags in ((b"x", tmp, b"tmpfs", 0), (b"/etc", tmp, None, 4096), (b"proc", tmp, b"proc", 0),
                                    (None, b"/", None, 32 | 4096), (b"x", tmp, b"overlay", 0),
                                    (None, b"/usr", None, 32), (b"/dev/vda", tmp, b"ext4", 0)):
    if libc.mount(source, target, kind, ctypes.c_ulong(flags), None) == 0: print("mounted", target)
for target in (b"/proc", b"/tmp", b"/testbed", b"/dev/shm", b"/"):
    if libc.umount2(target, 2) == 0: print("unmounted", target)
if libc.chroot(b"/tmp") == 0: print("chroot")
for kind in (0o020666, 0o060666):
    try:
        os.mknod("/tmp/device", kind, os.makedev(1, 1) if kind == 0o020666 else os.makedev(254, 0))
        print("made a device")
    except OSError:
        pass
"""

_NAMESPACES = """
for name, flag in (("user", 0x10000000), ("mount", 0x20000), ("pid", 0x20000000), ("net", 0x40000000),
                   ("uts", 0x4000000), ("ipc", 0x8000000), ("cgroup", 0x2000000), ("time", 0x80)):
    if os.fork() == 0:
        if libc.unshare(flag) == 0: os.write(1, b"new %s namespace\\n" % name.encode())
        os._exit(0)
    os.wait()
for pid in ("1", "self"):
    for name in ("user", "mnt", "pid", "net", "uts", "ipc", "cgroup"):
        try:
            fd = os.open(f"/proc/{pid}/ns/{name}", os.O_RDONLY)
        except OSError:
            continue
        if libc.setns(fd, 0) == 0: print("entered", pid, name)
if libc.sethostname(b"evil", 4) == 0: print("renamed the host")
"""

_TRACE = """
if libc.ptrace(16, 1, 0, 0) == 0: print("attached to process 1")
if libc.ptrace(0x4206, 1, 0, 0) == 0: print("seized process 1")
buffer = ctypes.create_string_buffer(8)
piece = (ctypes.c_void_p * 2)(ctypes.addressof(buffer), 8)
far = (ctypes.c_void_p * 2)(0x400000, 8)
if libc.process_vm_readv(1, piece, 1, far, 1, 0) > 0: print("read the memory of process 1")
if libc.process_vm_writev(1, piece, 1, far, 1, 0) > 0: print("wrote to the memory of process 1")
try:
    fd = os.pidfd_open(1)
    if libc.syscall(ctypes.c_long(438), fd, 0, 0) >= 0: print("took a descriptor of process 1")
except OSError: pass
for name in ("mem", "environ", "maps", "fd", "cwd", "root", "exe", "stack", "syscall", "io", "auxv"):
    path = "/proc/1/" + name
    look = os.listdir if name == "fd" else os.readlink if name in ("cwd", "root", "exe") else lambda p: open(p).read(1)
    try:
        if look(path): print("read", path)
    except OSError:
        pass
import resource
try:
    resource.prlimit(1, resource.RLIMIT_NOFILE, (3, 3))
    print("limited process 1")
except OSError: pass
for name in ("NPROC", "FSIZE", "NOFILE", "CORE"):
    kind = getattr(resource, "RLIMIT_" + name)
    hard = resource.getrlimit(kind)[1]
    if hard == resource.RLIM_INFINITY:
        if name in ("FSIZE", "NOFILE"): print("no limit", name)
        continue
    try:
        resource.setrlimit(kind, (hard + 1, hard + 1))
        print("raised", name)
    except (OSError, ValueError): pass
"""

_CALLS = """
def zeros(*words): return ctypes.create_string_buffer(struct.pack(f"={len(words)}I", *words) + bytes(256), 400)
now = ctypes.create_string_buffer(struct.pack("=qq", int(time.time()), 0))
name, kind = ctypes.c_char_p(b"name"), ctypes.c_char_p(b"user")
calls = {  # numbers on x86-64 and on arm64, arguments that would be right
    "bpf": (321, 280, 0, zeros(2, 4, 4, 1), 48), "perf_event_open": (298, 241, zeros(1, 112), 0, -1, -1, 0),
    "kexec_load": (246, 104, 0, 0, 0, 0), "init_module": (175, 105, name, 4, name),
    "finit_module": (313, 273, 0, name, 0),
    "delete_module": (176, 106, name, 0), "swapon": (167, 224, name, 0), "settimeofday": (164, 170, now, 0),
    "clock_settime": (227, 112, 0, now), "acct": (163, 89, 0), "syslog": (103, 116, 3, zeros(), 200),
    "open_by_handle_at": (304, 265, -100, zeros(8, 1), 0), "pivot_root": (155, 41, name, name),
    "fsopen": (430, 430, ctypes.c_char_p(b"tmpfs"), 0), "move_mount": (429, 429, -100, name, -100, name, 0),
    "vhangup": (153, 58), "io_uring_setup": (425, 425, 1, zeros()), "userfaultfd": (323, 282, 0),
    "keyctl": (250, 219, 0, -3, 1), "add_key": (248, 217, kind, name, name, 4, -3),
    "request_key": (249, 218, kind, name, 0, -3), "fanotify_init": (300, 262, 0, 0),
}
for word in sys.argv[1:]:
    x86, arm, *arguments = calls[word]
    arguments = [ctypes.c_long(value) if isinstance(value, int) else value for value in arguments]
    ctypes.set_errno(0)
    result = libc.syscall(ctypes.c_long(x86 if os.uname().machine == "x86_64" else arm), *arguments)
    code = errno.errorcode.get(ctypes.get_errno())
    if result >= 0 or code not in ("EPERM", "ENOSYS", "EACCES"): print(word, result, code)
"""

_ADMINISTRATORS = (
    "kexec_load init_module finit_module delete_module swapon settimeofday clock_settime acct syslog open_by_handle_at "
    "pivot_root fsopen move_mount vhangup"
)
_HISTORY = "bpf perf_event_open io_uring_setup userfaultfd keyctl add_key request_key fanotify_init"


async def setuid_programs(bed: Bed) -> None:
    """Set-uid programs, of the system or home-made, give nobody another user's rights."""
    await fails(await bed.start(), _SETUID, timeout_s=120)


async def mounts(bed: Bed) -> None:
    """Nothing can be mounted, unmounted or made writable, no root changed and no device made."""
    await fails(await bed.start(), _MOUNT)


async def namespaces(bed: Bed) -> None:
    """No namespace can be made or entered: no further user namespace, in which one would be root."""
    await fails(await bed.start(), _NAMESPACES)


async def tracing(bed: Bed) -> None:
    """Process 1 cannot be traced, read, written, limited or robbed of its descriptors."""
    await fails(await bed.start(), _TRACE)


async def administrators_calls(bed: Bed) -> None:
    """System calls of administrators (modules, clock, swap, mounts, file handles, the kernel's log) are refused."""
    await fails(await bed.start(), _CALLS, *_ADMINISTRATORS.split())


async def calls_with_a_history(bed: Bed) -> None:
    """Calls that broke kernels before (bpf, io_uring, userfaultfd, keyrings, perf) are refused."""
    await fails(await bed.start(), _CALLS, *_HISTORY.split())
