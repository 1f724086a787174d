"""What every backend must keep: commands, output, time-outs, files, walls, limits."""

from __future__ import annotations

import asyncio
import time

import pytest
from sandbox_helpers import Starter, new_mark, processes_with, until

from sandbox import Image, Sandbox, SandboxBackend, SandboxError, SandboxFileError, lease

pytestmark = pytest.mark.asyncio(loop_scope="module")

# --- commands


@pytest.mark.parametrize(
    ("command", "code"),
    [
        ("true", 0),
        ("exit 3", 3),
        (["/bin/false"], 1),
        ("kill -9 $$", 137),
        ("no-such-program", 127),
        (["no-such-program"], 127),
        (["/etc/passwd"], 126),
        ("exec 5>&1; exec false", 1),
    ],
)
async def test_exit_codes(box: Sandbox, command: str | list[str], code: int) -> None:
    assert (await box.run(command)).exit_code == code


async def test_stdout_and_stderr_are_kept_apart(box: Sandbox) -> None:
    result = await box.run("echo out; echo err >&2; echo out2")
    assert (result.stdout, result.stderr) == ("out\nout2\n", "err\n")
    assert result.dropped_bytes == 0
    assert 0 < result.seconds < 10


async def test_a_string_is_a_script_and_a_list_is_not(box: Sandbox) -> None:
    script = "for i in 1 2; do\ncat <<'EOF'\nline $i\nEOF\ndone\necho end"
    assert (await box.run(script)).stdout == "line $i\nline $i\nend\n"
    assert (await box.run(["echo", "$HOME;", "a b", "ü"])).stdout == "$HOME; a b ü\n"


async def test_working_directory_and_environment(box: Sandbox) -> None:
    result = await box.run("pwd; echo $A$HOME; python -c 'print(1)'; cat readme.txt", env={"A": "b"})
    assert result.stdout == "/testbed\nb/tmp\n1\nhello\n"
    assert (await box.run(["pwd"], cwd="/tmp")).stdout == "/tmp\n"
    missing = await box.run(["pwd"], cwd="/no/such")
    assert missing.exit_code == 127
    assert "/no/such" in missing.stderr
    assert (await box.run("echo $A.")).stdout == ".\n"


async def test_standard_input_is_empty(box: Sandbox) -> None:
    assert (await box.run("cat; echo end")).stdout == "end\n"


async def test_undecodable_bytes_are_shown(box: Sandbox) -> None:
    assert (await box.run(r"printf 'a\xff\x00b'")).stdout == "a\\xff\x00b"


async def test_long_output_keeps_head_and_tail(start: Starter) -> None:
    box = await start(output_kb=8)
    result = await box.run("echo first; seq 100000; echo last")
    assert result.stdout.startswith("first\n1\n")
    assert result.stdout.endswith("100000\nlast\n")
    total = len("first\nlast\n") + sum(len(f"{n}\n") for n in range(1, 100001))
    assert result.dropped_bytes == total - 8192
    assert f"[... {result.dropped_bytes} bytes left out ...]" in result.stdout


async def test_100_mb_without_a_newline(start: Starter) -> None:
    box = await start(output_kb=4)
    result = await box.run("head -c 100000000 /dev/zero; echo err >&2", timeout_s=60)
    assert (result.exit_code, result.stderr) == (0, "err\n")
    assert result.dropped_bytes == 100_000_000 - 4096


async def test_output_cannot_forge_an_answer(box: Sandbox) -> None:
    frame = r"printf '\0\0\0\x02\0\0\0\0\0\0\0\0{}'"
    result = await box.run(f"{frame}; for f in /proc/1/fd/*; do {frame} >$f; done; kill -9 1; kill -INT 1; exit 4")
    assert result.exit_code == 4
    assert result.stdout.startswith("\0\0\0\x02")
    assert (await box.run("cat /proc/1/environ /proc/1/maps /proc/1/mem")).stdout == ""
    assert (await box.run("echo still")).stdout == "still\n"


