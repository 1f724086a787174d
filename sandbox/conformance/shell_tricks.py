"""Sessions turned against their own machinery: every command is still answered, correctly."""

from __future__ import annotations

from sandbox.conformance.bed import Bed
from sandbox.protocol import Sandbox

_BUILTINS = (
    "printf read eval exit trap source builtin command echo test set unset export declare cd return exec wait kill"
)


async def _still_right(box: Sandbox, trick: str) -> None:
    for number in (0, 3):
        result = await box.run(f"/bin/echo {number}; /bin/echo error >&2; (exit {number})", timeout_s=10)
        seen = (result.stdout, result.stderr.splitlines()[-1:], result.exit_code, result.timed_out)
        assert seen == (f"{number}\n", ["error"], number, False), (trick, result)


async def builtins_made_functions(bed: Bed) -> None:
    """Functions named like builtins fool nobody but the script itself."""
    names = [name for name in _BUILTINS.split() if name != "builtin"]
    box = await bed.start()
    for name in names:
        await box.run(f"{name}() {{ /bin/echo forged; }}", timeout_s=10)
        result = await box.run("/bin/false", timeout_s=10)
        assert (result.exit_code, result.stdout, result.timed_out) == (1, "", False), name
        assert (await box.run(f"{name} x", timeout_s=10)).stdout == "forged\n", name


async def a_builtin_made_a_function(bed: Bed) -> None:
    """A function named `builtin`, by which a shell would call the true ones, costs the session at most."""
    box = await bed.start()
    await box.run("builtin() { /bin/echo forged; }", timeout_s=2)
    await box.run("/bin/true", timeout_s=2)
    for _ in range(3):
        result = await box.run("/bin/false", timeout_s=10)
        assert (result.exit_code, result.stdout, result.timed_out) == (1, "", False)


async def builtins_made_aliases(bed: Bed) -> None:
    """Aliases named like builtins and keywords fool nobody but the script itself."""
    box = await bed.start()
    names = [*_BUILTINS.split(), "if", "while", "then", "{", "local", "case"]
    await box.run("shopt -s expand_aliases\n" + "\n".join(f"builtin alias '{name}=/bin/echo forged'" for name in names))
    result = await box.run("/bin/false", timeout_s=10)
    assert (result.exit_code, result.stdout) == (1, "")


async def builtins_disabled(bed: Bed) -> None:
    """With every builtin switched off programs can still be run."""
    box = await bed.start()
    await box.run(
        "for name in $(compgen -b); do [ $name = enable ] || names+=($name); done; enable -n ${names[@]} enable"
    )
    await _still_right(box, "enable -n")


async def traps(bed: Bed) -> None:
    """Traps on DEBUG, ERR, RETURN and EXIT change no exit code and repeat nobody's output."""
    box = await bed.start()
    await box.run("set -ET; for name in DEBUG ERR RETURN; do trap 'seen+=x' $name; done; trap 'echo bye' EXIT")
    await _still_right(box, "trap")
    assert (await box.run("false")).exit_code == 1
    assert (await box.run("true")).exit_code == 0
    assert (await box.run("trap 'echo left' EXIT; exit 3")).exit_code == 3
    await box.run("trap - DEBUG ERR RETURN EXIT")
    await _still_right(box, "trap -")


async def traps_that_exit(bed: Bed) -> None:
    """Traps that exit or break at every step are answered, each command once."""
    box = await bed.start()
    for name in ("DEBUG", "ERR", "RETURN", "EXIT", "CHLD", "USR1"):
        trapped = await bed.start() if name != "DEBUG" else box
        await trapped.run(f"set -ET; trap 'exit 9' {name}", timeout_s=10)
        for _ in range(3):
            result = await trapped.run("false; /bin/echo out", timeout_s=10)
            assert result.stdout in ("", "out\n"), name
            assert (result.exit_code in (0, 1, 9), result.timed_out) == (True, False), name


async def ignored_signals(bed: Bed) -> None:
    """A session that ignores every signal is still ended by a time-out."""
    box = await bed.start()
    await box.run("for n in $(seq 64); do trap '' $n; done 2>/dev/null")
    assert (await box.run("while :; do :; done", timeout_s=0.5)).timed_out
    await _still_right(box, "trap ''")


