"""`contextrl doctor`: what works on this machine."""

from __future__ import annotations

import asyncio
import os
import platform
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import typer

Finding = tuple[str, bool, str]
"""What was looked at, whether it works, and what was seen or what to do."""


def doctor() -> None:
    """Check what a run needs, and say what to do where something is missing."""
    sandboxes = 0
    for name, works, text in findings():
        typer.secho(f"{'✓' if works else '✗'} {name:10} ", fg="green" if works else "yellow", nl=False)
        typer.echo(text)
        sandboxes += works and name in ("docker", "local")
    if not sandboxes:
        raise ValueError("neither Docker nor Linux namespaces work here, and a run needs one of them")


def findings() -> Iterator[Finding]:
    """All checks, one after the other."""
    version = platform.python_version()
    yield "python", sys.version_info >= (3, 11), f"{version} at {sys.executable}"
    yield "machine", True, f"{os.cpu_count()} cores, {_memory()}, {platform.platform(terse=True)}"
    yield _backend("docker")
    yield _backend("local")
    yield _gpu()
    yield _disk("home", _home)
    yield _disk("runs", Path.cwd)


def _memory() -> str:
    return f"{os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') / 2**30:.0f} GiB of memory"


def _backend(kind: str) -> Finding:
    from sandbox import open_backend
    from sandbox.protocol import SandboxError

    async def count() -> int:
        backend = await open_backend(kind)
        try:
            return len(await backend.alive())
        finally:
            await backend.close()

    try:
        return kind, True, f"works, {asyncio.run(count())} sandboxes now"
    except (SandboxError, OSError) as error:
        return kind, False, " ".join(str(error).split())


def _gpu() -> Finding:
    import torch

    if not torch.cuda.is_available():
        return "gpu", False, f"none that torch {torch.__version__} sees; the tiny policy needs none"
    return "gpu", True, f"{torch.cuda.get_device_name()}, torch {torch.__version__}"


def _home() -> Path:
    from sandbox.home import home

    return home()


def _disk(name: str, folder: Callable[[], Path]) -> Finding:
    try:
        place = folder()
        free = shutil.disk_usage(place).free / 1e9
    except OSError as error:
        return name, False, f"cannot be used: {error}"
    writable = os.access(place, os.W_OK)
    return name, writable and free > 1, f"{place}: {free:.1f} GB free{'' if writable else ', not writable'}"
