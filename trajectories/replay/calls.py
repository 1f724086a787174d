"""What a call of another scaffold's agent asks for, as far as the call itself tells.

Invariant: what is not known to be doable here is said not to be, in a few words.
"""

from __future__ import annotations

import re

from sandbox.protocol import TESTBED
from trajectories.records import Turn
from trajectories.replay.windows import COMMANDS

SAYS_NOTHING = frozenset({"submit", "exit_forfeit", "exit_cost", "finish"})
"""Calls that end an episode, or ask for a review of it: they change nothing."""
_KNOWN = {"bash", "think", "str_replace_editor", ""} | SAYS_NOTHING | COMMANDS
_LISTS = re.compile(
    r"(?:^|[|;&(]\s*|&&\s*|\bxargs\s+(?:-\S+\s+)*)(?:(?:find|fd|rg|ag|du|env|printenv)\b|[ef]?grep\s+(?:\S+\s+)*?-\w*[rR])"
    r"|\bpytest\b.*\s-n\s*[\w]"
)
"""Commands whose lines come in the order of a folder's entries, or of processes that run beside each other."""


def lists(command: str) -> bool:
    """Whether the lines of a shell command's output mean the same in another order."""
    return bool(_LISTS.search(command))


def playable(turn: Turn) -> str:
    """Why a turn cannot be done again, as far as its call tells; empty where it can."""
    call = turn.tool_call
    if call.error is not None:
        return ""
    if call.name not in _KNOWN:
        return f"there is no {call.name} here"
    typed = call.arguments.get("is_input", "false").lower() == "true" or not call.arguments.get("command", "").strip()
    if call.name == "bash" and typed:
        return "it is input to a command that runs, not a command"
    path = call.arguments.get("path", TESTBED)
    return "" if call.name != "str_replace_editor" or path.startswith("/") else f"{path} is no absolute path"