async def options_that_change_how_bash_reads(bed: Bed) -> None:
    """Noisy, strict and odd shell options do not cost an answer."""
    for option in ("-x", "-v", "-u", "-f", "-C", "-k", "-a", "-b", "-m", "-o posix", "-o pipefail", "-h", "-E", "-T"):
        box = await bed.start()
        await box.run(f"set {option}", timeout_s=10)
        for number in (0, 3):
            result = await box.run(f"/bin/echo {number}; (exit {number})", timeout_s=10)
            assert (result.stdout, result.exit_code) == (f"{number}\n", number), option
        await box.stop()


async def options_that_end_it_all(bed: Bed) -> None:
    """`set -n`, `set -t`, `set -r` and `set -e` do not end the session."""
    box = await bed.start()
    for option in ("-n", "-t", "-e", "-r", "-en"):
        await box.run(f"set {option}", timeout_s=2)
        result = await box.run("echo on", timeout_s=10)
        assert (result.stdout, result.exit_code, result.timed_out) == ("on\n", 0, False), option


async def traces_show_the_command_alone(bed: Bed) -> None:
    """`set -x` shows what the command does, not how the sandbox runs it."""
    box = await bed.start()
    await box.run("set -x")
    for _ in range(2):
        assert (await box.run("/bin/echo a")).stderr.lstrip("+") == " /bin/echo a\n"
    assert (await box.run("set +x")).stderr.lstrip("+") == " set +x\n"
    assert (await box.run("/bin/echo a")).stderr == ""


async def globs_and_separators(bed: Bed) -> None:
    """IFS, nullglob, failglob, extglob, nocasematch and an empty PATH are the session's own business."""
    box = await bed.start()
    for script in (
        "IFS=0123456789abcdefghijklmnopqrstuvwxyz/",
        "IFS=",
        "shopt -s nullglob failglob extglob globstar dotglob nocaseglob nocasematch",
        "touch eval printf exit 0 1 -- -n",
        "unset IFS; PATH=",
        "GLOBIGNORE='*'; export POSIXLY_CORRECT=1",
    ):
        await box.run(script)
        await _still_right(box, script)


async def other_locales(bed: Bed) -> None:
    """A script with many-byte characters is measured right in whatever locale the session has chosen."""
    box = await bed.start()
    for locale in ("C", "POSIX", "C.UTF-8", "no_such.locale"):
        await box.run(f"export LC_ALL={locale} LANG={locale} 2>/dev/null")
        result = await box.run("printf '%s' 'ü€𝄞'; printf 'ä' >&2; : 'ööö")
        assert result.exit_code == 2, locale
        result = await box.run("printf '%s' 'ü€𝄞'; printf 'ä' >&2")
        assert (result.stdout, result.stderr) == ("ü€𝄞", "ä"), locale


async def variables_made_read_only(bed: Bed) -> None:
    """With every variable read-only, or gone, commands are still answered."""
    box = await bed.start()
    await box.run("for name in $(compgen -v); do readonly $name; done 2>/dev/null")
    await _still_right(box, "readonly")
    box = await bed.start()
    await box.run("unset $(compgen -v) 2>/dev/null; unset HOME PWD OLDPWD IFS PATH LANG", timeout_s=3)
    await _still_right(box, "unset")


async def poisoned_environments(bed: Bed) -> None:
    """BASH_ENV, ENV, SHELLOPTS, BASHOPTS, LD_PRELOAD and PYTHONPATH of the session poison the session at most."""
    box = await bed.start()
    await box.write({"evil.sh": b"echo poisoned; exit 66\n", "sitecustomize.py": b"print('poisoned')\n"})
    await box.run("export BASH_ENV=/testbed/evil.sh ENV=/testbed/evil.sh PYTHONPATH=/testbed PS4='$(echo poisoned)'")
    await _still_right(box, "BASH_ENV")
    await box.run("kill -9 $$")
    await _still_right(box, "BASH_ENV after kill")
    await box.run("export LD_PRELOAD=/testbed/no-such.so LD_LIBRARY_PATH=/testbed PROMPT_COMMAND='exit 66'")
    assert (await box.run("/bin/echo on")).stdout == "on\n"
    assert (await box.run(["bash", "-c", "echo on"])).stdout == "on\n"
    assert await box.read("readme.txt") == b"hello\n"
