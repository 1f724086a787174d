"""From fetched sources to what is known of them: build, look, install, run.

Invariant: whatever was assumed, left out or guessed on the way is told in `Learned.notes`, one sentence each.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from packaging.utils import canonicalize_name

from envs.repos.build import Built, build, host_abi
from envs.repos.declared import declared
from envs.repos.detect import Layout, detect
from envs.repos.environment import install, install_guessed, make_environment, pinned, remove_package
from envs.repos.fetch import Fetched
from envs.repos.imported import missing
from envs.repos.layout import parse_all, unparsed
from envs.repos.learned import Learned
from envs.repos.measure import FILE_CPU_S, RUNS, Measured, look, measure, test_units
from envs.repos.pythons import find_python
from envs.repos.source import RepoError, Source
from envs.task import RepoProfile
from envs.testing.runner import Outcome, Progress
from sandbox.protocol import SandboxBackend

STEPS = 5
_GUESSES = 2


@dataclass(frozen=True)
class Wanted:
    """A request: the source and the user's words."""

    source: Source
    name: str
    install: str | None = None
    test: str | None = None
    python: str | None = None


class Study:
    """One repository on its way to a profile, in the folder that will hold it."""

    def __init__(self, wanted: Wanted, folder: Path, backend: SandboxBackend, workers: int, tell: Progress) -> None:
        self._wanted, self._folder, self._backend = wanted, folder, backend
        self._workers, self._tell = workers, tell
        self._tree = folder / "tree"
        self._notes: list[str] = []

    async def run(self, fetched: Fetched, contents: str, work: Path) -> tuple[RepoProfile, Measured, Learned]:
        """All steps. Raises `RepoError`, `SandboxError`."""
        wanted = self._wanted
        detect(self._tree, install=wanted.install, test=wanted.test)  # a mistake is told before anything is built
        base, version = await find_python(wanted.python, declared(self._tree).requires_python)
        python = await make_environment(self._folder / "venv", base)
        self._tell(1, STEPS, "building it, for its metadata and generated files")
        built = await build(self._tree, work, python, fetched.version)
        layout = detect(self._tree, install=wanted.install, test=wanted.test, metadata=built.metadata)
        self._note_broken(unparsed(self._tree, parse_all(self._tree)))
        self._tell(2, STEPS, "installing what the tests need")
        failed = await install(python, layout.needs_of_run)
        remove_package(python, layout.known.name)
        profile = RepoProfile(
            name=wanted.name,
            source=wanted.source.text,
            base_commit=fetched.commit or contents,
            version=fetched.version or layout.known.version,
            tree=self._tree,
            python=python,
            python_version=".".join(version.split(".")[:2]) if wanted.python or base != Path(sys.executable) else "",
            requirements=await pinned(python),
            test_cmd=layout.test_cmd,
            log_parser=layout.runner,
            source_files=layout.source_files,
            test_files=layout.test_files,
        )
        self._note_build(built, failed)
        try:
            profile, found = await self._measure(profile, layout)
        except RepoError as error:
            raise self._explained(error, built) from None
        self._note_tests(found)
        return profile, found, self._learned(version, layout, found)

    async def _measure(self, profile: RepoProfile, layout: Layout) -> tuple[RepoProfile, Measured]:
        def tell(done: int, total: int, text: str) -> None:
            self._tell(3, STEPS, f"running the tests: {text}")

        if self._wanted.source.kind == "generated":
            return profile, await measure(profile, self._backend, self._workers, tell, runs=2)
        watched = await look(profile, self._backend, self._workers, tell)
        if self._wanted.install is None:
            profile, watched = await self._with_missing(profile, layout, watched, tell)
        return profile, await measure(profile, self._backend, self._workers, tell, runs=RUNS, watched=watched)

    async def _with_missing(
        self, profile: RepoProfile, layout: Layout, watched: list[Outcome], tell: Progress
    ) -> tuple[RepoProfile, list[Outcome]]:
        """Install what failed tests say they lack, by its likeliest name, and run their files again."""
        assert profile.python is not None
        local = _local_names(layout)
        tried = {canonicalize_name(line.partition("=")[0]) for line in profile.requirements}
        for _ in range(_GUESSES):
            lacking = {
                what: name for what, name in _lacks(watched, local).items() if canonicalize_name(name) not in tried
            }
            tried |= set(map(canonicalize_name, lacking.values()))
            had = await install_guessed(profile.python, dict.fromkeys(lacking.values()), layout.known.name)
            if not had:
                break
            self._notes += [
                f"the tests lack {what}: {name} was installed" for what, name in lacking.items() if name in had
            ]
            remove_package(profile.python, layout.known.name)
            profile = profile.model_copy(update={"requirements": await pinned(profile.python)})
            units = test_units(profile)
            again = [i for i, outcome in enumerate(watched) if _lacks([outcome], local)]
            outcomes = await look(profile, self._backend, self._workers, tell, [units[i] for i in again])
            for i, outcome in zip(again, outcomes, strict=True):
                watched[i] = outcome
        return profile, watched

    def _note_build(self, built: Built, failed: Sequence[str]) -> None:
        if built.failed:
            self._notes.append(f"it could not be built, so its sources are used as they are: {built.failed}")
        if built.generated:
            self._notes.append(f"its build generates {', '.join(built.generated)}: laid beside the sources")
        if built.natives:
            abi = host_abi(built.natives) or "every Python"
            self._notes.append(
                f"{len(built.natives)} extension modules were built for {abi}: {', '.join(built.natives)}"
            )
        self._notes += [f"pip could not install {line}: the tests that need it are not used" for line in failed]

    def _note_broken(self, broken: Sequence[str]) -> None:
        more = f" and {len(broken) - 3} more" * (len(broken) > 3)
        if broken:
            self._notes.append(f"{'; '.join(broken[:3])}{more}: not used")

    def _note_tests(self, found: Measured) -> None:
        total = len(found.passing) + len(found.failing) + len(found.flaky)
        if found.failing:
            least = "more than half, " if 2 * len(found.failing) > total else ""
            self._notes.append(f"{len(found.failing)} of {total} tests fail ({least}{found.reason}): they are not used")
        if found.slow:
            self._notes.append(f"{', '.join(found.slow)} took longer than {FILE_CPU_S:.0f} CPU seconds: not used")
        if found.runs < RUNS and self._wanted.source.kind != "generated":
            self._notes.append(f"its tests are slow, so they were run {found.runs} times only")

    def _explained(self, error: RepoError, built: Built) -> RepoError:
        """The sentence of a failed measurement, with what most likely led to it."""
        if built.natives and self._backend.name != "local":
            return RepoError(
                f"{error}; its extension modules fit {host_abi(built.natives)} only: use the local backend"
            )
        if built.failed:
            return RepoError(f"{error}; it could not be built either: {built.failed}")
        return error

    def _learned(self, version: str, layout: Layout, found: Measured) -> Learned:
        return Learned(
            sandbox=self._backend.name,
            python=version,
            build_backend=layout.known.backend,
            requires_python=layout.known.requires_python,
            required=layout.needs.required,
            wanted=layout.needs.wanted,
            passing=len(found.passing),
            failing=len(found.failing),
            skipped=len(found.skipped),
            runs=found.runs,
            notes=tuple(self._notes),
        )


def _local_names(layout: Layout) -> set[str]:
    paths = [PurePosixPath(path) for path in (*layout.source_files, *layout.test_files)]
    return {part for path in paths for part in (*path.parts[:-1], path.stem)} | set(sys.stdlib_module_names)


def _lacks(outcomes: Sequence[Outcome], local: set[str]) -> dict[str, str]:
    return missing((failure.message for outcome in outcomes for failure in outcome.failures.values()), local)
