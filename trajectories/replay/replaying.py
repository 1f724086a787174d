"""Turn by turn: does a recorded action again, and compares what comes of it with what came of it then.

Invariant: everything that was recorded and can be made again is compared, and a turn is called the same only if none of
it differs; after a divergence the replay goes on unless it is told not to.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from envs.session import MAX_DIFF_CHARS
from trajectories.records import Trajectory, Turn
from trajectories.replay.normalising import likeness, normalised
from trajectories.replay.patches import same_patch
from trajectories.replay.report import ReplayReport, ReplayStep
from trajectories.replay.stage import Answer, Stage
from trajectories.replay.verdicts import reward_differences, verdict_differences
from trajectories.shortening import shortened

MAX_CHARS = 200_000
"""Of an observation in a report; the middle of a longer one is left out."""
_BRIEF = 160
OnStep = Callable[[int, int, ReplayStep], None]
"""Turns done, turns in all, the last one."""


class Replay:
    """One replay. Closes its stage at `finish`, or at `close` where something went wrong."""

    def __init__(self, trajectory: Trajectory, stage: Stage, *, note: str = "") -> None:
        """`note`: what there is to say of where the task came from."""
        self.trajectory, self.stage = trajectory, stage
        self.steps: list[ReplayStep] = []
        self._notes = [note] if note else []
        self._dated = bool(trajectory.created_at)
        self._moments = [trajectory.created_at, time.time()] if self._dated else [time.time()]

    async def open(self) -> None:
        """Start the sandbox. Raises `SandboxError`."""
        await self.stage.open()

    @property
    def done(self) -> int:
        """Turns that were done again."""
        return len(self.steps)

    @property
    def turn(self) -> Turn | None:
        """The next turn; None after the last."""
        return self.trajectory.turns[self.done] if self.done < len(self.trajectory.turns) else None

    @property
    def diverged_at(self) -> int | None:
        """The first turn at which anything differed."""
        return next((step.number for step in self.steps if not step.same), None)

    async def step(self) -> ReplayStep:
        """Do the next turn again. Raises `SandboxError`."""
        turn = self.turn
        if turn is None:
            raise IndexError("there is no turn left")
        started = time.perf_counter()
        answer = await self.stage.play(turn)
        self.steps.append(self._compare(turn, answer, time.perf_counter() - started))
        return self.steps[-1]

    async def run(
        self, *, to: int | None = None, stop_at_divergence: bool = False, on_step: OnStep = lambda done, of, step: None
    ) -> None:
        """Do the turns that are left, up to `to`, and to the first divergence where that is asked for."""
        last = len(self.trajectory.turns) if to is None else min(to, len(self.trajectory.turns))
        while self.done < last:
            step = await self.step()
            on_step(self.done, last, step)
            if stop_at_divergence and not step.same:
                return

    async def finish(self) -> ReplayReport:
        """Grade what it came to, if all of it was done again, and stop the sandbox. Raises `SandboxError`."""
        recorded, whole = self.trajectory, self.turn is None
        if whole:
            self._compare_end()
        verdict = await self.stage.grade() if whole and recorded.status == "submitted" else None
        if whole and self._claims_patch():
            self._compare_patch(await self.stage.patch())
        await self.close()
        found = verdict_differences(recorded.verdict, verdict) if recorded.verdict and verdict else []
        if whole and recorded.status != "infra_error":
            found += reward_differences(recorded.reward, float(verdict.resolved) if verdict else self.stage.earned)
        if recorded.status == "infra_error":
            self._notes.append(f"The episode died for a reason of ours: {recorded.extra.get('error', 'not said')}.")
        if self._another_start():
            self._notes.append("The repository was another one from the start: no diff shows how.")
        if recorded.verdict and whole and verdict is None:
            self._notes.append("The verdict is not compared: nothing was graded.")
        return ReplayReport(
            trajectory_id=recorded.id,
            backend=self.stage.backend,
            image=self.stage.image,
            steps=self.steps,
            diverged_at=self.diverged_at,
            verdict=verdict,
            verdict_same=not found if found or (recorded.verdict and verdict) else None,
            verdict_differs=found,
            stopped_at=None if whole else self.done,
            note=" ".join(self._notes),
        )

    async def close(self) -> None:
        """Stop the sandbox. Safe to call twice."""
        await self.stage.close()

    def _compare(self, turn: Turn, answer: Answer, seconds: float) -> ReplayStep:
        found = None
        left, differs = list(answer.not_compared), []
        if answer.not_replayed:
            left = ["observation", "exit_code", "tree"]
        differs += ["end"] * answer.ended
        if "observation" not in left:
            found = likeness(answer.expected, answer.got, self._moments, ordered=answer.ordered, dated=self._dated)
            differs += ["observation"] * (found == "different")
        if "exit_code" not in left:
            differs += ["exit_code"] * (answer.expected_exit != answer.exit)
        if not turn.tree and "tree" not in left:
            left.append("tree")
        if "tree" not in left:
            differs += ["tree"] * (turn.tree != answer.tree)
        if turn.diff is not None and not answer.not_replayed and "tree" not in differs:
            differs += ["diff"] * (not _same(turn.diff, answer.diff, ours=bool(turn.tree)))
        return ReplayStep(
            number=self.done + 1,
            action=said(turn),
            same=not differs,
            differs=differs,
            likeness=found,
            not_compared=left,
            not_replayed=answer.not_replayed,
            expected=self._plain(answer.expected),
            got=self._plain(answer.got),
            expected_exit=answer.expected_exit,
            exit=answer.exit,
            expected_tree=turn.tree,
            tree=answer.tree,
            expected_diff=turn.diff if {"tree", "diff"} & {*differs} else None,
            diff=answer.diff if len(answer.diff) <= MAX_DIFF_CHARS else None,
            seconds=seconds,
            cpu_seconds=answer.cpu_seconds,
        )

    def _another_start(self) -> bool:
        """Whether the first trees differ, and what the agent changed does not."""
        first = self.steps[0] if self.steps else None
        return first is not None and "tree" in first.differs and (first.expected_diff or "") == (first.diff or "")

    def _compare_end(self) -> None:
        """How the episode ended, said at its last turn: one that its agent gave up is truncated too."""
        ended, status = self.stage.ended, self.trajectory.status
        if ended is not None and self.steps and status not in ("infra_error", ended):
            last = self.steps[-1]
            if "end" not in last.differs:
                self.steps[-1] = last.model_copy(update={"same": False, "differs": [*last.differs, "end"]})

    def _claims_patch(self) -> bool:
        """Whether the record says what the episode came to: ours always does, others where there is a patch."""
        recorded = self.trajectory
        if not recorded.turns or recorded.status == "infra_error":
            return False
        return bool(recorded.turns[-1].tree or (recorded.patch and recorded.status == "submitted"))

    def _compare_patch(self, patch: str) -> None:
        """What the record says that it came to; where no trees were recorded it stands in for them."""
        recorded, last = self.trajectory, self.steps[-1]
        if not _same(recorded.patch, patch, ours=bool(recorded.turns[-1].tree)):
            shown = recorded.patch if last.expected_diff is None else last.expected_diff
            update = {"same": False, "differs": [*last.differs, "patch"], "expected_diff": shown}
            self.steps[-1] = last.model_copy(update=update)

    def _plain(self, text: str) -> str:
        text = normalised(text, self._moments)
        half = MAX_CHARS // 2
        gap = f"\n[... {len(text) - 2 * half} characters left out ...]\n"
        return text if len(text) <= MAX_CHARS else text[:half] + gap + text[-half:]


def _same(recorded: str, made: str, *, ours: bool) -> bool:
    """Whether two diffs agree: to the letter if we wrote both, else by the lines that they change."""
    return recorded == made or (not ours and same_patch(recorded, made))


def said(turn: Turn) -> str:
    """A turn's action in a few words."""
    call = turn.tool_call
    if not call.name:
        return "no call"
    arguments = " ".join(" ".join(value.split()) for value in call.arguments.values())
    text = f"{call.name} {arguments}".strip()
    return shortened(text if len(text) <= _BRIEF else text[:_BRIEF] + "...")
