"""The session: what one string command leaves for the next."""

from __future__ import annotations

from sandbox.conformance.bed import Bed


async def the_working_directory_stays(bed: Bed) -> None:
    """`cd` holds for the commands that follow, and `cd -` leads back."""
    box = await bed.start()
    await box.run("mkdir -p 'a b/ü'; cd 'a b/ü'")
    assert (await box.run("pwd; cd - >/dev/null; pwd")).stdout == "/testbed/a b/ü\n/testbed\n"
    assert (await box.run("pwd; pushd package >/dev/null; pwd")).stdout == "/testbed\n/testbed/package\n"
    assert (await box.run("popd >/dev/null; pwd")).stdout == "/testbed\n"


async def a_working_directory_that_was_removed_is_no_end(bed: Bed) -> None:
    """A session whose folder is gone goes on."""
    box = await bed.start()
    await box.run("mkdir gone; cd gone; rmdir ../gone")
    assert (await box.run("echo on; cd /testbed; pwd")).stdout == "on\n/testbed\n"


async def variables_stay(bed: Bed) -> None:
    """Variables stay, exported or not, of every type, declared at top level or plainly set."""
    box = await bed.start()
    await box.run("a=1; export b='2 3'; list=(x 'y z'); declare -A map=([k]=v); declare -i n=5; declare d=6")
    assert (await box.run('echo "$a $b ${list[1]} ${map[k]} $n $d"; n=n+1; echo $n')).stdout == "1 2 3 y z v 5 6\n6\n"
    seen = "import os; print(os.environ.get('a'), os.environ['b'])"
    assert (await box.run(f'python -c "{seen}"')).stdout == "None 2 3\n"
    await box.run("unset a; export -n b; set -- p q")
    assert (await box.run('echo "${a-unset} $1 $2 $#"; env | grep -c ^b=')).stdout == "unset p q 2\n0\n"


async def functions_stay(bed: Bed) -> None:
    """Functions stay, see their arguments, and change the session they are called in."""
    box = await bed.start()
    await box.run('f() {\n  local y=2\n  x="$1 $y"\n  return 4\n}')
    assert (await box.run("f one")).exit_code == 4
    assert (await box.run("echo $x${y-}")).stdout == "one 2\n"


async def aliases_stay(bed: Bed) -> None:
    """Aliases stay where the session expands them."""
    box = await bed.start()
    await box.run("shopt -s expand_aliases; alias greet='echo hello'")
    assert (await box.run("greet you")).stdout == "hello you\n"
    assert (await box.run("alias twice='greet; greet'\ntwice")).stdout == "hello\nhello\n"
    await box.run("unalias greet twice")
    assert (await box.run("greet")).exit_code == 127


async def options_stay(bed: Bed) -> None:
    """`set` and `shopt` options stay, and so do umask and ulimits."""
    box = await bed.start()
    await box.run("set -o pipefail; shopt -s nullglob extglob; umask 077; ulimit -n 99")
    assert (await box.run("false | true")).exit_code == 1
    result = await box.run(
        "echo no-such-*; case ab in @(ab|c)) echo ext;; esac; umask; ulimit -n; touch x; stat -c %a x"
    )
    assert result.stdout == "\next\n0077\n99\n600\n"
    await box.run("set +o pipefail; shopt -u nullglob")
    assert (await box.run("false | true")).exit_code == 0
    assert (await box.run("echo no-such-*")).stdout == "no-such-*\n"


async def open_files_stay(bed: Bed) -> None:
    """A descriptor above 2 that a command opened can be used by the next one."""
    box = await bed.start()
    await box.run("exec 7>log; exec 8<readme.txt")
    assert (await box.run("echo written >&7; read line <&8; echo $line")).stdout == "hello\n"
    assert (await box.run("exec 7>&- 8<&-; cat log")).stdout == "written\n"


async def jobs_stay(bed: Bed) -> None:
    """A background job of an earlier command can be listed, signalled and waited for."""
    box = await bed.start()
    assert "sleep" in (await box.run("(sleep 0.5; exit 7) & job=$!; jobs")).stdout
    assert "sleep" in (await box.run("jobs")).stdout
    assert (await box.run("wait $job", timeout_s=10)).exit_code == 7
    await box.run("sleep 60 & job=$!")
    assert (await box.run("kill $job; wait $job", timeout_s=10)).exit_code == 143


async def files_and_session_see_each_other(bed: Bed) -> None:
    """What `write` wrote can be sourced, what the session wrote can be read."""
    box = await bed.start()
    await box.write({"env.sh": b"sourced=yes\ngreet() { echo hi; }\n"})
    await box.run("source env.sh; echo $sourced >made")
    assert await box.read("made") == b"yes\n"
    assert (await box.run("greet")).stdout == "hi\n"


async def sessions_share_nothing(bed: Bed) -> None:
    """Two sandboxes have two sessions."""
    one, two = await bed.start(), await bed.start()
    await one.run("v=1; cd /tmp")
    assert (await two.run("echo ${v-unset}; pwd")).stdout == "unset\n/testbed\n"


async def a_swept_machine_is_no_end(bed: Bed) -> None:
    """A command that removes or closes all it can, in every folder that it may write to, costs its state at most."""
    box = await bed.start()
    for sweep in (
        "find /tmp /dev/shm /testbed -mindepth 1 -delete",
        "chmod 000 /dev/shm/.[!.]* /tmp/.[!.]*",
        "rm -rf /tmp/.[!.]* /dev/shm/.[!.]*",
        "for path in /dev/shm/.*/* /tmp/.*/*; do rm $path; echo forged >$path; done",
        "for path in /dev/shm/.*/* /tmp/.*/*; do rm $path; ln -s /dev/full $path; done",
    ):
        await box.run(f"{sweep} 2>/dev/null", timeout_s=60)
        for _ in range(2):
            result = await box.run("echo out; echo error >&2; (exit 3)", timeout_s=10)
            assert (result.stdout, result.stderr, result.exit_code) == ("out\n", "error\n", 3), sweep
        assert (await box.run("exit 4")).exit_code == 4, sweep
        assert (await box.run("sleep 9", timeout_s=0.3)).timed_out, sweep
        assert (await box.run("echo on")).stdout == "on\n", sweep


async def a_full_machine_is_no_end(bed: Bed) -> None:
    """Where nothing more can be written, commands are still answered, in full."""
    box = await bed.start(tmp_mb=8, file_mb=64)
    await box.run("for place in /tmp /testbed /dev/shm; do head -c 200000000 /dev/zero >$place/fill; done 2>/dev/null")
    for _ in range(2):
        result = await box.run("seq 2000 | tail -1; echo error >&2; (exit 3)", timeout_s=10)
        assert (result.stdout, result.stderr, result.exit_code) == ("2000\n", "error\n", 3)
        await box.run("kill -9 $$")
    await box.run("rm /tmp/fill /testbed/fill /dev/shm/fill; exit 1")
    assert (await box.run("echo on")).stdout == "on\n"
