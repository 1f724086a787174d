"""What git tells of a checkout.

Invariant: nothing of the checkout's or the user's configuration runs a program; nothing is written into the checkout.
"""

from __future__ import annotations

import asyncio
import subprocess
from pathlib import Path


class MirrorError(ValueError):
    """The commit cannot be mirrored."""


async def past_commits(checkout: Path, commits: str = "HEAD") -> tuple[str, ...]:
    """The hashes of a range as git writes it (`v1..HEAD`, or one commit and all before it), without merges.

    The latest first. Raises `MirrorError` for what is no checkout or no range, and where there is no commit.
    """
    listed = (await git(checkout, "rev-list", "--no-merges", "--end-of-options", commits, "--")).split()
    if not listed:
        raise MirrorError(f"git in {checkout}: there is no commit in {commits}")
    return tuple(listed)


async def git(checkout: Path, *arguments: str) -> str:
    """What git prints. Raises `MirrorError` where it fails."""
    command = ["git", "-c", "core.fsmonitor=", "-c", "core.quotePath=false", "-C", str(checkout), *arguments]
    done = await asyncio.to_thread(subprocess.run, command, capture_output=True, check=False)
    if done.returncode:
        lines = done.stderr.decode(errors="replace").strip().splitlines() or ["it failed"]
        raise MirrorError(f"git in {checkout}: {lines[-1]}")
    return done.stdout.decode(errors="replace")
