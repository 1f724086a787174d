"""An evaluation script of the SWE-bench format, taken apart.

Invariant: what runs before the tests, the command that runs them and the patch that brings them are three things here,
so that the exit code of the tests is the one that the sandbox tells and no printed line stands for it.
"""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass

from envs.grading.swebench_verdict import END, START

_HEREDOC = re.compile(r"^\s*git apply\b.*<<-?\s*(['\"]?)(\w+)\1\s*$")
_PREFACE = {"#!/bin/bash", "set -uxo pipefail", "set -xo pipefail"}
_SELECTS = {"-k", "-m", "-x", "--exitfirst", "--maxfail", "--deselect", "--lf", "--last-failed", "--ff"}
"""Options with which a test more may not be run, or keep others from running."""

_RUNNERS = {"pytest", "py.test", "unittest", "runtests.py", "tox"}


class ScriptError(ValueError):
    """An evaluation script is not of the format; the message says what is missing."""


@dataclass(frozen=True)
class EvalScript:
    """The parts of a script. What comes after the tests puts the repository back and is not needed."""

    setup: str
    test: str
    """The command, or the commands, whose output is the test log."""
    patch: str
    """What the script would hand to `git apply`: the tests."""

    @property
    def runs_whole_files(self) -> bool:
        """Whether a test more in one of the files that it runs is run too, and keeps no other from running."""
        try:
            words = shlex.split(self.test, comments=True)
        except ValueError:
            return False
        named = [number for number, word in enumerate(words) if word.rpartition("/")[2] in _RUNNERS]
        options = words[named[-1] + 1 :] if named else words
        return not any(".py::" in word or (named and word.partition("=")[0] in _SELECTS) for word in options)


def split_script(text: str) -> EvalScript:
    """The parts of a script. Raises `ScriptError`."""
    lines = text.replace("\r\n", "\n").split("\n")
    starts = [number for number, line in enumerate(lines) if START in line]
    ends = [number for number, line in enumerate(lines) if END in line]
    if len(starts) != 1 or len(ends) != 1 or ends[0] < starts[0]:
        raise ScriptError(f"the eval_script needs one line with {START!r} and after it one with {END!r}")
    setup, patch = _without_patch(lines[: starts[0]])
    test = "\n".join(lines[starts[0] + 1 : ends[0]]).strip()
    if not test:
        raise ScriptError(f"the eval_script has no command between {START!r} and {END!r}")
    return EvalScript("\n".join(setup), test, patch)


def _without_patch(lines: list[str]) -> tuple[list[str], str]:
    kept: list[str] = []
    patch = ""
    rest = iter(lines)
    for line in rest:
        found = _HEREDOC.match(line)
        if found is None:
            kept += [line] if line.strip() not in _PREFACE else []
            continue
        body: list[str] = []
        for inside in rest:
            if inside.strip() == found[2]:
                break
            body.append(inside)
        else:
            raise ScriptError(f"the eval_script's patch does not end: no line {found[2]}")
        patch += "\n".join([*body, ""])
    return kept, patch
