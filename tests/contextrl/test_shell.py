"""`contextrl sandbox shell`, as a person uses it: in a terminal, and in a pipe."""

from __future__ import annotations

import os
import pty
import re
import select
import subprocess
import sys
import time
from collections.abc import Iterator

import pytest

COMMAND = [sys.executable, "-m", "contextrl", "sandbox", "shell"]
pytestmark = pytest.mark.parametrize("backend", ["local", pytest.param("docker", marks=pytest.mark.docker)])


class Person:
    """Types into a terminal and reads what stands there."""

    def __init__(self, *arguments: str) -> None:
        self._terminal, theirs = pty.openpty()
        env = os.environ | {"TERM": "dumb"}
        self.process = subprocess.Popen(
            ["setsid", "--ctty", *COMMAND, *arguments], stdin=theirs, stdout=theirs, stderr=theirs, env=env
        )
        os.close(theirs)

    def sees(self, pattern: str, seconds: float = 60.0) -> str:
        """What came until the pattern did."""
        seen, until = "", time.monotonic() + seconds
        while not re.search(pattern, seen):
            ready = select.select([self._terminal], [], [], max(0.0, until - time.monotonic()))[0]
            assert ready, f"{pattern!r} did not come, but {seen!r}"
            try:
                seen += os.read(self._terminal, 4096).decode()
            except OSError:  # the other end is closed
                raise AssertionError(f"ended before {pattern!r}: {seen!r}") from None
        return seen

    def types(self, text: str) -> None:
        os.write(self._terminal, text.encode())

    def leave(self) -> int:
        """Wait until it ended by itself; its exit code."""
        code = self.process.wait(60)
        os.close(self._terminal)
        return code


@pytest.fixture
def person(backend: str) -> Iterator[Person]:
    someone = Person("--backend", backend)
    yield someone
    someone.process.kill()
    someone.process.wait()


def test_a_conversation(person: Person) -> None:
    person.sees(r"/testbed \$ $")
    person.types("cd /tmp; word=kept\n")
    person.sees(r"/tmp \$ $")
    person.types("for x in 1 2; do\n")
    person.sees("> $")
    person.types("echo $word$x; done\n")
    assert "kept1\r\nkept2\r\n/tmp $ " in person.sees(r"/tmp \$ $")
    person.types("cat <<END\n'\nEND\n")
    assert "'\r\n/tmp $ " in person.sees(r"/tmp \$ $")
    person.types("ls /nowhere\n")
    assert "No such file" in person.sees(r"/tmp \$ $")
    person.types("printf '\\033[2Jcleared'\n")
    person.sees(r"\n\[2Jcleared\r\n/tmp \$ $")  # no escape
    person.types("while :; do sleep 1; done\n")
    time.sleep(1)
    person.types("\x03")
    person.sees(r"/tmp \$ $", seconds=10)
    person.types("echo $word half a line")
    person.sees("half a line")
    time.sleep(0.5)  # Python's `input` does not notice a signal in the moment of a key
    person.types("\x03")
    person.sees(r"/tmp \$ $")
    person.types("echo $word\n")
    assert "\nkept\r\n" in person.sees(r"/tmp \$ $")
    person.types("exit 7\n")
    assert person.leave() == 7


def test_ctrl_d_leaves_with_the_last_exit_code(person: Person) -> None:
    person.sees(r"\$ $")
    person.types("false\n")
    person.sees(r"\$ $")
    person.types("\x04")
    assert person.leave() == 1


def piped(script: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*COMMAND, *arguments], input=script, capture_output=True, text=True, check=False)


def test_a_pipe(backend: str) -> None:
    done = piped("cd /tmp\npwd\necho oops >&2\nsh -c 'exit 3'\n", "--backend", backend)
    assert (done.stdout, done.stderr, done.returncode) == ("/tmp\n", "oops\n", 3)


def test_what_cannot_be_is_told_in_one_sentence(backend: str) -> None:
    done = piped("", "no-such-repository", "--backend", backend)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)
    assert "there is no repository 'no-such-repository'" in done.stderr
