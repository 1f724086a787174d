"""Walls: what a sandbox is made of and what it may use, seen from inside."""

from __future__ import annotations

from sandbox.conformance.bed import Bed


async def no_root_and_no_capabilities(bed: Bed) -> None:
    """Nothing runs as root, has or can gain a capability, neither in the session nor beside it."""
    box = await bed.start()
    script = "id -u; id -g; grep -E 'Cap|NoNewPrivs' /proc/self/status"
    for command in (script, ["bash", "-c", script]):
        user, group, *status = (await box.run(command)).stdout.split()
        assert "0" not in (user, group)
        assert set(status[1:-2:2]) == {"0000000000000000"}
        assert status[-2:] == ["NoNewPrivs:", "1"]


async def a_loopback_of_its_own(bed: Bed) -> None:
    """Servers on the loopback work, and there is no other interface."""
    box = await bed.start()
    probe = (
        "import socket\n"
        "server = socket.create_server(('127.0.0.1', 0))\n"
        "socket.create_connection(server.getsockname()).close()\n"
        "print(*[name for _, name in socket.if_nameindex() if name != 'lo'])\n"
    )
    result = await box.run(["python", "-c", probe], timeout_s=30)
    up = "cat /sys/class/net/*/operstate 2>/dev/null | grep -c up"
    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout.split() == [] or (await box.run(up)).stdout == "0\n"


async def every_sandbox_starts_from_the_image(bed: Bed) -> None:
    """Nothing that one sandbox changed is seen by the next one."""
    one = await bed.start()
    await one.run("echo changed >readme.txt; rm -r package; mkdir new; touch /tmp/was-here /dev/shm/was-here")
    two = await bed.start()
    assert (await two.run("cat readme.txt; ls; ls -A /tmp /dev/shm | grep was")).stdout == (
        "hello\nlink.txt\noutside\npackage\nreadme.txt\n"
    )


async def the_tree_is_the_users_own(bed: Bed) -> None:
    """Everything below /testbed can be changed, renamed, made executable and removed."""
    box = await bed.start()
    script = (
        "set -e; for path in $(find . -type f); do echo >>$path; chmod 700 $path; done\n"
        "mv package moved; rm -r moved readme.txt link.txt outside; mkdir a; ln -s a b; ls\n"
        "printf '#!/bin/sh\\necho ran\\n' >a/x; chmod +x a/x; a/x; cp a/x /tmp/x; /tmp/x"
    )
    assert (await box.run(script)).stdout == "a\nb\nran\nran\n"


async def devices_that_programs_need(bed: Bed) -> None:
    """/dev has null, zero, random numbers, shared memory, descriptors and pseudo-terminals."""
    box = await bed.start()
    script = (
        "echo x >/dev/null; head -c 4 /dev/zero | wc -c; head -c 4 /dev/urandom | wc -c; cat /dev/fd/0 </dev/null\n"
        "python -c 'import multiprocessing, pty; multiprocessing.Semaphore(); pty.openpty(); print(1)'"
    )
    result = await box.run(script)
    assert (result.stdout, result.stderr) == ("4\n4\n1\n", "")
