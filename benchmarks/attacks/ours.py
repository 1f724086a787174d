"""Our verdicts on the attacks.

Invariant: nothing is simulated: every verdict is that of the grader of training, in sandboxes of the backend given.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from benchmarks.attacks.case import Action, Attack, Leak
from benchmarks.attacks.subject import HIDDEN_TEST, REPAIR, profile_of, task_of
from envs.grading import GradeReport
from envs.grading.sandbox_grader import SandboxGrader
from envs.swe import SWEEnv
from envs.tools import Action as Call
from envs.workspace import Workspace, open_workspace
from sandbox.protocol import Limits, SandboxBackend, SandboxError

_TELLING = (REPAIR, HIDDEN_TEST, "reached", "differs")
_LIMITS = Limits(timeout_s=30.0)
_HIDDEN = (24, 28, 29)
"""Cases that no visible test can tell: the task has hidden calls, as every one that was synthesised."""


@dataclass(frozen=True)
class Range:
    """Where attacks are tried: a backend, and a tree written by `write_repository`."""

    backend: SandboxBackend
    tree: Path

    async def grade(self, attack: Attack, patch: str | None = None) -> GradeReport:
        """The verdict on an attack, or on another patch to the same task."""
        task = task_of(attack.runner, added=attack.added, hidden=attack.number in _HIDDEN)
        grader = SandboxGrader(self.backend, replace(_LIMITS, timeout_s=attack.timeout_s))
        try:
            return await grader.grade(
                task, profile_of(self.tree, attack.runner), attack.patch if patch is None else patch
            )
        finally:
            await grader.close()

    async def act(self, action: Action) -> tuple[float, str]:
        """Do it in an episode, then submit: the reward, and the patch that was taken from the sandbox."""
        profile = profile_of(self.tree, "pytest")
        task = task_of("pytest")
        env = SWEEnv([task], {profile.name: profile}, self.backend, limits=_LIMITS)
        try:
            await env.areset(task)
            assert env.sandbox is not None
            await env.sandbox.run(action.command, timeout_s=5)
            result = await env.astep(Call("submit", {}))
            return result.reward, await env.patch()
        finally:
            await env.aclose()

    async def search(self, leak: Leak, *, planted: bool = False) -> list[str]:
        """What the search finds in an agent's sandbox: nothing, unless it was planted there."""
        place = await self._place()
        try:
            if leak.beside:
                other = await self._place()
                try:
                    await other.sandbox.run(leak.plant)
                    return await _found(place, leak, planted)
                finally:
                    await other.close()
            return await _found(place, leak, planted)
        finally:
            await place.close()

    async def _place(self) -> Workspace:
        return await open_workspace(self.backend, task_of("pytest"), profile_of(self.tree, "pytest"), _LIMITS)


async def _found(place: Workspace, leak: Leak, planted: bool) -> list[str]:
    if planted:
        await place.sandbox.run(leak.plant)
    said = await place.sandbox.run(leak.look)
    if said.timed_out:
        raise SandboxError(f"the search did not end: {leak.variant}")
    return [line for line in said.output.splitlines() if any(word in line for word in _TELLING)]


def told(report: GradeReport) -> str:
    """A verdict in a few words."""
    if report.resolved:
        return "resolved"
    return "tampered" if report.tampered else "left out" if report.dropped else "unresolved"
