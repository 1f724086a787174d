"""Commands: exit codes, streams, arguments, working directory, environment."""

from __future__ import annotations

from sandbox.conformance.bed import Bed


async def exit_codes(bed: Bed) -> None:
    """A command's exit code is reported: its own, 128 + signal, 127 for no such program, 126 for one that is none."""
    box = await bed.start()
    for command, code in (
        ("true", 0),
        ("(exit 3)", 3),
        ("no-such-program", 127),
        ("/etc/passwd", 126),
        ("bash -c 'kill -9 $$'", 137),
        (["/bin/false"], 1),
        (["bash", "-c", "exit 255"], 255),
        (["bash", "-c", "kill -TERM $$"], 143),
        (["no-such-program"], 127),
        (["/no/such/program"], 127),
        (["/etc/passwd"], 126),
        (["/testbed"], 126),
    ):
        assert (await box.run(command)).exit_code == code, command


async def streams_are_kept_apart(bed: Bed) -> None:
    """Standard output and standard error come back apart, with the time it took."""
    box = await bed.start()
    for command in ("echo out; echo err >&2; echo out2", ["bash", "-c", "echo out; echo err >&2; echo out2"]):
        result = await box.run(command)
        assert (result.stdout, result.stderr) == ("out\nout2\n", "err\n")
        assert result.output == "out\nout2\nerr\n"
        assert result.dropped_bytes == 0
        assert 0 < result.seconds < 10


async def a_list_is_no_script(bed: Bed) -> None:
    """A list is a program with its arguments, taken literally."""
    box = await bed.start()
    assert (await box.run(["echo", "$HOME;", "a b", "", "ü", "*"])).stdout == "$HOME; a b  ü *\n"


async def commands_start_in_the_testbed(bed: Bed) -> None:
    """/testbed is where commands start, with the image's tree, a HOME and `python`."""
    box = await bed.start()
    script = "pwd; echo $HOME; python -c 'print(1)'; cat readme.txt package/code.py"
    assert (await box.run(script)).stdout == "/testbed\n/tmp\n1\nhello\nx = 1\n"
    assert (await box.run(["pwd"])).stdout == "/testbed\n"


async def a_list_stands_beside_the_session(bed: Bed) -> None:
    """A list starts at /testbed or `cwd`, with the given `env`, whatever the session did, and changes nothing there."""
    box = await bed.start()
    await box.run("cd package; export A=session; ulimit -n 77; umask 077")
    assert (await box.run(["bash", "-c", "pwd; echo $A.; umask"])).stdout == "/testbed\n.\n0022\n"
    assert (await box.run(["bash", "-c", "pwd; echo $A"], cwd="/tmp", env={"A": "b"})).stdout == "/tmp\nb\n"
    assert (await box.run("pwd; echo $A; ulimit -n; umask")).stdout == "/testbed/package\nsession\n77\n0077\n"


async def a_string_with_cwd_or_env_leaves_the_session_alone(bed: Bed) -> None:
    """A string with `cwd` or `env` runs in a bash of its own: it neither sees the session nor changes it."""
    box = await bed.start()
    await box.run("cd package; v=1; export w=1; f() { echo f; }")
    other = await box.run("pwd; echo $A.$v.$w.; v=2; cd /; f() { echo g; }; f", env={"A": "b"})
    assert other.stdout == "/testbed\nb...\ng\n"
    other = await box.run("pwd; echo $A.$v; exit 5", cwd="/tmp")
    assert (other.stdout, other.exit_code) == ("/tmp\n.\n", 5)
    assert (await box.run("pwd; echo $A.$v.$w; f")).stdout == "/testbed/package\n.1.1\nf\n"


async def a_missing_working_directory_is_told(bed: Bed) -> None:
    """A working directory that does not exist gives exit code 127 and its name on standard error."""
    box = await bed.start()
    for command in (["pwd"], "pwd"):
        missing = await box.run(command, cwd="/no/such")
        assert missing.exit_code == 127
        assert "/no/such" in missing.stderr
    assert (await box.run("pwd")).stdout == "/testbed\n"


async def standard_input_is_empty(bed: Bed) -> None:
    """Standard input is at its end from the start; nothing meant for the session can be read from it."""
    box = await bed.start()
    for command in ("cat; read x; echo $x end", ["bash", "-c", "cat; echo end"]):
        assert (await box.run(command, timeout_s=10)).stdout.split() == ["end"]
    assert (await box.run("echo on")).stdout == "on\n"


async def null_bytes_are_refused(bed: Bed) -> None:
    """A command, argument, folder or variable with a NUL byte is refused with a message, and the sandbox goes on."""
    box = await bed.start()
    for refused in (
        await box.run("echo a\0b"),
        await box.run(["echo", "a\0b"]),
        await box.run(["echo"], cwd="/tmp\0"),
        await box.run("echo", env={"A": "a\0b"}),
    ):
        assert refused.exit_code in (126, 127)
        assert (refused.stdout, bool(refused.stderr)) == ("", True)
    assert (await box.run("echo on")).stdout == "on\n"


async def an_empty_command_is_no_fault(bed: Bed) -> None:
    """An empty string does nothing and succeeds; an empty list is refused with a message."""
    box = await bed.start()
    for empty in ("", "\n\n", "# a comment", "   "):
        assert (await box.run(empty)).exit_code == 0
    refused = await box.run([])
    assert refused.exit_code in (126, 127)
    assert refused.stderr
    assert (await box.run("echo on")).stdout == "on\n"
