"""What a service is started with.

Invariant: options that were accepted never open the service to other machines without a token.
"""

from __future__ import annotations

import ipaddress
import os
import re
import socket
from dataclasses import dataclass
from pathlib import Path

from sandbox.wire import PORT, TOKEN_VARIABLE

BACKENDS = ("auto", "docker", "local")


@dataclass(frozen=True)
class ServiceOptions:
    """Raises `ValueError`, in one sentence, for options that do not go together."""

    host: str = "127.0.0.1"
    port: int = PORT
    """0 takes a free one, which is told on standard error."""
    backend: str = "auto"
    token: str | None = None
    size: int = 2 * (os.cpu_count() or 1)
    """Most leases at once. Further ones wait."""
    docker_base: str | None = None

    def __post_init__(self) -> None:
        if self.backend not in BACKENDS:
            raise ValueError(f"there is no backend {self.backend!r}: choose one of {', '.join(BACKENDS)}")
        if self.size < 1:
            raise ValueError(f"a service has room for at least one sandbox, not {self.size}")
        if not 0 <= self.port < 1 << 16:
            raise ValueError(f"{self.port} is no port: give one from 1 to 65535, or 0 for any that is free")
        if self.token is None and not is_loopback(self.host):
            raise ValueError(
                f"without a token the service listens on loopback only, not on {self.host or 'all addresses'}: "
                f"set {TOKEN_VARIABLE} or give --token-file"
            )


def is_loopback(host: str) -> bool:
    """Whether every address of the host is this machine's own. Raises `ValueError` for a host that has none."""
    try:
        found = socket.getaddrinfo(host or None, None, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except (OSError, UnicodeError) as error:
        raise ValueError(f"{host} is no address of this machine: give one, such as 127.0.0.1 or 0.0.0.0") from error
    return all(ipaddress.ip_address(str(address[0]).partition("%")[0]).is_loopback for *_, address in found)


def read_token(path: Path | None) -> str | None:
    """The token from a file, else from the environment; None when there is neither. Raises `ValueError`."""
    if path is not None:
        try:
            token = path.read_text().strip()
        except (OSError, UnicodeError) as error:
            raise ValueError(f"the token cannot be read from {path}: {getattr(error, 'strerror', error)}") from error
    else:
        token = os.environ.get(TOKEN_VARIABLE, "").strip()
        if not token:
            return None
    if not re.fullmatch(r"[!-~]+", token):
        place = f"in {path}" if path else f"in {TOKEN_VARIABLE}"
        raise ValueError(f"the token {place} is empty, or has blanks or letters beyond ASCII in it")
    return token
