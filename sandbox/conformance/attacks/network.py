"""Attacks on the network: nothing beyond the sandbox's own loopback can be reached."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Iterator
from pathlib import Path

from sandbox.conformance.attacks.attempts import fails
from sandbox.conformance.bed import Bed

_REACH = """
for target in sys.argv[1:]:
    way, host, port = target.split()
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        sock = socket.socket(family, socket.SOCK_STREAM if way == "tcp" else socket.SOCK_DGRAM)
        sock.settimeout(1)
        sock.connect((host, int(port)))
        sock.send(b"hello")
        print("reached", target)
    except TimeoutError:
        print("a packet left for", target)
    except ConnectionRefusedError:
        if not host.startswith("127."):
            print("was refused by", target)
    except OSError:
        pass
"""

_RESOLVE = """
for name in sys.argv[1:]:
    try:
        print(name, socket.getaddrinfo(name, 80))
    except socket.gaierror:
        pass
"""

_UNIX_SOCKETS = """
paths = sys.argv[1:]
for folder, folders, files in os.walk("/"):
    folders[:] = [name for name in folders if folder != "/" or name not in ("proc", "sys")]
    for name in files:
        path = os.path.join(folder, name)
        try:
            if os.lstat(path).st_mode & 0o170000 == 0o140000:
                paths.append(path)
        except OSError:
            pass
for path in paths:
    try:
        socket.socket(socket.AF_UNIX).connect(path)
        print("reached", path)
    except OSError:
        pass
"""

_OTHER_FAMILIES = """
for cid in range(4):
    for port in (22, 52, 1024):
        try:
            sock = socket.socket(socket.AF_VSOCK, socket.SOCK_STREAM)
            sock.settimeout(1)
            sock.connect((cid, port))
            print("reached VSOCK", cid, port)
        except OSError as error:
            if error.errno not in (errno.EAFNOSUPPORT, errno.EPERM, errno.EACCES, errno.ENODEV, errno.EADDRNOTAVAIL):
                print("a packet left for VSOCK", cid, port, repr(error))
for family in (31, 35, 37, 42):
    try:
        print("family", socket.socket(family, socket.SOCK_RAW))
    except OSError:
        pass
"""

_RAW = """
for what in ((2, 3, 1), (2, 3, 255), (10, 3, 58), (17, 3, 768), (17, 2, 768)):
    try:
        print(what, socket.socket(*what))
    except OSError:
        pass
try:
    link = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0)
    body = bytes(16) + struct.pack("=HH8s", 12, 3, b"dummy0") + struct.pack("=HHHH8s", 16, 18, 12, 1, b"dummy")
    link.send(struct.pack("=IHHII", 16 + len(body), 16, 0x605, 1, 0) + body)
    if struct.unpack_from("=i", link.recv(4096), 16)[0] == 0:
        print("made an interface")
except OSError:
    pass
"""


async def network_ipv4(bed: Bed) -> None:
    """No IPv4 address can be reached, and no packet be sent to one."""
    hosts = ("192.0.2.1 80", "1.1.1.1 443", "10.0.0.1 22", "224.0.0.1 9", "255.255.255.255 9")
    await fails(await bed.start(), _REACH, *(f"{way} {host}" for way in ("tcp", "udp") for host in hosts))


async def network_ipv6(bed: Bed) -> None:
    """No IPv6 address can be reached, not even on the link."""
    hosts = ("2001:db8::1 80", "2606:4700:4700::1111 443", "fe80::1 80", "ff02::1 9", "::ffff:192.0.2.1 80")
    await fails(await bed.start(), _REACH, *(f"{way} {host}" for way in ("tcp", "udp") for host in hosts))


async def network_dns(bed: Bed) -> None:
    """No name can be resolved, and no name server be asked, those of this machine included."""
    box = await bed.start()
    servers = {line.split()[1] for line in _lines("/etc/resolv.conf") if line.startswith("nameserver")} | {"8.8.8.8"}
    doors = [f"{way} {server} 53" for way in ("tcp", "udp") for server in servers if not server.startswith("127.")]
    await fails(box, _REACH, "tcp 127.0.0.11 53", "tcp 127.0.0.53 53", *doors)
    await fails(box, _RESOLVE, "example.com", "pypi.org", "host.docker.internal", "metadata.google.internal")


async def network_gateway(bed: Bed) -> None:
    """No server of this machine can be reached: not by its addresses, its gateway or its loopback."""
    box = await bed.start()
    with _server("0.0.0.0") as door, _server("127.0.0.1") as inner_door:
        hosts = {"127.0.0.1", "172.17.0.1", "172.18.0.1", "10.0.2.2", *_addresses()}
        await fails(box, _REACH, *(f"tcp {host} {port}" for host in sorted(hosts) for port in (door, inner_door, 22)))


async def network_metadata_address(bed: Bed) -> None:
    """The addresses where clouds tell a machine its secrets cannot be reached."""
    hosts = ("169.254.169.254", "169.254.170.2", "100.100.100.200", "fd00:ec2::254")
    await fails(await bed.start(), _REACH, *(f"tcp {host} 80" for host in hosts))


async def network_engine_socket(bed: Bed) -> None:
    """No socket of a container engine, or of anybody else, is in the file system."""
    usual = ("docker.sock", "containerd/containerd.sock", "podman/podman.sock", "dbus/system_bus_socket")
    paths = [f"{folder}/{name}" for folder in ("/run", "/var/run") for name in usual]
    await fails(await bed.start(), _UNIX_SOCKETS, *paths, timeout_s=120)


async def network_other_families(bed: Bed) -> None:
    """Address families that network namespaces do not keep apart, such as VSOCK to the hypervisor, lead nowhere."""
    await fails(await bed.start(), _OTHER_FAMILIES)


async def network_raw_sockets(bed: Bed) -> None:
    """Raw sockets are refused, and interfaces cannot be made."""
    await fails(await bed.start(), _RAW)


def _lines(path: str) -> list[str]:
    return Path(path).read_text().splitlines() if Path(path).is_file() else []


def _addresses() -> set[str]:
    """The IPv4 addresses and gateways of this machine."""
    words = {line.split()[-1] for line in _lines("/proc/net/fib_trie") if line.split()}
    found = {word for word in words if word.count(".") == 3 and "/" not in word and not word.startswith(("127.", "0."))}
    for line in _lines("/proc/net/route")[1:]:
        if number := int(line.split()[2], 16):
            found.add(socket.inet_ntoa(number.to_bytes(4, "little")))
    return found


@contextlib.contextmanager
def _server(host: str) -> Iterator[int]:
    """A port of this machine at which somebody listens."""
    with socket.create_server((host, 0)) as server:
        port: int = server.getsockname()[1]
        yield port
