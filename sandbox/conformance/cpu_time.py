"""The CPU time of a command: that of all processes it ran, whether they were waited for, left behind or killed."""

from __future__ import annotations

import asyncio

from sandbox.conformance.bed import Bed
from sandbox.protocol import ExecResult, Sandbox, SandboxFileError

_BURN_S = 0.3
_BURN = f"import time\nwhile time.process_time() < {_BURN_S}: pass\n"
_BURN_AND_STAY = _BURN + "open('/tmp/burnt', 'w').close()\ntime.sleep(60)"
_AWAIT = "while [ ! -e /tmp/burnt ]; do sleep 0.05; done; rm /tmp/burnt"


async def cpu_time_is_that_of_the_command(bed: Bed) -> None:
    """A command that computes reports how long it did, one that sleeps next to nothing."""
    box = await bed.start()
    for _ in range(2):
        _burnt(await box.run(["python", "-c", _BURN]))
        _idle(await box.run(["sleep", "0.3"]))
        _burnt(await box.run(f'python -c "{_BURN}"'))
        _idle(await box.run("sleep 0.3"))
        _burnt(await box.run(f'python -c "{_BURN}"', env={"A": "b"}))
        _idle(await box.run("true", env={"A": "b"}))


async def cpu_time_of_the_shell_itself(bed: Bed) -> None:
    """What the session computes without any program is reported too, and once."""
    box = await bed.start()
    loop = "for ((i = 0; i < 400000; i++)); do :; done"
    first, again, idle = await box.run(loop), await box.run(["bash", "-c", loop]), await box.run("true")
    _idle(idle)
    assert first.cpu_seconds is not None and again.cpu_seconds is not None
    assert 0.3 < first.cpu_seconds / again.cpu_seconds < 3


async def cpu_time_of_children(bed: Bed) -> None:
    """Children count: those that were waited for, those in the background, and those that still run at the end."""
    box = await bed.start()
    for script in (
        f"bash -c 'python -c \"{_BURN}\"; true'",
        f'python -c "{_BURN}" & wait',
        f'python -c "{_BURN_AND_STAY}" & {_AWAIT}',
        f'(setsid python -c "{_BURN_AND_STAY}" &); {_AWAIT}',
    ):
        for command in (script, ["bash", "-c", script]):
            _burnt(await box.run(command))
            _idle(await box.run(["bash", "-c", "kill -9 -1"]))  # what is reaped now was counted before
            _idle(await box.run("true"))


async def cpu_time_between_commands(bed: Bed) -> None:
    """What a job used before a command began is not the command's."""
    box = await bed.start()
    _idle(await box.run(["bash", "-c", f'(sleep 0.2; python -c "{_BURN_AND_STAY}") & true']))
    assert await _comes(box, "/tmp/burnt")
    _idle(await box.run("true"))


async def cpu_time_of_what_was_killed(bed: Bed) -> None:
    """What a command used until its time was over is reported, its children's included."""
    box = await bed.start()
    # They compute so much and then wait for their end, so that a machine that has other work to do changes nothing.
    for command in (f'setsid python -c "{_BURN_AND_STAY}" & wait', ["python", "-c", _BURN_AND_STAY]):
        result = await box.run(command, timeout_s=4)
        assert result.timed_out
        _burnt(result)
        _idle(await box.run("true"))
    shell = await box.run("for ((i = 0; i < 400000; i++)); do :; done; sleep 60", timeout_s=4)
    assert shell.timed_out and shell.cpu_seconds is not None and shell.cpu_seconds > 0.1
    _idle(await box.run("true"))


async def _comes(box: Sandbox, path: str) -> bool:
    """Whether a file appears within half a minute, seen without a command."""
    for _ in range(600):
        try:
            await box.read(path)
        except SandboxFileError:
            await asyncio.sleep(0.05)
        else:
            return True
    return False


def _burnt(result: ExecResult) -> None:
    assert result.cpu_seconds is not None
    assert 0.2 < result.cpu_seconds < 3 * _BURN_S


def _idle(result: ExecResult) -> None:
    assert result.cpu_seconds is not None
    assert 0 <= result.cpu_seconds < 0.1
