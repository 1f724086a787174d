"""A shell whose files have no room left to be made anew."""

from __future__ import annotations

import pytest

from sandbox import Image, Limits, SandboxBackend, lease

pytestmark = pytest.mark.asyncio(loop_scope="module")

_FILL = """
import os
for folder in ("/dev/shm/full", "/tmp/full"):
    os.makedirs(folder)
    open(f"{folder}/first", "w").close()
    try:
        for number in range(10**7): os.link(f"{folder}/first", f"{folder}/{number}")
    except OSError: pass
"""


async def test_without_inodes_commands_run_and_shells_are_replaced(backend: SandboxBackend, image: Image) -> None:
    async with lease(backend, image, Limits(tmp_mb=64)) as box:
        await box.run(["python", "-c", _FILL], timeout_s=120)
        assert (await box.run("touch /dev/shm/one-more")).exit_code != 0
        assert (await box.run("sleep 100 & echo started")).stdout == "started\n"
        for word in ("a", "b"):
            assert (await box.run(f"echo {word}")).stdout == f"{word}\n"
        assert (await box.run("exit 3")).exit_code == 3
        assert (await box.run("echo replaced; rm -rf /dev/shm/full /tmp/full")).stdout == "replaced\n"
        assert (await box.run("(sleep 0.5; echo late) & echo early")).stdout == "early\n"
        assert (await box.run("sleep 1; echo only")).stdout == "only\n"


async def test_a_pipe_that_was_replaced_by_a_file_costs_no_descriptor(backend: SandboxBackend, image: Image) -> None:
    async with lease(backend, image) as box:
        for _ in range(30):
            await box.run("rm -f /dev/shm/.contextrl/1; : >/dev/shm/.contextrl/1")
        before = (await box.run("ls -A /dev/shm/.contextrl")).stdout
        assert (await box.run("echo on")).stdout == "on\n"
        assert "1\n" in before