async def test_closed_stdout_is_waited_for(box: Sandbox) -> None:
    assert (await box.run("exec >&- 2>&-; sleep 0.2; exit 5")).exit_code == 5


# --- background jobs and time-outs


async def test_a_background_job_holds_nothing_up_and_lives_on(box: Sandbox) -> None:
    mark = new_mark()
    started = time.monotonic()
    result = await box.run(f"sleep {mark} & (while true; do echo noise; sleep 0.05; done) & echo started")
    assert time.monotonic() - started < 5
    assert "started\n" in result.stdout
    await asyncio.sleep(0.3)
    assert (await box.run("echo again")).stdout == "again\n"
    assert processes_with(mark) != []


async def test_a_time_out_kills_the_whole_tree_and_nothing_else(box: Sandbox) -> None:
    earlier, mark = new_mark(), new_mark()
    await box.run(f"sleep {earlier} &")
    escape = f"import os; os.fork() and os._exit(0); os.setsid(); os.execvp('sleep', ['sleep', '{mark}'])"
    script = f'trap "" TERM INT HUP; python -c "{escape}"; setsid sleep {mark} & nohup sleep {mark} & sleep {mark}'
    result = await box.run(script + "; echo never", timeout_s=0.8)
    assert (result.exit_code, result.timed_out, result.stdout) == (124, True, "")
    assert 0.8 <= result.seconds < 5
    assert await until(lambda: processes_with(mark) == [])
    assert len(processes_with(earlier)) == 1
    assert (await box.run("echo on")).stdout == "on\n"


async def test_output_before_a_time_out_is_kept(box: Sandbox) -> None:
    result = await box.run("echo early; sleep 60", timeout_s=0.5)
    assert (result.stdout, result.timed_out) == ("early\n", True)


async def test_endless_output_is_timed_out(box: Sandbox) -> None:
    result = await box.run("yes", timeout_s=0.5)
    assert result.timed_out
    assert result.dropped_bytes > 0


async def test_a_cancelled_call_breaks_the_sandbox_but_not_its_end(start: Starter) -> None:
    box = await start()
    mark = new_mark()
    call = asyncio.create_task(box.run(["sleep", mark]))
    assert await until(lambda: processes_with(mark) != [])
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    with pytest.raises(SandboxError, match="cancelled"):
        await box.run("true")
    await box.stop()
    assert processes_with(mark) == []


# --- files


async def test_files_come_back_as_they_went(box: Sandbox) -> None:
    blob = bytes(range(256)) * 5000
    await box.write({"new/deep/blob": blob, "/tmp/t.txt": b"t", "readme.txt": b"", "ü.txt": "ü".encode()})
    assert await box.read("new/deep/blob") == blob
    assert await box.read("/testbed/new/deep/blob") == blob
    assert await box.read("/tmp/t.txt") == b"t"
    assert await box.read("link.txt") == b""
    assert await box.read("ü.txt") == "ü".encode()
    assert (await box.run("cat /tmp/t.txt; wc -c <readme.txt; stat -c %U package new/deep/blob")).stdout == (
        "t0\nsandbox\nsandbox\n"
    )


async def test_files_are_deleted(box: Sandbox) -> None:
    await box.write({"package/code.py": None, "link.txt": None, "never-was.txt": None})
    assert (await box.run("ls package; ls *.txt")).stdout == "readme.txt\n"
    with pytest.raises(SandboxFileError, match="No such file"):
        await box.read("package/code.py")


@pytest.mark.parametrize(
    "path", ["../etc/passwd", "/etc/passwd", "/tmp/../etc/passwd", "outside/passwd", "package", "/tmp", "", "a\0b", "."]
)
async def test_paths_outside_and_folders_are_refused(box: Sandbox, path: str) -> None:
    with pytest.raises(SandboxFileError):
        await box.read(path)
    with pytest.raises(SandboxFileError):
        await box.write({path: b"x"})
    with pytest.raises(SandboxFileError):
        await box.write({path: None})
    assert (await box.run("true")).exit_code == 0


