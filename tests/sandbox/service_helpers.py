"""A sandbox service in another process."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

_ROOT = Path(__file__).parents[2]


@dataclass
class RunningService:
    """Where it is, and its process."""

    url: str
    process: subprocess.Popen[str]
    home: Path


def service_command(*options: str) -> list[str]:
    return [sys.executable, "-m", "sandbox.service", "--port", "0", *options]


def service_environment(home: Path | None = None, token: str | None = None) -> dict[str, str]:
    kept = {key: value for key, value in os.environ.items() if not key.startswith("CONTEXTRL_SANDBOX")}
    home_entry = {"CONTEXTRL_HOME": str(home)} if home else {}
    token_entry = {"CONTEXTRL_SANDBOX_TOKEN": token} if token else {}
    return {**kept, "PYTHONPATH": str(_ROOT), **home_entry, **token_entry}


@contextlib.contextmanager
def running_service(
    home: Path, *options: str, backend: str = "local", token: str | None = None
) -> Iterator[RunningService]:
    """Ended with SIGTERM at the end of the block, at which it must end well."""
    process = subprocess.Popen(
        service_command("--backend", backend, *options),
        stderr=subprocess.PIPE,
        text=True,
        env=service_environment(home, token),
    )
    assert process.stderr is not None
    line = process.stderr.readline()
    assert " at http://" in line, line + process.stderr.read()
    try:
        yield RunningService(line.split()[-1], process, home)
    finally:
        process.terminate()
        try:
            errors = process.communicate(timeout=30)[1]
        except subprocess.TimeoutExpired:
            process.kill()
            raise
    told = [line for line in errors.splitlines() if "of dead owners" not in line]  # other tests leave some on purpose
    assert (process.returncode, told) in ((0, []), (-9, [])), errors
