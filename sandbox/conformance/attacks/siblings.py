"""Attacks on the sandbox next door: it can be neither seen nor reached nor written to."""

from __future__ import annotations

from sandbox.conformance.attacks.attempts import attempt, fails
from sandbox.conformance.bed import Bed

_LISTEN = """
path = sys.argv[1]
server = socket.socket(socket.AF_UNIX) if path[:1] == "@" else socket.socket()
server.bind("\\0" + path[1:] if path[:1] == "@" else ("0.0.0.0", int(path)))
server.listen()
open("/tmp/ready", "w").close()
time.sleep(600)
"""

_CONNECT = """
for path in sys.argv[1:]:
    try:
        if path[:1] == "@": socket.socket(socket.AF_UNIX).connect("\\0" + path[1:])
        else: socket.create_connection(("127.0.0.1", int(path)), 2)
        print("reached", path)
    except OSError:
        pass
"""

_SHARE = """
key = 0x5ec7e7
for make in (libc.shmget, libc.semget, libc.msgget):
    args = (key, 0o666) if make is libc.msgget else (key, 4096 if make is libc.shmget else 1, 0o666)
    flags = 0o1000 if sys.argv[1] == "make" else 0
    identity = make(*args[:-1], args[-1] | flags)
    if identity >= 0: print(make.__name__)
fd = libc.mq_open(b"/contextrl", os.O_RDWR | (os.O_CREAT if sys.argv[1] == "make" else 0), 0o666, None)
if fd >= 0: print("mq_open")
try:
    os.close(os.open("/dev/shm/contextrl", os.O_RDWR | (os.O_CREAT if sys.argv[1] == "make" else 0)))
    print("shm_open")
except OSError: pass
"""

_KEYS = """
add_key, keyctl = {"x86_64": (248, 250), "aarch64": (217, 219)}[os.uname().machine]
word = ctypes.c_char_p(sys.argv[2].encode())
kind = ctypes.c_char_p(b"user")
number = ctypes.c_long
for ring in (-3, -4, -5):
    if sys.argv[1] == "make":
        libc.syscall(number(add_key), kind, word, ctypes.c_char_p(b"secret"), number(6), number(ring))
        libc.syscall(number(keyctl), number(5), number(ring), number(0x3f3f3f3f))
    elif libc.syscall(number(keyctl), number(10), number(ring), kind, word, number(0)) > 0:
        print("found the neighbour's key in ring", ring)
"""


_KILL_ALL = """
for pid in range(2, 70_000):
    try:
        if pid != os.getpid(): os.kill(pid, 9)
    except OSError:
        pass
"""


async def sibling_processes(bed: Bed) -> None:
    """No process of another sandbox is seen, and none can be signalled."""
    one, two = await bed.start(), await bed.start()
    mark = bed.mark()
    await one.run(f"sleep {mark} &")
    assert mark not in (await two.run("cat /proc/[0-9]*/cmdline /proc/[0-9]*/task/*/cmdline 2>/dev/null")).stdout
    await attempt(two, _KILL_ALL)
    assert await bed.count(mark, one) == 1
    assert (await one.run("echo on")).stdout == "on\n"


async def sibling_files(bed: Bed) -> None:
    """No file of another sandbox is found anywhere."""
    one, two = await bed.start(), await bed.start()
    name = f"sibling-{bed.mark()}"
    places = " ".join(
        f"{folder}/{name}" for folder in ("/tmp", "/testbed", "/dev/shm", "/var/tmp", "/run", "/dev/mqueue")
    )
    await one.run(f"for place in {places}; do echo secret >$place; done 2>/dev/null")
    assert (await one.run(f"ls /tmp/{name} | wc -l")).stdout == "1\n"
    found = await two.run(f"find / /proc/[0-9]*/root/tmp /proc/[0-9]*/cwd/ -name '{name}' 2>/dev/null", timeout_s=120)
    assert found.stdout == ""


async def sibling_loopback_ports(bed: Bed) -> None:
    """A server on one sandbox's loopback is reached by it and by no other."""
    one, two = await bed.start(), await bed.start()
    await one.write({"/tmp/listen.py": ("import socket, sys, time" + _LISTEN).encode()})
    await one.run("python /tmp/listen.py 45678 & while [ ! -e /tmp/ready ]; do sleep 0.05; done", timeout_s=20)
    assert (await attempt(one, _CONNECT, "45678")).stdout == "reached 45678\n"
    await fails(two, _CONNECT, "45678")


async def sibling_abstract_sockets(bed: Bed) -> None:
    """An abstract UNIX socket, which needs no file, is reached from its own sandbox and from no other."""
    one, two = await bed.start(), await bed.start()
    await one.write({"/tmp/listen.py": ("import socket, sys, time" + _LISTEN).encode()})
    await one.run("python /tmp/listen.py @secret & while [ ! -e /tmp/ready ]; do sleep 0.05; done", timeout_s=20)
    assert (await attempt(one, _CONNECT, "@secret")).stdout == "reached @secret\n"
    await fails(two, _CONNECT, "@secret")


async def sibling_shared_memory(bed: Bed) -> None:
    """System V and POSIX shared memory, semaphores and message queues of one sandbox do not exist for another."""
    one, two = await bed.start(), await bed.start()
    assert "shm" in (await attempt(one, _SHARE, "make")).stdout
    await fails(two, _SHARE, "find")


async def sibling_keyrings(bed: Bed) -> None:
    """No kernel keyring is shared between sandboxes."""
    one, two = await bed.start(), await bed.start()
    word = f"contextrl-{bed.mark()}"
    await attempt(one, _KEYS, "make", word)
    await fails(two, _KEYS, "find", word)
