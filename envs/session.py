"""One episode's sandbox: the tools that work in it, and what differs there from what the agent was given.

Invariant: what was seen at the last look stays when the sandbox is gone; it is looked again only where something can
have changed since.
"""

from __future__ import annotations

from envs.patch import make_patch
from envs.runtime import visible_targets
from envs.task import RepoProfile, TaskInstance
from envs.toolbox import Observation, Toolbox
from envs.tools import Action
from envs.workspace import Workspace, open_workspace
from sandbox.protocol import Limits, Sandbox, SandboxBackend

MAX_DIFF_CHARS = 1 << 20
"""A longer diff is not kept with a step: there is one of them at each."""
_NAMED = 5
"""Paths that are named where many were left out."""


class Session:
    """Made by `open_session`. Belongs to whoever opened it, who closes it."""

    def __init__(self, workspace: Workspace, toolbox: Toolbox) -> None:
        self._workspace: Workspace | None = workspace
        self._toolbox = toolbox
        self.changes = workspace.watch.last
        """What differed at the last look."""
        self._patch = ""

    @property
    def sandbox(self) -> Sandbox | None:
        """None once it is closed."""
        return self._workspace.sandbox if self._workspace else None

    @property
    def diff(self) -> str | None:
        """All that differed at the last look, as a unified diff; None where it is too long to keep."""
        return self._patch if len(self._patch) <= MAX_DIFF_CHARS else None

    async def act(self, action: Action) -> Observation:
        """Carry out an action, `submit` excepted. Raises `SandboxError`."""
        return await self._toolbox.call(action)

    def disturbed(self) -> None:
        """Anything may have changed: the next look is at all of the repository."""
        self._toolbox.ran = True

    async def look(self) -> None:
        """See what differs now, if the actions since the last look can have changed anything. Raises `SandboxError`."""
        toolbox = self._toolbox
        if self._workspace is None or not (toolbox.ran or toolbox.written):
            return
        watch, written = self._workspace.watch, set(toolbox.written)
        changes = await watch.look() if toolbox.ran else await watch.look_at(written)
        toolbox.ran = False
        toolbox.written.clear()
        if (changes.before, changes.after) != (self.changes.before, self.changes.after):
            self._patch = make_patch(changes.before, changes.after)
        self.changes = changes

    async def patch(self) -> str:
        """All that differs now, as a unified diff of any length; once it is closed, what the last look saw."""
        self.disturbed()
        await self.look()
        return self._patch

    def farewell(self) -> str:
        """What a submission says: nothing that the agent changed is left out without a word."""
        left_out = self.changes.left_out
        if not left_out:
            return "submitted"
        more = f" and {len(left_out) - _NAMED} more" * (len(left_out) > _NAMED)
        named = ", ".join(left_out[:_NAMED])
        return f"submitted without {named}{more}: links, binary and very large files are no part of a patch"

    async def close(self) -> None:
        """Stop the sandbox. Safe to call twice."""
        workspace, self._workspace = self._workspace, None
        if workspace is not None:
            await workspace.close()


async def open_session(
    backend: SandboxBackend, task: TaskInstance, profile: RepoProfile, limits: Limits, max_observation_chars: int
) -> Session:
    """A fresh sandbox as the task shows it, with its tools. Raises `SandboxError`."""
    workspace = await open_workspace(backend, task, profile, limits)
    targets = visible_targets(task, profile)
    return Session(workspace, Toolbox(workspace.sandbox, profile, targets, max_observation_chars))
