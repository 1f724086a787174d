"""Ways a command can end its shell: the exit code is reported and the session goes on."""

from __future__ import annotations

from sandbox.conformance.bed import Bed
from sandbox.protocol import Sandbox

_REMEMBER = "cd package; v=1; export w=2; f() { echo f; }"
_RECALL = "pwd; echo $v $w; f"
_REMEMBERED = "/testbed/package\n1 2\nf\n"


async def _ends(box: Sandbox, script: str, *codes: int) -> None:
    """The script ends with one of the codes, without `never`, and the next command is answered."""
    result = await box.run(script + "\necho never", timeout_s=20)
    assert (result.exit_code in codes, result.timed_out) == (True, False), (script, result)
    assert "never" not in result.stdout, script
    after = await box.run("echo out; echo err >&2")
    assert (after.stdout, after.stderr.splitlines()[-1:], after.exit_code) == ("out\n", ["err"], 0), script


async def exit_keeps_the_session(bed: Bed) -> None:
    """`exit 3` gives 3, from wherever it is called; working directory, variables and functions stay."""
    box = await bed.start()
    await box.run(_REMEMBER + "; g() { exit 5; }; printf 'exit 6\\n' >/tmp/file")
    for script, code in (
        ("exit 3", 3),
        ("exit", 0),
        ("false; exit", 1),
        ("exit 300", 44),
        ("exit -1", 255),
        ("g", 5),
        ("source /tmp/file", 6),
        ("eval 'eval exit 7'", 7),
        ("while true; do exit 8; done", 8),
        ("{ { exit 9; } }", 9),
        ("true && exit 10 || true", 10),
    ):
        await _ends(box, script, code)
        assert (await box.run(_RECALL)).stdout == _REMEMBERED, script


async def changes_before_exit_stay(bed: Bed) -> None:
    """What a command changed before its own `exit` is part of the session too."""
    box = await bed.start()
    assert (await box.run("v=new; cd /tmp; g() { echo g; }; exit 3")).exit_code == 3
    assert (await box.run("echo $v; pwd; g")).stdout == "new\n/tmp\ng\n"


async def exec_gives_the_code_of_its_program(bed: Bed) -> None:
    """`exec PROGRAM` gives the program's exit code and the session goes on; its state may be lost."""
    box = await bed.start()
    await _ends(box, "exec false", 1)
    await _ends(box, "exec true", 0)
    await _ends(box, "exec bash -c 'exit 7'", 7)
    await _ends(box, "exec 5>&1; exec >/dev/null; exec bash -c 'exit 7'", 7)
    await _ends(box, "exec no-such-program", 127)
    await _ends(box, "exec /etc/passwd", 126)
    assert (await box.run("exec echo from exec")).stdout == "from exec\n"


async def set_e_ends_the_command_only(bed: Bed) -> None:
    """`set -e; false` gives 1 and runs no further; the session goes on."""
    box = await bed.start()
    await _ends(box, "set -e; false", 1)
    await _ends(box, "set -e; f() { false; }; f", 1)
    await _ends(box, "set -eu; (exit 9)", 9)
    await _ends(box, "set -o errexit -o pipefail; false | true", 1)


async def fatal_errors_end_the_command_only(bed: Bed) -> None:
    """What ends a script (unset variables under `set -u`, `${x:?}`, read-only variables) does not end the session."""
    box = await bed.start()
    await _ends(box, "set -u; echo $no_such_variable", 1, 127)
    await _ends(box, "set +u; echo ${no_such_variable:?is missing}", 1, 127)
    await _ends(box, "set -e; readonly fixed=1; fixed=2", 1)
    await _ends(box, "set -eo posix; export 1=2; true", 1, 2)


async def return_and_break_at_top_level(bed: Bed) -> None:
    """`return`, `break` and `continue` outside of functions and loops end the command at most."""
    box = await bed.start()
    await box.run(_REMEMBER)
    assert (await box.run("return 4")).exit_code in (1, 2, 4)
    for script in ("break", "continue", "break 100", "continue 100", "logout", "return 0; break 3"):
        await box.run(script, timeout_s=10)
        assert (await box.run(_RECALL)).stdout == _REMEMBERED, script
    assert (await box.run("for i in 1 2; do continue 5; done")).exit_code == 0
    assert (await box.run(_RECALL)).stdout == _REMEMBERED


async def a_shell_that_kills_itself(bed: Bed) -> None:
    """`kill -9 $$` gives 137, other deadly signals theirs, and the session goes on."""
    box = await bed.start()
    await _ends(box, "kill -9 $$", 137)
    await _ends(box, "kill -9 $BASHPID", 137)
    for name, number in (("SEGV", 11), ("ABRT", 6), ("HUP", 1), ("TERM", 15), ("QUIT", 3), ("PIPE", 13), ("INT", 2)):
        result = await box.run(f"kill -{name} $$; sleep 0.2", timeout_s=20)
        assert result.exit_code in (0, 128 + number), name
        assert not result.timed_out, name
        assert (await box.run("echo on")).stdout == "on\n", name


async def a_shell_that_stops_itself(bed: Bed) -> None:
    """A shell that stops itself runs out of time; the session goes on."""
    box = await bed.start()
    await box.run(_REMEMBER)
    result = await box.run("kill -STOP $$", timeout_s=1)
    assert (result.exit_code, result.timed_out) == (124, True)
    assert (await box.run(_RECALL)).stdout == _REMEMBERED


async def a_command_that_kills_everybody(bed: Bed) -> None:
    """Signals to all processes at once end the command at most."""
    box = await bed.start()
    for script in (
        "kill -9 -1",
        "kill -TERM -1",
        "python -c 'import os; os.kill(-1, 9)'",
        "kill -STOP -1",
        "kill -9 0",
    ):
        await box.run(script, timeout_s=2)
        assert (await box.run("echo on")).stdout == "on\n", script
        assert (await box.run(["echo", "on"])).stdout == "on\n", script
