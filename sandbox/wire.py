"""What a client and a sandbox service say to each other.

Invariant: both ends run the same guest program, or the lease is refused before it starts: the frames that a service
relays without looking at them are understood at both ends of it.

Every lease is a WebSocket connection of its own. Text messages are JSON:

    client   the start request
    service  {"need": digest}, when it does not know the image's tree
    client   the tree's tar archive in binary messages, if it sends it, then {"end": digest}
    service  {"have": digest}, or {"need": digest} again
    service  {"started": name, "free": number}, {"full": true} when no place became free within the client's patience,
             or {"refused": sentence}

From then on binary messages are the bytes of the guest's channel. The client's next text message, `STOP`, ends the
lease; the service closes the connection when nothing is left of the sandbox. So does closing the connection.
"""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import json
import re
from typing import Any

from sandbox import boot
from sandbox.protocol import Image, Limits, SandboxError

LEASE, WATCH, STATUS, HEALTH = "/lease", "/watch", "/status", "/health"
PORT = 8700
TOKEN_VARIABLE = "CONTEXTRL_SANDBOX_TOKEN"
SERVICES_VARIABLE = "CONTEXTRL_SANDBOX_SERVICES"
STOP = "{}"
CHUNK = 1 << 20
"""Most bytes in one binary message."""
MAX_MESSAGE = 4 << 20
GUEST_ENDED = 4000
"""Close code: the sandbox ended by itself."""
CONNECTION: dict[str, Any] = {
    "compression": None,  # on the way of every step it costs more than it saves
    "max_size": MAX_MESSAGE,
    "ping_interval": 15.0,  # seconds
    "ping_timeout": 60.0,  # an event loop that computes for a while is not a dead one
    "close_timeout": 3.0,
}
"""How both ends run their connections. asyncio itself sets TCP_NODELAY on each."""


@functools.cache
def guest_version() -> str:
    """Identifies the guest program that this installation speaks to."""
    return hashlib.sha256(boot.source()).hexdigest()[:16]


@dataclasses.dataclass(frozen=True)
class StartRequest:
    """The first message of a lease."""

    name: str
    digest: str
    python: str | None
    requirements: tuple[str, ...]
    limits: Limits
    network: bool
    patience_s: float = 0.0
    """How long to wait for a place at the service, seconds."""
    reference: str = ""
    python_version: str = ""

    @classmethod
    def of(cls, image: Image, digest: str, limits: Limits, network: bool) -> StartRequest:
        """What a client asks for."""
        python = None if image.python is None else str(image.python)
        start = cls(image.name, digest, python, image.requirements, limits, network)
        return dataclasses.replace(start, reference=image.reference, python_version=image.python_version)

    def text(self) -> str:
        """The message."""
        return json.dumps({"guest": guest_version(), **dataclasses.asdict(self)})

    @classmethod
    def parse(cls, text: str | bytes) -> StartRequest:
        """The request that a message holds. Raises `SandboxError` for anything else."""
        try:
            said = json.loads(text)
            version = said.pop("guest")
            limits = said.pop("limits")
            request = cls(**said, limits=_limits(limits)) if version == guest_version() else None
        except (ValueError, TypeError, AttributeError, KeyError) as error:
            raise SandboxError("the service was not asked for a lease in words it knows") from error
        if request is None:
            raise SandboxError("client and service run different versions of ContextRL: update one of them")
        request._check()
        return dataclasses.replace(request, requirements=tuple(request.requirements))

    def _check(self) -> None:
        texts = isinstance(self.name, str) and isinstance(self.network, bool) and isinstance(self.digest, str)
        texts = texts and isinstance(self.reference, str) and isinstance(self.python_version, str)
        patient = isinstance(self.patience_s, int | float) and 0 <= self.patience_s < 1e9
        lines = isinstance(self.requirements, list) and all(isinstance(line, str) for line in self.requirements)
        if not (texts and lines and isinstance(self.python, str | None) and re.fullmatch("[0-9a-f]{64}", self.digest)):
            raise SandboxError("the service was asked for an image that is none")
        if not patient:
            raise SandboxError(f"no patience lasts {self.patience_s} s")


def _limits(given: dict[str, Any]) -> Limits:
    try:
        return Limits(**given)
    except ValueError as error:
        raise SandboxError(str(error)) from error
