"""`check_repository`: does what was learned about a repository still hold?

Invariant: everything is done again from the kept sources, beside the profile and never in its place.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from envs.repos.environment import install, make_environment, remove_package
from envs.repos.learned import learned
from envs.repos.measure import Measured, measure
from envs.repos.needs import Needs
from envs.repos.pythons import find_python
from envs.repos.source import RepoError
from envs.repos.store import repos_folder, test_times
from envs.task import RepoProfile
from envs.testing.runner import Progress, silent
from sandbox.protocol import SandboxBackend

_SHOWN = 3
_SLOWER = 3.0
_SLOWER_S = 5.0


@dataclass(frozen=True)
class Finding:
    """One thing that was learned, and whether it still holds."""

    what: str
    holds: bool
    text: str


async def check_repository(
    profile: RepoProfile, *, backend: SandboxBackend, workers: int = 2, on_progress: Progress = silent
) -> list[Finding]:
    """Install its requirements anew, run its tests again, compare. Raises `SandboxError`."""
    found = []
    with tempfile.TemporaryDirectory(prefix=".checking-", dir=repos_folder()) as place:
        on_progress(0, 2, "installing what the tests need")
        try:
            python: Path | None = await _environment(Path(place) / "venv", profile)
            found.append(Finding("install", True, f"{len(profile.requirements)} packages"))
        except RepoError as error:
            python = profile.python
            found.append(Finding("install", False, f"{error}; the environment made before is used"))
        again = profile.model_copy(update={"python": python})

        def tell(done: int, total: int, text: str) -> None:
            on_progress(1, 2, f"running the tests: {text}")

        try:
            measured = await measure(again, backend, workers, tell, runs=learned(profile).runs)
        except RepoError as error:
            return [*found, Finding("tests", False, str(error))]
    on_progress(2, 2, "")
    return [*found, *_compared(profile, measured)]


async def _environment(folder: Path, profile: RepoProfile) -> Path:
    version = learned(profile).python
    base, _ = await find_python(version or None, "")
    python = await make_environment(folder, base)
    await install(python, Needs(required=profile.requirements))
    remove_package(python, profile.name)
    return python


def _compared(profile: RepoProfile, measured: Measured) -> list[Finding]:
    passed = set(test_times(profile))
    lost = passed - set(measured.passing) - set(measured.flaky)
    flaky = (set(measured.flaky) & passed) - set(profile.flaky)
    slow = measured.seconds > _SLOWER * profile.test_seconds + _SLOWER_S
    now = {function: set(tests) for function, tests in measured.covers.items()}
    gone = [
        function
        for function, tests in profile.covers.items()
        if not set(tests) - flaky - lost <= now.get(function, set())
    ]
    return [
        Finding("tests", not lost, f"{len(passed - lost)} of {len(passed)} pass{_names(lost)}"),
        Finding("flaky tests", not flaky, f"{len(flaky)} are flaky that were not{_names(flaky, ': ')}"),
        Finding("duration", not slow, f"{measured.seconds:.1f} s, was {profile.test_seconds:.1f} s"),
        Finding(
            "coverage map",
            not gone,
            f"{len(profile.covers) - len(gone)} of {len(profile.covers)} functions are "
            f"called by the same tests{_names(gone)}",
        ),
    ]


def _names(names: Iterable[str], before: str = "; not ") -> str:
    shown = sorted(names)
    more = f" and {len(shown) - _SHOWN} more" if len(shown) > _SHOWN else ""
    return f"{before}{', '.join(shown[:_SHOWN])}{more}" if shown else ""
