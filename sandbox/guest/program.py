"""What the shell of a sandbox runs: a loop that takes a command's text, evaluates it and tells its end.

Invariant: a line of `told` that holds the current word is the end of the current command, and a state is restored only
if it is whole and the last shell's own.
"""

from __future__ import annotations

import os
import signal

LEAVE = signal.SIGRTMIN + 9
"""Makes the shell save its state and end."""
WORD_BYTES = 3
LOST = b"lost"
"""Told instead of an end: the text was not evaluated."""
_STATE_END = b"# whole\n"
# All on one line, so that messages count the lines of the command. `builtin` keeps functions of the same names out;
# the outer loop catches a stray `break`, and a stray `continue` tells the end of its command like any other. The
# shell's own standard input is the text and its standard output the socket: a command has neither, and nothing needs
# closing. The slash parts what is told from what a trap may have printed there. A shell that cannot even take a
# command's text, because one made a variable of ours read-only or a number, says so and goes.
_PROGRAM = (
    """trap 'builtin unset -v __command __word; """
    """{{ builtin declare -p; builtin declare -f; builtin declare -F; builtin alias -p; builtin shopt -p; """
    """builtin printf "builtin cd -- %q\\n# whole\\n" "$PWD"; }} >{folder}/state 2>/dev/null' EXIT; """
    """trap 'builtin exit 124' {leave}; """
    """[ -e {folder}/state.last ] && . {folder}/state.last >/dev/null; """
    """__word=-; while :; do while builtin printf '/%s %s %s\\n' "$?" "$__word" "$-"; builtin set +x; """
    """{{ builtin read -r -N {length} -u 1 __word && IFS= builtin read -r -d '' __command && """
    """[[ ${{__word@a}}${{__command@a}} != *[aAilnru]* ]]; }} || """
    """{{ builtin printf '/{lost}\\n'; builtin exit; }}; """
    """do builtin eval "$__command" </dev/null >{folder}/1 2>{folder}/2; done; done"""
)


def program(folder: str) -> str:
    """The script of a shell whose pipes and state lie in `folder`. It reads texts and writes what it tells."""
    return _PROGRAM.format(folder=folder, leave=LEAVE, length=2 * WORD_BYTES, lost=LOST.decode())


def told(line: bytes, word: bytes) -> tuple[bytes, bytes] | None:
    """Exit code and option flags, if this line tells the end of the command with this word; `LOST` for a code."""
    said = line.rpartition(b"/")[2].split(b" ")
    if said == [LOST]:
        return LOST, b""
    if len(said) == 3 and said[1] == word and said[0].isdigit():
        return said[0], said[2]
    return None


def keep_saved_state(folder: str) -> None:
    """Leave for the next shell what the last one saved, if that is whole; never what an earlier one saved."""
    state, kept = f"{folder}/state", f"{folder}/state.last"
    try:
        with open(state, "rb") as handle:
            whole = handle.read().endswith(_STATE_END)
        os.rename(state, kept)
    except OSError:
        whole = False
    if not whole:
        _remove(kept)


def drop_saved_state(folder: str) -> None:
    """The next shell begins anew."""
    _remove(f"{folder}/state")


def _remove(path: str) -> None:
    try:
        os.unlink(path)
    except OSError:
        pass
