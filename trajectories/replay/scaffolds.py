"""Which scaffold a trajectory comes from, where it saw the repository, and what it put around a command's output.

Invariant: what is taken off an observation is only what the scaffold itself put there; a text that it shortened stays
two ends, which the whole text must have too.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from envs.tools import Action as OwnAction
from envs.tools import ActionError, check_action
from sandbox.protocol import TESTBED
from trajectories.records import Trajectory, Turn

Scaffold = Literal["own", "swe-agent", "mini-swe-agent", "openhands"]
GAP = "\n[... left out ...]\n"
"""Between the two ends of a text that was shortened."""

ENVIRONMENT = "environment"
"""Key of `Trajectory.extra` under which our own episodes keep the environment's settings (`agents.episode`)."""
_UPLOADED = re.compile(r"<uploaded_files>\s*(/\S+?)/?\s*</uploaded_files>")
_CURRENT = re.compile(r"\(Current directory: (/[^\s)]+)")
_WORKSPACE = re.compile(r"/workspace/[\w.-]*\w")
_NO_OUTPUT = "Your command ran successfully and did not produce any output."
STATE = re.compile(r"\n?\(Open file: [^\n]*\)\n\(Current directory: [^\n]*\)\n(?:bash-\$)?\s*\Z")
"""SWE-agent's prompt, behind every observation."""
_CLIPPED = re.compile(r"<response clipped>.*\Z", re.DOTALL)
_MINI = re.compile(r"\s*<returncode>-?\d+</returncode>\n<output>\n?(.*?)\n?</output>\s*", re.DOTALL)
_MINI_LONG = re.compile(
    r"\s*<returncode>.*?<output_head>\n(.*?)\n</output_head>.*?<output_tail>\n(.*)\n</output_tail>\s*", re.DOTALL
)
_OPENHANDS_END = re.compile(
    r"\s*(?:\[Python [Ii]nterpreter: [^\]\n]*\]\n[^\n]*[#$] ?\n?)?"
    r"(?:\[The command completed with exit code -?\d+[^\n]*\]\n?)?(?:\[Current working directory: [^\n]*\]\n?)?"
    r"(?:\[Python interpreter: [^\n]*\]\n?)?(?:\[Command finished with exit code -?\d+\])?\s*\Z"
)
_TRUNCATED = re.compile(r"\n*\[\.\.\. Observation truncated due to length \.\.\.\]\n*")
_REFUSED = re.compile(
    r"\s*(?:OBSERVATION:\s*)?(?:\[An error occurred during execution\.\]\s*|ERROR: ?)?"
    r"(?:Cannot execute multiple commands|Operation '|Interactive operation '|Your (?:input|output) was not )"
)
_UNENDED = re.compile(
    r"\[The command (?:has no new output|timed out|is still running)|EXECUTION TIMED OUT|timed out and has"
)


def scaffold_of(trajectory: Trajectory) -> Scaffold:
    """By the agent's name, by what our environment wrote down, else by what was called."""
    known: dict[str, Scaffold] = {name: name for name in ("swe-agent", "mini-swe-agent", "openhands")}
    if trajectory.agent in known:
        return known[trajectory.agent]
    if ENVIRONMENT in trajectory.extra or all(map(_is_ours, trajectory.turns)):
        return "own"
    called = {turn.tool_call.name for turn in trajectory.turns}
    if called & {"submit", "open", "goto", "edit", "create", "find_file", "search_file", "search_dir"}:
        return "swe-agent"
    return "openhands" if called - {"bash", ""} else "mini-swe-agent"


def _is_ours(turn: Turn) -> bool:
    call = turn.tool_call
    if call.error is not None or not call.name:
        return not turn.extra  # else it is a call that another format had
    try:
        check_action(OwnAction(call.name, dict(call.arguments)))
    except ActionError as error:
        return not str(error).startswith("unknown tool") and call.name != "edit"
    return True


class Paths:
    """Names of the repository's folder: those of the scaffold, and ours, which is `/testbed`."""

    def __init__(self, names: Iterable[str]) -> None:
        self.names = tuple(dict.fromkeys(name for name in names if name not in (TESTBED, "/", "/tmp")))
        longest = sorted(self.names, key=len, reverse=True)
        self._theirs = re.compile(
            "|".join(rf"(?<![\w./-]){re.escape(name)}(?![\w-]|\.\w)" for name in longest) or "(?!)"
        )

    def ours(self, text: str) -> str:
        """The text with the repository where it lies here."""
        return self._theirs.sub(TESTBED, text)


def paths_of(trajectory: Trajectory) -> Paths:
    """Where the scaffold saw the repository, as its prompt and its first answers tell."""
    prompt = f"{trajectory.extra.get('user_prompt') or ''}\n{trajectory.problem_statement}"
    answers = "\n".join(turn.observation for turn in trajectory.turns[:3])
    calls = "\n".join(value for turn in trajectory.turns for value in turn.tool_call.arguments.values())
    named = [*_UPLOADED.findall(prompt), *_CURRENT.findall(prompt), *_CURRENT.findall(answers)[:1]]
    return Paths(named or _WORKSPACE.findall(calls)[:1] or ["/repo"])


@dataclass(frozen=True)
class Heard:
    """What a command itself had printed, as far as the scaffold showed it."""

    text: str
    tail: str | None = None
    """The other end, where the middle was left out."""
    ended: bool = True
    """Whether the command had ended when its output was shown."""
    ran: bool = True
    """Whether the scaffold ran it at all."""

    def expected(self) -> str:
        """The text to compare; both ends with a gap between them."""
        return self.text if self.tail is None else f"{self.text}{GAP}{self.tail}"

    def cut(self, got: str) -> str:
        """Another whole text, shortened as this one was."""
        if self.tail is None or len(got) <= len(self.text) + len(self.tail):
            return got
        return f"{got[: len(self.text)]}{GAP}{got[len(got) - len(self.tail) :]}"


def heard(turn: Turn, scaffold: Scaffold) -> Heard:
    """The output of a turn's shell command."""
    text = re.sub(r"\r+\n", "\n", turn.observation)
    ended, ran = not _UNENDED.search(text), not _REFUSED.match(text)
    text = text.removeprefix("OBSERVATION:\n").removeprefix("Observation: ")
    if scaffold == "mini-swe-agent":
        return _mini(text, ended, ran)
    if scaffold == "openhands":
        text = _OPENHANDS_END.sub("", text)
        command = turn.tool_call.arguments.get("command", "").strip()
        text = text.removeprefix(command).lstrip("\n") if command else text
        parts = _TRUNCATED.split(text, maxsplit=1)
        return Heard(parts[0], parts[1] if len(parts) > 1 else None, ended, ran)
    text = STATE.sub("", text)
    if text.strip() == _NO_OUTPUT:
        text = ""
    clipped = _CLIPPED.search(text)
    return Heard(text[: clipped.start()] if clipped else text, "" if clipped else None, ended, ran)


def _mini(text: str, ended: bool, ran: bool) -> Heard:
    if long := _MINI_LONG.fullmatch(text):
        return Heard(long[1], long[2], ended, ran)
    short = _MINI.fullmatch(text)
    return Heard(short[1] if short else text, None, ended, ran)
