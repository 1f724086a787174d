"""The suite itself: complete, told apart, harmless to a machine without walls, and able to fail."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from sandbox import ExecResult, Image, Limits, LocalBackend, Sandbox, SandboxFileError
from sandbox.conformance import ATTACKS, CASES, WEAK, Bed, Case, check
from sandbox.conformance.__main__ import held, main, promise
from sandbox.conformance.attacks import network, siblings
from sandbox.conformance.bed import _looked_at
from sandbox.conformance.commands import exit_codes, streams_are_kept_apart
from sandbox.conformance.table import BACKENDS, attack_table

_PAGE = Path(__file__).parents[2] / "docs" / "sandbox.md"


class _Bare:
    """A sandbox without walls: what somebody's first backend may look like."""

    name = "bare"

    def __init__(self) -> None:
        self.commands: list[str | list[str]] = []

    async def run(
        self,
        command: str | list[str],
        *,
        timeout_s: float | None = None,
        cwd: str | None = None,
        env: Mapping[str, str] | None = None,
    ) -> ExecResult:
        self.commands.append(command)
        words = ["bash", "-c", command] if isinstance(command, str) else command
        done = await asyncio.to_thread(subprocess.run, words, capture_output=True, text=True, check=False)
        return ExecResult(done.returncode, done.stdout, done.stderr, 0.1)

    async def read(self, path: str) -> bytes:
        raise SandboxFileError(path)

    async def write(self, files: Mapping[str, bytes | None]) -> None:
        raise SandboxFileError(str(files))

    async def upload(self, source: Path, target: str) -> None:
        raise SandboxFileError(target)

    async def download(self, source: str, target: Path) -> None:
        raise SandboxFileError(source)

    async def stop(self) -> None:
        pass


class _BareBackend:
    name = "bare"

    def __init__(self) -> None:
        self.boxes: list[_Bare] = []

    async def start(self, image: Image, limits: Limits, *, network: bool = False) -> Sandbox:
        box = _Bare()
        self.boxes.append(box)
        return box

    async def alive(self) -> list[str]:
        return []

    async def gc(self) -> list[str]:
        return []

    async def close(self) -> None:
        pass


def test_every_case_has_a_name_and_a_promise_of_its_own() -> None:
    names = [case.__name__ for case in CASES + ATTACKS]
    assert len(set(names)) == len(names) > 100
    for case in CASES + ATTACKS:
        assert promise(case).endswith("."), case
        assert promise(case).count(". ") == 0, f"{case.__name__} promises more than one sentence says"


def test_weaknesses_are_of_cases_and_backends_that_there_are() -> None:
    names = {case.__name__ for case in CASES + ATTACKS}
    for (backend, case), why in WEAK.items():
        assert backend in BACKENDS
        assert case in names
        assert why


async def test_nothing_is_tried_where_there_are_no_walls() -> None:
    backend = _BareBackend()
    with pytest.raises(AssertionError, match="no case is run"):
        await check(backend, exit_codes)
    assert len(backend.boxes) == 1
    assert len(backend.boxes[0].commands) == 1


async def test_a_broken_promise_is_told_with_its_line_and_values() -> None:
    class Forgetful(LocalBackend):
        async def start(self, image: Image, limits: Limits, *, network: bool = False) -> Sandbox:
            box = await super().start(image, limits, network=network)
            run = box.run

            async def run_and_forget(command: str | list[str]) -> ExecResult:
                result = await run(command)
                return ExecResult(result.exit_code, result.stdout, "", result.seconds)

            box.run = run_and_forget  # type: ignore[method-assign,assignment]
            return box

    backend = Forgetful()
    with pytest.raises(AssertionError):
        await check(backend, streams_are_kept_apart)
    why = await held(backend, streams_are_kept_apart, sees_processes=True)
    assert "stderr=''" in why
    assert "assert (result.stdout, result.stderr) ==" in why
    assert await backend.alive() == []
    await backend.close()


class _OpenNetwork(LocalBackend):
    async def start(self, image: Image, limits: Limits, *, network: bool = False) -> Sandbox:
        return await super().start(image, limits, network=True)


class _OneForAll(LocalBackend):
    """Hands the same sandbox to everybody."""

    def __init__(self) -> None:
        super().__init__()
        self._one: Sandbox | None = None

    async def start(self, image: Image, limits: Limits, *, network: bool = False) -> Sandbox:
        self._one = self._one or await super().start(image, limits)
        return self._one


@pytest.mark.parametrize(
    ("backend", "attack"),
    [
        (_OpenNetwork, network.network_gateway),
        (_OneForAll, siblings.sibling_processes),
        (_OneForAll, siblings.sibling_files),
        (_OneForAll, siblings.sibling_loopback_ports),
        (_OneForAll, siblings.sibling_abstract_sockets),
        (_OneForAll, siblings.sibling_shared_memory),
    ],
    ids=lambda value: value.__name__,
)
async def test_attacks_that_succeed_are_noticed(backend: type[LocalBackend], attack: Case) -> None:
    weak = backend()
    _looked_at.add(weak)  # else the first look would stop the one sandbox
    with pytest.raises(AssertionError):
        await check(weak, attack)
    await weak.close()


async def test_a_case_that_does_not_end_is_a_failure_and_leaves_nothing() -> None:
    async def hangs(bed: Bed) -> None:
        await bed.start()
        await asyncio.sleep(60)

    backend = LocalBackend()
    with pytest.raises(AssertionError, match="no end within 0 s"):
        await check(backend, hangs, patience_s=0.4)
    await backend.close()


def test_the_suite_refuses_to_run_without_asserts() -> None:
    code = (
        "import asyncio; from sandbox.conformance import CASES, check\n"
        "try: asyncio.run(check(None, CASES[0]))\nexcept RuntimeError as error: print(error)"
    )
    done = subprocess.run([sys.executable, "-O", "-c", code], cwd=_PAGE.parents[1], check=False, stdout=-1, text=True)
    assert "without -O" in done.stdout


def test_the_command_runs_the_cases_that_were_named(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "argv", ["conformance", "--backend", "local", "streams_are_kept", "exit_codes"])
    assert main() == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == ["held", "held", "all"]
    monkeypatch.setattr(sys, "argv", ["conformance", "--backend", "podman"])
    assert main() == 2
    assert "podman" in capsys.readouterr().err


def test_the_page_shows_the_table_as_declared() -> None:
    assert attack_table() in _PAGE.read_text(), (
        "run python -m sandbox.conformance --table and put it into docs/sandbox.md"
    )