async def test_links_and_special_files_made_inside_are_refused(box: Sandbox) -> None:
    await box.run("mkfifo fifo; ln -s /etc/passwd l; ln -s /proc/1/environ e; ln -s loop loop; ln -s /dev/zero z")
    for path in ("fifo", "l", "e", "loop", "z"):
        with pytest.raises(SandboxFileError):
            await box.read(path)
        with pytest.raises(SandboxFileError):
            await box.write({path: b"x"})
    await box.write(dict.fromkeys(("fifo", "l", "e", "loop", "z"), None))
    assert (await box.run("ls")).stdout == "link.txt\noutside\npackage\nreadme.txt\n"
    assert "root" in (await box.run("cat /etc/passwd")).stdout


# --- walls


async def test_no_root_no_capabilities(box: Sandbox) -> None:
    status = (await box.run("id -u; grep -E 'Cap|NoNewPrivs' /proc/self/status")).stdout.split()
    assert status[0] != "0"
    assert set(status[2:-2:2]) == {"0000000000000000"}
    assert status[-2:] == ["NoNewPrivs:", "1"]
    assert (await box.run("unshare -U true || unshare -m true || mount -t tmpfs x /tmp || chroot / true")).exit_code


async def test_nothing_can_be_written_outside(box: Sandbox) -> None:
    find = r"find / -xdev -path /proc -prune -o \( -type d -o -type f \) -writable -print 2>/dev/null"
    found = (await box.run(find, timeout_s=120)).stdout.split()
    assert [path for path in found if not path.startswith(("/testbed", "/tmp", "/dev"))] == []
    for path in ("/etc/passwd", "/usr/bin/env", "/x", "/proc/sys/kernel/hostname"):
        assert (await box.run(f"echo x >>{path}")).exit_code != 0


async def test_network_is_closed_but_loopback_works(box: Sandbox) -> None:
    probe = (
        "import socket, errno, sys\n"
        "for family, host in ((socket.AF_INET, '192.0.2.1'), (socket.AF_INET, '169.254.169.254'),\n"
        "                     (socket.AF_INET, '172.17.0.1'), (socket.AF_INET6, '2001:db8::1')):\n"
        "    s = socket.socket(family); s.settimeout(3)\n"
        "    assert s.connect_ex((host, 80)) in (errno.ENETUNREACH, errno.EADDRNOTAVAIL), host\n"
        "try: socket.getaddrinfo('example.com', 80); sys.exit('resolved')\n"
        "except socket.gaierror: pass\n"
        "server = socket.create_server(('127.0.0.1', 0))\n"
        "socket.create_connection(server.getsockname()).close()\n"
    )
    result = await box.run(["python", "-c", probe], timeout_s=30)
    assert result.exit_code == 0, result.stderr
    assert (await box.run("ls /var/run/docker.sock /run/docker.sock")).stdout == ""


async def test_sandboxes_do_not_see_each_other(start: Starter) -> None:
    one, two = await start(), await start()
    mark = new_mark()
    server = "import socket, time; s = socket.create_server(('127.0.0.1', 45678)); time.sleep(60)"
    await one.run(f'echo 1 >/tmp/x; echo 1 >/dev/shm/x; echo 1 >x; sleep {mark} & python -c "{server}" &')
    await one.run("sleep 0.3")
    assert (await two.run("cat /tmp/x /dev/shm/x x")).stdout == ""
    assert mark not in (await two.run("cat /proc/*/cmdline")).stdout
    connect = "import socket; socket.create_connection(('127.0.0.1', 45678))"
    assert (await one.run(["python", "-c", connect])).exit_code == 0
    assert (await two.run(["python", "-c", connect])).exit_code == 1


