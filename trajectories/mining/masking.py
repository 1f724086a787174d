"""Masking the patch in a trajectory, so that a context shows what was read and not what was answered.

Invariant: `leaks(mask_trajectory(t), t.patch)` is empty. A line that the patch adds stands in the context only where
the environment showed it, or the issue quoted it, before the first edit; what the policy passed to an edit is `MASK`.
Paper 1: `<PATCH_MASKED>` inside edit commands; file views, test output, errors and reasoning are kept.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field

from trajectories.mining.edits import mask_text, masked_arguments, names, opened, written
from trajectories.mining.lines import Line, scrub, squeeze, telling
from trajectories.mining.patches import added, added_lines, before, patched_files, removed
from trajectories.mining.quotes import scrub_quotes
from trajectories.records import MASK, ContextTurn, MaskedContext, Trajectory, Turn

__all__ = [
    "added",
    "added_lines",
    "first_edit",
    "leaked",
    "leaks",
    "mask_after_edit",
    "mask_trajectory",
    "squeeze",
]

_FAILURES = ("Traceback (most recent call last)", "\nE   ", "FAILED", "FAIL:", "FAIL ", "AssertionError")
_SHOWN_PART = 8, 24
"""Tokens in a row of a patch's line, and characters of their names, that are masked in what is shown after the edit:
less is code like any other."""
_HUNK = re.compile(r"^@@ -\d+(?:,\d+)? \+\d+(?:,\d+)? @@", re.MULTILINE)


def mask_trajectory(trajectory: Trajectory, *, keep_after_edit: bool = False) -> MaskedContext:
    """The trajectory as a context: the issue and its turns up to and with the first edit, which is masked.

    What follows the first edit tells how it came out, so it is left out, and so is the edit's own observation. With
    `keep_after_edit` it stays (the paper's form), without the lines that the patch adds, those that earlier attempts
    wrote, and the changes in diffs.
    """
    masking = _Masking.of(trajectory)
    turns: list[ContextTurn] = []
    for turn in trajectory.turns:
        turns.append(masking.turn(turn, keep_after_edit))
        if masking.edited and not keep_after_edit:
            break
    return MaskedContext(
        trajectory_id=trajectory.id,
        instance_id=trajectory.instance_id,
        problem_statement=trajectory.problem_statement,
        turns=turns,
    )


@dataclass
class _Masking:
    """The state of a walk through a trajectory."""

    files: list[str]
    hidden: list[Line]
    """Lines of the patch, and later of attempts at it, that nobody has shown."""
    own: list[Line]
    """Lines of the patch itself: parts of these are masked too."""
    changed: list[Line]
    """Lines that the patch changes, as they were before."""
    definitions: list[str]
    """How the touched definitions begin: `def name(`."""
    statement: str
    shown: list[str] = field(default_factory=list)
    """Observations before the first edit."""
    edited: bool = False
    open: str = ""
    """The file in the agent's editor, where it has one."""

    @classmethod
    def of(cls, trajectory: Trajectory) -> _Masking:
        statement, patch = trajectory.problem_statement, trajectory.patch
        ends = [name.rpartition("::")[2].rpartition(".")[2] for name in trajectory.functions]
        own = [line for line in telling(added(patch)) if not line.shown_in(statement)]
        return cls(
            files=patched_files(patch),
            hidden=list(own),
            own=own,
            changed=telling(removed(patch)) or telling(before(patch)),
            definitions=[f"{word} {name}" for name in ends for word in ("def", "class")],
            statement=statement,
        )

    def turn(self, turn: Turn, keep: bool) -> ContextTurn:
        """The turn, masked; the state moves on to the next."""
        self.open = opened(turn.tool_call) or self.open
        masked = masked_arguments(turn.tool_call, self.files, self.hidden, self.open)
        text = turn.text
        if masked is not None:
            text = mask_text(text, turn.tool_call, masked)
            if not self.files or names(" ".join((self.open, *turn.tool_call.arguments.values())), self.files):
                self._learn(written(turn.tool_call, masked))
            self.edited = True
        return ContextTurn(
            text=scrub_quotes(scrub(text, self.hidden), self.own, self._was_shown),
            observation=self._observation(turn.observation, keep),
            tool=turn.tool_call.name,
            edits=masked is not None,
            evidence=self._evidence(turn.observation),
        )

    def _was_shown(self, part: str) -> bool:
        return any(part in squeeze(text) for text in (self.statement, *self.shown))

    def _learn(self, lines: Iterable[str]) -> None:
        """What an edit wrote is hidden from now on, unless it had been shown."""
        known = {line.squeezed for line in self.hidden}
        for line in telling(lines):
            if line.squeezed not in known and not any(line.shown_in(t) for t in (self.statement, *self.shown)):
                self.hidden.append(line)

    def _observation(self, text: str, keep: bool) -> str:
        if self.edited:
            text = scrub(mask_diffs(text), self.hidden) if keep else ""
            return scrub_quotes(text, self.own, self._was_shown, *_SHOWN_PART)
        self.hidden = [line for line in self.hidden if not line.shown_in(text)]
        self.shown.append(text)
        return text

    def _evidence(self, text: str) -> str:
        if not self.edited and any(line.shown_in(text) for line in self.changed):
            return "shows lines that the patch changes"
        if not self.edited and any(start in text for start in self.definitions):
            return "shows a touched definition"
        return "shows a failure" if any(sign in text for sign in _FAILURES) else ""


def mask_diffs(text: str) -> str:
    """The text with one `MASK` for each run of lines that a diff in it adds or removes."""
    if "@@ -" not in text or not _HUNK.search(text):
        return text
    rows: list[str] = []
    inside = False
    for row in text.split("\n"):
        inside = bool(_HUNK.match(row)) or (inside and row[:1] in (" ", "+", "-", "\\"))
        names = row.startswith(("--- ", "+++ "))
        if not inside or names or row[:1] not in ("+", "-"):
            rows.append(row)
        elif not rows or rows[-1] != MASK:
            rows.append(MASK)
    return "\n".join(rows)


def mask_after_edit(context: MaskedContext, lines: Iterable[str]) -> MaskedContext:
    """The context without these lines in what was shown from its first edit on.

    Of two bugs in one function, each trajectory sees its own line masked after its edit, and the other's not: both are
    masked in both, or the one that shows the answer more often would be the confounder.
    """
    hidden, edit = telling(lines), first_edit(context)
    turns = [
        turn.model_copy(update={"observation": scrub(turn.observation, hidden)}) if i >= edit else turn
        for i, turn in enumerate(context.turns)
    ]
    return context if turns == context.turns else context.model_copy(update={"turns": turns})


def leaks(context: MaskedContext, patch: str) -> list[str]:
    """The lines that the patch adds and that the context gives away; empty for a well masked one."""
    return leaked(context, added_lines(patch))


def leaked(context: MaskedContext, lines: Iterable[str]) -> list[str]:
    """Those of the lines that the policy wrote, or that were shown after the edit, and that were not seen before."""
    edit = first_edit(context)
    shown = [context.problem_statement, *(turn.observation for turn in context.turns[:edit])]
    told = [turn.text for turn in context.turns] + [turn.observation for turn in context.turns[edit:]]
    found = [line for line in telling(lines) if any(line.within(text) for text in told)]
    return [line.text for line in found if not any(line.shown_in(text) for text in shown)]


def first_edit(context: MaskedContext) -> int:
    """Index of the first turn that edits; the number of turns when none does."""
    return next((i for i, turn in enumerate(context.turns) if turn.edits), len(context.turns))
