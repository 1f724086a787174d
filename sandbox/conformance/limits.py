"""Limits: the kernel holds them, and a sandbox that met one can be used further."""

from __future__ import annotations

from sandbox.conformance.bed import Bed
from sandbox.protocol import SandboxFileError

_COUNT = """
import os, time
for n in range(1000):
    try: pid = os.fork()
    except OSError: break
    if pid == 0: time.sleep(30); os._exit(0)
print(n)
"""


async def processes_are_bounded(bed: Bed) -> None:
    """No more than `pids` processes at a time."""
    box = await bed.start(pids=40)
    assert 10 < int((await box.run(["python", "-c", _COUNT])).stdout) < 40
    await box.run("kill -9 -1")
    assert (await box.run("/bin/echo on")).stdout == "on\n"


async def memory_is_bounded(bed: Bed) -> None:
    """A program that asks for more than `memory_mb` fails; nothing else does."""
    box = await bed.start(memory_mb=96)
    await box.run("kept=1")
    for command in (
        'python -c "x = bytearray(400 << 20); print(1)"',
        ["python", "-c", "x = bytearray(400 << 20); print(1)"],
    ):
        result = await box.run(command)
        assert (result.exit_code != 0, result.stdout) == (True, "")
        assert (await box.run("echo $kept")).stdout == "1\n"


async def memory_of_the_shell_is_bounded(bed: Bed) -> None:
    """A session that fills its own memory is ended; the sandbox goes on."""
    box = await bed.start(memory_mb=96)
    await box.run("x=$(printf '%01000000d'); while :; do x=$x$x; done", timeout_s=30)
    assert (await box.run("echo on")).stdout == "on\n"


async def file_size_is_bounded(bed: Bed) -> None:
    """No file grows beyond `file_mb`, however it is written."""
    box = await bed.start(file_mb=2)
    assert (await box.run("head -c 3000000 /dev/zero >big")).exit_code != 0
    assert int((await box.run("stat -c %s big")).stdout) <= 2 << 20
    try:
        await box.write({"big2": bytes(3_000_000)})
    except SandboxFileError as error:
        assert "large" in str(error)
    else:
        raise AssertionError("a file beyond the limit was written")
    assert (await box.run("for i in $(seq 300000); do echo 0123456789; done >big3", timeout_s=60)).exit_code != 0
    assert (await box.run("echo on")).stdout == "on\n"


async def written_data_is_bounded(bed: Bed) -> None:
    """/testbed and /tmp hold no more than `tmp_mb` each; when space is made, the sandbox can be used further."""
    box = await bed.start(tmp_mb=16)
    for folder in ("/tmp", "/testbed"):
        fill = f"for i in $(seq 9); do head -c 4000000 /dev/zero >{folder}/fill$i || exit 9; done"
        assert (await box.run(fill)).exit_code == 9, folder
        assert (await box.run(f"rm {folder}/fill*; echo on")).stdout == "on\n", folder
        await box.write({f"{folder}/small": b"x"})


async def the_cpu_is_shared(bed: Bed) -> None:
    """With `cpus` = 0.5 two busy processes get about half a second of processor time in a second."""
    box = await bed.start(cpus=0.5)
    busy = "timeout 2 bash -c 'while :; do :; done' & timeout 2 bash -c 'while :; do :; done'; wait; times | tail -1"
    minutes, seconds = (await box.run(["bash", "-c", busy], timeout_s=20)).stdout.split()[0].rstrip("s").split("m")
    assert 60 * int(minutes) + float(seconds) < 1.6