async def test_every_sandbox_starts_from_the_image(start: Starter) -> None:
    one = await start()
    await one.run("echo changed >readme.txt; rm -r package; mkdir new")
    two = await start()
    assert (await two.run("cat readme.txt; ls")).stdout == "hello\nlink.txt\noutside\npackage\nreadme.txt\n"


# --- limits


async def test_processes_are_bounded(start: Starter) -> None:
    box = await start(pids=40)
    count = (
        "import os, time\n"
        "for n in range(1000):\n"
        "    try: pid = os.fork()\n"
        "    except OSError: break\n"
        "    if pid == 0: time.sleep(30); os._exit(0)\n"
        "print(n)\n"
    )
    result = await box.run(["python", "-c", count])
    assert 10 < int(result.stdout) < 40


async def test_a_fork_bomb_ends_with_its_time_out(start: Starter) -> None:
    box = await start(pids=64)
    bomb = "import os\nwhile True:\n    try: os.fork()\n    except OSError: pass"
    assert (await box.run(["python", "-c", bomb], timeout_s=1)).timed_out
    assert (await box.run("echo on")).stdout == "on\n"


async def test_a_fork_bomb_in_the_background_ends_with_the_sandbox(start: Starter) -> None:
    box = await start(pids=64)
    mark = new_mark()
    await box.run(f"mark={mark}; " + "bomb() { bomb | bomb & }; bomb", timeout_s=2)
    await box.stop()
    assert processes_with(mark) == []


async def test_memory_is_bounded(start: Starter) -> None:
    box = await start(memory_mb=96)
    result = await box.run(["python", "-c", "x = bytearray(400 << 20); print(len(x))"])
    assert result.exit_code != 0
    assert result.stdout == ""
    assert (await box.run("echo on")).stdout == "on\n"


async def test_file_size_is_bounded(start: Starter) -> None:
    box = await start(file_mb=2)
    assert (await box.run("head -c 3000000 /dev/zero >big")).exit_code != 0
    with pytest.raises(SandboxFileError, match="large"):
        await box.write({"big2": bytes(3_000_000)})
    assert (await box.run("stat -c %s big; echo on")).stdout.endswith("on\n")


async def test_tmp_is_bounded(start: Starter) -> None:
    box = await start(tmp_mb=8)
    result = await box.run("for i in 1 2 3; do head -c 4000000 /dev/zero >/tmp/$i || exit 9; done")
    assert result.exit_code == 9
    assert (await box.run("rm /tmp/*; echo on")).stdout == "on\n"


# --- the end


async def test_stop_removes_everything(backend: SandboxBackend, start: Starter) -> None:
    box = await start()
    mark = new_mark()
    await box.run(f"setsid sleep {mark} & sleep {mark} &")
    assert box.name in await backend.alive()
    assert len(processes_with(mark)) == 2
    await box.stop()
    assert processes_with(mark) == []
    assert box.name not in await backend.alive()
    await box.stop()
    with pytest.raises(SandboxError, match="stopped"):
        await box.run("true")


async def test_many_at_once(start: Starter) -> None:
    boxes = await asyncio.gather(*(start() for _ in range(8)))
    results = await asyncio.gather(*(box.run(f"sleep 0.1; echo {n}") for n, box in enumerate(boxes)))
    assert [result.stdout for result in results] == [f"{n}\n" for n in range(8)]
    assert len({box.name for box in boxes}) == 8


async def test_the_network_is_open_when_asked_for(backend: SandboxBackend, image: Image) -> None:
    async with lease(backend, image, network=True) as box:
        devices = (await box.run("cat /proc/net/dev; echo; cat /etc/resolv.conf")).stdout
    assert "nameserver" in devices
    assert any(line.split(":")[0].strip() not in ("lo", "") for line in devices.splitlines()[2:] if ":" in line)
