"""What file cases have in common: refusals, and what a folder holds."""

from __future__ import annotations

import os
from pathlib import Path

from sandbox.protocol import Sandbox, SandboxFileError


async def refuses_file(box: Sandbox, path: str) -> None:
    """The path is neither read nor written."""
    for attempt in (box.read(path), box.write({path: b"x"})):
        try:
            await attempt
        except SandboxFileError:
            continue
        raise AssertionError(f"{path!r} was not refused")


async def refuses_copy(box: Sandbox, source: Path | str, target: str | Path, naming: str = "") -> None:
    """A `Path` does not go up, a string does not come down; the message names the culprit, no download is left."""
    try:
        if isinstance(source, Path):
            await box.upload(source, str(target))
        else:
            await box.download(source, Path(target))
    except SandboxFileError as error:
        assert naming in str(error), f"{error} does not name {naming}"
        assert isinstance(source, Path) or not os.path.lexists(target), f"{target} was left behind"  # noqa: ASYNC240
        return
    raise AssertionError(f"{source} to {target} was not refused")


def snapshot(folder: Path) -> dict[str, tuple[str, bool, bytes]]:
    """Relative path -> kind, execute bit, contents of everything below a folder."""
    found = {}
    for path in sorted(folder.rglob("*")):
        kind = "link" if path.is_symlink() else "folder" if path.is_dir() else "file" if path.is_file() else "special"
        data = path.read_bytes() if kind == "file" else b""
        executable = kind == "file" and bool(path.stat().st_mode & 0o100)
        found[str(path.relative_to(folder))] = (kind, executable, data)
    return found
