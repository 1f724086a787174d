"""Run commands in isolation: the same protocol over Docker containers, over namespaces of this machine, and over
services on others.

Names are resolved when first used, so that importing this package loads nothing but itself.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sandbox.backends import open_backend
    from sandbox.docker import DockerBackend
    from sandbox.local import LocalBackend
    from sandbox.loop import run_sync
    from sandbox.pool import Pool, lease
    from sandbox.protocol import (
        TESTBED,
        BackendOptions,
        BackendUnavailable,
        ExecResult,
        Image,
        Limits,
        Sandbox,
        SandboxBackend,
        SandboxError,
        SandboxFileError,
    )
    from sandbox.remote import RemoteBackend

__all__ = [
    "TESTBED",
    "BackendOptions",
    "BackendUnavailable",
    "DockerBackend",
    "ExecResult",
    "Image",
    "Limits",
    "LocalBackend",
    "Pool",
    "RemoteBackend",
    "Sandbox",
    "SandboxBackend",
    "SandboxError",
    "SandboxFileError",
    "lease",
    "open_backend",
    "run_sync",
]

_HOMES = {
    "DockerBackend": "docker",
    "LocalBackend": "local",
    "Pool": "pool",
    "RemoteBackend": "remote",
    "lease": "pool",
    "open_backend": "backends",
    "run_sync": "loop",
}


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module 'sandbox' has no attribute {name!r}")
    return getattr(importlib.import_module(f"sandbox.{_HOMES.get(name, 'protocol')}"), name)
